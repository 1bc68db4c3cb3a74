//! Converts a linked patch into the form that the kernel reads.
#![no_main]

use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::write::write;
use klp_diff::patch::convert::{ConvertOptions, to_klp_module};
use klp_diff::prove::prove_klp;
use klp_diff_fuzz::mutate_object;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| {
    mutate_object(data, size, max, seed)
});

fuzz_target!(|data: &[u8]| {
    let Ok(object) = Object::<Patched>::parse("patch.o", data) else { return };
    for klp_arch_sections in [true, false] {
        let options = ConvertOptions { klp_arch_sections };
        if let Ok(module) = to_klp_module(&object, &options, Some(16))
            && let Ok(bytes) = write(&module)
        {
            // Either outcome is fine; a module that differs is refused.
            let _ = prove_klp(data, &bytes);
        }
    }
});
