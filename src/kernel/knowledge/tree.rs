//! Files of a kernel source and of its build.

/// The configuration.
pub const CONFIG: &str = ".config";
/// git's own folder.
pub const GIT: &str = ".git";
/// Ending of Kbuild's list of the parts of a module.
pub const MODULE_PARTS: &str = ".mod";
/// Endings of what Kbuild makes.
pub const BUILT: [&str; 9] =
    [".o", ".a", ".ko", ".cmd", MODULE_PARTS, ".mod.c", ".order", ".d", ".dwo"];
/// Names of what Kbuild makes.
pub const BUILT_NAMES: [&str; 7] = [
    CONFIG,
    ".config.old",
    ".version",
    "vmlinux",
    "System.map",
    "Module.symvers",
    "modules.builtin",
];
/// How names of Kbuild's temporary files begin.
pub const TEMPORARY: &str = ".tmp_";
/// Endings of linker scripts and what they include.
pub const LINKER_SCRIPTS: [&str; 3] = [".lds", ".lds.S", ".lds.h"];
/// Endings of what is compiled or included.
pub const CODE: [&str; 4] = [".c", ".h", ".S", ".inc"];
/// Files that are for people and for git.
pub const FOR_PEOPLE: [&str; 5] = ["MAINTAINERS", "CREDITS", "README", ".gitignore", ".mailmap"];

/// The record that Kbuild keeps of how it made a file, beside it.
pub fn record_of(file: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/.{name}.cmd"),
        None => format!(".{file}.cmd"),
    }
}

/// What the build of distributed ThinLTO appends to the stem of an object that it compiled of bitcode
/// (scripts/Makefile.thinlto).
pub const NATIVE: &str = ".thinlto-native.o";

/// What the linker appends to the name of a file of bitcode for what it decided of it.
pub const THIN_INDEX: &str = ".thinlto.bc";
