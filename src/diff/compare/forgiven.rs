//! What a comparison forgave: every field that differs although the meaning is the same, with
//! the rule that proves it and on what evidence.
//!
//! Comparisons note it where they decide it, so that the list is what was done and not a guess
//! made afterwards. Only when somebody asks are they made once more with a [`Ledger`].

use std::borrow::Cow;
use std::sync::Mutex;

use crate::elf::ids::{Orig, Patched, SectionId};

/// A rule that proves of one kind of field that its meaning is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Stable short name.
    pub name: &'static str,
    /// Why it holds.
    pub reason: &'static str,
}

/// The rules that look at single fields. docs/meaning.md says what each proves.
pub mod proofs {
    use super::Proof;

    macro_rules! proofs {
        ($($id:ident $name:literal $reason:literal;)*) => {
            $(#[doc = $reason] pub const $id: Proof = Proof { name: $name, reason: $reason };)*
            /// All of them.
            pub const ALL: &[Proof] = &[$($id),*];
        };
    }

    proofs! {
        LINE "line" "the number reaches the line argument of a callee that takes one";
        DISTANCE "distance" "the instruction leads to the same place of the same thing";
        ALIGNMENT "alignment" "it fills up to an aligned place, which is elsewhere now";
        PADDING "padding" "outside of every symbol, less than the alignment of what follows";
        ENTRY "entry" "markers and type hashes follow from where the address escapes";
        BUILD_VERSION "build-version" "when and by whom the kernel was built; the running kernel keeps its own";
        LOCATION "location" "line and column in what a sanitizer prints";
        PANIC "panic-location" "line and column that only a panic of Rust code prints";
        ROW_NOISE "row-noise-fields" "line, file or counter in a row of a table";
        ROW_PLACE "row-place" "the row describes the same place of the same function";
        STRING "string" "both references lead to equal strings";
        TWIN "twin" "both references lead to the same place of one thing";
        CONTENT "content" "both references lead to equal data without a name";
        REGISTERS "registers-variables" "it only tells a sanitizer about variables when the object is loaded";
        CALL_TYPE "call-type" "both types do the same to a call";
        FILE_SYMBOL "file-symbol" "it names a source file and no place";
        SECTION_SYMBOL "section-symbol" "it stands for its section, whatever else it says";
        UNDEFINED "undefined-symbol" "of a symbol that is not defined here nothing else is read";
        UNUSED "unused-symbol" "only this file sees it, and nothing that is compared refers to it";
        SYMBOL_SIZE "symbol-size" "linkers and the kernel's loader do not read it; what is there was compared";
        SYMBOL_TYPE "symbol-type" "linkers and the kernel's loader treat both types alike";
        SYMBOL_NAME "symbol-name" "only this file sees the name";
        SYMBOL_BIND "symbol-bind" "the definition that is here is the one that the kernel has";
        SYMBOL_PLACE "symbol-place" "what is there, and what leads there, was compared";
        VISIBILITY "visibility" "the kernel is linked to one file, in which it hides nothing";
        OTHER "st-other" "these bits have no meaning for such a symbol on this machine";
        SECTION_ALIGNMENT "section-alignment" "what is not in the patch keeps the place that the kernel has for it";
        GROUP_FLAG "group-flag" "the group itself says what is in it, and was compared";
        NOT_MERGED "not-merged" "the linker does not merge entries of such a section";
        UNREAD "unread-constant" "nothing that is compared refers to it";
        RELOCATED "relocated-field" "a relocation writes it";
        RELOCATION_ORDER "relocation-order" "the places differ, so that the order in the table says nothing";
    }
}

/// A field that differs and means the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgiven {
    /// Why it means the same.
    pub proof: Proof,
    /// Section of the patched object.
    pub section: SectionId<Patched>,
    /// First byte of the field in the section.
    pub offset: u64,
    /// Bytes of the field.
    pub width: u64,
    /// How the original has it.
    pub before: String,
    /// How the patched object has it.
    pub after: String,
    /// What shows that the rule holds here.
    pub evidence: Cow<'static, str>,
}

/// Where comparisons note what they forgive.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<Forgiven>>);

impl Ledger {
    /// Notes a field.
    pub fn note(&self, forgiven: Forgiven) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(forgiven);
    }

    /// What was noted, by place.
    pub fn into_entries(self) -> Vec<Forgiven> {
        let mut entries = self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        entries.sort_by_key(|f| (f.section, f.offset, f.proof.name));
        entries.dedup();
        entries
    }
}

/// Differing bytes at one place of two sections: offsets and length.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub o: (SectionId<Orig>, u64),
    pub p: (SectionId<Patched>, u64),
    pub width: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::proofs;
    use crate::diff::explain::rules;
    use crate::kernel::knowledge::noise;

    const PAGE: &str = include_str!("../../../docs/meaning.md");

    #[test]
    fn the_page_says_of_each_rule_what_it_proves() {
        let (_, table) =
            PAGE.split_once("| rule | what it proves of the field |").expect("a table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let named = rows.filter_map(|row| row.split('|').nth(1));
        let documented: BTreeSet<&str> =
            named.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        let fields = proofs::ALL.iter().map(|proof| proof.name);
        let sections: BTreeSet<&str> = rules::SECTIONS.iter().map(|rule| rule.0).collect();
        let of_rules: BTreeSet<&str> = fields.chain(sections).collect();
        let missing: Vec<_> = of_rules.difference(&documented).collect();
        assert!(missing.is_empty(), "docs/meaning.md does not have {missing:?}");
        let by_name: BTreeSet<&str> = noise::names().collect();
        let unknown: Vec<_> =
            documented.iter().filter(|n| !of_rules.contains(*n) && !by_name.contains(*n)).collect();
        assert!(unknown.is_empty(), "docs/meaning.md has rules that there are not: {unknown:?}");
    }
}
