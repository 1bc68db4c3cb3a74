//! The sources in `corpus/cases`, each with a header that says what it is for and what must come of
//! it. docs/corpus.md lists the keys; the header is read as `klp-diff corpus` reads it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use klp_diff::corpus::compilers::Compiler;
use klp_diff::corpus::header::Header;

/// Where the sources are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/cases")
}

/// All cases, by name, checked for these compilers.
pub fn load_cases<'c>(
    compilers: impl Iterator<Item = &'c Compiler> + Clone,
) -> Result<Vec<Header>, String> {
    let folder = folder();
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension() == Some(OsStr::new("c")));
    paths.sort();
    let load = |path: &PathBuf| {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let case = Header::parse(path, &text).map_err(|error| error.to_string())?;
        let case = case.ok_or_else(|| format!("{}: it has no header", path.display()))?;
        for compiler in compilers.clone().filter(|compiler| case.is_for(compiler)) {
            case.exit(compiler).map_err(|error| error.to_string())?;
        }
        Ok(case)
    };
    paths.iter().map(load).collect()
}

/// Names after `prefix` in the lines that are not indented.
pub fn names<'a>(stdout: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    stdout.lines().filter_map(|line| line.strip_prefix(prefix)).collect()
}
