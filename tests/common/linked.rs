//! Small kernels of our own C for the tests of linked images.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use klp_diff::diag::Result;
use klp_diff::elf::ids::Orig;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::OutObject;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::kernel::layout::Layout;
use klp_diff::report::Report;
use klp_diff::running::image::KernelImage;
use klp_diff::running::image_match::{ImageMatch, Outcome, match_image};
use klp_diff::running::symtab::ParentTable;
use klp_diff::{Input, Job, ParentFiles};

pub const FLAGS: [&str; 12] = [
    "-O2",
    "-c",
    "-ffunction-sections",
    "-fdata-sections",
    "-pg",
    "-mfentry",
    "-fno-pic",
    "-mcmodel=kernel",
    "-fno-asynchronous-unwind-tables",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-mno-red-zone",
];

/// Whether all tools can be run; says which not.
pub fn have(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| {
        let run = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
        !run.is_ok_and(|status| status.success())
    });
    if let Some(tool) = missing {
        crate::suite::lacks(format!("{tool} is not installed"));
    }
    missing.is_none()
}

pub fn run_tool(command: &mut Command) {
    let output = crate::suite::output(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Compiles `text` as `FOLDER/NAME/file.c`: all objects have the same FILE symbol.
pub fn compile(folder: &Path, name: &str, text: &str, defines: &[&str]) -> PathBuf {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).expect("folder");
    std::fs::write(folder.join("file.c"), text).expect("source");
    let mut gcc = Command::new("gcc");
    gcc.current_dir(&folder).args(FLAGS).args(defines).args(["-o", "file.o", "file.c"]);
    run_tool(&mut gcc);
    folder.join("file.o")
}

pub fn link(linker: &str, folder: &Path, objects: &[PathBuf], options: &[&str]) -> Vec<u8> {
    let fentry = "__attribute__((no_instrument_function)) void __fentry__(void) {}";
    let fentry = compile(folder, "fentry", fentry, &[]);
    let image = folder.join("vmlinux");
    let mut ld = Command::new(linker);
    ld.args(options).args(["-e", "0", "-Ttext=0xffffffff81000000", "-o"]);
    ld.arg(&image).args(objects).arg(fentry);
    run_tool(&mut ld);
    std::fs::read(image).expect("image")
}

/// Matches one object with an image.
pub fn matched(object: &[u8], image: &KernelImage<'_>, table: &ParentTable<'_>) -> Outcomes {
    let object = Object::<Orig>::parse("orig.o", object).expect("object");
    let layout = Layout::new(&object).expect("layout");
    let matched = match_image(&layout, image, table).expect("same machine");
    Outcomes::new(&object, &matched)
}

/// Outcome and entry by name.
pub struct Outcomes {
    pub functions: Vec<(String, Outcome)>,
    pub entries: BTreeMap<String, u32>,
}

impl Outcomes {
    pub fn new(object: &Object<'_, Orig>, matched: &ImageMatch<Orig>) -> Self {
        let name = |id| object.symbol_name(id).to_owned();
        let functions = matched.functions.iter();
        let entries = object.symbols().filter_map(|id| Some((name(id), matched.entries[id]?)));
        Outcomes {
            functions: functions.map(|c| (name(c.function), c.outcome.clone())).collect(),
            entries: entries.collect(),
        }
    }

    pub fn of(&self, name: &str) -> &Outcome {
        let found = self.functions.iter().find(|f| f.0 == name);
        &found.unwrap_or_else(|| panic!("no function {name}")).1
    }
}

pub fn diff(
    orig: &[u8],
    patched: &[u8],
    image: &KernelImage<'_>,
    strict: bool,
) -> (Result<Option<OutObject>>, Report) {
    let job = Job {
        parent: Some(ParentFiles {
            name: "vmlinux",
            symtab: Input { name: "", data: "" },
            symvers: Input { name: "", data: "" },
            image: Some(image),
            strict,
            pointers: Default::default(),
            known: None,
        }),
        sizes: StructSizes::new([], true),
        ..Job::new(Input { name: "orig.o", data: orig }, Input { name: "patched.o", data: patched })
    };
    let run = klp_diff::run(&job);
    (run.outcome.patch(), run.report)
}

/// (old address, sympos) of the first function of an output.
pub fn first_function(object: &OutObject) -> (u64, u64) {
    let funcs = object.sections.iter().find(|s| s.name == ".kpatch.funcs").expect("functions");
    let word =
        |at: usize| u64::from_le_bytes(*funcs.data[at..].first_chunk::<8>().expect("a whole row"));
    (word(16), word(32))
}
