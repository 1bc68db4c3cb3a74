//! Functions that tasks never leave are named when they change.

#[path = "common/suite.rs"]
mod suite;

use std::process::Command;

#[path = "common/patch.rs"]
#[allow(dead_code)]
mod patch;

const OPTIONS: &str = "-c -O2 -w -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -fcf-protection=none";

const SOURCE: &str = r#"
extern void sleep(void), work(int);
#ifdef PATCHED
#define NUMBER 2
#else
#define NUMBER 1
#endif
int worker_thread(void *p) { for (;;) { work(NUMBER); sleep(); } }
void cpu_startup_entry(int state) { for (;;) work(state + NUMBER); }
/* of another file than kernel/hung_task.c */
__attribute__((noinline)) static void watchdog(int x) { work(x - NUMBER); }
void tick(int x) { watchdog(x + 3); }
"#;
fn main_loops_are_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file.c"), SOURCE).unwrap();
    let build = |define| patch::compile("gcc", OPTIONS, folder.path(), define);
    let (Some(_), Some(_)) = (build("ORIG"), build("PATCHED")) else { return };
    let done = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
        .args(["ORIG", "PATCHED", "--json", "report.json"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(0));
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    let named = |text: &str| error.lines().filter(|l| l.contains(text)).count();
    assert_eq!(named("kernel threads loop in worker_thread (kernel/workqueue.c)"), 1, "{error}");
    assert_eq!(named("the idle task of each processor is in cpu_startup_entry"), 1, "{error}");
    assert_eq!(named("watchdog"), 0, "{error}");
    let report = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    assert_eq!(report.matches("\"never-returns\"").count(), 2, "{report}");
}

fn main() -> std::process::ExitCode {
    suite::run(&[("main_loops_are_named", main_loops_are_named)])
}
