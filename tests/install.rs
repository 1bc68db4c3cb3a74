//! `make install` and `make uninstall`: what lies where, that kpatch's own files come back, and that the
//! manual pages and completions are those of the command line.

#[path = "common/suite.rs"]
mod suite;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Runs make for this build. `None` when a program is missing.
fn make(folder: &Path, targets: &[&str]) -> Option<String> {
    if ["make", "gzip", "install"].iter().any(|program| !has(program)) {
        crate::suite::lacks("needs make, gzip and install");
        return None;
    }
    if std::env::var_os("KLP_DIFF_INSTALL").is_none() {
        crate::suite::lacks("KLP_DIFF_INSTALL is unset: make builds everything once more");
        return None;
    }
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let output = Command::new("make")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(targets)
        .args([format!("PROFILE={profile}"), format!("DESTDIR={}", folder.display())])
        // An own folder for pages: other tests may run make, too.
        .args([format!("PAGES={}", folder.join("pages").display())])
        .args(["PREFIX=/usr", "CARGOFLAGS="])
        // With what tests depend on, as everything here is built already.
        .arg("TARGETS=--bins --tests")
        .arg(format!("CARGO={}", env!("CARGO")))
        .output()
        .expect("make runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "make {targets:?}: {said}");
    Some(said)
}

/// Regular files below `root`, without the folder of pages.
fn files(root: &Path) -> BTreeSet<String> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![root.join("usr")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).expect("below").display().to_string());
            }
        }
    }
    found
}

fn unpacked(path: PathBuf) -> String {
    let output = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip");
    String::from_utf8(output.stdout).expect("text")
}
fn everything_is_where_it_is_looked_for_and_goes_again() {
    let root = tempfile::tempdir().expect("folder");
    let path = |name: &str| root.path().join(name);
    let theirs = "usr/libexec/kpatch/create-diff-object";
    fs::create_dir_all(path("usr/libexec/kpatch")).expect("folder");
    fs::write(path(theirs), "kpatch's own").expect("file");
    if make(root.path(), &["install"]).is_none() {
        return;
    }
    let found = files(root.path());
    for file in [
        "usr/bin/klp-diff",
        "usr/libexec/kpatch/create-diff-object",
        "usr/libexec/kpatch/create-diff-object.kpatch",
        "usr/libexec/kpatch/create-klp-module",
        "usr/share/kpatch/patch/kpatch-macros.h",
        "usr/share/kpatch/patch/kpatch-syscall.h",
        "usr/share/man/man1/klp-diff.1.gz",
        "usr/share/man/man1/klp-diff-module.1.gz",
        "usr/share/man/man1/klp-diff-corpus-run.1.gz",
        "usr/share/man/man1/create-diff-object.1.gz",
        "usr/share/man/man1/create-klp-module.1.gz",
        "usr/share/bash-completion/completions/klp-diff",
        "usr/share/zsh/site-functions/_klp-diff",
        "usr/share/fish/vendor_completions.d/klp-diff.fish",
        "usr/share/klp-diff/klp-build/objtool",
        "usr/share/doc/klp-diff/README.md",
        "usr/share/doc/klp-diff/docs/start.md",
        "usr/share/doc/klp-diff/docs/report.schema.json",
    ] {
        assert!(found.contains(file), "{file} is not among {found:?}");
    }
    let run = |name: &str, arg: &str| {
        let output = Command::new(path(name)).arg(arg).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(run("usr/bin/klp-diff", "--version").starts_with("klp-diff "));

    // Pages by hand have the options that the programs have.
    for program in ["create-diff-object", "create-klp-module"] {
        let help = run(&format!("usr/libexec/kpatch/{program}"), "--help");
        let page = unpacked(path(&format!("usr/share/man/man1/{program}.1.gz")));
        let page = page.replace("\\-", "-");
        let listed = help.split_whitespace().filter(|word| word.starts_with("--"));
        let texts = help.lines().filter(|l| l.contains(" --")).filter_map(|l| l.get(29..));
        for option in listed.chain(texts) {
            assert!(page.contains(option.trim()), "{program}.1 lacks '{option}'");
        }
    }
    // The others have all options, and so have the completions.
    let page = unpacked(path("usr/share/man/man1/klp-diff.1.gz")).replace("\\-", "-");
    let bash = fs::read_to_string(path("usr/share/bash-completion/completions/klp-diff")).unwrap();
    for option in ["--image", "--explain-noise", "--expect-change", "module", "corpus"] {
        assert!(page.contains(option) && bash.contains(option), "{option}");
    }
    assert!(page.contains(".SH EXAMPLES") && page.contains(".SH \"EXIT STATUS\""), "{page}");

    // Once more, as an upgrade does: what was kept stays.
    make(root.path(), &["install"]);
    assert_eq!(fs::read(path(&format!("{theirs}.kpatch"))).unwrap(), b"kpatch's own");
    make(root.path(), &["uninstall"]);
    assert_eq!(files(root.path()), BTreeSet::from([theirs.to_owned()]));
    assert_eq!(fs::read(path(theirs)).unwrap(), b"kpatch's own");
}

fn main() -> std::process::ExitCode {
    suite::run(&[(
        "everything_is_where_it_is_looked_for_and_goes_again",
        everything_is_where_it_is_looked_for_and_goes_again,
    )])
}
