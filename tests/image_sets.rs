//! Several images of one kernel, modules, other machines, and how kernels compare names.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/linked.rs"]
mod linked;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use klp_diff::elf::ids::Orig;
use klp_diff::elf::object::Object;
use klp_diff::kernel::layout::Layout;
use klp_diff::running::image::KernelImage;
use klp_diff::running::image_match::{Outcome, match_image};
use klp_diff::running::kallsyms::Matching;
use linked::{Outcomes, compile, have, link, matched, run_tool};

/// `ld -r`: a module of these objects.
fn module(folder: &Path, name: &str, objects: &[PathBuf]) -> PathBuf {
    let path = folder.join(name);
    run_tool(Command::new("ld").arg("-r").arg("-o").arg(&path).args(objects));
    path
}

fn export(name: &str) -> String {
    format!("void *__ksymtab_{name} __attribute__((section(\"___ksymtab\"))) = (void *){name};\n")
}

fn info(release: &str) -> String {
    format!(
        "const char info[] __attribute__((section(\".modinfo\"))) = \"vermagic={release} SMP\";\n"
    )
}

fn banner(release: &str) -> String {
    format!("const char linux_banner[] = \"Linux version {release} (a@b)\";\n")
}

/// vmlinux, `base` and `user`, which uses both.
struct Set {
    folder: tempfile::TempDir,
}

const USER: &str = "int core(int); int base_exported(int); int base_shared(int); int hidden(int);\n\
    int use(int x)\n{\n#ifdef PATCHED\n x += CALL;\n#endif\n return core(x) + base_exported(x); }\n";

impl Set {
    fn new() -> Set {
        let folder = tempfile::tempdir().expect("folder");
        let at = folder.path();
        let core = "int core(int x) { return x * 3; }\nint hidden(int x) { return x * 5; }\n";
        let exports = format!("void __fentry__(void);\n{}{}", export("core"), export("__fentry__"));
        let core = format!("{core}{exports}{}", banner("6.12.1-lab"));
        let core = compile(at, "core", &core, &[]);
        link("ld", at, &[core], &[]);
        // `base_shared` is visible to the module's files only, and the second of its name.
        let first = "static __attribute__((noinline)) int base_shared(int x) { return x * 7; }\n\
            int other(int x) { return base_shared(x) + base_shared(x + 1); }\n";
        let second = format!(
            "int base_shared(int x) {{ return x * 9; }}\nint base_exported(int x) {{ return x - 1; }}\n{}{}",
            export("base_exported"),
            info("6.12.1-lab")
        );
        let objects = [compile(at, "b1", first, &[]), compile(at, "b2", &second, &[])];
        module(at, "base.ko", &objects);
        let user = format!("{USER}{}", info("6.12.1-lab"));
        module(at, "user.ko", &[compile(at, "user", &user, &["-DCALL=0"])]);
        Set { folder }
    }

    /// Status, standard error and the livepatch symbols of a patch that adds `call`.
    fn patch(&self, call: &str, images: &[&str]) -> (Option<i32>, String, String) {
        let at = self.folder.path();
        let user = format!("{USER}{}", info("6.12.1-lab"));
        let orig = compile(at, "user", &user, &["-DCALL=0"]);
        let patched = compile(at, "patched", &user, &["-DPATCHED", &format!("-DCALL={call}")]);
        let out = at.join("out.o");
        let mut tool = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        tool.current_dir(at).args([&orig, &patched]).arg("-o").arg(&out);
        tool.args(["--flavor", "klp", "--object", "user"]);
        for image in images {
            tool.args(["--image", image]);
        }
        let output = tool.output().expect("runs");
        let mut names = String::new();
        if output.status.success() {
            let readelf = Command::new("readelf").args(["-sW"]).arg(out).output().expect("runs");
            let text = String::from_utf8_lossy(&readelf.stdout).into_owned();
            let words = text.lines().filter_map(|line| line.split_whitespace().last());
            let found: Vec<&str> = words.filter(|name| name.starts_with(".klp.sym.")).collect();
            names = found.join(" ");
        }
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), names)
    }
}
fn references_lead_to_the_object_that_has_them() {
    if !have(&["gcc", "ld", "readelf"]) {
        return;
    }
    let set = Set::new();
    let all = ["user.ko", "vmlinux", "base.ko"];
    let (status, said, names) = set.patch("core(7)", &all);
    assert_eq!(status, Some(0), "{said}");
    // An export of vmlinux needs no livepatch symbol, one of a module does.
    assert_eq!(names, ".klp.sym.base.base_exported,0");
    let (status, said, names) = set.patch("base_shared(7)", &all);
    assert_eq!(status, Some(0), "{said}");
    assert!(names.contains(".klp.sym.base.base_shared,2"), "{names}");
    let (status, said, _) = set.patch("hidden(7)", &all);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("vmlinux does not export 'hidden'"), "{said}");
    // Without the images of the others the references stay with the linker.
    let (status, said, names) = set.patch("base_shared(7)", &["user.ko"]);
    assert_eq!((status, &*names), (Some(0), ""), "{said}");
}

/// The seals of the kernel hold for the patch of a module, too.
fn a_module_may_not_point_to_sealed_functions_of_the_kernel() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    let branch = "-fcf-protection=branch";
    let core = format!(
        "int sealed(int x) {{ return x * 3; }}\nint open(int x) {{ return x * 5; }}\n\
         void __fentry__(void);\n{}{}{}{}\
         asm(\".pushsection .ibt_endbr_seal,\\\"a\\\"; .long sealed - .; .popsection\");\n",
        export("sealed"),
        export("open"),
        export("__fentry__"),
        banner("6.12.1-lab")
    );
    link("ld", at, &[compile(at, "core", &core, &[branch])], &[]);
    let source = format!(
        "int sealed(int); int open(int);\n\
         __attribute__((noipa)) int mine_run(int (*f)(int)) {{ return f(1) + 1; }}\n\
         asm(\".pushsection .ibt_endbr_seal,\\\"a\\\"; .long use - .; .popsection\");\n\
         int use(int x)\n{{\n#ifdef PATCHED\n x += CALL;\n#endif\n return sealed(x) + open(x); }}\n{}",
        info("6.12.1-lab")
    );
    let orig = compile(at, "user", &source, &[branch]);
    module(at, "user.ko", std::slice::from_ref(&orig));
    let run = |call: &str, more: &[&str]| {
        let defines = [branch, "-DPATCHED", &format!("-DCALL={call}")];
        let patched = compile(at, "patched", &source, &defines);
        let mut tool = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        tool.current_dir(at).args([&orig, &patched]).args(["-o", "out.o", "--object", "user"]);
        let output = tool.args(["--image", "user=user.ko"]).args(more).output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let kernel = ["--image", "vmlinux"];
    let (status, said) = run("mine_run(sealed)", &kernel);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("'use' takes the address of 'sealed'"), "{said}");
    let (status, said) = run("mine_run(sealed)", &["--image", "vmlinux", "--allow-sealed=sealed"]);
    assert_eq!(status, Some(0), "{said}");
    for call in ["mine_run(open)", "sealed(x + 7)"] {
        let (status, said) = run(call, &kernel);
        assert_eq!(status, Some(0), "{call}: {said}");
    }
    // Without the kernel's image its functions are unknown.
    let (status, said) = run("mine_run(sealed)", &[]);
    assert_eq!(status, Some(0), "{said}");
}
fn images_of_different_kernels_are_refused() {
    if !have(&["gcc", "ld", "readelf"]) {
        return;
    }
    let set = Set::new();
    let at = set.folder.path();
    let base = format!("int base_exported(int x) {{ return x; }}\n{}", info("6.12.2-lab"));
    module(at, "old.ko", &[compile(at, "old", &base, &[])]);
    let (status, said, _) = set.patch("1", &["user.ko", "base=old.ko"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("the images are of different kernels"), "{said}");
    let (status, said, _) = set.patch("1", &["user.ko", "base=base.ko", "base.ko"]);
    assert_eq!(status, Some(64), "{said}");
    assert!(said.contains("several --image are that of base"), "{said}");
    let (status, said, _) = set.patch("1", &["vmlinux", "base.ko"]);
    assert_eq!(status, Some(64), "{said}");
}
fn what_a_module_refers_to_is_checked() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let source = "extern int outside, other; static volatile int mine = 3, yours = 4;\n\
        const char *text(void) { return TEXT; }\n\
        int far(void) { return VARIABLE; }\n\
        int near(void) { return STATIC; }\n\
        void both(void) { mine++; yours--; }\n";
    let build = |name: &str, defines: &[&str]| compile(folder, name, source, defines);
    let same = ["-DTEXT=\"one\"", "-DVARIABLE=outside", "-DSTATIC=mine"];
    // Something before it, so that offsets in the module are others.
    let first = compile(folder, "first", "int first(int x) { return x ^ 1; }\nint d = 1;", &[]);
    let path = module(folder, "mod.ko", &[first, build("running", &same)]);
    let data = std::fs::read(path).expect("module");
    let image = KernelImage::parse("mod.ko", &data).expect("image");
    let table = image.table().expect("table");
    let differing = |defines: [&str; 3]| -> Vec<String> {
        let object = std::fs::read(build("other", &defines)).expect("object");
        let outcomes = matched(&object, &image, &table);
        let differs = |(name, outcome): (String, Outcome)| match outcome {
            Outcome::Differs { what, .. } => Some(format!("{name}: {what}")),
            _ => None,
        };
        outcomes.functions.into_iter().filter_map(differs).collect()
    };
    assert_eq!(differing(same), Vec::<String>::new());
    let found = differing(["-DTEXT=\"two\"", same[1], same[2]]);
    assert!(found.len() == 1 && found[0].contains("the string \"two\""), "{found:?}");
    let found = differing([same[0], "-DVARIABLE=other", same[2]]);
    assert_eq!(found, ["far: it refers to 'other' here, but to 'outside' there"]);
    let found = differing([same[0], same[1], "-DSTATIC=yours"]);
    assert!(found.len() == 1 && found[0].contains("'yours' here"), "{found:?}");
}

/// Calls of linked kernels of other machines: their fields are parts of instructions.
fn calls_are_checked_on_other_machines() {
    for machine in ["aarch64-linux-gnu", "s390x-linux-gnu", "loongarch64-linux-gnu"] {
        let (gcc, ld) = (format!("{machine}-gcc"), format!("{machine}-ld"));
        let found = [format!("{gcc}-12"), format!("{gcc}-13"), format!("{gcc}-14"), gcc];
        let runs = |tool: &&String| {
            let run = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
            run.is_ok_and(|status| status.success())
        };
        let Some(gcc) = found.iter().find(runs) else {
            crate::suite::lacks(format!("no gcc for {machine}"));
            continue;
        };
        if !have(&[&ld]) {
            continue;
        }
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path();
        let build = |name: &str, text: &str| {
            std::fs::write(folder.join(format!("{name}.c")), text).expect("source");
            let mut gcc = Command::new(gcc);
            gcc.current_dir(folder).args(["-O2", "-c", "-fno-pic", "-ffunction-sections"]);
            run_tool(gcc.arg(format!("{name}.c")));
            folder.join(format!("{name}.o"))
        };
        let callees = build("callees", "int a(int x) { return x; }\nint b(int x) { return ~x; }\n");
        let text = "int a(int), b(int);\nint f(int x) { return a(x) + 1; }\n";
        let right = build("right", text);
        let wrong = build("wrong", &text.replace("return a(x)", "return b(x)"));
        let path = folder.join("vmlinux");
        let mut link = Command::new(ld);
        link.args(["-e", "0", "-Ttext=0x10000000", "-o"]).arg(&path).args([&right, &callees]);
        run_tool(&mut link);
        let data = std::fs::read(&path).expect("image");
        let image = KernelImage::parse("vmlinux", &data).expect("image");
        let table = image.table().expect("table");
        let check = |path: &Path| {
            let object = std::fs::read(path).expect("object");
            let object = Object::<Orig>::parse("orig.o", &object).expect("object");
            let layout = Layout::new(&object).expect("layout");
            let matched = match_image(&layout, &image, &table).expect("same machine");
            (matched.unchecked, Outcomes::new(&object, &matched).of("f").clone())
        };
        assert_eq!(check(&right), (0, Outcome::Same), "{machine}");
        let (_, outcome) = check(&wrong);
        let Outcome::Differs { what, .. } = outcome else { panic!("{machine}: {outcome:?}") };
        assert_eq!(what, "it refers to 'b' here, but to 'a' there", "{machine}");
    }
}

/// How a kernel compares names follows from its code, not only from its version.
fn the_code_of_the_kernel_tells_how_it_compares_names() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let matching = |version: &str, promoted: bool, walks: bool, suffix: bool| {
        let mut source = banner(version);
        if promoted {
            source += "int promoted(int x) __asm__(\"promoted.llvm.12345\");\n\
                int promoted(int x) { return x; }\n";
        }
        if walks {
            source += "int kallsyms_on_each_match_symbol(int x) { return x; }\n";
        }
        if suffix {
            source += "const char *suffix(void) { return \".llvm.\"; }\n";
        }
        let object = compile(folder.path(), "kernel", &source, &[]);
        let data = link("ld", folder.path(), &[object], &[]);
        KernelImage::parse("vmlinux", &data).expect("image").matching()
    };
    assert_eq!(matching("5.15.7", true, false, false), Matching::Exact);
    assert_eq!(matching("6.1.50", true, false, true), Matching::Exact);
    assert_eq!(matching("6.3.1", true, true, false), Matching::CutAtDot);
    assert_eq!(matching("6.4.12", true, true, true), Matching::CutPromoted);
    assert_eq!(matching("6.6.9", true, true, true), Matching::CutPromoted);
    assert_eq!(matching("6.6.9", false, true, true), Matching::Exact);
    assert_eq!(matching("6.10.9", true, true, false), Matching::Exact);
    assert_eq!(matching("6.12.1", true, true, false), Matching::Exact);
}

/// Compares two folders of two objects against an image that the originals and a third one make.
struct Folders {
    folder: tempfile::TempDir,
}

impl Folders {
    /// The sources of the objects as they are, as the patch has them, and of the third.
    fn new(sources: &[[&str; 2]; 2], third: &str, options: &[&str]) -> Folders {
        let folder = tempfile::tempdir().expect("folder");
        let at = folder.path();
        let mut linked = vec![compile(at, "third", third, &[])];
        for (n, [before, after]) in sources.iter().enumerate() {
            let orig = compile(at, &format!("orig/{n}"), before, &[]);
            compile(at, &format!("patched/{n}"), after, &["-DPATCHED"]);
            linked.push(orig);
        }
        link("ld", at, &linked, options);
        Folders { folder }
    }

    /// Exit status and what was said.
    fn run(&self) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.current_dir(self.folder.path()).args(["orig", "patched", "-o", "all.o"]);
        let output = command.args(["--image", "vmlinux"]).output().expect("klp-diff runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }
}

const LOW: &str = "__attribute__((noinline, no_instrument_function)) int low(int x)\n{\n\
    #ifdef PATCHED\n x ^= 5;\n#endif\n return x * 7 + 3; }\n\
    int high(int x) { return low(x + 1) * 3; }\n";
const OTHER: &str = "int other(int x) { return x * 11; }\n";
const CALLS: &str = "int low(int); int other(int x) { return low(x) * 11; }\n";

/// A function without an entry for ftrace is carried in a folder, too, where neither the image nor
/// another object of the patch has callers that are not.
fn callers_are_patched_in_folders() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let edited = OTHER.replace("11", "12");
    for (other, third, wanted, said) in [
        ([OTHER, &edited], "int third;", 0, "changed function: high"),
        ([OTHER, OTHER], "int third;", 0, "changed function: high"),
        ([OTHER, CALLS], "int third;", 2, "which is part of the patch, refers to it"),
        ([CALLS, CALLS], "int third;", 2, "other of another object refers to it"),
        ([OTHER, OTHER], "int low(int); int (*third)(int) = low;", 2, "third of another object"),
    ] {
        let (status, text) = Folders::new(&[[LOW, LOW], other], third, &[]).run();
        assert_eq!(status, Some(wanted), "{said}: {text}");
        assert!(text.contains(said), "{said}: {text}");
    }
}

const TABLE: &str = "#ifdef PATCHED\n#define V 9\n#else\n#define V 4\n#endif\n\
    const int table[20] = { 1, 2, 3, V, 5, 6 };\nint get(int i) { return table[i]; }\n";

/// A constant that other objects can name is local where the image shows nobody else who does.
fn readers_of_a_global_constant_are_seen() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let reader = |index: &str| {
        format!("extern const int table[];\nint other(int i) {{ return table[{index}]; }}\n")
    };
    let none = "const char name[] = \"a name that takes room\";\n\
        int other(int i) { return name[i]; }\n";
    let pointer = "extern const int table[];\nconst int *other = table + 2;\n";
    let cases = [
        (none.to_owned(), 0, "  constant at "),
        (reader("i"), 2, "other of another object refers to it"),
        (reader("i - 'a'"), 2, "other of another object refers to it"),
        (reader("7"), 2, "other of another object refers to it"),
        (pointer.to_owned(), 2, "other of another object refers to it"),
    ];
    let told = ["--emit-relocs"];
    for (third, wanted, said) in &cases {
        let folders = Folders::new(&[[TABLE, TABLE], [OTHER_NAME; 2]], third, &told);
        let (status, text) = folders.run();
        assert_eq!(status, Some(*wanted), "{third}: {text}");
        assert!(text.contains(said), "{said}: {text}");
    }
    // Without relocations a distance may lead from anywhere into the table.
    let (status, text) = Folders::new(&[[TABLE, TABLE], [OTHER_NAME; 2]], none, &[]).run();
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("only an image with relocations"), "{text}");
    // An object of the patch that begins to read it.
    let reads = reader("i").replace("other", "another");
    let (status, text) =
        Folders::new(&[[TABLE, TABLE], [OTHER_NAME, &reads]], "int third;", &told).run();
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("which is part of the patch, refers to it"), "{text}");
}

const OTHER_NAME: &str = "int another(int x) { return x * 11; }\n";

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "references_lead_to_the_object_that_has_them",
            references_lead_to_the_object_that_has_them,
        ),
        (
            "a_module_may_not_point_to_sealed_functions_of_the_kernel",
            a_module_may_not_point_to_sealed_functions_of_the_kernel,
        ),
        ("images_of_different_kernels_are_refused", images_of_different_kernels_are_refused),
        ("what_a_module_refers_to_is_checked", what_a_module_refers_to_is_checked),
        ("calls_are_checked_on_other_machines", calls_are_checked_on_other_machines),
        ("callers_are_patched_in_folders", callers_are_patched_in_folders),
        ("readers_of_a_global_constant_are_seen", readers_of_a_global_constant_are_seen),
        (
            "the_code_of_the_kernel_tells_how_it_compares_names",
            the_code_of_the_kernel_tells_how_it_compares_names,
        ),
    ])
}
