//! The headers for authors of patches, where the compiler finds them. The program brings them along, so that a patch
//! that includes one is compiled alike wherever the program is installed.

use std::path::PathBuf;

use super::source::Work;
use crate::diag::Result;
use crate::host::files;

/// By the names that patches include.
const HEADERS: [(&str, &str); 2] = [
    ("kpatch-macros.h", include_str!("../../include/kpatch-macros.h")),
    ("kpatch-syscall.h", include_str!("../../include/kpatch-syscall.h")),
];

/// Where they are in a work folder.
pub(super) fn folder(work: &Work) -> PathBuf {
    work.root().join("include")
}

/// Puts them into the work folder. Those that are the same stay, so that make compiles nothing anew for them.
pub(super) fn lay(work: &Work) -> Result<()> {
    let folder = folder(work);
    std::fs::create_dir_all(&folder).map_err(|e| files::unwritable(&folder, &e))?;
    for (name, text) in HEADERS {
        let path = folder.join(name);
        if std::fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            files::save(&path, text.as_bytes())?;
        }
    }
    Ok(())
}
