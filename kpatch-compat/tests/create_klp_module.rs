//! The create-klp-module binary on modules that the assembler and the linker made.

#[path = "../../tests/common/suite.rs"]
mod suite;

use std::path::Path;
use std::process::{Command, Output};

/// What create-diff-object leaves in an object: one function of the parent object whose
/// two references are to be resolved when the parent is patched.
fn source(function: &str, parent: &str, symbol: &str) -> String {
    format!(
        r#"
    .section .kpatch.strings,"a"
.Lparent: .asciz "{parent}"
.Lsymbol: .asciz "{symbol}"
    .section .kpatch.symbols,"a"
    .rept 2
    .quad 0, 1
    .byte 0, 2
    .zero 6
    .quad .Lsymbol, .Lparent
    .endr
    .section .kpatch.relocations,"a"
.Lrelocations:
    .quad .text.{function} + 1
    .long 2, 0
    .quad -4, .Lparent, .Lsymbols
    .quad .text.{function} + 6
    .long 11, 0
    .quad 0, .Lparent, .Lsymbols + 40
    .section .kpatch.symbols
    .set .Lsymbols, . - 80
    .section .kpatch.arch,"a"
    .quad .Lalt, .Lparent
    .section .altinstructions,"a"
.Lalt:
    .long {function} - .
    .zero 9
    .section .kpatch.funcs,"a"
    .quad {function}, 16, 0, 16, 1, .Lsymbol, .Lparent
    .section .text.{function},"ax"
    .type {function}, @function
{function}:
    .zero 16, 0x90
    .size {function}, 16
"#
    )
}

/// Runs a tool; `None` when it is not installed.
fn run(tool: &str, args: &[&str]) -> Option<Output> {
    match Command::new(tool).args(args).env("LC_ALL", "C").output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            crate::suite::lacks(format!("{tool} is not installed"));
            None
        }
        output => Some(output.unwrap()),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `in.ko` of two objects in `folder`; `None` when there are no tools for it.
fn link(folder: &Path) -> Option<()> {
    let mut objects = Vec::new();
    for (function, parent, symbol) in [("f", "vmlinux", "old_f"), ("g", "ext4", "old_g")] {
        let from = folder.join(format!("{function}.s"));
        let to = folder.join(format!("{function}.o"));
        std::fs::write(&from, source(function, parent, symbol)).unwrap();
        let args = ["--64", "-o", to.to_str().unwrap(), from.to_str().unwrap()];
        let output = run("x86_64-linux-gnu-as", &args)?;
        assert!(output.status.success(), "{}", text(&output.stderr));
        objects.push(to);
    }
    let out = folder.join("in.ko");
    let args = [
        "-m",
        "elf_x86_64",
        "-r",
        "--unique=.altinstructions",
        "-o",
        out.to_str().unwrap(),
        objects[0].to_str().unwrap(),
        objects[1].to_str().unwrap(),
    ];
    let output = run("x86_64-linux-gnu-ld", &args)?;
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(())
}

/// Runs the binary in `folder`; exit status, stdout, stderr.
fn create(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_create-klp-module"))
        .args(args)
        .current_dir(folder)
        .env_remove("PARA_STRUCT_SIZE")
        .env_remove("POSIXLY_CORRECT")
        .output()
        .unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}
fn a_linked_module_is_converted() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = link(folder.path()) else { return };
    let done = create(folder.path(), &["in.ko", "out.ko"]);
    assert_eq!(done, (0, String::new(), String::new()));
    let out = folder.path().join("out.ko");
    let Some(output) = run("readelf", &["-SrsW", out.to_str().unwrap()]) else { return };
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let listing = text(&output.stdout);
    for (section, symbol, alt) in [
        (
            ".klp.rela.vmlinux..text.f",
            ".klp.sym.vmlinux.old_f,1",
            ".klp.arch.vmlinux..altinstructions",
        ),
        (".klp.rela.ext4..text.g", ".klp.sym.ext4.old_g,1", ".klp.arch.ext4..altinstructions"),
    ] {
        let table =
            listing.split("Relocation section ").find(|t| t.starts_with(&format!("'{section}'")));
        let table = table.unwrap_or_else(|| panic!("no {section} in {listing}"));
        let rows: Vec<_> = table.lines().filter(|line| line.contains(symbol)).collect();
        assert_eq!(rows.len(), 2, "{table}");
        assert!(rows[0].contains("R_X86_64_PC32") && rows[0].ends_with("- 4"), "{table}");
        assert!(rows[1].contains("R_X86_64_32S") && rows[1].ends_with("+ 0"), "{table}");
        assert!(listing.contains(&format!(" {alt} ")), "no {alt} in {listing}");
    }
    for gone in [".kpatch.symbols", ".kpatch.relocations", ".kpatch.arch", " .altinstructions"] {
        assert!(!listing.contains(gone), "{gone} is still there: {listing}");
    }

    let (status, _, _) = create(folder.path(), &["in.ko", "-n", "plain.ko"]);
    assert_eq!(status, 0);
    let plain = folder.path().join("plain.ko");
    let Some(output) = run("readelf", &["-SW", plain.to_str().unwrap()]) else { return };
    let listing = text(&output.stdout);
    assert!(listing.contains(" .altinstructions ") && !listing.contains(".klp.arch."), "{listing}");

    let (status, stdout, _) = create(folder.path(), &["--debug", "in.ko", "out.ko"]);
    assert_eq!(status, 0);
    assert!(stdout.contains(".klp.sym.ext4.old_g,1"), "{stdout}");
}
fn errors_name_the_file_and_leave_no_output() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.ko"), "no module").unwrap();
    let (status, stdout, stderr) = create(folder.path(), &["text.ko", "out.ko"]);
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(stderr.starts_with("create-klp-module: ERROR: text.ko: not an ELF file"), "{stderr}");

    let (status, _, stderr) = create(folder.path(), &["missing.ko", "out.ko"]);
    assert_eq!(status, 1);
    assert!(stderr.starts_with("create-klp-module: ERROR: missing.ko: cannot open"), "{stderr}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
fn the_command_line_is_argps() {
    let folder = tempfile::tempdir().unwrap();
    let (status, stdout, stderr) = create(folder.path(), &["one.ko"]);
    assert_eq!((status, stdout.as_str()), (64, ""));
    assert!(stderr.starts_with("Usage: create-klp-module [OPTION...] INPUT.ko OUTPUT.ko\n"));
    let (status, stdout, stderr) = create(folder.path(), &["-?"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(stdout.contains("  -n, --no-klp-arch-sections Do not make .klp.arch.* sections\n"));
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("a_linked_module_is_converted", a_linked_module_is_converted),
        ("errors_name_the_file_and_leave_no_output", errors_name_the_file_and_leave_no_output),
        ("the_command_line_is_argps", the_command_line_is_argps),
    ])
}
