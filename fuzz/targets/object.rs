//! Reads an object, lays it out, and writes it again.
#![no_main]

use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::OutObject;
use klp_diff::elf::write::write;
use klp_diff::running::image::KernelImage;
use klp_diff::kernel::layout::Layout;
use klp_diff::report::canon::canonical;
use klp_diff_fuzz::mutate_object;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| {
    mutate_object(data, size, max, seed)
});

fuzz_target!(|data: &[u8]| {
    if let Ok(image) = KernelImage::parse("image", data) {
        let _ = image.table();
        let _ = image.struct_sizes();
    }
    let Ok(object) = Object::<Patched>::parse("file.o", data) else { return };
    let _ = Layout::new(&object);
    let _ = canonical(&object);
    if let Ok(copy) = OutObject::from_object(&object) {
        let _ = write(&copy);
    }
});
