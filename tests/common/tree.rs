//! A stand-in for a kernel tree (tests/kernel), and what builds with it need.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// What `uname -r` says on the stand-in's kernel.
pub const RELEASE: &str = "6.12.0-stub";

/// What it exports.
pub const SYMVERS: &str = "0x00000000\t__fentry__\tvmlinux\tEXPORT_SYMBOL\t\n\
    0x00000000\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n\
    0x00000000\tkcalloc\tvmlinux\tEXPORT_SYMBOL\t\n\
    0x00000000\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n\
    0x00000000\tklp_enable_patch\tvmlinux\tEXPORT_SYMBOL_GPL\t\n\
    0x00000000\tstrcmp\tvmlinux\tEXPORT_SYMBOL\t\n";

/// Folder of this package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether tools are there that make x86_64 objects; says so when they are not.
pub fn can_build(tools: &[&str]) -> bool {
    let runs = |tool: &&str| Command::new(tool).arg("--version").output().is_ok();
    let missing = match cfg!(target_arch = "x86_64") {
        true => {
            tools.iter().find(|tool| !runs(tool)).map(|tool| format!("{tool} is not installed"))
        }
        false => Some("tools that make objects for x86_64 are needed".to_owned()),
    };
    let there = missing.is_none();
    missing.into_iter().for_each(crate::suite::lacks);
    there
}

/// Output of a program as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must succeed.
pub fn succeed(command: &mut Command) -> Output {
    let output = crate::suite::output(command);
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    output
}

/// Writes a file below a folder, and the folders that it is in.
pub fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Puts the tree into `folder`, configured so.
pub fn make_tree(folder: &Path, config: &str) {
    write(folder, "include/config/kernel.release", &format!("{RELEASE}\n"));
    write(folder, "include/config/auto.conf", config);
    write(folder, "Module.symvers", SYMVERS);
    fs::copy(root().join("tests/kernel/Makefile"), folder.join("Makefile")).unwrap();
    fs::create_dir(folder.join("include/linux")).unwrap();
    for file in fs::read_dir(root().join("tests/kernel/include/linux")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.join("include/linux").join(file.file_name())).unwrap();
    }
}
