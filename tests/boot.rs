//! Builds livepatch modules with this project's tools, boots the kernels they are for under
//! QEMU, and lets the guest check that they work: it loads them, looks at the changed
//! behaviour, disables and unloads them.
//!
//! Kernels, cases and the guest's init are not part of the repository: `KLP_DIFF_DATA` names
//! the folder that holds them (`kernel-gcc/`, `kernel-lto/`). Without it, or without a tool,
//! each group is one ignored trial. `KLP_DIFF_BUNDLE` names another kernel, built by
//! `tests/boot/bundle/make-bundle.sh`; docs/boot.md says more. Prepared kernel trees are kept in the target folder.

#[path = "common/drop_in.rs"]
mod drop_in;
#[path = "common/suite.rs"]
mod suite;

#[path = "boot/asleep.rs"]
mod asleep;
#[path = "boot/broken.rs"]
mod broken;
#[path = "boot/lab.rs"]
mod lab;
#[path = "boot/own.rs"]
mod own;
#[path = "boot/sealed.rs"]
mod sealed;

use std::process::ExitCode;
use std::sync::Arc;

use lab::{Built, Fallible, Lab, Overlay, check};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // Each guest has two CPUs; more at once than this machine has would time out.
    args.test_threads =
        args.test_threads.or(std::thread::available_parallelism().ok().map(|n| n.get().min(4)));
    let mut trials = Vec::new();
    match Lab::gcc() {
        Ok(lab) => gcc(&Arc::new(lab), &mut trials),
        Err(reason) => trials.push(skipped("kernel-gcc", reason)),
    }
    match Lab::lto() {
        Ok(lab) => {
            let lab = Arc::new(lab);
            lto(&lab, &mut trials);
            sealed::trials(&lab, &mut trials);
            asleep::trials(&lab, &mut trials);
        }
        Err(reason) => trials.push(skipped("kernel-lto", reason)),
    }
    match Lab::own() {
        Ok(lab) => own::trials(&Arc::new(lab), &mut trials),
        Err(reason) => trials.push(skipped("own", reason)),
    }
    suite::conclude(&args, trials)
}

fn skipped(group: &str, reason: String) -> Trial {
    crate::suite::lacks(format!("boot::{group}: {reason}"));
    Trial::test(format!("boot::{group}"), move || Err(Failed::from(reason))).with_ignored_flag(true)
}

fn trial(
    lab: &Arc<Lab>,
    name: String,
    run: impl Fn(&Lab) -> Fallible<()> + Send + 'static,
) -> Trial {
    let lab = Arc::clone(lab);
    Trial::test(name, move || run(&lab).map_err(|e| Failed::from(e.to_string())))
}

const GCC_CASES: [&str; 4] =
    ["cmdline-string", "loadavg-newfunc", "special-sections", "static-local"];

fn gcc(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    for case in GCC_CASES {
        trials.push(trial(lab, format!("boot::gcc::two-steps::{case}"), move |lab| {
            let module = lab.two_steps(case)?.ok_or("nothing changed")?;
            lab.boot(&Overlay::new(&module, &lab.case_test(case)?), &Boot::default())
        }));
        trials.push(trial(lab, format!("boot::gcc::module::{case}"), move |lab| {
            let module = lab.module(&format!("livepatch_{case}"), &[case], &[])?.module()?;
            lab.boot(&Overlay::new(&module, &lab.case_test(case)?), &Boot::default())
        }));
    }
    trials.push(trial(lab, "boot::gcc::unchanged".into(), |lab| {
        check(lab.two_steps("neg-linechange")?.is_none(), "two steps made a module")?;
        let built = lab.module("livepatch_none", &["neg-linechange"], &[])?;
        check(matches!(built, Built::Unchanged), "klp-diff module made a module")
    }));
    trials.push(trial(lab, "boot::gcc::many-objects-and-callbacks".into(), |lab| {
        many(lab, &["loadavg-newfunc", "cmdline-string"], &format!("{MANY}{MANY_GCC}"))
    }));
    trials.push(trial(lab, "boot::gcc::load-and-unload-20-times".into(), |lab| {
        let module = lab.module("livepatch_loop", &["loadavg-newfunc"], &[])?.module()?;
        let test = format!("{}\n{LOOP}", lab.case_test("loadavg-newfunc")?);
        lab.boot(&Overlay::new(&module, &test), &Boot::default())
    }));
    trials.push(trial(lab, "boot::gcc::replace".into(), |lab| {
        let old = lab.module("livepatch_old", &["cmdline-string"], &[])?.module()?;
        let new = lab.module("livepatch_new", &["loadavg-newfunc"], &["--replace"])?.module()?;
        let test = format!("{}\n{REPLACE}", lab.case_test("loadavg-newfunc")?);
        lab.boot(&Overlay::new(&new, &test).with("old.ko", &old), &Boot::default())
    }));
    for breakage in &broken::ALL {
        trials.push(trial(lab, format!("boot::gcc::broken::{}", breakage.name), move |lab| {
            broken::run(lab, breakage)
        }));
    }
}

/// Before the case itself: 20 times load, wait until it is live, look, disable, unload.
const LOOP: &str = r#"
settle() { while [ "$(cat /sys/kernel/livepatch/$1/transition 2>/dev/null || echo 0)" != 0 ]; do usleep 20000; done; }
SETUP() {
	n=0
	while [ $n -lt 20 ]; do
		insmod /case/livepatch.ko || finish FAIL "loop-insmod-$n"
		settle livepatch_loop
		grep -q klplab /proc/loadavg || finish FAIL "loop-live-$n"
		echo 0 > /sys/kernel/livepatch/livepatch_loop/enabled || finish FAIL "loop-disable-$n"
		while [ -d /sys/kernel/livepatch/livepatch_loop ]; do usleep 20000; done
		grep -q klplab /proc/loadavg && finish FAIL "loop-still-live-$n"
		until rmmod livepatch_loop 2>/dev/null; do usleep 20000; done
		n=$((n+1))
	done
	say "loop done $n"
}
"#;

/// An older livepatch is live; the new one takes its place.
const REPLACE: &str = r#"
SETUP() {
	insmod /case/old.ko || finish FAIL old-insmod
	while [ "$(cat /sys/kernel/livepatch/livepatch_old/transition)" != 0 ]; do usleep 20000; done
	grep -q '^KLPLAB-PATCHED' /proc/cmdline || finish FAIL old-not-live
}
LATE() {
	i=0
	while [ -d /sys/kernel/livepatch/livepatch_old ]; do i=$((i+1)); [ $i -gt 60 ] && finish FAIL old-still-there; sleep 1; done
	grep -q '^KLPLAB-PATCHED' /proc/cmdline && finish FAIL old-still-live
	rmmod livepatch_old || finish FAIL old-rmmod
	cat /proc/loadavg >/dev/null
}
"#;

/// Two objects of vmlinux and a module that is there before the livepatch, goes, and comes
/// back; with callbacks.
fn many(lab: &Lab, cases: &[&str], test: &str) -> Fallible<()> {
    let target = lab.target()?;
    let extra = [
        "--symtab",
        &format!("klp_target={}", target.symtab),
        "--object",
        "klp_target=klp_target_main.o",
        &target.orig,
        &target.patched,
    ]
    .map(String::from);
    let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
    let module = lab.module("livepatch_many", cases, &extra)?.module()?;
    let overlay = Overlay::new(&module, test).with("klp_target.ko", &target.running);
    lab.boot(&overlay, &Boot::default())
}

const MANY: &str = r#"
CASE=many
value() { cat /sys/module/klp_target/parameters/value; }
SETUP() { insmod /case/klp_target.ko; value | grep -q '^original 3$' || finish FAIL target-original; }
LATE() {
	value | grep -q '^patched 1008 2$' || { value; finish FAIL target-before; }
	rmmod klp_target; insmod /case/klp_target.ko
	value | grep -q '^patched 2004 1$' || { value; finish FAIL target-after; }
}
UNLOADED() { value | grep -q '^original ' && ! grep -q klplab /proc/loadavg; }
DMESG_LIVE='klp_target pre_patch klp_target
klp_target post_patch klp_target'
DMESG_END='klp_target pre_unpatch klp_target
klp_target post_unpatch klp_target'
"#;

const MANY_GCC: &str = r#"
PROBE() { cat /proc/cmdline; grep '^klplab' /proc/loadavg || echo no; }
BEFORE='^no'
AFTER='^klplab calls'
"#;

const MANY_LTO: &str = r#"
PROBE() { head -4 /proc/meminfo; }
BEFORE='^MemTotal:'; AFTER='^MemTotalLP:'
"#;

/// Error codes in functions that have tracepoints: their static calls must still find the
/// probes.
const TRACED: [(&str, &[u8], &[u8]); 3] = [
    ("net/ipv4/fib_trie.o", b"\xb8\xea\xff\xff\xff\x48\x8b\x4c\x24", b"\xb8\xfb"),
    ("kernel/time/itimer.o", b"\xb8\xea\xff\xff\xff\x85\xff\x0f\x85", b"\xb8\xfb"),
    ("net/core/dev.o", b"\xb8\xea\xff\xff\xff\xe9\xce\x04\x00", b"\xb8\xfb"),
];

const TRACED_TEST: &str = r#"
CASE=tracepoints
trace() {
	echo > /sys/kernel/tracing/trace
	echo 1 > /sys/kernel/tracing/events/$1/enable
	ping -c 1 127.0.0.1 >/dev/null || finish FAIL ping
	grep -q "${1#*/}: " /sys/kernel/tracing/trace || finish FAIL "no-trace-$1"
	echo 0 > /sys/kernel/tracing/events/enable
}
SETUP() { ifconfig lo 127.0.0.1 up; }
LATE() { trace fib/fib_table_lookup; trace net/net_dev_queue; }
UNLOADED() { trace fib/fib_table_lookup; trace net/net_dev_queue; }
"#;

/// How to boot a kernel.
#[derive(Clone, Copy)]
struct Boot {
    /// File in `boot/`.
    image: &'static str,
    /// Appended to the command line.
    append: &'static str,
    /// What the guest prints when all is well; must be in this order.
    wanted: &'static [&'static str],
}

impl Default for Boot {
    fn default() -> Boot {
        Boot { image: "bzImage", append: "", wanted: &["KLPLAB: RESULT PASS "] }
    }
}

fn lto(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    const HOW: [(&str, &str, &str, &str); 3] = [
        ("kcfi", "bzImage", "", ""),
        ("fineibt", "bzImage", "cfi=fineibt", ""),
        // That kernel prints six warnings of its own.
        ("bolt-skip", "bzImage.bolt-skip", "nokaslr cfi=norand,kcfi", "WARNINGS=6\n"),
    ];
    for pair in ["a-meminfo", "d-newfunc", "e-syscall", "b-capable"] {
        for (how, image, append, more) in HOW {
            trials.push(trial(lab, format!("boot::lto::{how}::{pair}"), move |lab| {
                let name = format!("livepatch_{}", pair.replace('-', "_"));
                let module = lab.module(&name, &[pair], &[])?.module()?;
                let test = match lab.case_test(pair) {
                    Ok(test) => test,
                    // Nothing to see, but the box must live.
                    Err(_) => format!("CASE={pair}\n"),
                };
                let wanted: &[&str] = match pair {
                    "e-syscall" => &["rebooting with patch live", "reboot syscall fee1dead"],
                    _ => &["KLPLAB: RESULT PASS "],
                };
                let overlay = Overlay::new(&module, &format!("{test}\n{more}"));
                lab.boot(&overlay, &Boot { image, append, wanted })
            }));
        }
    }
    trials.push(trial(lab, "boot::lto::many-objects-and-callbacks".into(), |lab| {
        many(lab, &["a-meminfo", "b-capable"], &format!("{MANY}{MANY_LTO}"))
    }));
    trials.push(trial(lab, "boot::lto::tracepoints".into(), |lab| {
        let [orig, patched] = lab.edited(&TRACED)?;
        let module = lab.module("livepatch_traced", &[], &[&orig, &patched])?.module()?;
        lab.boot(&Overlay::new(&module, TRACED_TEST), &Boot::default())
    }));
}
