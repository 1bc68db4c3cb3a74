//! Folders of objects: what is paired with what, one report, one output.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/builds.rs"]
mod builds;

use std::path::{Path, PathBuf};
use std::process::Command;

use builds::Builds;

fn names(output: &str) -> Vec<&str> {
    output.lines().filter(|l| !l.starts_with(' ')).collect()
}

const ONE: &str = "int one(int x) { return x * 3; }\nint uno(int x) { return x - 7; }\n";
const TWO: &str = "int two(int x) { return x + 5; }\n";
fn renumbered_objects_are_found_by_what_they_define() {
    let Some(builds) = Builds::new() else { return };
    builds.compile("a/o1", "core.c", ONE);
    builds.compile("a/o2", "core.c", TWO);
    builds.compile("b/o1", "first.c", "int first(int x) { return x; }\n");
    builds.compile("b/o2", "core.c", &ONE.replace("x * 3", "x * 11"));
    builds.compile("b/o3", "core.c", TWO);
    let (code, text) = builds.told(&[]);
    assert_eq!(code, Some(0));
    assert_eq!(
        names(&text),
        ["o1:", "new function: first", "o2:", "changed function: one"],
        "{text}"
    );
}
fn objects_that_nothing_tells_apart_are_refused_with_the_candidates() {
    let Some(builds) = Builds::new() else { return };
    for (object, number) in [("a/o1", 1), ("a/o2", 2), ("b/o3", 3), ("b/o4", 4)] {
        builds.compile(object, "core.c", &format!("int same(int x) {{ return x * {number}1; }}\n"));
    }
    let document = builds.json(&[], 2);
    let refusals = document["objects"][0]["refusals"].as_array().unwrap();
    let texts: Vec<&str> = refusals.iter().map(|r| r["message"].as_str().unwrap()).collect();
    assert!(
        texts[0].starts_with("candidate: o1") && texts[1].starts_with("candidate: o2"),
        "{texts:?}"
    );
    assert_eq!(refusals[0]["code"], "ambiguous-object");
}
fn a_function_that_moved_is_compared_with_itself() {
    let Some(builds) = Builds::new() else { return };
    builds.compile("a/one.o", "one.c", ONE);
    builds.compile("a/two.o", "two.c", TWO);
    builds.compile("b/one.o", "one.c", "int one(int x) { return x * 3; }\n");
    let moved = |body: &str| format!("{TWO}int uno(int x) {{ return {body}; }}\n");
    builds.compile("b/two.o", "two.c", &moved("x - 7"));
    let (code, text) = builds.told(&[]);
    assert_eq!((code, names(&text)), (Some(3), vec![]), "moved only");
    builds.compile("b/two.o", "two.c", &moved("x - 8"));
    let (code, text) = builds.told(&[]);
    assert_eq!((code, names(&text)), (Some(0), vec!["one.o:", "changed function: uno"]));
}
fn a_removed_object_is_told_and_is_no_change() {
    let Some(builds) = Builds::new() else { return };
    builds.compile("a/one.o", "one.c", ONE);
    builds.compile("a/two.o", "two.c", TWO);
    builds.compile("b/one.o", "one.c", ONE);
    let document = builds.json(&[], 3);
    let object = &document["objects"][0];
    assert_eq!(
        (object["patched"].as_str(), object["verdict"].as_str()),
        (Some(""), Some("unchanged"))
    );
    assert_eq!(object["functions"][0]["name"], "two");
    assert_eq!(object["functions"][0]["status"], "removed");
    assert_eq!(object["warnings"][0]["code"], "removed-object");
}
fn the_worst_object_says_how_to_exit_and_all_are_reported() {
    let Some(builds) = Builds::new() else { return };
    for side in ["a", "b"] {
        let (number, value) = if side == "a" { (3, 1) } else { (4, 2) };
        builds.compile(&format!("{side}/one.o"), "one.c", &ONE.replace('3', &number.to_string()));
        let two =
            format!("int live = {value};\nint two(int x) {{ return live + x * {number}; }}\n");
        builds.compile(&format!("{side}/two.o"), "two.c", &two);
        builds.compile(&format!("{side}/three.o"), "three.c", "int three(void) { return 3; }\n");
    }
    let document = builds.json(&[], 2);
    let told: Vec<_> = document["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| {
            let of = |name: &str| o[name].as_str().unwrap().to_owned();
            let path = PathBuf::from(of("patched"));
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            (file, of("verdict"), o["functions"][0]["name"].as_str().unwrap().to_owned())
        })
        .collect();
    let row = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(told, [row("one.o", "changed", "one"), row("two.o", "refused", "two")]);
}
/// A counter that goes away is given up where the patch changes nothing else, and may have gone to
/// another object where it does.
fn state_may_go_on_in_another_object() {
    let Some(builds) = Builds::new() else { return };
    let dropped = |body: &str| format!("int two(int x);\nint one(int x) {{ {body} }}\n");
    let counts = dropped("static int n; n += x; return two(n);");
    builds.compile("a/one.o", "one.c", &counts);
    builds.compile("b/one.o", "one.c", &dropped("return two(x);"));
    for side in ["a", "b"] {
        builds.compile(&format!("{side}/two.o"), "two.c", TWO);
    }
    let code = |exit, of: &str| {
        let document = builds.json(&[], exit);
        document["objects"][0][of][0]["code"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(code(0, "warnings"), "static-local-removed");
    builds.compile("b/two.o", "two.c", "int two(int x) { static int n; return n += x; }\n");
    assert_eq!(code(2, "refusals"), "static-local-removed");
}
fn expected_changes_and_noise_are_told_for_folders() {
    let Some(builds) = Builds::new() else { return };
    builds.compile("a/one.o", "one.c", ONE);
    builds.compile(
        "b/one.o",
        "one.c",
        &format!("{ONE}asm(\".section .comment; .ascii \\\"x\\\"; .text\");\n"),
    );
    assert_eq!(builds.told(&[]).0, Some(3));
    let document = builds.json(&["--expect-change"], 2);
    let last = document["objects"].as_array().unwrap().last().unwrap();
    assert_eq!(last["refusals"][0]["code"], "nothing-changed");
    assert_eq!(document["objects"][0]["ignored"][0]["rule"], "comment");
    let output = builds.run(&["--explain-noise"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("noise: section .comment at "), "{said}");
}
fn boot_code_is_a_warning_unless_strict() {
    let Some(builds) = Builds::new() else { return };
    for (side, number) in [("a", 3), ("b", 4)] {
        let source = format!(
            "__attribute__((section(\".init.text\"))) int setup(int x) {{ return x * {number}; }}\n{}",
            ONE.replace('3', &number.to_string())
        );
        builds.compile(&format!("{side}/one.o"), "one.c", &source);
    }
    let document = builds.json(&[], 0);
    let object = &document["objects"][0];
    assert_eq!(object["warnings"][0]["code"], "boot-only");
    assert_eq!(object["functions"].as_array().unwrap().len(), 1, "{object}");
    assert_eq!(builds.told(&["--strict"]).0, Some(2));
    let pair = [builds.path("a/one.o"), builds.path("b/one.o")];
    for (more, exit) in [(&[][..], 0), (&["--strict"], 2)] {
        let single =
            Command::new(env!("CARGO_BIN_EXE_klp-diff")).args(&pair).args(more).output().unwrap();
        assert_eq!(single.status.code(), Some(exit), "a pair by itself {more:?}");
    }
}

/// Two objects of which the second calls a new function of the first.
fn calls_across(builds: &Builds) -> String {
    builds.compile("a/one.o", "one.c", ONE);
    builds.compile("a/sub/two.o", "two.c", TWO);
    builds.compile("b/one.o", "one.c", &format!("{ONE}int fresh(int x) {{ return x ^ 77; }}\n"));
    builds.compile(
        "b/sub/two.o",
        "two.c",
        "int fresh(int);\nint two(int x) { return fresh(x) + 5; }\n",
    );
    let globals: &[(&str, &str)] =
        &[("one", "GLOBAL"), ("uno", "GLOBAL"), ("__fentry__", "GLOBAL")];
    builds.symtab(&[("one.c", globals), ("two.c", &[("two", "GLOBAL")])])
}

fn undefined(object: &Path) -> Vec<String> {
    let output = suite::output(Command::new("nm").arg("-u").arg(object));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|l| l.split_whitespace().nth(1)).map(str::to_owned).collect()
}
fn one_file_holds_all_that_changed_and_resolves_inside() {
    let Some(builds) = Builds::new() else { return };
    let symtab = calls_across(&builds);
    let file = builds.path("all.o");
    let out = file.display().to_string();
    let (code, text) = builds.told(&["--symtab", &symtab, "-o", &out]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!undefined(&file).contains(&"fresh".to_owned()), "{:?}", undefined(&file));
    let dump =
        Command::new(env!("CARGO_BIN_EXE_klp-diff")).arg("dump").arg(&file).output().unwrap();
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert_eq!(dump.matches("func name=str:\"two\"").count(), 1, "{dump}");
}
fn a_folder_gets_one_file_for_each_changed_object() {
    let Some(builds) = Builds::new() else { return };
    let symtab = calls_across(&builds);
    let out = format!("{}/", builds.path("out").display());
    assert_eq!(builds.told(&["--symtab", &symtab, "-o", &out]).0, Some(0));
    assert!(undefined(&builds.path("out/sub/two.o")).contains(&"fresh".to_owned()));
    assert!(builds.path("out/one.o").is_file());
}
fn what_nobody_defines_is_refused() {
    let Some(builds) = Builds::new() else { return };
    let symtab = calls_across(&builds);
    builds.compile("b/one.o", "one.c", ONE);
    let file = builds.path("all.o");
    let out = file.display().to_string();
    let document = builds.json(&["--symtab", &symtab, "-o", &out], 2);
    let last = document["objects"].as_array().unwrap().last().unwrap();
    assert_eq!(last["refusals"][0]["code"], "unresolved-symbol");
    assert!(!file.exists());
}
fn what_became_visible_has_its_old_name_in_the_kernel() {
    let Some(builds) = Builds::new() else { return };
    let local = "static __attribute__((noinline)) int helper(int x) { return x * 9; }\n";
    let user = "int one(int x) { return helper(x) + 1; }\n";
    builds.compile("a/one.o", "one.c", &format!("{local}{user}"));
    builds.compile("a/two.o", "two.c", TWO);
    let hidden = "int helper(int) __asm__(\"helper.llvm.123\");\n";
    let shown = local.replace("static ", "__attribute__((visibility(\"hidden\"))) ");
    builds.compile("b/one.o", "one.c", &format!("{hidden}{shown}{user}"));
    builds.compile(
        "b/two.o",
        "two.c",
        &format!("{hidden}int two(int x) {{ return helper(x); }}\n"),
    );
    let one: &[(&str, &str)] = &[("helper", "LOCAL"), ("one", "GLOBAL"), ("__fentry__", "GLOBAL")];
    let symtab = builds.symtab(&[("one.c", one), ("two.c", &[("two", "GLOBAL")])]);
    let file = builds.path("all.o");
    let out = file.display().to_string();
    let (code, text) = builds.told(&["--symtab", &symtab, "-o", &out]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("two.o:\nchanged function: two\n"), "{text}");
    let dump =
        Command::new(env!("CARGO_BIN_EXE_klp-diff")).arg("dump").arg(&file).output().unwrap();
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.contains("\"helper\"") && !dump.contains("helper.llvm"), "{dump}");
}
fn what_the_optimiser_did_is_told_from_what_the_patch_says() {
    let Some(builds) = Builds::new() else { return };
    let source = |attribute: &str, number: u32| {
        format!(
            "int mark(int); extern int level;
             static __attribute__(({attribute})) int helper(int x) {{ return mark(x + level) * 3; }}
             int user(int x) {{ return helper(x) + helper(x * 2) + 1; }}
             __attribute__((used)) static int (*keep)(int) = helper;
             int edited(int x) {{ return x - {number}; }}\n"
        )
    };
    builds.compile("a/one.o", "one.c", &source("noinline", 4));
    builds.compile("b/one.o", "one.c", &source("always_inline", 5));
    let output = builds.run(&[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = text.split_once("changed function: user\n").unwrap().1;
    assert!(after.starts_with("  re-inlined: calls helper -> helper is inlined\n"), "{text}");
    let after = text.split_once("changed function: edited\n").unwrap().1;
    assert!(after.starts_with("  code at "), "{text}");
    let said = String::from_utf8_lossy(&output.stderr);
    let line = "1 function(s) changed by the patch, 1 by the optimiser (1 re-inlined), 0 new";
    assert!(said.contains(line), "{said}");
}

/// A weak function, and a strong one in another object of the patched build only.
fn overrides(builds: &Builds) -> String {
    let weak = |number: u32| {
        format!(
            "int arch_setup(int);
             __attribute__((weak)) int arch_setup(int x) {{ return x - {number}; }}
             int user(int x) {{ return arch_setup(x) + 1; }}\n"
        )
    };
    builds.compile("a/one.o", "one.c", &weak(3));
    builds.compile("b/one.o", "one.c", &weak(3));
    builds.compile("b/weak.o", "one.c", &weak(4));
    std::fs::rename(builds.path("b/weak.o"), builds.path("weak.o")).unwrap();
    builds.compile("a/two.o", "two.c", TWO);
    builds.compile(
        "b/two.o",
        "two.c",
        &format!("{TWO}int arch_setup(int x) {{ return x * 11; }}\n"),
    );
    let one: &[(&str, &str)] =
        &[("arch_setup", "WEAK"), ("user", "GLOBAL"), ("__fentry__", "GLOBAL")];
    builds.symtab(&[("one.c", one), ("two.c", &[("two", "GLOBAL")])])
}
fn the_running_function_becomes_the_one_that_overrides_it() {
    let Some(builds) = Builds::new() else { return };
    let symtab = overrides(&builds);
    let file = builds.path("all.o");
    let out = file.display().to_string();
    let document = builds.json(&["--symtab", &symtab, "-o", &out], 0);
    let object = &document["objects"][0];
    let functions = object["functions"].as_array().unwrap();
    assert_eq!(functions.len(), 1, "{object}");
    assert_eq!(
        (&functions[0]["name"], &functions[0]["status"]),
        (&"arch_setup".into(), &"changed".into())
    );
    assert_eq!(object["warnings"][0]["code"], "definition-replaced");
    let dump =
        Command::new(env!("CARGO_BIN_EXE_klp-diff")).arg("dump").arg(&file).output().unwrap();
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert_eq!(dump.matches("func name=str:\"arch_setup\"").count(), 1, "{dump}");
}
fn a_weak_function_that_never_runs_is_not_patched() {
    let Some(builds) = Builds::new() else { return };
    let symtab = overrides(&builds);
    let strong = std::fs::read_to_string(&symtab).unwrap().replace("WEAK", "GLOBAL");
    let run = |options: &[&str]| {
        let out = builds.path("one.o").display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.arg(builds.path("a/one.o")).arg(builds.path("weak.o"));
        let output =
            command.args(["--symtab", &symtab, "-o", &out]).args(options).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&[]).0, Some(0), "the kernel has the weak one");
    std::fs::write(&symtab, strong).unwrap();
    let (code, said) = run(&[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("'arch_setup' is weak in the original object"), "{said}");
}
fn of_several_weak_functions_the_order_of_the_link_decides() {
    let Some(builds) = Builds::new() else { return };
    let weak = "__attribute__((weak)) int twice(int x) { return x * ";
    for (side, number) in [("a", 21), ("b", 22)] {
        builds.compile(&format!("{side}/one.o"), "one.c", &format!("{weak}{number}; }}\n{ONE}"));
        builds.compile(&format!("{side}/two.o"), "two.c", &format!("{weak}23; }}\n{TWO}"));
    }
    let document = builds.json(&[], 2);
    let refusal = &document["objects"][0]["refusals"][0];
    assert_eq!(refusal["code"], "overridden-definition", "{document}");
    assert!(refusal["message"].as_str().unwrap().contains("two.o"), "{refusal}");
}
fn thousands_of_objects_of_one_file_name_are_paired() {
    use klp_diff::elf::abi;
    use klp_diff::elf::out::{OutHome, OutObject, OutSection, OutSymbol};

    const MANY: usize = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let symbol = |name: &str, kind, bind, home| OutSymbol {
        name: name.to_owned(),
        kind,
        bind,
        other: 0,
        home,
        value: 0,
        size: 4,
    };
    for (side, number) in [("a", 0x90), ("b", 0x91)] {
        std::fs::create_dir(folder.path().join(side)).unwrap();
        for i in 0..MANY {
            let name = format!("f{i}");
            let file = OutHome::Reserved(abi::SHN_ABS);
            let object = OutObject {
                kind: abi::ET_REL,
                machine: abi::EM_X86_64,
                sections: vec![
                    OutSection {
                        name: format!(".data.{name}"),
                        kind: abi::SHT_PROGBITS,
                        flags: abi::SHF_ALLOC,
                        align: 1,
                        // The second build differs in a section that does not count.
                        data: vec![0x11; 4],
                        size: 4,
                        ..OutSection::default()
                    },
                    OutSection {
                        name: ".comment".to_owned(),
                        kind: abi::SHT_PROGBITS,
                        align: 1,
                        data: vec![number],
                        size: 1,
                        ..OutSection::default()
                    },
                ],
                symbols: vec![
                    symbol("core.c", abi::STT_FILE, abi::STB_LOCAL, file),
                    symbol(&name, abi::STT_OBJECT, abi::STB_GLOBAL, OutHome::Section(0)),
                    symbol("__fentry__", abi::STT_NOTYPE, abi::STB_GLOBAL, OutHome::Undefined),
                ],
                ..OutObject::default()
            };
            // Numbered the other way round.
            let place = if side == "a" { i } else { MANY - i };
            let path = folder.path().join(side).join(format!("o{place}"));
            std::fs::write(path, klp_diff::elf::write::write(&object).unwrap()).unwrap();
        }
    }
    let child = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
        .args([folder.path().join("a"), folder.path().join("b")])
        .spawn()
        .unwrap();
    let (status, seconds) = ended(child);
    assert_eq!(status.code(), Some(3));
    assert!(seconds < 30, "{seconds} s");
}

/// How a process ends, and the seconds of processors that it took: on a busy machine it takes many more by the clock.
fn ended(mut child: std::process::Child) -> (std::process::ExitStatus, u64) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(Pid::from_child(&child)), options).unwrap();
    // proc(5): the times follow the name, which ends with a parenthesis.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    (child.wait().unwrap(), ticks / 100)
}
fn groups_of_loaded_sections_are_not_linked() {
    let Some(builds) = Builds::new() else { return };
    let group = "asm(\".section .text.thunk,\\\"axG\\\",@progbits,thunk,comdat\\n\"
        \".globl thunk; .type thunk,@function\\nthunk: ret\\n.size thunk,1\\n.text\");\n";
    let moved = "int uno(int x) { return x - 7; }\n";
    builds.compile("a/one.o", "one.c", &format!("{group}{ONE}"));
    builds.compile("a/two.o", "two.c", TWO);
    builds.compile("b/one.o", "one.c", &format!("{group}{}", ONE.replace(moved, "")));
    builds.compile("b/two.o", "two.c", &format!("{TWO}{moved}"));
    let output = builds.run(&[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("one.o: groups of sections") && said.contains("--force-group"), "{said}");
    for side in ["a", "b"] {
        let (old, new) = (builds.path(&format!("{side}/one.o")), builds.path("flat.o"));
        let mut ld = Command::new("ld");
        ld.args(["-r", "--force-group-allocation", "-o"]).args([&new, &old]);
        assert!(suite::output(&mut ld).status.success());
        std::fs::rename(new, old).unwrap();
    }
    assert_eq!(builds.told(&[]).0, Some(3));
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("state_may_go_on_in_another_object", state_may_go_on_in_another_object),
        (
            "renumbered_objects_are_found_by_what_they_define",
            renumbered_objects_are_found_by_what_they_define,
        ),
        (
            "objects_that_nothing_tells_apart_are_refused_with_the_candidates",
            objects_that_nothing_tells_apart_are_refused_with_the_candidates,
        ),
        (
            "a_function_that_moved_is_compared_with_itself",
            a_function_that_moved_is_compared_with_itself,
        ),
        ("a_removed_object_is_told_and_is_no_change", a_removed_object_is_told_and_is_no_change),
        (
            "the_worst_object_says_how_to_exit_and_all_are_reported",
            the_worst_object_says_how_to_exit_and_all_are_reported,
        ),
        (
            "expected_changes_and_noise_are_told_for_folders",
            expected_changes_and_noise_are_told_for_folders,
        ),
        ("boot_code_is_a_warning_unless_strict", boot_code_is_a_warning_unless_strict),
        (
            "one_file_holds_all_that_changed_and_resolves_inside",
            one_file_holds_all_that_changed_and_resolves_inside,
        ),
        (
            "a_folder_gets_one_file_for_each_changed_object",
            a_folder_gets_one_file_for_each_changed_object,
        ),
        ("what_nobody_defines_is_refused", what_nobody_defines_is_refused),
        (
            "what_became_visible_has_its_old_name_in_the_kernel",
            what_became_visible_has_its_old_name_in_the_kernel,
        ),
        (
            "what_the_optimiser_did_is_told_from_what_the_patch_says",
            what_the_optimiser_did_is_told_from_what_the_patch_says,
        ),
        (
            "the_running_function_becomes_the_one_that_overrides_it",
            the_running_function_becomes_the_one_that_overrides_it,
        ),
        (
            "a_weak_function_that_never_runs_is_not_patched",
            a_weak_function_that_never_runs_is_not_patched,
        ),
        (
            "of_several_weak_functions_the_order_of_the_link_decides",
            of_several_weak_functions_the_order_of_the_link_decides,
        ),
        (
            "thousands_of_objects_of_one_file_name_are_paired",
            thousands_of_objects_of_one_file_name_are_paired,
        ),
        ("groups_of_loaded_sections_are_not_linked", groups_of_loaded_sections_are_not_linked),
    ])
}
