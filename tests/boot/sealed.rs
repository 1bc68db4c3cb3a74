//! What a kernel with IBT, kCFI and FineIBT does when a patch calls a function that nothing
//! called through a pointer before: the kernel took its marker away, and its hash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use libtest_mimic::Trial;

use crate::lab::{Fallible, Lab, Overlay, check, run, succeed, tail};
use crate::{Boot, trial};

/// What it returns, and its name.
const SEALED: (&str, &str) = ("unsigned int", "nr_running");
/// Exported: modules may call it through a pointer.
const OPEN: (&str, &str) = ("time64_t", "ktime_get_seconds");

const TEST: &str = r#"
CASE=sealed
PROBE() { cat /proc/loadavg; }
BEFORE='^[0-9]'
AFTER='^klp [0-9]'
"#;

/// No CPU of QEMU has IBT: it is the hash that is found missing, by the caller or, with
/// FineIBT, by the function.
const FAULTS: [(&str, &str, &[&str]); 2] = [
    (
        "kcfi",
        "cfi=kcfi",
        &[
            "SMP alternatives: Using kCFI",
            "KLPLAB: probe live:",
            "CFI failure at loadavg_proc_show+",
            "(target: nr_running+0x0/",
        ],
    ),
    (
        "fineibt",
        "cfi=fineibt",
        &[
            "SMP alternatives: Using FineIBT CFI",
            "KLPLAB: probe live:",
            "Oops: invalid opcode: 0000",
            "RIP: 0010:__cfi_nr_running+",
        ],
    ),
];

/// A case of these trials.
#[derive(Clone)]
struct Case {
    image: PathBuf,
    /// Object before the patch; with each target after it.
    orig: PathBuf,
    sealed: PathBuf,
    open: PathBuf,
}

static CASE: OnceLock<Result<Case, String>> = OnceLock::new();

fn case(lab: &Lab) -> Fallible<Case> {
    Ok(CASE.get_or_init(|| make(lab).map_err(|e| e.to_string())).clone()?)
}

fn make(lab: &Lab) -> Fallible<Case> {
    let folder = lab.fresh()?;
    let archive = lab.folder.join("boot/vmlinux-images.tar.xz");
    succeed(Command::new("tar").arg("xf").arg(archive).arg("vmlinux").current_dir(&folder))?;
    let define = |(way, target): (&str, &str)| format!("-DPATCHED -DTARGET={target} -DWAY='{way}'");
    let build = |variant: &str, flags: &str| -> Fallible<PathBuf> {
        let folder = folder.join(variant);
        fs::create_dir(&folder)?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot/loadavg.c");
        fs::copy(source, folder.join("loadavg.c"))?;
        // A module of several objects: objtool leaves them as the compiler made them.
        fs::write(
            folder.join("Kbuild"),
            format!(
                "obj-m := klp_whole.o\nklp_whole-y := loadavg.o\n\
                 ccflags-y += -ffunction-sections -fdata-sections {flags}\n\
                 CFLAGS_REMOVE_loadavg.o := $(CC_FLAGS_LTO)\n"
            ),
        )?;
        lab.kbuild(&folder, "loadavg.o")?;
        Ok(folder.join("loadavg.o"))
    };
    Ok(Case {
        image: folder.join("vmlinux"),
        orig: build("orig", "")?,
        sealed: build("sealed", &define(SEALED))?,
        open: build("open", &define(OPEN))?,
    })
}

/// `klp-diff module`; gives its exit status, what it said, and where the module is.
fn build(
    lab: &Lab,
    case: &Case,
    patched: &Path,
    more: &[&str],
) -> Fallible<(Option<i32>, String, PathBuf)> {
    let output = lab.fresh()?.join("livepatch.ko");
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
    command.current_dir(&lab.folder).args(["module", "--kernel", "kdir"]);
    command.arg("--image").arg(&case.image).args(["--symvers", "boot/Module.symvers"]);
    command.args(["--name", "livepatch_sealed", "-o"]).arg(&output).args(more);
    let (status, log) = run(command.arg(&case.orig).arg(patched))?;
    Ok((status, log, output))
}

pub fn trials(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    for (how, append, wanted) in FAULTS {
        trials.push(trial(lab, format!("boot::lto::sealed::{how}"), move |lab| {
            let case = case(lab)?;
            let (status, log, module) = build(lab, &case, &case.sealed, &[])?;
            check(status == Some(2) && log.contains("of 'nr_running'"), &tail(&log))?;
            check(!module.exists(), "there is a module although it was refused")?;
            let allow = ["--allow-sealed", SEALED.1];
            let (status, log, module) = build(lab, &case, &case.sealed, &allow)?;
            check(status == Some(0), &tail(&log))?;
            let how = Boot { append, wanted, ..Boot::default() };
            lab.boot(&Overlay::new(&module, TEST), &how)
        }));
        trials.push(trial(lab, format!("boot::lto::open::{how}"), move |lab| {
            let case = case(lab)?;
            let (status, log, module) = build(lab, &case, &case.open, &[])?;
            check(status == Some(0), &tail(&log))?;
            lab.boot(&Overlay::new(&module, TEST), &Boot { append, ..Boot::default() })
        }));
    }
    // Nothing checks: what the patch does is right but for the marker.
    trials.push(trial(lab, "boot::lto::sealed::off".into(), |lab| {
        let case = case(lab)?;
        let allow = ["--allow-sealed", SEALED.1];
        let (status, log, module) = build(lab, &case, &case.sealed, &allow)?;
        check(status == Some(0), &tail(&log))?;
        lab.boot(&Overlay::new(&module, TEST), &Boot { append: "cfi=off", ..Boot::default() })
    }));
}
