//! Tasks that sleep in patched code, on a kernel where objtool runs on the linked module: their
//! stacks must be complete, or every later livepatch waits for them forever.

use std::process::Command;
use std::sync::Arc;

use libtest_mimic::Trial;

use crate::lab::{Fallible, Lab, Overlay, check, run, succeed, tail};
use crate::{Boot, trial};

/// One thread sleeps in the patched function, one behind its WARN, and one below its call of a
/// function that never returns, behind which there is nothing.
const TEST: &str = r#"
CASE=asleep
WARNINGS=1
SETUP() { insmod /case/klp_asleep.ko || finish FAIL asleep-insmod; }
look() {
	p=; i=0
	while [ -z "$p" ]; do
		for d in /proc/[0-9]*; do [ "$(cat $d/comm 2>/dev/null)" = "$1" ] && p=${d#/proc/}; done
		i=$((i+1)); [ $i -gt 50 ] && finish FAIL "no-$1"
		usleep 100000
	done
	sleep 1
	say "stack of $1:"; cat /proc/$p/stack | tee /tmp/stack
	shift
	for f in msleep "$@" klp_asleep_thread kthread ret_from_fork_asm; do
		grep -q " $f+" /tmp/stack || finish FAIL "stack-lacks-$f"
	done
}
LATE() {
	for way in 0 1 2; do echo $way > /sys/module/klp_asleep/parameters/start; done
	look klp_asleep0 klp_asleep_run
	look klp_asleep1 klp_asleep_run
	look klp_asleep2 klp_asleep_end klp_asleep_run
	insmod /case/second.ko || finish FAIL second-insmod
	i=0
	while [ "$(cat /sys/kernel/livepatch/livepatch_a_meminfo/transition 2>/dev/null || echo 1)" != 0 ]; do
		i=$((i+1)); [ $i -gt 30 ] && finish FAIL second-stuck
		sleep 1
	done
	say "the second one is live"
	echo 1 > /sys/module/klp_asleep/parameters/wake
}
"#;

pub fn trials(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    trials.push(trial(lab, "boot::lto::asleep".into(), |lab| {
        let target = lab.build_target("asleep.c", "klp_asleep")?;
        let second = lab.module("livepatch_a_meminfo", &["a-meminfo"], &[])?.module()?;
        let module = build(lab, &target)?;
        let overlay = Overlay::new(&module, TEST)
            .with("klp_asleep.ko", &target.running)
            .with("second.ko", &second);
        lab.boot(&overlay, &Boot::default())
    }));
}

fn build(lab: &Lab, target: &crate::lab::Target) -> Fallible<std::path::PathBuf> {
    let folder = lab.fresh()?;
    let archive = lab.folder.join("boot/vmlinux-images.tar.xz");
    succeed(Command::new("tar").arg("xf").arg(archive).arg("vmlinux").current_dir(&folder))?;
    let output = folder.join("livepatch_asleep.ko");
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
    command.current_dir(&lab.folder).args(["module", "--kernel", "kdir"]);
    command.arg("--image").arg(folder.join("vmlinux"));
    command.arg("--image").arg(format!("klp_asleep={}", target.running.display()));
    command.args(["--object", "klp_asleep", "--symvers", "boot/Module.symvers", "-o"]);
    let (status, log) = run(command.arg(&output).args([&target.orig, &target.patched]))?;
    check(status == Some(0) && !log.contains("objtool:"), &tail(&log))?;
    Ok(output)
}
