//! Tells `klp-diff --version` which commit it is built from.
//!
//! A package of a registry says it in a file that cargo put in. Nothing is told when this is neither that nor the root of
//! a work tree of git: what is built from a tarball is the same wherever it is built. `KLP_DIFF_COMMIT` in the
//! environment says it instead, and empty that there is none.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=KLP_DIFF_COMMIT");
    let told = std::env::var("KLP_DIFF_COMMIT").ok();
    let commit = told.or_else(of_work_tree).or_else(of_package).unwrap_or_default();
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

/// The commit that a package was made of, unless it had changes besides.
fn of_package() -> Option<String> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")?;
    let text = std::fs::read_to_string(Path::new(&package).join(".cargo_vcs_info.json")).ok()?;
    let (_, rest) = text.split_once("\"sha1\": \"")?;
    let (commit, _) = rest.split_once('"')?;
    let whole = commit.len() >= 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    (whole && !text.contains("\"dirty\": true")).then(|| commit[..12].to_owned())
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
