//! What loading a finished module would trip on, and what would go wrong without a word.
//!
//! The kernel refuses some of it with a line in its log that says little; the rest, such as a
//! missing row in a table of code to be patched, crashes it later.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::super::format::klp::SymbolName;
use super::tree::{Export, KernelTree};
use super::unwind;
use crate::arch::Arch;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::out::{OutHome, OutObject, OutReloc, OutSection, OutSectionIndex, OutSymbol};
use crate::kernel::knowledge::tables::{self, REPLACEMENTS, TABLES};
use crate::kernel::knowledge::{livepatch, sections, symbols};
use crate::running::versions;

/// Rows of `.kpatch.funcs`.
const FUNCS: &str = livepatch::FUNCS;
const FUNC_ROW: u64 = 56;

/// Tables whose rows are not about code of one function.
const MORE_TABLES: [&str; 6] = [
    REPLACEMENTS,
    sections::DYNAMIC_DEBUG,
    sections::TRACEPOINTS,
    sections::MCOUNT,
    FUNCS,
    livepatch::STRINGS,
];

/// Longest names the kernel takes apart in `.klp.sym.OBJECT.NAME,POSITION`
/// (Linux kernel/livepatch/core.c); older kernels take 127 bytes of a name.
const OBJECT_NAME: usize = 55;
const SYMBOL_NAME: usize = 511;

/// A module that passed.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Functions that are replaced.
    pub functions: usize,
    /// Relocations that livepatch applies.
    pub relocations: usize,
    /// Modules that must be loaded before it.
    pub needs: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Checks a finished module, linked from `parts`, against the kernel it was built for.
///
/// Fails with [`crate::diag::Class::Refused`], code `would-fail`, with one detail for each
/// problem.
pub fn check(
    module: &OutObject,
    parts: &[OutObject],
    tree: &KernelTree,
    exports: &IndexMap<&str, Export, RandomState>,
) -> Result<Checked> {
    let mut checker = Checker {
        module,
        tree,
        exports,
        info: modinfo(module),
        problems: Vec::new(),
        checked: Checked::default(),
    };
    checker.undefined();
    checker.information();
    checker.livepatch_symbols();
    checker.functions();
    if tree.has("UNWINDER_ORC") {
        checker.problems.extend(unwind::uncovered(module));
    }
    checker.tables(parts);
    checker.tables_of_machine();
    if tree.has("MODULE_SIG") {
        checker.checked.notes.push(signing(tree));
    }
    let Checker { problems, checked, .. } = checker;
    if problems.is_empty() {
        return Ok(checked);
    }
    let count = problems.len();
    Err(Error::refused(Code::WouldFail, format!("the module would not work: {count} problem(s)"))
        .with_details(problems))
}

fn signing(tree: &KernelTree) -> String {
    let hash = tree.value("MODULE_SIG_HASH").unwrap_or("sha256");
    let need = if tree.has("MODULE_SIG_FORCE") {
        "the kernel loads signed modules only"
    } else {
        "an unsigned module taints the kernel, and with lockdown it is refused"
    };
    format!("{need}; sign with: scripts/sign-file {hash} KEY CERTIFICATE MODULE.ko")
}

struct Checker<'m> {
    module: &'m OutObject,
    tree: &'m KernelTree,
    exports: &'m IndexMap<&'m str, Export, RandomState>,
    /// The strings of `.modinfo`.
    info: Vec<&'m str>,
    problems: Vec<String>,
    checked: Checked,
}

impl<'m> Checker<'m> {
    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    fn sections(&self, name: &'static str) -> impl Iterator<Item = &'m OutSection> + use<'m> {
        let module = self.module;
        module.sections.iter().filter(move |s| s.name == name)
    }

    /// Every symbol must come from somewhere, in the right version and namespace.
    fn undefined(&mut self) {
        let versions = self.tree.has("MODVERSIONS").then(|| versions(self.module));
        let mut needs: IndexSet<&str> = IndexSet::new();
        for symbol in &self.module.symbols {
            let name = symbol.name.as_str();
            if symbol.home != OutHome::Undefined || symbol.bind == abi::STB_WEAK || name.is_empty()
            {
                continue;
            }
            let Some(export) = self.exports.get(name) else {
                self.problem(format!(
                    "undefined symbol {name}: nothing exports it, and no object of the patch has it"
                ));
                continue;
            };
            if export.object != "vmlinux" {
                needs.insert(&export.object);
            }
            let namespace = &export.namespace;
            if !namespace.is_empty()
                && !self.info.iter().any(|i| i.strip_prefix("import_ns=") == Some(namespace))
            {
                self.problem(format!(
                    "{name} is in namespace {namespace}: add MODULE_IMPORT_NS({namespace}) to the patch"
                ));
            }
            if let Some(versions) = &versions {
                match versions.get(name) {
                    Some(&crc) if crc == export.crc => {}
                    Some(crc) => self.problem(format!(
                        "{name}: the module expects version {crc:#010x}, the kernel has {:#010x}",
                        export.crc
                    )),
                    None => self.problem(format!("{name} has no version in __versions")),
                }
            }
        }
        self.checked.needs = needs.into_iter().map(str::to_owned).collect();
    }

    /// What the module says about itself.
    fn information(&mut self) {
        let release = self.tree.release();
        match vermagic(self.module) {
            Some(magic) if magic.split(' ').next() == Some(release) => {}
            Some(magic) => {
                self.problem(format!("vermagic is '{magic}', but the kernel is {release}"));
            }
            None => self.problem("there is no vermagic"),
        }
        for wanted in ["livepatch=Y", "license=GPL"] {
            if !self.info.contains(&wanted) {
                self.problem(format!("{wanted} is missing in .modinfo"));
            }
        }
    }

    /// The kernel takes names of livepatch symbols and tables apart.
    fn livepatch_symbols(&mut self) {
        for symbol in &self.module.symbols {
            if symbol.home != OutHome::Reserved(abi::SHN_LIVEPATCH) {
                continue;
            }
            match SymbolName::parts(&symbol.name) {
                Some((object, name, _))
                    if object.len() <= OBJECT_NAME && name.len() <= SYMBOL_NAME => {}
                _ => self.problem(format!("the kernel would not understand {}", symbol.name)),
            }
        }
        let tables = self.module.sections.iter().flat_map(|s| &s.relocs);
        self.checked.relocations = tables
            .filter(|t| t.flags & abi::SHF_RELA_LIVEPATCH != 0)
            .map(|t| t.entries.len())
            .sum();
    }

    /// Each function that replaces another must be known to ftrace.
    fn functions(&mut self) {
        let sites = self.places(&[sections::MCOUNT, sections::PATCHABLE_ENTRIES]);
        let mut replaced = Vec::new();
        for table in self.sections(FUNCS) {
            for entry in table.relocs.iter().flat_map(|t| &t.entries) {
                if entry.offset.is_multiple_of(FUNC_ROW) {
                    replaced.extend(self.symbol(entry));
                }
            }
        }
        let callbacks = self
            .module
            .sections
            .iter()
            .any(|s| s.name.starts_with(livepatch::CALLBACK_PREFIX) && !s.relocs.is_empty());
        if replaced.is_empty() && !callbacks {
            self.problem(format!("{FUNCS} is empty: the module would change nothing"));
        }
        self.checked.functions = replaced.len();
        for function in replaced {
            let name = &function.name;
            if !sites.cover(function) {
                self.problem(format!(
                    "{name} has no ftrace site: it could not be patched again, nor traced"
                ));
            }
        }
    }

    /// Rows of tables must not get lost on the way.
    fn tables(&mut self, parts: &[OutObject]) {
        // What only objtool reads is gone when the module is linked (Linux scripts/module.lds.S).
        let names =
            TABLES.iter().map(|t| t.section).filter(|name| !name.starts_with(sections::DISCARDED));
        for name in names.chain(MORE_TABLES).collect::<IndexSet<_>>() {
            // The kernel's script for modules renames one (Linux scripts/module.lds.S).
            let [compiled, in_module] = sections::CFI_TRAPS;
            let linked = if name == compiled { in_module } else { name };
            let size = |object: &OutObject| -> u64 {
                object
                    .sections
                    .iter()
                    .filter(|s| s.name == name || s.name == linked)
                    .map(|s| s.size)
                    .sum()
            };
            let (before, after) = (parts.iter().map(size).sum::<u64>(), size(self.module));
            if after < before {
                self.problem(format!(
                    "{name} has {after} bytes, but the objects of the patch have {before}: rows got \
                     lost in the link"
                ));
            }
        }
    }

    fn symbol(&self, entry: &OutReloc) -> Option<&'m OutSymbol> {
        self.module.symbol(entry.symbol?)
    }

    /// All places that the relocations of these tables point to.
    fn places(&self, tables: &[&str]) -> Places {
        let mut places = Places::default();
        for section in self.module.sections.iter().filter(|s| tables.contains(&s.name.as_str())) {
            for entry in section.relocs.iter().flat_map(|t| &t.entries) {
                if let Some(OutSymbol { home: OutHome::Section(home), value, .. }) =
                    self.symbol(entry)
                {
                    places.0.push((*home, value.wrapping_add_signed(entry.addend)));
                }
            }
        }
        places.0.sort_unstable();
        places
    }

    /// What must be in tables that only kernels of some machines have.
    fn tables_of_machine(&mut self) {
        let Ok(arch) = Arch::from_machine(self.module.machine) else { return };
        let has = |table| tables::find(table, arch).is_some();
        let thunks: [(_, &[&str], _); 2] = [
            (symbols::X86_RETURN_THUNK, &["MITIGATION_RETHUNK", "RETHUNK"], sections::RETURN_SITES),
            (
                symbols::X86_INDIRECT_THUNK,
                &["MITIGATION_RETPOLINE", "RETPOLINE"],
                sections::RETPOLINE_SITES,
            ),
        ];
        for (thunk, options, table) in thunks.into_iter().filter(|(.., table)| has(table)) {
            self.thunks(thunk, options, table);
        }
        if has(sections::CFI_SITES) {
            self.cfi();
        }
        if has(sections::STATIC_CALL_SITES) {
            self.static_calls();
        }
    }

    /// Jumps to thunks are rewritten at load, each by its row in a table.
    fn thunks(&mut self, thunk: &str, options: &[&str], table: &str) {
        if !options.iter().any(|o| self.tree.has(o)) {
            return;
        }
        let known = self.places(&[table]);
        let mut missing = 0_usize;
        let mut first = None;
        for (index, section) in self.module.sections.iter().enumerate() {
            let code = section.flags & abi::SHF_EXECINSTR != 0;
            if !code || section.name.starts_with(sections::ALTERNATIVE_PREFIX) {
                continue;
            }
            for entry in section.relocs.iter().flat_map(|t| &t.entries) {
                let calls = entry.kind != 0
                    && self.symbol(entry).is_some_and(|s| s.name.starts_with(thunk));
                // The opcode before the target is one byte, or two for a conditional jump.
                let at = |back: u64| known.has(index, entry.offset.wrapping_sub(back));
                if calls && !at(1) && !at(2) {
                    missing += 1;
                    first.get_or_insert_with(|| format!("{}+{:#x}", section.name, entry.offset));
                }
            }
        }
        if let Some(first) = first {
            self.problem(format!(
                "{table} lacks {missing} jump(s) to {thunk}, the first at {first}: did objtool see them?"
            ));
        }
    }

    /// FineIBT rewrites the preamble of each function by its row in `.cfi_sites`.
    fn cfi(&mut self) {
        if !self.tree.has("FINEIBT") {
            return;
        }
        let known = self.places(&[sections::CFI_SITES]);
        let mut missing = Vec::new();
        for symbol in self.module.symbols.iter().filter(|s| s.kind == abi::STT_FUNC) {
            let OutHome::Section(home) = symbol.home else { continue };
            let preamble = if symbol.name.starts_with(symbols::CFI) {
                Some(symbol.value)
            } else {
                self.module.sections.get(home).and_then(|s| preamble(&s.data, symbol.value))
            };
            if preamble.is_some_and(|at| !known.has(home, at)) {
                missing.push(symbol.name.as_str());
            }
        }
        if let Some(first) = missing.first() {
            self.problem(format!(
                ".cfi_sites lacks {} function(s), the first is {first}: calls of them through \
                 pointers would fault",
                missing.len()
            ));
        }
    }

    /// The loader refuses rows whose key it cannot find.
    fn static_calls(&mut self) {
        for table in self.sections(sections::STATIC_CALL_SITES) {
            for entry in table.relocs.iter().flat_map(|t| &t.entries) {
                let Some(symbol) = self.symbol(entry) else { continue };
                let name = &symbol.name;
                if entry.offset % 8 == 4
                    && SymbolName::parts(name).is_some()
                    && name.contains(symbols::STATIC_CALL_TRAMPOLINE)
                {
                    self.problem(format!(
                        ".static_call_sites refers to the trampoline {name}, whose key the kernel \
                         cannot find"
                    ));
                }
            }
        }
    }
}

/// Where the hash in front of a function is, if there is one: `mov $HASH, %eax` and eleven
/// bytes of padding (Linux arch/x86/kernel/alternative.c).
fn preamble(code: &[u8], function: u64) -> Option<u64> {
    let end = usize::try_from(function).ok()?;
    let start = end.checked_sub(16)?;
    let bytes = code.get(start..end)?;
    (bytes.first() == Some(&0xb8) && bytes.iter().skip(5).all(|&b| b == 0x90))
        .then_some(start as u64)
}

/// Places in sections, in order.
#[derive(Default)]
struct Places(Vec<(OutSectionIndex, u64)>);

impl Places {
    fn has(&self, section: OutSectionIndex, offset: u64) -> bool {
        self.0.binary_search(&(section, offset)).is_ok()
    }

    /// Whether one of them is in a function.
    fn cover(&self, function: &OutSymbol) -> bool {
        let OutHome::Section(section) = function.home else { return false };
        let start = (section, function.value);
        let first = self.0.partition_point(|&place| place < start);
        let end = function.value.saturating_add(function.size.max(1));
        self.0.get(first).is_some_and(|&(home, offset)| home == section && offset < end)
    }
}

/// What a module says it was built for.
pub fn vermagic(module: &OutObject) -> Option<&str> {
    modinfo(module).into_iter().find_map(|i| i.strip_prefix("vermagic="))
}

fn modinfo(module: &OutObject) -> Vec<&str> {
    let sections = module.sections.iter().filter(|s| s.name == sections::MODINFO);
    sections
        .flat_map(|s| s.data.split(|&b| b == 0))
        .filter_map(|text| std::str::from_utf8(text).ok())
        .collect()
}

/// The versions of what the module uses.
fn versions(module: &OutObject) -> IndexMap<String, u32, RandomState> {
    let data = |name: &str| {
        module.sections.iter().find(|s| s.name == name).map_or(&[][..], |section| &section.data)
    };
    let [crcs, names] = sections::LONG_VERSIONS;
    let all = [data(sections::VERSIONS), data(crcs), data(names)];
    versions::used_in(all, !module.big_endian).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::out::{OutRelocs, OutSymbolIndex};
    use crate::patch::module::tree::exports;

    /// A tree with some options.
    fn tree(options: &str) -> (tempfile::TempDir, KernelTree) {
        let folder = tempfile::tempdir().expect("folder");
        let config = folder.path().join("include/config");
        std::fs::create_dir_all(&config).expect("folder");
        std::fs::write(config.join("kernel.release"), "6.12.0\n").expect("written");
        let text: String = options.split(' ').map(|o| format!("CONFIG_{o}=y\n")).collect();
        std::fs::write(config.join("auto.conf"), format!("CONFIG_LIVEPATCH=y\n{text}"))
            .expect("written");
        let tree = KernelTree::open(folder.path()).expect("tree");
        (folder, tree)
    }

    fn section(name: &str, flags: u64, size: usize) -> OutSection {
        OutSection {
            name: name.to_owned(),
            kind: abi::SHT_PROGBITS,
            flags,
            data: vec![0; size],
            size: size as u64,
            ..OutSection::default()
        }
    }

    fn symbol(name: &str, home: OutHome, value: u64) -> OutSymbol {
        OutSymbol {
            name: name.to_owned(),
            kind: abi::STT_FUNC,
            bind: abi::STB_GLOBAL,
            other: 0,
            home,
            value,
            size: 16,
        }
    }

    fn refer(section: &mut OutSection, offset: u64, symbol: usize, addend: i64) {
        if section.relocs.is_empty() {
            section.relocs.push(OutRelocs::default());
        }
        let symbol = Some(OutSymbolIndex::new(symbol));
        section.relocs[0].entries.push(OutReloc { offset, kind: 1, symbol, addend });
    }

    /// A module that replaces `f`, which calls `printk` and returns through the thunk.
    fn module() -> OutObject {
        let mut object = OutObject { machine: abi::EM_X86_64, ..OutObject::default() };
        let mut text = section(".text", abi::SHF_ALLOC | abi::SHF_EXECINSTR, 32);
        refer(&mut text, 17, 1, -4);
        refer(&mut text, 28, 2, -4);
        let mut info = section(".modinfo", abi::SHF_ALLOC, 0);
        info.data = b"license=GPL\0livepatch=Y\0vermagic=6.12.0 SMP \0import_ns=A\0".to_vec();
        let mut tables = vec![text, info];
        for (name, offset) in [
            (FUNCS, 0),
            ("__mcount_loc", 0),
            (".orc_unwind_ip", 0),
            (".return_sites", 11),
            (".cfi_sites", -16),
        ] {
            let mut table = section(name, abi::SHF_ALLOC, 56);
            refer(&mut table, 0, 0, offset);
            tables.push(table);
        }
        // As many entries of six bytes as there are places; none says "undefined".
        let mut entries = section(".orc_unwind", abi::SHF_ALLOC, 84);
        entries.data = vec![0x11; 84];
        tables.push(entries);
        object.sections = tables;
        object.symbols = vec![
            symbol("f", OutHome::Section(0), 16),
            symbol("printk", OutHome::Undefined, 0),
            symbol("__x86_return_thunk", OutHome::Undefined, 0),
            symbol("__cfi_f", OutHome::Section(0), 0),
        ];
        object
    }

    const SYMVERS: &str = "0x00000007\tprintk\tvmlinux\tEXPORT_SYMBOL\tA\n\
        0x00000008\t__x86_return_thunk\tvmlinux\tEXPORT_SYMBOL\t\n";

    fn problems(options: &str, symvers: &str, change: impl Fn(&mut OutObject)) -> Vec<String> {
        let (_folder, tree) = tree(options);
        let mut object = module();
        change(&mut object);
        match check(&object, &[module()], &tree, &exports(symvers)) {
            Ok(_) => Vec::new(),
            Err(error) => error.details().to_vec(),
        }
    }

    const ALL: &str = "UNWINDER_ORC MITIGATION_RETHUNK FINEIBT";

    #[test]
    fn a_whole_module_passes() {
        assert_eq!(problems(ALL, SYMVERS, |_| {}), Vec::<String>::new());
    }

    #[test]
    fn each_lost_table_is_a_problem() {
        for (i, names) in
            [(2, FUNCS), (3, "ftrace"), (4, "orc"), (5, "return_sites"), (6, "cfi_sites")]
        {
            let found = problems(ALL, SYMVERS, |o| {
                o.sections[i] = section("", abi::SHF_ALLOC, 0);
            });
            assert!(found.iter().any(|p| p.contains(names)), "{names}: {found:?}");
        }
    }

    #[test]
    fn symbols_must_be_exported_in_the_right_version_and_namespace() {
        let found = problems(ALL, &SYMVERS.replace("printk", "other"), |_| {});
        assert!(found[0].starts_with("undefined symbol printk"), "{found:?}");
        let found = problems(ALL, &SYMVERS.replace("\tA\n", "\tB\n"), |_| {});
        assert!(found[0].contains("MODULE_IMPORT_NS(B)"), "{found:?}");
        let found = problems("MODVERSIONS", SYMVERS, |o| {
            let mut versions = section("__versions", abi::SHF_ALLOC, 128);
            versions.data[0] = 9;
            versions.data[8..14].copy_from_slice(b"printk");
            o.sections.push(versions);
        });
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("0x00000009") && found[0].contains("0x00000007"), "{found:?}");
        assert!(found[1].contains("__x86_return_thunk has no version"), "{found:?}");
    }

    #[test]
    fn a_hash_without_symbol_is_noticed() {
        let found = problems(ALL, SYMVERS, |o| {
            o.sections[0].data[..16]
                .copy_from_slice(b"\xb8hash\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90");
            o.symbols[3].name = "gone".to_owned();
            o.sections[6] = section("", abi::SHF_ALLOC, 0);
        });
        let cfi: Vec<&String> = found.iter().filter(|p| p.contains("the first is f")).collect();
        assert_eq!(cfi.len(), 1, "{found:?}");
    }

    #[test]
    fn the_module_must_say_what_it_is() {
        for (text, with) in [("livepatch=Y", "livepatch=N"), ("6.12.0 SMP", "6.12.1 SMP")] {
            let found = problems(ALL, SYMVERS, |o| {
                let info = String::from_utf8(o.sections[1].data.clone()).expect("text");
                o.sections[1].data = info.replace(text, with).into_bytes();
            });
            assert_eq!(found.len(), 1, "{found:?}");
        }
    }

    #[test]
    fn a_signature_that_is_needed_is_mentioned() {
        let (_folder, tree) = tree("MODULE_SIG MODULE_SIG_FORCE");
        let checked = check(&module(), &[], &tree, &exports(SYMVERS)).expect("passes");
        assert!(checked.notes[0].contains("signed modules only"), "{:?}", checked.notes);
        assert_eq!((checked.functions, checked.relocations), (1, 0));
    }
}
