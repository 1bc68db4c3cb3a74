//! Reads the texts that describe a kernel: symbol tables, exports, sizes.
#![no_main]

use klp_diff::running::symtab::ParentTable;
use klp_diff::running::symvers::Symvers;
use klp_diff::kernel::knowledge::tables::StructSizes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(table) = ParentTable::parse("symtab", &text) {
        for name in text.split_whitespace().take(64) {
            for &index in table.named(name) {
                let _ = table.compared_rank(index);
            }
        }
    }
    if let Ok(exports) = Symvers::parse("Module.symvers", &text) {
        for name in text.split_whitespace().take(64) {
            let _ = exports.get(name);
        }
    }
    let sizes = text.lines().filter_map(|line| line.split_once('='));
    let sizes = StructSizes::new(sizes.map(|(k, v)| (k.to_owned(), v.to_owned())), true);
    let _ = sizes.given("BUG_STRUCT_SIZE");
});
