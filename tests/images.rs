//! Linked images: which symbol a name of the original object is in what runs, whether the
//! original is what runs, and what the linker did to functions meanwhile.
//!
//! The small kernels are our own C, compiled and linked by the tools of this machine; a test
//! whose tools are missing says `skipped`. Those on real kernels need `KLP_DIFF_DATA`.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/linked.rs"]
mod linked;

#[path = "images/kernels.rs"]
mod kernels;
#[path = "images/sizes.rs"]
mod sizes;

use std::path::{Path, PathBuf};
use std::process::Command;

use klp_diff::diag::{Code, Error};
use klp_diff::elf::ids::Orig;
use klp_diff::elf::object::Object;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::kernel::layout::Layout;
use klp_diff::running::image::KernelImage;
use klp_diff::running::image_match::{Outcome, match_image};
use linked::{compile, diff, first_function, have, link, matched, run_tool};

/// One of fifty files that only differ in the name of their entry point. The aliases name
/// what belongs to the file in the linked image.
fn same_named(n: usize) -> String {
    let hot_cold = ["", "hot, ", "cold, "][n % 3];
    format!(
        "static int counter;\n\
         static __attribute__(({hot_cold}noinline)) int helper(int x)\n\
         {{\n#ifdef PATCHED\n x += 100;\n#endif\n return x * 3 + counter++; }}\n\
         extern int true_counter_{n} __attribute__((alias(\"counter\")));\n\
         int true_helper_{n}(int) __attribute__((alias(\"helper\")));\n\
         int use_{n}(int x) {{ return helper(x) + helper(x + {n}); }}\n"
    )
}
fn fifty_statics_of_one_name_are_told_apart() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let objects: Vec<PathBuf> =
        (0..50).map(|n| compile(folder.path(), &format!("f{n}"), &same_named(n), &[])).collect();
    // Besides, hot and unlikely functions are linked in another order than their files.
    let order: Vec<PathBuf> = (0..50).map(|n| objects[n * 7 % 50].clone()).collect();
    let data = link("ld", folder.path(), &order, &[]);
    let image = KernelImage::parse("vmlinux", &data).expect("image");
    let table = image.table().expect("table");
    let address = |name: &str| {
        let [index] = *table.globals(name) else { panic!("no {name}") };
        table.entries().addr(index)
    };
    let mut all: Vec<u64> = (0..50).map(|n| address(&format!("true_helper_{n}"))).collect();
    all.sort_unstable();
    for (n, path) in objects.iter().enumerate() {
        let outcomes = matched(&std::fs::read(path).expect("object"), &image, &table);
        for (name, truth) in [("helper", "true_helper"), ("counter", "true_counter")] {
            let entry = outcomes.entries.get(name).unwrap_or_else(|| panic!("{name} of {n}"));
            let addr = table.entries().addr(*entry);
            assert_eq!(addr, address(&format!("{truth}_{n}")), "{name} of {n}");
        }
        assert!(outcomes.functions.iter().all(|f| f.1 == Outcome::Same), "{n}");
    }
    for n in [0, 17, 49] {
        let orig = std::fs::read(&objects[n]).expect("object");
        let patched = compile(folder.path(), "patched", &same_named(n), &["-DPATCHED"]);
        let patched = std::fs::read(patched).expect("object");
        let (result, report) = diff(&orig, &patched, &image, true);
        let output = result.expect("resolved").expect("output");
        let addr = address(&format!("true_helper_{n}"));
        let rank = all.binary_search(&addr).expect("is there") as u64 + 1;
        assert_eq!(first_function(&output), (addr, rank), "{n}");
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    }
}
fn folded_functions_are_refused_but_aliases_are_not() {
    if !have(&["gcc", "ld.lld-19"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let source = |name: &str| {
        format!(
            "int {name}(int x)\n{{\n#ifdef PATCHED\n x ^= 5;\n#endif\n return x * 7 + 3; }}\n\
             int {name}_too(int) __attribute__((alias(\"{name}\")));\n"
        )
    };
    let objects: Vec<PathBuf> =
        ["foo", "bar"].map(|n| compile(folder, n, &source(n), &[])).to_vec();
    let patched = compile(folder, "patched", &source("foo"), &["-DPATCHED"]);
    let [orig, patched] = [&objects[0], &patched].map(|p| std::fs::read(p).expect("object"));
    for fold in ["none", "all"] {
        let data = link("ld.lld-19", folder, &objects, &[&format!("--icf={fold}")]);
        let image = KernelImage::parse("vmlinux", &data).expect("image");
        let (result, _) = diff(&orig, &patched, &image, false);
        if fold == "none" {
            assert!(result.expect("only aliases").is_some());
            continue;
        }
        let error = result.map(|_| ()).expect_err("bar is folded into foo");
        assert_eq!(error.code(), Code::FoldedFunction);
        assert_eq!(error.message(), "2 functions of the patch are others as well");
        assert!(error.details().iter().any(|line| line.contains("'bar' and 'foo")), "{error}");
    }
}

/// Functions that the patch names, with their reasons.
fn told(report: &klp_diff::report::Report) -> String {
    let line = |f: &klp_diff::report::Function| {
        let reasons: Vec<String> = f.reasons.iter().map(ToString::to_string).collect();
        format!("{} [{}]\n", f.name, reasons.join("; "))
    };
    report.functions.iter().map(line).collect()
}
fn folded_functions_are_carried_for_their_callers() {
    if !have(&["gcc", "ld.lld-19"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let source = |name: &str| {
        format!(
            "static __attribute__((noinline)) int low_{name}(int x)\n{{\n#ifdef PATCHED\n x ^= 5;\n\
             #endif\n return x * 7 + 3; }}\n\
             int {name}(int x) {{ return low_{name}(x + {}) * 3; }}\n",
            name.len()
        )
    };
    let objects: Vec<PathBuf> =
        ["foo", "quux"].map(|n| compile(folder, n, &source(n), &[])).to_vec();
    let patched = compile(folder, "patched", &source("foo"), &["-DPATCHED"]);
    let [orig, patched] = [&objects[0], &patched].map(|p| std::fs::read(p).expect("object"));
    let data = link("ld.lld-19", folder, &objects, &["--icf=all"]);
    let image = KernelImage::parse("vmlinux", &data).expect("image");
    let (result, report) = diff(&orig, &patched, &image, false);
    let output = result.expect("carried").expect("changed");
    let told = told(&report);
    assert!(told.contains("carried for its callers: foo]"), "{told}");
    assert!(told.contains("foo [carried: calls low_foo of the kernel -> "), "{told}");
    // Only the caller is replaced.
    let functions = output.sections.iter().find(|s| s.name == ".kpatch.funcs").expect("there");
    assert_eq!(functions.data.len(), 56);
}
fn untraced_functions_are_carried_where_the_image_knows_all_callers() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let source = "__attribute__((noinline, no_instrument_function)) int low(int x)\n{\n#ifdef PATCHED\n\
        x ^= 5;\n#endif\n return x * 7 + 3; }\nint high(int x) { return low(x + 1) * 3; }\n";
    let orig = compile(folder, "orig", source, &[]);
    let patched = compile(folder, "patched", source, &["-DPATCHED"]);
    let others = [
        ("int other(int x) { return x + 1; }\n", None),
        (
            "int low(int); int other(int x) { return low(x) + 1; }\n",
            Some("other of another object"),
        ),
        ("int low(int); int (*pointer)(int) = low;\n", Some("pointer of another object")),
        ("int low(int); void *other(void) { return low; }\n", Some("other of another object")),
    ];
    for (n, (other, user)) in others.into_iter().enumerate() {
        let other = compile(folder, &format!("other{n}"), other, &["-fno-toplevel-reorder"]);
        let data = link("ld", folder, &[orig.clone(), other], &[]);
        let image = KernelImage::parse("vmlinux", &data).expect("image");
        let [a, b] = [&orig, &patched].map(|p| std::fs::read(p).expect("object"));
        let (result, report) = diff(&a, &b, &image, false);
        match (user, result) {
            (None, Ok(Some(_))) => assert!(told(&report).contains("carried for its callers: high")),
            (Some(user), Err(error)) => {
                assert_eq!(error.code(), Code::NoFtraceEntry);
                assert!(
                    error.details()[0].ends_with(&format!("{user} refers to it")),
                    "{:?}",
                    error.details()
                );
            }
            (_, other) => panic!("{n}: {:?}", other.map(|o| o.is_some())),
        }
    }
}
fn a_weak_function_that_was_overridden_is_no_false_alarm() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let weak = "__attribute__((weak)) int hook(int x) { return x; }\n\
                int call(int x) { return hook(x) + 1; }\n";
    let objects = [
        compile(folder, "weak", weak, &[]),
        compile(folder, "strong", "int hook(int x) { return x * 11 - 4; }\n", &[]),
    ];
    let orig = std::fs::read(&objects[0]).expect("object");
    let data = link("ld", folder, &objects, &[]);
    let image = KernelImage::parse("vmlinux", &data).expect("image");
    let outcomes = matched(&orig, &image, &image.table().expect("table"));
    assert!(matches!(outcomes.of("hook"), Outcome::Overridden { .. }));
    assert_eq!(*outcomes.of("call"), Outcome::Same);
    let data = link("ld", folder, &objects[..1], &[]);
    let image = KernelImage::parse("vmlinux", &data).expect("image");
    let outcomes = matched(&orig, &image, &image.table().expect("table"));
    assert_eq!(*outcomes.of("hook"), Outcome::Same);
}
fn an_original_that_does_not_run_is_noticed() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let source = "extern int a, b;\n\
        const char *text(void) { return TEXT; }\n\
        int get(void) { return VARIABLE; }\n\
        int add(int x)\n{\n#ifdef PATCHED\n x += 1;\n#endif\n return x + NUMBER; }\n";
    let build = |name: &str, defines: &[&str]| {
        std::fs::read(compile(folder, name, source, defines)).expect("object")
    };
    let same = ["-DTEXT=\"one\"", "-DVARIABLE=a", "-DNUMBER=7777"];
    let running = compile(folder, "running", source, &same);
    let data = compile(folder, "data", "int a = 1, b = 2;", &[]);
    let data = link("ld", folder, &[running, data], &[]);
    let image = KernelImage::parse("vmlinux", &data).expect("image");
    let table = image.table().expect("table");
    let differs = |defines: [&str; 3]| -> Vec<(String, String)> {
        let outcomes = matched(&build("other", &defines), &image, &table);
        let differing =
            outcomes.functions.into_iter().filter_map(|(name, outcome)| match outcome {
                Outcome::Differs { what, .. } => Some((name, what)),
                _ => None,
            });
        differing.collect()
    };
    assert_eq!(differs(same), []);
    let one = |defines, name: &str, what: &str| {
        let found = differs(defines);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0 == name && found[0].1.contains(what), "{found:?}");
    };
    one(["-DTEXT=\"two\"", same[1], same[2]], "text", "the string \"two\"");
    one([same[0], "-DVARIABLE=b", same[2]], "get", "refers to 'b' here, but to 'a' there");
    one([same[0], same[1], "-DNUMBER=7776"], "add", "the object has 60 1e");

    let orig = build("stale", &[same[0], same[1], "-DNUMBER=7776"]);
    let patched = build("patched", &[same[0], same[1], "-DNUMBER=7776", "-DPATCHED"]);
    let (result, report) = diff(&orig, &patched, &image, false);
    assert!(result.expect("a warning only").is_some());
    let warning = "Your original build is not the running kernel: 'add' differs at +0x";
    assert!(report.warnings[0].message().starts_with(warning), "{:?}", report.warnings);
    let error = diff(&orig, &patched, &image, true).0.map(|_| ()).expect_err("strict");
    assert_eq!(error.code(), Code::OriginalDiffers);
}

/// `verify-orig` on the command line: exit statuses, and what is said first.
fn verify_orig_exits_as_its_help_says() {
    if !have(&["gcc", "ld", "xz"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let source = "int f(int x) { return x * 5 + NUMBER; }\nint g(void) { return 4; }\n\
        __attribute__((weak)) int w(void) { return NUMBER; }\n";
    let same = compile(folder, "same", source, &["-DNUMBER=3"]);
    let other = compile(folder, "other", source, &["-DNUMBER=8"]);
    let absent = compile(folder, "absent", "int nowhere(void) { return 1; }", &[]);
    let strong = compile(folder, "strong", "int w(void) { return 9; }", &[]);
    let verify = |originals: &[&Path]| {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        let image = folder.join("vmlinux.xz");
        let output = tool.arg("verify-orig").arg("--image").arg(image).args(originals).output();
        let output = output.expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let pack = |objects: &[PathBuf]| {
        link("ld", folder, objects, &[]);
        run_tool(Command::new("xz").arg("-fk").arg(folder.join("vmlinux")));
    };
    pack(std::slice::from_ref(&same));
    assert_eq!(verify(&[&same]), (Some(0), "1 objects, 3 functions: 3 as in the image\n".into()));
    let (status, text) = verify(&[&other]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.starts_with("Your original build is not the running kernel:\n"), "{text}");
    assert!(text.contains("'f' differs at +0x"), "{text}");
    let (status, text) = verify(&[&absent]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("none of its functions is in the image"), "{text}");
    pack(&[same.clone(), strong.clone()]);
    let (status, text) = verify(&[&same]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("was it overridden?"), "{text}");
    let (status, text) = verify(&[&same, &strong]);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("1 weak and overridden"), "{text}");
    let (status, _) = verify(&[]);
    assert_eq!(status, Some(64));
}

/// A System.map is enough where names are unique, and refused where they are not.
fn a_system_map_tells_unique_names() {
    if !have(&["gcc", "ld", "nm"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let source = "static __attribute__((noinline)) int only(int x)\n\
        {\n#ifdef PATCHED\n x += 5;\n#endif\n return x * 9; }\n\
        int use_only(int x) { return only(x) + only(x + 2); }\n";
    let object = compile(folder, "a", source, &[]);
    let patched = compile(folder, "b", source, &["-DPATCHED"]);
    let twin = compile(folder, "c", &source.replace("use_only", "use_twin"), &[]);
    let run = |objects: &[PathBuf]| {
        link("ld", folder, objects, &[]);
        let map = folder.join("System.map");
        let nm = Command::new("nm").arg("-n").arg(folder.join("vmlinux")).output().expect("runs");
        std::fs::write(&map, nm.stdout).expect("writes");
        let mut tool = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        tool.args([&object, &patched]).arg("-o").arg(folder.join("out.o"));
        let output = tool.arg("--image").arg(map).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, text) = run(std::slice::from_ref(&object));
    assert_eq!(status, Some(0), "{text}");
    let (status, text) = run(&[object.clone(), twin]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("duplicate local symbol found for only"), "{text}");
}

/// Modules as distributions pack them; kallsyms text; debug information that is compressed.
fn images_in_other_shapes() {
    if !have(&["gcc", "ld", "nm", "xz", "zstd", "gzip", "objcopy"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let source = "static __attribute__((noinline)) int only(int x)\n\
        {\n#ifdef PATCHED\n x += 5;\n#endif\n return x * 9; }\n\
        int use_only(int x) { return only(x) + only(x + 2); }\n";
    let object = compile(folder, "a", source, &[]);
    let patched = compile(folder, "b", source, &["-DPATCHED"]);
    let out = folder.join("out.o");
    let run = |image: &str, more: &[&str]| {
        let _ = std::fs::remove_file(&out);
        let mut tool = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        tool.current_dir(folder).args([&object, &patched]).arg("-o").arg(&out);
        let output = tool.args(["--image", image]).args(more).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    std::fs::copy(&object, folder.join("mod.ko")).expect("copies");
    run_tool(Command::new("xz").current_dir(folder).args(["-k", "--check=crc32", "mod.ko"]));
    run_tool(Command::new("zstd").current_dir(folder).args(["-q", "mod.ko"]));
    run_tool(Command::new("gzip").current_dir(folder).args(["-k", "mod.ko"]));
    let mut plain = None;
    for name in ["mod.ko", "mod.ko.xz", "mod.ko.zst", "mod.ko.gz"] {
        let (status, text) = run(&format!("mod={name}"), &["--object", "mod"]);
        assert_eq!(status, Some(0), "{name}: {text}");
        let made = std::fs::read(&out).expect("output");
        assert_eq!(*plain.get_or_insert_with(|| made.clone()), made, "{name}");
        let mut cut = std::fs::read(folder.join(name)).expect("reads");
        cut.truncate(cut.len() / 2);
        std::fs::write(folder.join("cut.ko"), cut).expect("writes");
        let (status, text) = run("mod=cut.ko", &["--object", "mod"]);
        assert_eq!(status, Some(1), "{name}: {text}");
        assert!(text.contains("cut.ko"), "{name}: {text}");
    }

    link("ld", folder, std::slice::from_ref(&object), &[]);
    let nm = Command::new("nm").arg("-n").arg(folder.join("vmlinux")).output().expect("runs");
    let mut kallsyms = String::from_utf8_lossy(&nm.stdout).into_owned();
    kallsyms += "ffffffffc0000000 t elsewhere\t[loop]\n";
    std::fs::write(folder.join("kallsyms"), kallsyms).expect("writes");
    let (status, text) = run("kallsyms", &[]);
    assert_eq!(status, Some(0), "{text}");

    let debug = "struct bug_entry { int a, b; short c, d; }; struct bug_entry bug;\n";
    let debug = compile(folder, "debug", debug, &["-g"]);
    for kind in ["zlib", "zstd", "none"] {
        let path = folder.join("debug.ko");
        let mut objcopy = Command::new("objcopy");
        objcopy.arg(format!("--compress-debug-sections={kind}")).arg(&debug).arg(&path);
        // Not every binutils was built with zstd.
        if kind == "zstd" && !objcopy.output().expect("runs").status.success() {
            continue;
        }
        run_tool(&mut objcopy);
        let data = std::fs::read(path).expect("reads");
        let image = KernelImage::parse("debug.ko", &data).expect("image");
        let sizes = image.struct_sizes().expect("well-formed");
        assert_eq!(sizes, [("BUG_STRUCT_SIZE", 12)], "{kind}");
        let sizes = StructSizes::new([], true).with_image(sizes);
        assert_eq!(sizes.of_image("BUG_STRUCT_SIZE"), Some(12));
        if kind == "none" {
            continue;
        }
        // Altered anywhere in its compressed bytes, it is read as it was, or not at all.
        let info = image.elf.section_named(".debug_info").expect("is there");
        let start = info.data.as_ptr() as usize - data.as_ptr() as usize;
        for at in start..start + info.data.len() {
            let mut broken = data.clone();
            broken[at] ^= 0x41;
            let image = KernelImage::parse("debug.ko", &broken).expect("image");
            if let Ok(sizes) = image.struct_sizes() {
                assert!(sizes.len() <= 1, "{kind} {at}");
            }
        }
    }
}
fn broken_images_are_errors() {
    let fails =
        |data: &[u8]| -> Error { KernelImage::parse("x", data).map(|_| ()).expect_err("broken") };
    assert_eq!(fails(b"").code(), Code::MalformedElf);
    assert_eq!(fails(b"\x7fELF\x02\x01\x01").code(), Code::MalformedElf);
    if !have(&["gcc"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let path = compile(folder.path(), "x", "static int v; int f(void) { return v++; }", &[]);
    let data = std::fs::read(path).expect("object");
    for cut in (0..data.len()).step_by(7) {
        assert!(KernelImage::parse("x", &data[..cut]).is_err(), "cut to {cut}");
    }
    for at in 0..data.len() {
        let mut bytes = data.clone();
        bytes[at] ^= 0xff;
        if let Ok(image) = KernelImage::parse("x", &bytes)
            && let Ok(table) = image.table()
        {
            let object = Object::<Orig>::parse("o", &data).expect("object");
            let layout = Layout::new(&object).expect("layout");
            // Only must not panic.
            let _ = match_image(&layout, &image, &table);
        }
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("fifty_statics_of_one_name_are_told_apart", fifty_statics_of_one_name_are_told_apart),
        (
            "folded_functions_are_refused_but_aliases_are_not",
            folded_functions_are_refused_but_aliases_are_not,
        ),
        (
            "folded_functions_are_carried_for_their_callers",
            folded_functions_are_carried_for_their_callers,
        ),
        (
            "untraced_functions_are_carried_where_the_image_knows_all_callers",
            untraced_functions_are_carried_where_the_image_knows_all_callers,
        ),
        (
            "a_weak_function_that_was_overridden_is_no_false_alarm",
            a_weak_function_that_was_overridden_is_no_false_alarm,
        ),
        ("an_original_that_does_not_run_is_noticed", an_original_that_does_not_run_is_noticed),
        ("verify_orig_exits_as_its_help_says", verify_orig_exits_as_its_help_says),
        ("a_system_map_tells_unique_names", a_system_map_tells_unique_names),
        ("images_in_other_shapes", images_in_other_shapes),
        ("struct_sizes_come_from_btf", sizes::struct_sizes_come_from_btf),
        ("struct_sizes_come_from_dwarf", sizes::struct_sizes_come_from_dwarf),
        ("the_objects_of_a_kernel_are_what_runs", kernels::the_objects_of_a_kernel_are_what_runs),
        ("positions_are_those_of_kallsyms", kernels::positions_are_those_of_kallsyms),
        (
            "an_image_gives_the_table_that_readelf_prints",
            kernels::an_image_gives_the_table_that_readelf_prints,
        ),
        ("broken_images_are_errors", broken_images_are_errors),
    ])
}
