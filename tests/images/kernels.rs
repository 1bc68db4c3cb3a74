//! On real kernels: what runs, positions of symbols, and what readelf prints.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use klp_diff::running::image::KernelImage;
use klp_diff::running::image_match::Outcome;
use klp_diff::running::kallsyms;
use klp_diff::running::symtab::{Order, ParentTable};

use crate::linked::{have, matched, run_tool};

/// The reference kernels, unpacked once for all tests of this file.
struct Kernels {
    folder: tempfile::TempDir,
}

impl Kernels {
    fn unpack() -> Option<Kernels> {
        let Some(root) = std::env::var_os("KLP_DIFF_DATA").map(PathBuf::from) else {
            crate::suite::lacks("KLP_DIFF_DATA is unset");
            return None;
        };
        if !have(&["tar", "xz"]) {
            return None;
        }
        let folder = tempfile::tempdir().expect("folder");
        for archive in ["kernel-lto/boot/vmlinux-images.tar.xz", "kernel-lto/objs-orig.tar.xz"] {
            let mut tar = Command::new("tar");
            run_tool(tar.arg("xf").arg(root.join(archive)).arg("-C").arg(folder.path()));
        }
        std::fs::copy(root.join("kernel-gcc/boot/vmlinux.xz"), folder.path().join("gcc.xz"))
            .expect("copies");
        run_tool(Command::new("xz").arg("-d").arg(folder.path().join("gcc.xz")));
        Some(Kernels { folder })
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(name)).expect("reads")
    }

    fn objects(&self) -> Vec<Vec<u8>> {
        let mut folders = vec![self.folder.path().join("objs")];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("folder") {
                let path = entry.expect("entry").path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files.iter().map(|f| std::fs::read(f).expect("object")).collect()
    }
}

/// How many functions of all objects have which outcome.
fn count(objects: &[Vec<u8>], data: &[u8]) -> BTreeMap<&'static str, usize> {
    let image = KernelImage::parse("vmlinux", data).expect("image");
    let table = image.table().expect("table");
    let mut counts = BTreeMap::new();
    for object in objects {
        for (_, outcome) in matched(object, &image, &table).functions {
            let kind = match outcome {
                Outcome::Same => "same",
                Outcome::Differs { .. } => "differs",
                Outcome::Rewritten => "rewritten",
                Outcome::Relaid => "relaid",
                Outcome::Absent => "absent",
                Outcome::Overridden { .. } => "overridden",
            };
            *counts.entry(kind).or_insert(0) += 1;
        }
    }
    counts
}

/// Byte offsets in the file of the middle of ten functions, none of them in a field that the
/// link fills in, and their names.
fn places(image: &KernelImage<'_>, data: &[u8]) -> Vec<(usize, String)> {
    let table = image.table().expect("table");
    let functions = table.entries().iter().enumerate().filter(|(_, e)| {
        e.kind == 2
            && e.size > 64
            && !e.name.starts_with("__cfi_")
            && table.named(e.name).len() == 1
    });
    let all: Vec<(usize, String)> = functions
        .filter_map(|(i, e)| {
            let bytes = image.bytes_of(&table, i as u32)?;
            let at = bytes.as_ptr() as usize - data.as_ptr() as usize;
            // Any byte will do: also what the link fills in is checked.
            Some((at + (i * 7919) % e.size as usize, e.name.to_owned()))
        })
        .collect();
    (0..10).map(|i| all[(i * 2 + 1) * all.len() / 21].clone()).collect()
}

pub fn the_objects_of_a_kernel_are_what_runs() {
    let Some(kernels) = Kernels::unpack() else { return };
    let objects = kernels.objects();
    assert_eq!(objects.len(), 1450);
    let mut data = kernels.read("vmlinux");
    let plain = count(&objects, &data);
    assert_eq!(plain, BTreeMap::from([("same", 32754), ("overridden", 17)]));
    let bolted = count(&objects, &kernels.read("vmlinux.bolt"));
    assert_eq!(bolted.get("differs"), None);
    assert_eq!(bolted.get("absent"), None);
    // 2528 functions have other bytes than before BOLT; three of them are weak.
    assert_eq!(bolted["rewritten"], 2525);
    // BOLT says that it wrote 2639: 94 of these functions and 2 of assembly have their old
    // bytes before BOLT's padding, and 15 have neither other bytes nor room for padding.
    assert_eq!(bolted["relaid"], 94);
    assert_eq!(bolted["overridden"], 17 + 3);

    let image = KernelImage::parse("vmlinux", &data).expect("image");
    let planted = places(&image, &data);
    for &(at, _) in &planted {
        data[at] ^= 0x10;
    }
    let image = KernelImage::parse("vmlinux", &data).expect("image");
    let table = image.table().expect("table");
    let mut found: Vec<String> = Vec::new();
    for object in &objects {
        for (name, outcome) in matched(object, &image, &table).functions {
            if matches!(outcome, Outcome::Differs { .. }) {
                found.push(name);
            }
        }
    }
    let mut wanted: Vec<String> = planted.into_iter().map(|p| p.1).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

pub fn positions_are_those_of_kallsyms() {
    if !have(&["python3"]) {
        return;
    }
    let Some(kernels) = Kernels::unpack() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sympos.py");
    for (name, least) in [("vmlinux", 87_000), ("vmlinux.bolt", 87_000), ("gcc", 50_000)] {
        let data = kernels.read(name);
        let image = KernelImage::parse(name, &data).expect("image");
        let version = image.version().map(|v| v.to_string());
        assert_eq!(version.as_deref(), Some("6.12"), "{name}");
        assert_eq!(image.bolt.is_some(), name == "vmlinux.bolt");
        let table = image.table().expect("table");
        let mut list = String::new();
        let mut count = 0;
        for (i, entry) in table.entries().iter().enumerate() {
            if entry.kind == 0 || !kallsyms::lists(entry.name) {
                continue;
            }
            let rank = table.rank(i as u32, Order::Address);
            count += 1;
            list +=
                &format!("{}\t{:x}\t{}\t{}\n", entry.name, entry.addr, rank.position, rank.total);
        }
        assert!(count > least, "{name}: only {count} symbols");
        let mut python = Command::new("python3")
            .arg(&script)
            .arg(kernels.folder.path().join(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs");
        python.stdin.take().expect("pipe").write_all(list.as_bytes()).expect("writes");
        let output = python.wait_with_output().expect("ends");
        let text = String::from_utf8_lossy(&output.stdout);
        eprintln!("{name}: {}", text.trim());
        assert!(output.status.success(), "{name}: {text}");
    }
}

pub fn an_image_gives_the_table_that_readelf_prints() {
    if !have(&["readelf"]) {
        return;
    }
    let Some(kernels) = Kernels::unpack() else { return };
    let path = kernels.folder.path().join("vmlinux");
    let output = Command::new("readelf").args(["-s", "--wide"]).arg(&path).output().expect("runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let text = ParentTable::parse("text", &text).expect("parses");
    let data = kernels.read("vmlinux");
    let image = KernelImage::parse("vmlinux", &data).expect("image");
    let table = image.table().expect("table");
    // The image leaves out absolute symbols, which the kernel does not list.
    let absolute = image.elf.symbols().iter().filter(|s| s.section == 0xfff1);
    let absolute: Vec<(&str, u64)> = absolute.map(|s| (s.name, s.value)).collect();
    let rest: Vec<_> =
        text.entries().iter().filter(|e| !absolute.contains(&(e.name, e.addr))).collect();
    assert_eq!(rest.len(), table.entries().len());
    assert!(rest.iter().zip(table.entries().iter()).all(|(a, b)| *a == b));
    let core = text.blocks_named("core.c");
    assert!(core.len() > 1);
    assert_eq!(core.len(), table.blocks_named("core.c").len());
}
