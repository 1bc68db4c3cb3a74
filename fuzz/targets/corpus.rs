//! Reads what a corpus consists of, and lists it: nothing of it is run.
//!
//! The first byte says which file the rest is: a case, an index, a source with directives, the record of a build, the
//! results of a run.
#![no_main]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use klp_diff::cli;
use libfuzzer_sys::fuzz_target;

/// Folders and the file of each that an input becomes.
const FILES: [(&str, &str); 5] = [
    ("case", "case.toml"),
    ("index", "index.json"),
    ("source", "case.c"),
    ("build", "build.json"),
    ("results", "results.json"),
];

/// The folder that inputs are laid in, with the objects that cases name.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let root = std::env::temp_dir().join(format!("klp-diff-fuzz-{}", std::process::id()));
        for (folder, _) in FILES {
            let folder = root.join(folder);
            fs::create_dir_all(folder.join("x86_64")).expect("a folder");
            for name in ["orig.o", "patched.o", "x86_64/a.ORIG.o", "x86_64/a.PATCHED.o"] {
                fs::write(folder.join(name), b"no object").expect("a file");
            }
        }
        root
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, text)) = data.split_first() else { return };
    let Some((name, file)) = FILES.get(usize::from(kind) % FILES.len()) else { return };
    let folder = folder().join(name);
    let file = folder.join(file);
    fs::write(&file, text).expect("a file");
    let word = |word: &str| OsString::from(word);
    let mut args = vec![word("klp-diff"), word("corpus")];
    match *name {
        "results" => args.extend([word("merge"), file.into_os_string()]),
        _ => args.extend([word("list"), word("--no-exec"), folder.into_os_string()]),
    }
    let _ = cli::main(args);
});
