//! The klp flavour of an output means what create-klp-module makes of the kpatch flavour, on
//! objects of real kernels.
//!
//! Needs the environment variable KLP_DIFF_DATA (folder with `kpatch-objs`).

#[path = "common/suite.rs"]
mod suite;

use std::path::{Path, PathBuf};

use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::OutObject;
use klp_diff::elf::write::write;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::patch::convert::{ConvertOptions, convert, to_klp_module};
use klp_diff::report::canon;
use klp_diff::{Input, Job, ParentFiles, run};

/// One pair with what its kernel says about it.
#[derive(serde::Deserialize)]
struct Case {
    arch: String,
    case: String,
    exit: i32,
    env: std::collections::BTreeMap<String, String>,
}

fn output(root: &Path, case: &Case) -> Option<OutObject> {
    let file = |end: &str| root.join(&case.arch).join(format!("{}.{end}", case.case));
    let read = |end: &str| std::fs::read(file(end)).unwrap();
    let (orig, patched) = (read("ORIG.o"), read("PATCHED.o"));
    let symtab = std::fs::read_to_string(file("symtab")).unwrap();
    let job = Job {
        parent: Some(ParentFiles {
            name: "vmlinux",
            symtab: Input { name: "symtab", data: &symtab },
            symvers: Input { name: "symvers", data: "" },
            image: None,
            strict: false,
            pointers: Default::default(),
            known: None,
        }),
        sizes: StructSizes::new(case.env.clone(), false),
        policy: klp_diff::Policy::KPATCH,
        ..Job::new(
            Input { name: "orig.o", data: &orig },
            Input { name: "patched.o", data: &patched },
        )
    };
    run(&job).outcome.patch().unwrap_or_else(|e| panic!("{}: {e}", case.case))
}

fn lines(object: &OutObject) -> Vec<String> {
    let bytes = write(object).unwrap();
    canon::canonical(&Object::<Patched>::parse("klp.o", &bytes).unwrap()).unwrap()
}
fn the_klp_flavour_is_what_create_klp_module_makes() {
    let Some(root) = std::env::var_os("KLP_DIFF_DATA").map(PathBuf::from) else {
        crate::suite::lacks("KLP_DIFF_DATA is unset");
        return;
    };
    let root = root.join("kpatch-objs");
    let index = std::fs::read_to_string(root.join("index.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&index).unwrap();
    let mut livepatch = std::collections::BTreeSet::new();
    for case in cases.iter().filter(|case| case.exit == 0) {
        let model = output(&root, case).unwrap();
        let bytes = write(&model).unwrap();
        let module = Object::<Patched>::parse("out.o", &bytes).unwrap();
        let options = ConvertOptions { klp_arch_sections: true };
        let converted = lines(&to_klp_module(&module, &options, None).unwrap());
        let direct = lines(&convert(model, &options, None).unwrap());
        assert_eq!(canon::diff(&converted, &direct), [] as [String; 0], "{}", case.case);
        if direct.iter().any(|line| line.starts_with("relasec .klp.rela.vmlinux.")) {
            livepatch.insert(&case.arch);
        }
    }
    assert_eq!(livepatch.len(), 5, "{livepatch:?} have livepatch relocations");
}

fn main() -> std::process::ExitCode {
    suite::run(&[(
        "the_klp_flavour_is_what_create_klp_module_makes",
        the_klp_flavour_is_what_create_klp_module_makes,
    )])
}
