//! Functions of the running kernel that never return, by their own code.
//!
//! The compiler knows them by their declaration, and puts behind a call of one whatever comes
//! next. objtool knows some by name and the rest by their code (Linux
//! tools/objtool/Documentation/objtool.txt, on `noreturn` functions); of a livepatch it sees only
//! the calls, since the code stays in the kernel.
//!
//! A function never returns when nothing in it does: it has no return, no jump whose target is
//! not known, what it jumps to never returns, and what it ends with is a jump, a trap or a call
//! of what never returns. All of its bytes are looked at rather than all of its ways, because
//! static keys and alternatives open ways that the stored bytes do not show. What cannot be told
//! returns.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within functions, whose bytes are there"
)]

use std::cell::RefCell;

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::image::KernelImage;
use crate::arch::{Flow, Step, step};
use crate::elf::abi;
use crate::elf::linked::LinkedSymbol;
use crate::kernel::knowledge::noreturn::never_returns;
use crate::kernel::knowledge::symbols;

/// A function: its image, section (0 where addresses are unique) and address.
type Place = (usize, u32, u64);

/// The images of a kernel, asked for functions that never return.
pub struct DeadEnds<'a> {
    /// With the name of the object that each is.
    images: Vec<(&'a str, &'a KernelImage<'a>)>,
    /// Functions of each image, sorted.
    functions: Vec<Vec<(u32, u64, &'a LinkedSymbol<'a>)>>,
    known: RefCell<IndexMap<(String, String), bool, RandomState>>,
}

impl std::fmt::Debug for DeadEnds<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadEnds").field("images", &self.images).finish_non_exhaustive()
    }
}

/// The section that tells addresses apart.
fn space(image: &KernelImage<'_>, section: u32) -> u32 {
    if image.elf.is_relocatable() { section } else { 0 }
}

impl<'a> DeadEnds<'a> {
    /// Asks these images, each with the name of its object.
    pub fn new(images: Vec<(&'a str, &'a KernelImage<'a>)>) -> Self {
        let functions = images.iter().map(|(_, image)| {
            let symbols = image.elf.symbols().iter();
            let functions = symbols.filter(|s| s.kind == abi::STT_FUNC && s.section != 0);
            let mut all: Vec<_> =
                functions.map(|s| (space(image, s.section), s.value, s)).collect();
            all.sort_by_key(|&(section, value, symbol)| (section, value, symbol.size));
            all
        });
        let functions = functions.collect();
        DeadEnds { images, functions, known: RefCell::default() }
    }

    /// Whether no function `name` of `object` returns.
    pub fn has(&self, object: &str, name: &str) -> bool {
        let key = (object.to_owned(), name.to_owned());
        if let Some(&known) = self.known.borrow().get(&key) {
            return known;
        }
        let answer = self.ask(object, name);
        self.known.borrow_mut().insert(key, answer);
        answer
    }

    fn ask(&self, object: &str, name: &str) -> bool {
        let Some(image) = self.images.iter().position(|(known, _)| *known == object) else {
            return false;
        };
        let named = self.named(image, name);
        !named.is_empty() && self.none_returns(named)
    }

    fn named(&self, image: usize, name: &str) -> Vec<Place> {
        let functions = self.functions.get(image).map_or(&[][..], |all| all);
        let named = functions.iter().filter(|(_, _, symbol)| symbol.name == name);
        named.map(|&(section, value, _)| (image, section, value)).collect()
    }

    /// Whether none of these functions returns, nor what they go on in.
    fn none_returns(&self, start: Vec<Place>) -> bool {
        let mut asked: IndexSet<Place, RandomState> = start.into_iter().collect();
        let mut next = 0;
        while let Some(&place) = asked.get_index(next) {
            next += 1;
            match self.leads(place) {
                Some(more) => asked.extend(more),
                None => return false,
            }
        }
        true
    }

    /// The function that has a place, and the image that it is in.
    fn at(&self, (image, section, addr): Place) -> Option<(&KernelImage<'a>, &LinkedSymbol<'a>)> {
        let functions = self.functions.get(image)?;
        let upto = functions.partition_point(|f| (f.0, f.1) <= (section, addr));
        let (home, value, symbol) = *functions.get(upto.checked_sub(1)?)?;
        let inside = home == section && addr < value.saturating_add(symbol.size);
        inside.then_some((self.images.get(image)?.1, symbol))
    }

    /// The functions that must not return for the one at a place not to; `None` when it may.
    fn leads(&self, place: Place) -> Option<Vec<Place>> {
        let (image, function) = self.at(place)?;
        // Thunks return by means of their own, static calls are redirected.
        let odd =
            [symbols::X86_INDIRECT, symbols::X86_RETURN_THUNK, symbols::STATIC_CALL_TRAMPOLINE];
        if odd.iter().any(|prefix| function.name.starts_with(prefix)) {
            return None;
        }
        let code = image.elf.bytes_from(function.section, function.value)?;
        let code = code.get(..usize::try_from(function.size).ok()?)?;
        let mut more = Vec::new();
        let (mut at, mut last) = (0, None);
        while at < function.size {
            let step = step(image.arch, code, at)?;
            match step.flow {
                Flow::Stop | Flow::Unknown => return None,
                Flow::Jump { .. } | Flow::Branch { .. } => {
                    more.extend(self.target(place, function, at, step)?);
                }
                // What calls into its own middle reads or replaces a return address.
                Flow::Call { target } if target < function.size => {
                    let field = function.value.wrapping_add(at).wrapping_add(1);
                    if image.elf.relocs_at(function.section, field).is_empty() {
                        return None;
                    }
                }
                _ => {}
            }
            if step.flow != Flow::Padding {
                last = Some((at, step));
            }
            at += step.len;
        }
        match last? {
            (_, Step { flow: Flow::Jump { .. } | Flow::Trap, .. }) => Some(more),
            (at, step @ Step { flow: Flow::Call { .. }, .. }) => {
                more.extend(self.target(place, function, at, step)?);
                Some(more)
            }
            _ => None,
        }
    }

    /// The other functions that a jump or a call at a byte of a function leads to, none when
    /// it never returns by its name; `None` where it is not known, or may be left undone.
    fn target(
        &self,
        (image, space_of, _): Place,
        function: &LinkedSymbol<'a>,
        at: u64,
        step: Step,
    ) -> Option<Vec<Place>> {
        let (_, own) = self.images.get(image)?;
        let (Flow::Jump { target } | Flow::Branch { target, .. } | Flow::Call { target }) =
            step.flow
        else {
            return None;
        };
        // The field is the end of the instruction.
        let field = function.value.wrapping_add(at).wrapping_add(step.len).wrapping_sub(4);
        let relocs = if step.len < 5 { &[] } else { own.elf.relocs_at(function.section, field) };
        let place = match relocs {
            [] if target < function.size => return Some(Vec::new()),
            [] => (image, space_of, function.value.wrapping_add(target)),
            [one] => {
                let symbol = own.elf.symbols().get(one.symbol as usize)?;
                if symbol.section == 0 {
                    return self.elsewhere(image, symbol.name);
                }
                let addr = symbol.value.wrapping_add_signed(one.addend).wrapping_add(4);
                (image, space(own, symbol.section), addr)
            }
            _ => return None,
        };
        let (_, found) = self.at(place)?;
        if never_returns(found.name) {
            return Some(Vec::new());
        }
        Some(vec![(image, place.1, found.value)])
    }

    /// What a module refers to by name.
    fn elsewhere(&self, module: usize, name: &str) -> Option<Vec<Place>> {
        if never_returns(name) {
            return Some(Vec::new());
        }
        let others = (0..self.images.len()).filter(|&image| image != module);
        let found: Vec<Place> = others.flat_map(|image| self.named(image, name)).collect();
        (!found.is_empty()).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::out::{
        OutHome, OutObject, OutReloc, OutRelocs, OutSection, OutSymbol, OutSymbolIndex,
    };
    use crate::elf::write::write;

    const CALL: u8 = 0xe8;
    const JMP: u8 = 0xe9;

    /// A module whose functions have these bytes, one behind the other, and these references:
    /// field and target, which is another function or else undefined.
    fn answers(functions: &[(&str, &[u8])], refs: &[(u64, &str)]) -> Vec<(String, bool)> {
        let mut object =
            OutObject { kind: abi::ET_REL, machine: abi::EM_X86_64, ..OutObject::default() };
        let code: Vec<u8> = functions.iter().flat_map(|f| f.1.iter().copied()).collect();
        let mut at = 0;
        for (name, code) in functions {
            object.symbols.push(OutSymbol {
                kind: abi::STT_FUNC,
                home: OutHome::Section(0),
                value: at,
                size: code.len() as u64,
                ..OutSymbol::undefined(*name)
            });
            at += code.len() as u64;
        }
        let mut entries = Vec::new();
        for &(offset, name) in refs {
            let known = object.symbols.iter().position(|s| s.name == name);
            let symbol = known.unwrap_or_else(|| {
                object.symbols.push(OutSymbol::undefined(name));
                object.symbols.len() - 1
            });
            let symbol = Some(OutSymbolIndex::new(symbol));
            entries.push(OutReloc { offset, kind: 4, symbol, addend: -4 });
        }
        object.sections.push(OutSection {
            name: ".text".to_owned(),
            kind: abi::SHT_PROGBITS,
            flags: abi::SHF_ALLOC | abi::SHF_EXECINSTR,
            align: 1,
            size: code.len() as u64,
            data: code,
            relocs: vec![OutRelocs {
                name: ".rela.text".to_owned(),
                flags: abi::SHF_INFO_LINK,
                entries,
            }],
            ..OutSection::default()
        });
        let bytes = write(&object).expect("written");
        let image = KernelImage::parse("m.ko", &bytes).expect("image");
        let ends = DeadEnds::new(vec![("m", &image)]);
        functions.iter().map(|f| (f.0.to_owned(), ends.has("m", f.0))).collect()
    }

    fn is_end(code: &[u8], refs: &[(u64, &str)]) -> bool {
        answers(&[("f", code)], refs)[0].1
    }

    #[test]
    fn what_has_no_return_never_returns() {
        assert!(is_end(&[0x90, 0xeb, 0xfd], &[]), "an endless loop");
        assert!(is_end(&[0x0f, 0x0b], &[]), "a trap");
        assert!(is_end(&[CALL, 0, 0, 0, 0, 0x0f, 0x0b], &[(1, "x")]), "a trap at the end");
        assert!(is_end(&[CALL, 0, 0, 0, 0, 0x90], &[(1, "do_exit")]), "known by name");
        assert!(is_end(&[JMP, 0, 0, 0, 0], &[(1, "panic")]));
    }

    #[test]
    fn what_may_return_does() {
        assert!(!is_end(&[0xc3], &[]), "ret");
        assert!(!is_end(&[0xeb, 0xfe, 0xc3], &[]), "a way that a static key may open");
        assert!(!is_end(&[0xff, 0xe0], &[]), "jmp *%rax");
        assert!(!is_end(&[CALL, 0, 0, 0, 0], &[(1, "x")]), "nothing is known of what it calls");
        assert!(!is_end(&[JMP, 0, 0, 0, 0], &[(1, "x")]));
        assert!(!is_end(&[CALL, 1, 0, 0, 0, 0x90, 0xeb, 0xfe], &[]), "a thunk");
        assert!(!is_end(&[0x55], &[]), "it runs out of its end");
    }

    #[test]
    fn functions_lead_to_functions() {
        let jump: &[u8] = &[JMP, 0, 0, 0, 0];
        let found = answers(
            &[("a", jump), ("b", jump), ("c", jump), ("d", &[0xc3])],
            &[(1, "b"), (6, "a"), (11, "d")],
        );
        let ends: Vec<&str> = found.iter().filter(|f| f.1).map(|f| &*f.0).collect();
        assert_eq!(ends, ["a", "b"], "a circle ends nowhere");
    }
}
