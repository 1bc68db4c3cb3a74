//! Every layout of every table on every machine that has it: rows of it, made here, are found to have its size and no
//! other, without a size being given. Real objects have few of them (docs/rows.md).

use std::collections::BTreeSet;

use klp_diff::arch::{Arch, RelocClass};
use klp_diff::elf::abi;
use klp_diff::elf::ids::Orig;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::{OutObject, OutReloc, OutSection, OutSymbol};
use klp_diff::elf::write::write;
use klp_diff::kernel::fit::attempts;
use klp_diff::kernel::knowledge::forms::{Form, Holds};
use klp_diff::kernel::knowledge::tables::{RowSize, TABLES};
use klp_diff::kernel::layout::Layout;

/// x86_64, aarch64, powerpc64, s390x, loongarch64.
const MACHINES: [u16; 5] = [62, 183, 21, 22, 258];
/// The fewest rows, and as many as make a period of the sizes of two layouts.
const ROWS: [u64; 4] = [1, 2, 3, 6];

/// An object with a function and rows of a layout that describe it. `entsize`: of the table.
fn object(arch: &Arch, section: &str, form: &Form, entsize: u64, rows: u64) -> Vec<u8> {
    let mut out = OutObject {
        big_endian: arch.big_endian,
        kind: abi::ET_REL,
        machine: arch.machine,
        flags: if arch.machine == 21 { 2 } else { 0 },
        ..OutObject::default()
    };
    let mut text = OutSection::plain(".text.f", 16, 0, vec![0; 96]);
    text.flags |= abi::SHF_EXECINSTR;
    out.sections.push(text);
    let code = out.add_symbol(OutSymbol::of_section(0));
    let function =
        OutSymbol { kind: abi::STT_FUNC, bind: abi::STB_GLOBAL, ..OutSymbol::of_section(0) };
    out.add_symbol(OutSymbol { name: "f".into(), size: 96, ..function });
    let outside = out.add_symbol(OutSymbol::undefined("outside"));
    let handler = out.add_symbol(OutSymbol::undefined("ex_handler_default"));
    let wide = |width: u64| {
        let of_width =
            |class| arch.relocs.iter().find(|r| u64::from(r.width) == width && r.class == class);
        let relative = of_width(RelocClass::PcRelative).filter(|_| width == 4);
        relative.or_else(|| of_width(RelocClass::Absolute)).expect("a relocation").id
    };
    let (mut data, mut entries) = (vec![0u8; (form.size * rows) as usize], Vec::new());
    for row in 0..rows {
        for field in form.fields {
            let at = row * form.size + field.at;
            let (symbol, addend) = match field.holds {
                // What differs in every byte is told from what is zero.
                Holds::Number => {
                    data[at as usize..(at + field.bytes) as usize].fill(0x11);
                    continue;
                }
                Holds::BugFlags => continue,
                Holds::Code => (code, 16 * row as i64),
                Holds::Handler(_) => (handler, 0),
                Holds::Target | Holds::Name | Holds::Maybe => (outside, 0),
            };
            let kind = wide(field.bytes);
            entries.push(OutReloc { offset: at, kind, symbol: Some(symbol), addend });
        }
    }
    out.sections.push(OutSection::table(section, 1, entsize, data, entries));
    write(&out).expect("it can be written")
}

/// The sizes that fit the only table of an object, and whether `form` is among what fits.
fn fitting(object: &[u8], form: &Form) -> (BTreeSet<u64>, bool) {
    let object = Object::<Orig>::parse("object", object).expect("an object");
    let layout = Layout::new(&object).expect("a layout");
    let attempts = attempts(&layout);
    assert!(!attempts.is_empty(), "there is no table");
    let fits: Vec<&Form> =
        attempts.iter().filter(|a| a.against.is_none()).map(|a| a.form).collect();
    (fits.iter().map(|f| f.size).collect(), fits.iter().any(|f| std::ptr::eq(*f, form)))
}

#[test]
fn each_layout_of_each_table_is_found_and_no_other_size() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for arch in MACHINES.map(|machine| Arch::from_machine(machine).expect("a machine")) {
        for table in &TABLES {
            let RowSize::Forms(_, forms) = table.row else { continue };
            let has = |list: &[&str]| list.is_empty() || list.contains(&arch.name);
            for form in forms.iter().filter(|f| has(table.machines) && has(f.machines)) {
                tried += 1;
                for rows in ROWS {
                    let what = format!(
                        "{} {}: {rows} of {} bytes ({})",
                        arch.name, table.section, form.size, form.kernels
                    );
                    let of = |entsize| object(arch, table.section, form, entsize, rows);
                    let (sizes, found) = fitting(&of(0), form);
                    if !found || sizes != [form.size].into() {
                        wrong.push(format!("{what}: {sizes:?}"));
                    }
                    // Another entry size contradicts every row.
                    let (sizes, _) = fitting(&of(form.size + 2), form);
                    if !sizes.is_empty() {
                        wrong.push(format!("{what}, with another entry size: {sizes:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{tried} tried: {wrong:#?}");
    assert!(tried > 100, "{tried}");
}
