//! The drop-in tools. They are of another package than the tests that run them here, so that cargo
//! does not say where they are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds `create-diff-object` and `create-klp-module`, of this test's profile.
///
/// `KLP_DIFF_DROP_IN_BUILT` says that what is there was built with this test: a run of the whole
/// workspace does that. By itself the package is built with other features, all of it anew.
pub fn drop_in() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_BIN_EXE_klp-diff")).parent().ok_or("no folder")?;
    if std::env::var_os("KLP_DIFF_DROP_IN_BUILT").is_some() {
        return Ok(folder.to_owned());
    }
    let profile = match folder.file_name() {
        Some(name) if name != "debug" => name.to_string_lossy().into_owned(),
        _ => "dev".to_owned(),
    };
    let status = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "-p", "kpatch-compat", "--bins", "--profile", &profile])
        .status()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    match status.success() {
        true => Ok(folder.to_owned()),
        false => Err("the drop-in tools do not build".to_owned()),
    }
}
