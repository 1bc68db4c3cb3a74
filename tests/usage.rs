//! The command line: help, mistakes, options without effect, and files of the wrong kind.

#[path = "../benches/synth/mod.rs"]
#[allow(dead_code)]
mod synth;

use std::path::PathBuf;
use std::process::Command;

use synth::{Options, STRUCT_SIZES, Side};
use tempfile::TempDir;

/// A folder with a pair of objects `o.o` and `p.o`, and the kernel's symbols `symtab`.
struct Lab(TempDir);

impl Lab {
    fn new() -> Lab {
        let (lab, options) = (Lab(tempfile::tempdir().unwrap()), Options::new(8, 1));
        lab.write("o.o", &synth::object(&options, Side::Original));
        lab.write("p.o", &synth::object(&options, Side::Patched));
        let mut symtab = Vec::new();
        synth::parent_symtab(&options, &mut symtab).unwrap();
        lab.write("symtab", &symtab);
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Exit status, standard output, standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.args(args).current_dir(self.0.path());
        command.envs(STRUCT_SIZES.iter().map(|(name, size)| (name, size.to_string())));
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn help_tells_of_the_verbs_and_each_of_itself() {
    let lab = Lab::new();
    let (status, help, _) = lab.run(&["--help"]);
    assert_eq!(status, 0);
    for verb in ["module", "verify-orig", "dump", "corpus"] {
        assert!(help.contains(&format!("\n  {verb} ")), "{help}");
        assert!(help.contains(&format!("\n  klp-diff {verb} ")), "{help}");
        let own = lab.run(&[verb, "--help"]);
        assert_eq!(own.0, 0);
        assert!(own.1.contains(&format!("Usage: klp-diff {verb} ")), "{}", own.1);
        assert!(own.1.contains("Exit status: 0 "), "{}", own.1);
        assert_eq!(lab.run(&["help", verb]), own);
        let (status, _, err) = lab.run(&[verb, "--no-such-option"]);
        assert!(status == 64 && err.contains(&format!("klp-diff {verb}")), "{err}");
    }
    assert_eq!(lab.run(&["help"]).1, help);
    let (status, _, err) = lab.run(&["modul", "o.o", "p.o"]);
    assert!(status == 64 && err.contains("did you mean 'klp-diff module'?"), "{err}");
    // Unless there is such a file.
    std::fs::copy(lab.path("o.o"), lab.path("modul")).unwrap();
    assert_eq!(lab.run(&["modul", "p.o"]).0, 0);
    let (status, _, err) = lab.run(&["compare", "o.o", "p.o"]);
    let says = "'compare' is neither a verb nor a file; the verbs are build, module, ";
    assert!(status == 64 && err.contains(says), "{err}");
}

#[test]
fn options_without_effect_are_mistakes() {
    let lab = Lab::new();
    for (more, wanted, says) in [
        (&["--symvers", "symtab"][..], 64, "--symvers has no effect"),
        (&["--object", "ext4"], 64, "--object has no effect"),
        (&["--allow-sealed", "f"], 64, "--image"),
        (&["--flavor", "klp"], 64, "--output"),
        (&["--strict"], 1, "--strict has no effect without --image"),
        (
            &["--struct", "NOSUCH_STRUCT_SIZE=8"],
            64,
            "no such size; known are ALT_STRUCT_SIZE, BUG_",
        ),
        (&["--struct", "nosuch=8"], 64, "no such size"),
        (&["--struct", "EX_STRUCT_SIZE=x"], 64, "'x' is no size in bytes"),
        (&["--struct", "EX_STRUCT_SIZE=8", "--struct", "EX_STRUCT_SIZE=12"], 64, "given twice"),
        (&["--symtab", "symtab", "--object", "m=nosuch*"], 1, "matches nothing"),
        (
            &["--symtab", "symtab", "--object", "m=*.o", "--object", "n=p.?"],
            2,
            "--object m=*.o and --object n=p.? fit",
        ),
    ] {
        let (status, out, err) = lab.run(&[&["o.o", "p.o"][..], more].concat());
        assert_eq!((status, out.as_str()), (wanted, ""), "{more:?}: {err}");
        assert!(err.contains(says), "{more:?}: {err}");
    }
}

#[test]
fn files_of_the_wrong_kind_are_told_apart() {
    let lab = Lab::new();
    lab.write("text", b"int a;\n");
    lab.write("x.gz", b"\x1f\x8b\x08\0\0\0\0\0");
    for (kind, what) in [(2, "linked program or kernel"), (3, "shared library"), (4, "crashed")] {
        let mut data = std::fs::read(lab.path("p.o")).unwrap();
        data[16] = kind;
        lab.write("linked", &data);
        let (status, _, err) = lab.run(&["o.o", "linked"]);
        assert!(status == 1 && err.contains(what) && err.contains("--image"), "{err}");
        let (status, _, err) = lab.run(&["dump", "linked"]);
        assert!(status == 2 && err.contains(what) && !err.contains("--image"), "{err}");
    }
    for (file, says) in [
        ("text", "text: not an ELF file"),
        ("x.gz", "the file is compressed: unpack it first"),
        (".", ". is a folder and o.o is none: give two objects or two folders"),
        ("nosuch", "nosuch: cannot open"),
    ] {
        let (status, _, err) = lab.run(&["o.o", file]);
        assert!(status != 0 && err.contains(says), "{file}: {err}");
    }
    // Where nothing is compared nothing is proved.
    std::fs::create_dir(lab.path("empty")).unwrap();
    let (status, out, _) = lab.run(&["verify-orig", "--image", "o.o", "empty"]);
    assert!(status == 1 && out.contains("Nothing was compared"), "{out}");
    let (status, _, err) = lab.run(&["verify-orig", "--image", "text", "o.o"]);
    assert!(status == 1 && err.contains("text: not an ELF file: give the linked"), "{err}");
    // The name of a temporary file is another one each time.
    let (status, _, err) = lab.run(&["o.o", "p.o", "--json", "nosuch/x.json"]);
    assert!(status == 1 && err.contains("nosuch/x.json: cannot write: No such"), "{err}");
    assert!(!err.contains(".tmp"), "{err}");
}

/// PATH of `--object NAME=PATH` is of either side, and may be a pattern.
#[test]
fn objects_are_named_by_parts_of_their_paths() {
    let lab = Lab::new();
    let read = |name| std::fs::read(lab.path(name)).unwrap();
    lab.write("a/fs/x/o.o", &read("o.o"));
    lab.write("b/fs/x/o.o", &read("p.o"));
    for place in ["a", "b/fs", "fs/x/o.o", "fs/*", "**/o.?", "./b"] {
        let object = format!("m={place}");
        let (status, out, err) = lab.run(&["a", "b", "--symtab", "symtab", "--object", &object]);
        assert!(status != 64 && !err.contains("matches nothing"), "{place}: {out}{err}");
    }
    for place in ["c", "s/x", "fs/*.o", "x/?", "/fs/x"] {
        let object = format!("m={place}");
        let (status, _, err) = lab.run(&["a", "b", "--symtab", "symtab", "--object", &object]);
        assert!(status == 1 && err.contains("matches nothing"), "{place}: {err}");
    }
}

/// Two folders that have nothing to do with each other are no two builds.
#[test]
fn folders_without_a_common_object_are_a_mistake() {
    let lab = Lab::new();
    let read = |name| std::fs::read(lab.path(name)).unwrap();
    lab.write("a/x.o", &read("o.o"));
    lab.write("b/x.o", &read("p.o"));
    assert_eq!(lab.run(&["a", "b"]).0, 0);
    // The same names with other letters have nothing in common.
    let mut other = read("p.o");
    for at in 0..other.len() - 3 {
        if other[at] == 0 && other[at + 1] == b'f' && other[at + 2].is_ascii_digit() {
            other[at + 1] = b'z';
        }
    }
    lab.write("c/other.o", &other);
    let (status, out, err) = lab.run(&["a", "c"]);
    if status == 1 {
        assert!(out.is_empty() && err.contains("no object in common"), "{err}");
        assert!(err.contains("a: 1 object(s), such as x.o"), "{err}");
    }
}

/// A corpus runs code; with `--no-exec` none that a case brings.
#[test]
fn cases_that_run_code_can_be_skipped() {
    let lab = Lab::new();
    let read = |name| std::fs::read(lab.path(name)).unwrap();
    let text = |more: &str, orig: &str, patched: &str| {
        format!(
            "what = \"x\"\norig = \"{orig}\"\npatched = \"{patched}\"\n{more}[expected]\nexit = 0\n"
        )
    };
    let env = STRUCT_SIZES.map(|(name, size)| format!("{name} = \"{size}\"\n")).concat();
    for (case, more) in [("plain", ""), ("script", "test = \"t.sh\"\nsymtab-of-orig = true\n")] {
        lab.write(&format!("cases/{case}/o.o"), &read("o.o"));
        lab.write(&format!("cases/{case}/p.o"), &read("p.o"));
        lab.write(&format!("cases/{case}/t.sh"), b"touch ran\n");
        let text = format!("{}[env]\n{env}", text(more, "o.o", "p.o"));
        lab.write(&format!("cases/{case}/case.toml"), text.as_bytes());
    }
    lab.write("cases/source/a.c", b"int a;\n");
    let compiler = format!("compiler = \"{}\"\n", lab.path("cc").display());
    lab.write("cases/source/case.toml", text(&compiler, "a.c", "a.c").as_bytes());
    let (status, out, err) = lab.run(&["corpus", "run", "--no-exec", "cases"]);
    assert_eq!(status, 0, "{out}{err}");
    assert!(out.contains("3 cases: 1 as expected, 0 differ, 0 errors, 2 skipped"), "{out}");
    assert!(out.contains("skipped cases/script: --no-exec: it runs "), "{out}");
    assert!(out.contains("skipped cases/source: --no-exec: it runs the compiler "), "{out}");
    assert!(!lab.path("cases/script/ran").exists());
    let (_, help, _) = lab.run(&["corpus", "--help"]);
    assert!(help.contains("runs code"), "{help}");
}

#[test]
fn refusals_of_a_pair_name_a_file_and_what_differs() {
    let lab = Lab::new();
    let mut other = std::fs::read(lab.path("p.o")).unwrap();
    // e_flags
    other[48] = 7;
    lab.write("p.o", &other);
    let (status, _, told) = lab.run(&["o.o", "p.o"]);
    let wanted =
        "p.o: ELF headers differ: e_flags is 0x0 in the original and 0x7 in the patched object";
    assert!(status == 2 && told.contains(wanted), "{told}");
}
