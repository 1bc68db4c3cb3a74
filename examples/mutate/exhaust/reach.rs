//! Whom a mutant may reach: worked out on [`File`] alone.

use std::collections::{BTreeMap, BTreeSet};

use elf::abi;

use super::model::{File, Home};
use super::mutants::{Mutant, RelocEdit};

/// Sections that something else refers to, and functions by place.
pub struct Reached<'f> {
    file: &'f File,
    /// (section referred to) -> (section that refers, offset).
    users: BTreeMap<usize, BTreeSet<(usize, u64)>>,
}

/// The function that a split-off part belongs to.
fn root(name: &str) -> &str {
    let name = ["__pfx_", "__cfi_"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name);
    let cut = [".cold", ".part."].iter().filter_map(|p| name.find(p)).min();
    cut.map_or(name, |at| &name[..at])
}

impl<'f> Reached<'f> {
    pub fn new(file: &'f File) -> Self {
        let mut users: BTreeMap<usize, BTreeSet<(usize, u64)>> = BTreeMap::new();
        for (from, section) in file.sections.iter().enumerate().filter(|(_, s)| s.is_alloc()) {
            for r in &section.relocs {
                if let Some(Home::Section(to)) = file.symbols.get(r.symbol).map(|s| s.home) {
                    users.entry(to).or_default().insert((from, r.offset));
                }
            }
        }
        Reached { file, users }
    }

    /// Names of the functions that cover a byte.
    fn functions(&self, section: usize, at: u64) -> BTreeSet<&'f str> {
        let symbols = self.file.symbols.iter().filter(|s| {
            s.home == Home::Section(section)
                && s.kind == abi::STT_FUNC
                && s.value <= at
                && at - s.value < s.size
        });
        symbols.map(|s| root(&s.name)).collect()
    }

    /// Functions of a section that refer to it directly or through data.
    fn through(&self, section: usize, found: &mut BTreeSet<&'f str>, seen: &mut BTreeSet<usize>) {
        if !seen.insert(section) {
            return;
        }
        for &(from, at) in self.users.get(&section).into_iter().flatten() {
            let functions = self.functions(from, at);
            if functions.is_empty() {
                self.row(from, at, found);
                self.through(from, found, seen);
            }
            found.extend(functions);
        }
    }

    /// Functions that relocations near a byte of a table lead to.
    fn row(&self, section: usize, at: u64, found: &mut BTreeSet<&'f str>) {
        for r in &self.file.sections[section].relocs {
            if r.offset.abs_diff(at) > 64 {
                continue;
            }
            let Some(symbol) = self.file.symbols.get(r.symbol) else { continue };
            if let Home::Section(to) = symbol.home {
                let place = symbol.value.wrapping_add(r.addend as u64);
                found.extend(self.functions(to, place));
                if symbol.kind == abi::STT_FUNC {
                    found.insert(root(&symbol.name));
                }
            }
        }
    }

    /// Why the named functions are not those that the mutant reaches.
    pub fn objection(
        &self,
        file: &File,
        mutant: &Mutant,
        names: &BTreeSet<String>,
    ) -> Option<String> {
        let (section, at) = match *mutant {
            Mutant::Byte { section, at, .. } => (section, at),
            Mutant::Reloc { section, index, .. } => {
                (section, file.sections[section].relocs[index].offset)
            }
            // These move and rename things: which functions is for the comparison to say.
            _ => return None,
        };
        let must = self.functions(section, at);
        let missing: Vec<&&str> = must.iter().filter(|m| !self.has(names, m)).collect();
        if missing.len() == must.len() && !must.is_empty() {
            return Some("the function that has the byte is not named".to_owned());
        }
        if !must.is_empty() {
            let more = names.iter().any(|n| !must.contains(root(n)) && !self.is_alias(n, &must));
            let single = matches!(mutant, Mutant::Byte { .. });
            return (more && single).then(|| "functions are named that do not have it".to_owned());
        }
        let mut may = BTreeSet::new();
        if file.sections[section].is_code() {
            // What lies before a function or between two belongs to one of them.
            let here = |s: &&super::model::Symbol| {
                s.home == Home::Section(section) && s.kind == abi::STT_FUNC
            };
            may.extend(file.symbols.iter().filter(here).map(|s| root(&s.name)));
        }
        if let Mutant::Reloc { index, edit: RelocEdit::Target(to), .. } = *mutant
            && let Some(symbol) = file.symbols.get(to)
            && let Home::Section(home) = symbol.home
        {
            let addend = file.sections[section].relocs[index].addend;
            may.insert(root(&symbol.name));
            may.extend(self.functions(home, symbol.value.wrapping_add(addend as u64)));
        }
        self.row(section, at, &mut may);
        self.through(section, &mut may, &mut BTreeSet::new());
        let more = names.iter().any(|n| !may.contains(root(n)) && !self.is_alias(n, &may));
        more.then(|| "functions are named that do not refer to it".to_owned())
    }

    fn has(&self, names: &BTreeSet<String>, wanted: &str) -> bool {
        names.iter().any(|n| root(n) == wanted || self.is_alias(n, &BTreeSet::from([wanted])))
    }

    /// Whether a name is at the place of one of these.
    fn is_alias(&self, name: &str, of: &BTreeSet<&str>) -> bool {
        let all = &self.file.symbols;
        let places = all.iter().filter(|s| of.contains(root(&s.name))).map(|s| (s.home, s.value));
        let places: Vec<_> = places.collect();
        all.iter().any(|s| s.name == name && places.contains(&(s.home, s.value)))
    }
}
