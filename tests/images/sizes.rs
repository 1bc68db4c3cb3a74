//! Sizes of the kernel's structs, which an image's type information tells.

use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::running::image::KernelImage;

use crate::linked::{compile, have, link};

pub fn struct_sizes_come_from_btf() {
    if !have(&["gcc"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let source = "struct bug_entry { int addr, file; unsigned short line, flags; };\n\
        struct alt_instr { int a, b; unsigned int c; unsigned char d, e; } __attribute__((packed));\n\
        struct bug_entry bug; struct alt_instr alternative; int f(void) { return 1; }\n";
    let path = compile(folder.path(), "btf", source, &["-gbtf"]);
    let data = std::fs::read(path).expect("object");
    let image = KernelImage::parse("mod.ko", &data).expect("image");
    let mut sizes = image.struct_sizes().expect("well-formed");
    sizes.sort_unstable();
    if sizes.is_empty() {
        crate::suite::lacks("this gcc writes no BTF");
        return;
    }
    assert_eq!(sizes, [("ALT_STRUCT_SIZE", 14), ("BUG_STRUCT_SIZE", 12)]);
    let sizes = StructSizes::new([], true).with_image(sizes);
    assert_eq!(sizes.of_image("BUG_STRUCT_SIZE"), Some(12));
    assert_eq!(sizes.of_image("EX_STRUCT_SIZE"), None);
}

pub fn struct_sizes_come_from_dwarf() {
    if !have(&["gcc", "ld", "objcopy"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let source = "struct bug_entry { int addr, file; unsigned short line, flags; };\n\
        struct orc_entry { short a, b; short c; } __attribute__((packed));\n\
        struct jump_entry { int code, target; long key; };\n\
        struct bug_entry bug; struct orc_entry orc; struct jump_entry jump;\n";
    let other = "struct jump_entry { int code, target, key; } *other; struct orc_entry *unknown;\n";
    let wanted = [("BUG_STRUCT_SIZE", 12), ("JUMP_STRUCT_SIZE", 16), ("ORC_STRUCT_SIZE", 6)];
    let sizes = |data: &[u8]| KernelImage::parse("vmlinux", data).expect("image").struct_sizes();
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let object = compile(folder, "with", source, &["-g", version]);
        let module = std::fs::read(&object).expect("object");
        assert_eq!(sizes(&module).expect("well-formed"), wanted, "{version}, not linked");
        let image = link("ld", folder, std::slice::from_ref(&object), &[]);
        assert_eq!(sizes(&image).expect("well-formed"), wanted, "{version}");
        for at in (0..image.len()).step_by(97) {
            let mut broken = image.clone();
            broken[at] ^= 0x5a;
            if let Ok(image) = KernelImage::parse("vmlinux", &broken) {
                // Only must not panic.
                let _ = image.struct_sizes();
            }
        }
        // What two structs of one name are is unknown.
        let other = compile(folder, "other", other, &["-g", version]);
        let image = link("ld", folder, &[object, other], &[]);
        assert_eq!(sizes(&image).expect("well-formed"), [wanted[0], wanted[2]], "{version}");
    }
}
