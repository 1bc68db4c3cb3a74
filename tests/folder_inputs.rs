//! Folders that hold something else than the objects of one kind that they should.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/builds.rs"]
mod builds;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use builds::Builds;

const ONE: &str = "int one(int x) { return x * 3; }\n";
const NEW: &str = "int one(int x) { return x * 11; }\n";
const TWO: &str = "int two(int x) { return x + 5; }\n";

/// Two folders that differ in `one`.
fn pair() -> Option<Builds> {
    let builds = Builds::new()?;
    for (side, source) in [("a", ONE), ("b", NEW)] {
        builds.compile(&format!("{side}/one.o"), "one.c", source);
        builds.compile(&format!("{side}/sub/two.o"), "two.c", TWO);
    }
    Some(builds)
}

fn succeed(command: &mut Command) {
    let output = suite::output(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Exit status and standard error.
fn said(builds: &Builds) -> (Option<i32>, String) {
    let output = builds.run(&[]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// That the run fails with all of these words.
fn fails(builds: &Builds, exit: i32, words: &[&str]) {
    let (code, said) = said(builds);
    assert_eq!(code, Some(exit), "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}
fn links_are_followed_once() {
    let Some(builds) = pair() else { return };
    for side in ["a", "b"] {
        let at = |name: &str| builds.path(&format!("{side}/{name}"));
        symlink(at(""), at("sub/up")).unwrap();
        symlink("..", at("sub/loop")).unwrap();
        symlink("sub", at("again")).unwrap();
        // Objects elsewhere, as in trees that `cp -as` makes.
        builds.compile(&format!("{side}-more/three.o"), "three.c", &ONE.replace("one", "three"));
        symlink(builds.path(&format!("{side}-more")), at("more")).unwrap();
        symlink("/nowhere/readme", at("readme")).unwrap();
    }
    let document = builds.json(&[], 0);
    assert_eq!(document["objects"].as_array().unwrap().len(), 1, "{document}");
    builds.compile("b-more/three.o", "three.c", &NEW.replace("one", "three"));
    let document = builds.json(&[], 0);
    assert_eq!(document["objects"].as_array().unwrap().len(), 2, "{document}");
    symlink("/nowhere/four.o", builds.path("b/four.o")).unwrap();
    fails(&builds, 1, &["b/four.o: cannot follow the link"]);
}
fn what_cannot_be_read_is_named() {
    let Some(builds) = pair() else { return };
    let close = |name: &str, mode: u32| {
        fs::set_permissions(builds.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    close("b/sub/two.o", 0);
    if fs::read(builds.path("b/sub/two.o")).is_ok() {
        crate::suite::lacks("this user can read everything");
    } else {
        fails(&builds, 1, &["b/sub/two.o: cannot open"]);
        close("b/sub/two.o", 0o644);
        close("b/sub", 0);
        fails(&builds, 1, &["b/sub: cannot list the folder"]);
        close("b/sub", 0o755);
    }
    // Cut short.
    let path = builds.path("b/one.o");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    fails(&builds, 1, &["b/one.o: ", "truncated"]);
}
fn empty_files_are_told() {
    let Some(builds) = pair() else { return };
    // Not everything that is empty matters.
    for side in ["a", "b"] {
        fs::write(builds.path(&format!("{side}/o")), "").unwrap();
    }
    fs::write(builds.path("b/.lock"), "").unwrap();
    assert_eq!(said(&builds).0, Some(0));
    fs::write(builds.path("b/one.o"), "").unwrap();
    fails(&builds, 1, &["b/one.o: the file is empty", "--thinlto-cache-dir"]);
    fs::write(builds.path("b/sub/two.o"), "").unwrap();
    fs::remove_file(builds.path("b/one.o")).unwrap();
    fs::remove_file(builds.path("a/sub/two.o")).unwrap();
    fails(&builds, 1, &["no relocatable objects: its files are empty"]);
}
fn bitcode_that_differs_is_refused() {
    let Some(builds) = pair() else { return };
    if Command::new("clang-19").arg("--version").output().is_err() {
        crate::suite::lacks("clang-19 is not installed");
        return;
    }
    let bitcode = |object: &str, source: &str| {
        let path = builds.path("bitcode.c");
        fs::write(&path, source).unwrap();
        let mut clang = Command::new("clang-19");
        clang.args(["-O2", "-flto=thin", "-c", "-o"]).args([&builds.path(object), &path]);
        succeed(&mut clang);
    };
    bitcode("a/lto.o", TWO);
    bitcode("b/lto.o", TWO);
    assert_eq!(said(&builds).0, Some(0), "equal in both");
    bitcode("b/lto.o", ONE);
    fails(&builds, 1, &["b/lto.o: LLVM bitcode", "--lto-obj-path"]);
    bitcode("b/more.o", ONE);
    fails(&builds, 1, &["(and 1 more)"]);
    for object in ["b/one.o", "b/sub/two.o", "a/lto.o"] {
        fs::remove_file(builds.path(object)).unwrap();
    }
    fails(&builds, 1, &["bitcode"]);
    let pair = [builds.path("a/one.o"), builds.path("b/lto.o")];
    let output = Command::new(env!("CARGO_BIN_EXE_klp-diff")).args(pair).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("this is LLVM bitcode"));
}
fn gcc_s_intermediate_code_is_refused() {
    let Some(builds) = Builds::new() else { return };
    for (side, source) in [("a", ONE), ("b", NEW)] {
        let path = builds.path(&format!("{side}/one.c"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, source).unwrap();
        let mut gcc = Command::new("gcc-12");
        gcc.current_dir(path.parent().unwrap());
        succeed(gcc.args(["-O2", "-flto", "-fno-fat-lto-objects", "-c", "one.c"]));
    }
    fails(&builds, 1, &["one.o: gcc's intermediate code", "ltrans"]);
}
fn archives_and_narrow_objects_are_no_objects() {
    let Some(builds) = pair() else { return };
    let archive = |name: &str, member: &str| {
        let _ = fs::remove_file(builds.path(name));
        succeed(Command::new("ar").arg("rcs").args([builds.path(name), builds.path(member)]));
    };
    archive("a/lib.a", "a/one.o");
    archive("b/lib.a", "b/one.o");
    let narrow = |name: &str, number: u32| {
        let (source, object) = (builds.path("narrow.s"), builds.path(name));
        fs::write(&source, format!("mov ${number}, %eax\n")).unwrap();
        succeed(Command::new("as").arg("--32").arg("-o").args([object, source]));
    };
    narrow("a/boot.o", 1);
    narrow("b/boot.o", 2);
    let document = builds.json(&[], 0);
    let warned: Vec<&str> = document["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|o| o["warnings"][0]["code"] == "not-compared")
        .map(|o| o["patched"].as_str().unwrap())
        .collect();
    assert_eq!(warned, ["boot.o", "lib.a"], "{document}");
    for object in ["b/one.o", "b/sub/two.o", "b/boot.o"] {
        fs::remove_file(builds.path(object)).unwrap();
    }
    fails(&builds, 1, &["only archives", "ar x"]);
    fs::remove_file(builds.path("b/lib.a")).unwrap();
    fs::write(builds.path("b/notes.txt"), "text").unwrap();
    fails(&builds, 1, &["the folder holds no relocatable objects: give the folder"]);
}

/// A table as objtool makes it.
const ORC: &str = "asm(\".section .orc_unwind_ip,\\\"a\\\"; .long one - .; \
     .section .orc_unwind,\\\"a\\\"; .skip 6; .text\");\n";
fn objects_from_before_and_after_objtool_do_not_mix() {
    let Some(builds) = Builds::new() else { return };
    let both = |a: &str, b: &str| {
        for (side, more, source) in [("a", a, ONE), ("b", b, NEW)] {
            builds.compile(&format!("{side}/one.o"), "one.c", &format!("{source}{more}"));
        }
    };
    both("", ORC);
    fails(&builds, 2, &["objtool has seen the patched object", ".orc_unwind_ip"]);
    let pair = [builds.path("a/one.o"), builds.path("b/one.o")];
    let output = Command::new(env!("CARGO_BIN_EXE_klp-diff")).args(pair).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    both(ORC, "");
    let document = builds.json(&[], 2);
    assert_eq!(document["objects"][0]["refusals"][0]["code"], "mixed-objtool", "{document}");
    both("", "");
    assert_eq!(said(&builds).0, Some(0));
}
fn an_imported_name_that_several_functions_may_have_is_refused() {
    let Some(builds) = Builds::new() else { return };
    builds.compile("a/two.o", "two.c", TWO);
    let import = "int helper(int) __asm__(\"helper.llvm.999\");\n\
        int two(int x) { return helper(x); }\n";
    builds.compile("b/two.o", "two.c", import);
    let run = |first: &str, second: &str| {
        let helpers: &[(&str, &str)] = &[(first, "GLOBAL"), (second, "GLOBAL")];
        let two: &[(&str, &str)] = &[("two", "GLOBAL"), ("__fentry__", "GLOBAL")];
        let symtab = builds.symtab(&[("one.c", helpers), ("two.c", two)]);
        let out = builds.path("out.o").display().to_string();
        builds.run(&["--symtab", &symtab, "-o", &out])
    };
    let output = run("helper.llvm.1", "other.llvm.1");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "one candidate: {text}");
    let output = run("helper.llvm.1", "helper.llvm.2");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for word in ["helper.llvm.999", "candidate: helper.llvm.1 at", "candidate: helper.llvm.2 at"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // One without a hash may be another file's: nobody of the patch says that it is meant.
    let output = run("helper", "other");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

/// As distributed ThinLTO leaves a tree: bitcode, what the linker decided of it, and native objects.
fn native_objects_stand_for_bitcode() {
    let Some(builds) = pair() else { return };
    let bitcode = |path: &str, text: &str| {
        fs::write(builds.path(path), [b"BC\xc0\xde", text.as_bytes()].concat()).unwrap();
    };
    for side in ["a", "b"] {
        for name in ["one", "sub/two"] {
            let at = |suffix: &str| format!("{side}/{name}{suffix}");
            fs::rename(builds.path(&at(".o")), builds.path(&at(".thinlto-native.o"))).unwrap();
            bitcode(&at(".o"), side);
            bitcode(&at(".o.thinlto.bc"), side);
        }
        // What is no bitcode is linked as it is.
        builds.compile(&format!("{side}/three.o"), "three.c", &ONE.replace("one", "three"));
    }
    let document = builds.json(&[], 0);
    let objects = document["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 1, "{document}");
    assert_eq!(
        objects[0]["patched"].as_str().unwrap().rsplit('/').next(),
        Some("one.thinlto-native.o")
    );
    assert_eq!(objects[0]["functions"][0]["name"], "one");
    // The same object twice is one, and two that differ are two answers.
    fs::copy(builds.path("b/three.o"), builds.path("b/three.thinlto-native.o")).unwrap();
    assert_eq!(builds.json(&[], 0)["objects"].as_array().unwrap().len(), 1);
    fs::copy(builds.path("b/one.thinlto-native.o"), builds.path("b/three.thinlto-native.o"))
        .unwrap();
    fails(&builds, 2, &["ambiguous-object", "b/three.o", "three.thinlto-native.o"]);
    fs::remove_file(builds.path("b/three.thinlto-native.o")).unwrap();
    // Bitcode that has no native object, in one folder or in both.
    fs::rename(builds.path("a/one.thinlto-native.o"), builds.path("kept.o")).unwrap();
    fails(&builds, 1, &["bitcode", "a/one.o", "the other folder has of it"]);
    fs::remove_file(builds.path("b/one.thinlto-native.o")).unwrap();
    fails(&builds, 1, &["bitcode", "b/one.o", "decided by the link"]);
    fs::rename(builds.path("kept.o"), builds.path("b/one.thinlto-native.o")).unwrap();
    fails(&builds, 1, &["bitcode", "a/one.o", "the other folder has of it"]);
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("native_objects_stand_for_bitcode", native_objects_stand_for_bitcode),
        ("links_are_followed_once", links_are_followed_once),
        ("what_cannot_be_read_is_named", what_cannot_be_read_is_named),
        ("empty_files_are_told", empty_files_are_told),
        ("bitcode_that_differs_is_refused", bitcode_that_differs_is_refused),
        ("gcc_s_intermediate_code_is_refused", gcc_s_intermediate_code_is_refused),
        ("archives_and_narrow_objects_are_no_objects", archives_and_narrow_objects_are_no_objects),
        (
            "objects_from_before_and_after_objtool_do_not_mix",
            objects_from_before_and_after_objtool_do_not_mix,
        ),
        (
            "an_imported_name_that_several_functions_may_have_is_refused",
            an_imported_name_that_several_functions_may_have_is_refused,
        ),
    ])
}
