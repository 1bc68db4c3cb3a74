//! Objects of a compiler, and the patch that comes of two.

use std::path::Path;
use std::process::{Command, Stdio};

use klp_diff::diag::Result;
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::OutObject;
use klp_diff::elf::write::write;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::report::{Report, canon};
use klp_diff::{Input, Job, ParentFiles, run};

/// What a compiler, given with its options, makes of `file.c` in `folder` with `define`; it is
/// also left in the folder, under that name. `None` without the compiler.
pub fn compile(command: &str, options: &str, folder: &Path, define: &str) -> Option<Vec<u8>> {
    let mut words = command.split_whitespace();
    let mut compiler = Command::new(words.next().expect("a program"));
    compiler.current_dir(folder).args(words).args(options.split_whitespace());
    compiler.args([&format!("-D{define}"), "-o", define, "file.c"]).stdin(Stdio::null());
    let Ok(done) = compiler.output() else {
        crate::suite::lacks(format!("{command}: not installed"));
        return None;
    };
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    Some(std::fs::read(folder.join(define)).expect("object"))
}

/// What to do with two objects, when nothing is known of the kernel.
#[allow(dead_code)]
pub fn job<'a>(orig: &'a [u8], patched: &'a [u8]) -> Job<'a> {
    Job {
        sizes: StructSizes::new([], true),
        ..Job::new(Input { name: "orig.o", data: orig }, Input { name: "patched.o", data: patched })
    }
}

/// The canonical lines of the patch, and the report. The kernel consists of the original
/// object, which also lies in the file `at`. `who` is named when something goes wrong.
#[allow(dead_code)]
pub fn patch(who: &str, at: &Path, pair: [&[u8]; 2], drop_in: bool) -> (Vec<String>, Report) {
    let (bytes, report) = output(who, at, pair, drop_in);
    let object = Object::<Patched>::parse("out.o", &bytes).expect("well-formed");
    (canon::canonical(&object).expect("well-formed"), report)
}

/// The patch itself; see [`patch`].
pub fn output(who: &str, at: &Path, pair: [&[u8]; 2], drop_in: bool) -> (Vec<u8>, Report) {
    let (output, report) = outcome(at, pair, drop_in);
    let output = output.unwrap_or_else(|e| panic!("{who}: {e}"));
    (write(&output.expect("changes")).expect("writes"), report)
}

/// What comes of it; see [`patch`].
pub fn outcome(
    at: &Path,
    [orig, patched]: [&[u8]; 2],
    drop_in: bool,
) -> (Result<Option<OutObject>>, Report) {
    let table = crate::suite::output(Command::new("readelf").arg("-sW").arg(at));
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    // Of the rows that the sources write themselves.
    let sizes = [("EX_STRUCT_SIZE", "12"), ("JUMP_STRUCT_SIZE", "16")];
    let sizes = sizes.map(|(name, size)| (name.to_owned(), size.to_owned()));
    let job = Job {
        parent: Some(ParentFiles {
            name: "vmlinux",
            symtab: Input { name: "symtab", data: &table },
            symvers: Input { name: "symvers", data: "" },
            image: None,
            strict: false,
            pointers: Default::default(),
            known: None,
        }),
        sizes: StructSizes::new(sizes, true),
        policy: if drop_in { klp_diff::Policy::KPATCH } else { klp_diff::Policy::NATIVE },
        ..Job::new(Input { name: "orig.o", data: orig }, Input { name: "patched.o", data: patched })
    };
    let run = run(&job);
    (run.outcome.patch(), run.report)
}
