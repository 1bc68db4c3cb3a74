//! The objects of the exhaustive run: small ones of every machine and compiler.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::subjects::{Subject, sizes_of_cases};

const COMMON: &str = "-O2 -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables \
     -fno-unwind-tables -fno-stack-protector -fno-strict-aliasing -std=gnu11";

/// A compiler with its options, and the cases that it compiles.
struct Tool {
    name: &'static str,
    command: &'static str,
    cases: &'static [&'static str],
}

const X86: &str = "-mno-red-zone -fno-pic -mcmodel=kernel -pg -mfentry";

const TOOLS: [Tool; 9] = [
    Tool {
        name: "gcc-12",
        command: "gcc-12",
        cases: &[
            "line-warning",
            "trap-flags",
            "extable",
            "jump-label",
            "alternative-replacement",
            "static-call",
            "switch-jump-table",
            "switch-lookup",
            "static-local-same-name",
            "ratelimit-in-changed",
            "string-table",
            "kcfi-trap",
            "assembly-data",
            "row-in-function",
            "initcall-new",
            "weak",
            "alias",
            "tls",
            "common",
        ],
    },
    Tool {
        name: "clang-14",
        command: "clang-14",
        cases: &["constant-pool", "compound-literal", "switch-lookup", "strings-by-section"],
    },
    Tool {
        name: "clang-16",
        command: "clang-16",
        cases: &["switch-jump-table", "local-array", "once", "function-name"],
    },
    Tool {
        name: "clang-19",
        command: "clang-19",
        cases: &["constant-in-parts", "string-table", "static-local", "line-warning", "extable"],
    },
    Tool {
        name: "aarch64-gcc",
        command: "aarch64-linux-gnu-gcc-12 -mgeneral-regs-only -fno-pic \
             -fpatchable-function-entry=2 -mbranch-protection=pac-ret+bti",
        cases: &["jump-label", "extable", "constant-pool", "static-local", "line-warning"],
    },
    Tool {
        name: "aarch64-clang-19",
        command: "clang-19 --target=aarch64-linux-gnu -mgeneral-regs-only -fno-pic \
             -fpatchable-function-entry=2",
        cases: &["switch-jump-table", "string-table"],
    },
    Tool {
        name: "ppc64le-gcc",
        command: "powerpc64le-linux-gnu-gcc-12 -mabi=elfv2 -msoft-float -mno-altivec -mno-vsx \
             -fno-pic -fno-optimize-sibling-calls -mcmodel=large -mprofile-kernel -pg",
        cases: &["jump-label", "switch-jump-table", "static-local", "line-warning"],
    },
    Tool {
        name: "s390x-gcc",
        command: "s390x-linux-gnu-gcc-12 -m64 -march=z13 -msoft-float -fno-section-anchors -fPIE \
             -pg -mfentry -mrecord-mcount -mnop-mcount",
        cases: &["jump-label", "extable", "constant-pool", "line-warning"],
    },
    Tool {
        name: "loongarch64-clang-19",
        command: "clang-19 --target=loongarch64-linux-gnusf -msoft-float \
             -fpatchable-function-entry=2 -fno-pic",
        cases: &["jump-label", "switch-jump-table", "string-table"],
    },
];

/// What is linked to one object, as a kernel of few files is.
const LINKED: [&str; 5] =
    ["jump-label", "static-local-same-name", "switch-lookup", "string-table", "trap-flags"];

/// Objects of real kernels, below the folder that `KLP_DIFF_DATA` names.
const DATA: [&str; 11] = [
    "kernel-gcc/cases/cmdline-string/orig/fs/proc/cmdline.o",
    "kernel-gcc/cases/loadavg-newfunc/orig/fs/proc/loadavg.o",
    "kernel-gcc/cases/special-sections/orig/fs/proc/uptime.o",
    "kernel-gcc/cases/static-local/orig/fs/drop_caches.o",
    "kpatch-objs/loongarch64/proc-version.ORIG.o",
    "kpatch-objs/loongarch64/gcc-static-local-var-6.ORIG.o",
    "kpatch-objs/aarch64/cmdline-patch.ORIG.o",
    "kpatch-objs/aarch64/cmdline-ubsan.ORIG.o",
    "kpatch-objs/s390x/cmdline-string.ORIG.o",
    "kpatch-objs/s390x/smp-locks-section.ORIG.o",
    "kpatch-objs/ppc64le/meminfo-string.ORIG.o",
];

fn sizes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn of_machine(name: &str) -> BTreeMap<String, String> {
    if name.starts_with("kernel-gcc") {
        return sizes(&[
            ("ALT_STRUCT_SIZE", "14"),
            ("BUG_STRUCT_SIZE", "12"),
            ("EX_STRUCT_SIZE", "12"),
            ("JUMP_STRUCT_SIZE", "16"),
            ("ORC_STRUCT_SIZE", "6"),
            ("PRINTK_INDEX_STRUCT_SIZE", "44"),
            ("STATIC_CALL_STRUCT_SIZE", "8"),
        ]);
    }
    if name.contains("ppc64le") {
        return sizes(&[
            ("BUG_STRUCT_SIZE", "24"),
            ("EX_STRUCT_SIZE", "8"),
            ("FIXUP_STRUCT_SIZE", "48"),
            ("JUMP_STRUCT_SIZE", "24"),
        ]);
    }
    sizes(&[
        ("ALT_STRUCT_SIZE", "12"),
        ("BUG_STRUCT_SIZE", "12"),
        ("EX_STRUCT_SIZE", "12"),
        ("JUMP_STRUCT_SIZE", "16"),
        ("ORC_STRUCT_SIZE", "8"),
        ("PRINTK_INDEX_STRUCT_SIZE", "44"),
    ])
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn run(command: &str, out: &Path, inputs: &[PathBuf]) -> bool {
    let mut words = command.split_whitespace();
    let Some(program) = words.next() else { return false };
    let mut command = Command::new(program);
    command.args(words).arg("-o").arg(out).args(inputs);
    command.output().is_ok_and(|done| done.status.success())
}

/// The objects, and the names of those that cannot be had here.
pub fn all(wanted: &str) -> (Vec<Subject>, Vec<String>) {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let Ok(out) = tempfile::tempdir() else { return (found, missing) };
    let mut add = |name: String, make: &dyn Fn(&Path) -> bool, sizes: BTreeMap<String, String>| {
        if !name.contains(wanted) {
            return;
        }
        let object = out.path().join("made.o");
        let made = make(&object).then(|| std::fs::read(&object).ok()).flatten();
        match made {
            Some(bytes) => found.push(Subject { name, bytes, sizes }),
            None => missing.push(name),
        }
    };
    let case = |case: &str| folder(&format!("corpus/cases/{case}.c"));
    for tool in &TOOLS {
        let x86 = if tool.name.contains("clang") && tool.name.contains('4')
            || tool.command.starts_with("gcc")
            || matches!(tool.name, "clang-16" | "clang-19")
        {
            X86
        } else {
            ""
        };
        let x86 = if tool.command.contains("--target") { "" } else { x86 };
        let command = format!("{} {COMMON} {x86} -c", tool.command);
        for name in tool.cases {
            let make = |out: &Path| run(&command, out, &[case(name)]);
            add(format!("{}/{name}", tool.name), &make, sizes_of_cases());
        }
    }
    let gcc = format!("gcc-12 {COMMON} {X86} -c");
    let source = folder("examples/mutate/exhaust/entry.S");
    add(
        "gcc-12/entry.S".to_owned(),
        &|o: &Path| run(&gcc, o, std::slice::from_ref(&source)),
        sizes_of_cases(),
    );
    let link = |o: &Path| {
        let parts: Vec<PathBuf> =
            LINKED.iter().map(|n| o.with_file_name(format!("{n}.o"))).collect();
        let made = LINKED.iter().zip(&parts).all(|(name, part)| run(&gcc, part, &[case(name)]));
        made && run("ld -r", o, &parts)
    };
    add("gcc-12/linked".to_owned(), &link, sizes_of_cases());
    let root = std::env::var_os("KLP_DIFF_DATA").map(PathBuf::from);
    for name in DATA {
        let path = root.as_ref().map(|root| root.join(name));
        let copy = |o: &Path| path.as_ref().is_some_and(|p| std::fs::copy(p, o).is_ok());
        add(name.to_owned(), &copy, of_machine(name));
    }
    (found, missing)
}
