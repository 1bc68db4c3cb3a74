//! Tells `klp-diff --version` which commit it is built from.
//!
//! Nothing is told when this is not the root of a work tree of git: what is built from a tarball is the
//! same wherever it is built. `KLP_DIFF_COMMIT` in the environment says it instead, and empty that there is none.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=KLP_DIFF_COMMIT");
    let commit = std::env::var("KLP_DIFF_COMMIT").ok().or_else(of_work_tree).unwrap_or_default();
    println!("cargo::rustc-env=KLP_DIFF_COMMIT={}", commit.trim());
}

/// The commit that is checked out, when the package is the root of its work tree.
fn of_work_tree() -> Option<String> {
    let root = git(&["rev-parse", "--show-toplevel"])?;
    let package = std::env::var_os("CARGO_MANIFEST_DIR")?;
    if Path::new(&root).canonicalize().ok()? != Path::new(&package).canonicalize().ok()? {
        return None;
    }
    // Each commit and checkout adds a line to it.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
