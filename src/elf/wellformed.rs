//! What the gABI says of symbols and that everything which reads an object relies on.
//!
//! A symbol that breaks these rules is read in different ways by different tools: a reference
//! through a section's symbol that is not at the start of its section, for one, leads
//! elsewhere than the section says.

use super::abi;
use super::header::bad;
use super::ids::{Side, SymbolId};
use super::object::{Home, Object};
use crate::diag::{Error, Result};

impl<S: Side> Object<'_, S> {
    /// Fails on a symbol whose type, binding, value and section contradict each other (gABI,
    /// chapter 4, "Symbol Table"). Indexes and names must have been checked.
    pub(super) fn check_symbol(&self, id: SymbolId<S>) -> Result<()> {
        let wrong = |what: &str| -> Result<()> {
            let error: Error = bad(what);
            let name = self.symbol_name(id);
            Err(error.at_symbol(name).advise("the tool that wrote the object is broken"))
        };
        let bind = self.symbol_bind(id);
        if !matches!(bind, abi::STB_LOCAL | abi::STB_GLOBAL | abi::STB_WEAK) {
            return wrong("a symbol has a binding that is not LOCAL, GLOBAL or WEAK");
        }
        let local = bind == abi::STB_LOCAL;
        let home = self.home(id);
        match self.symbol_kind(id) {
            abi::STT_NOTYPE | abi::STT_OBJECT | abi::STT_FUNC => Ok(()),
            abi::STT_GNU_IFUNC => match home {
                Home::Section(section) if !self.is_text(section) => {
                    wrong("an indirect function is not in code")
                }
                _ => Ok(()),
            },
            abi::STT_SECTION if !local => wrong("the symbol of a section is not LOCAL"),
            abi::STT_SECTION if self.symbol_value(id) != 0 => {
                wrong("the symbol of a section is not at its start")
            }
            abi::STT_SECTION if matches!(home, Home::Section(_) | Home::Undefined) => Ok(()),
            abi::STT_SECTION => wrong("the symbol of a section is in none"),
            abi::STT_FILE if local && !matches!(home, Home::Section(_)) => Ok(()),
            abi::STT_FILE => wrong("a symbol that names a source file is no LOCAL absolute one"),
            abi::STT_COMMON if home == Home::Common => Ok(()),
            abi::STT_COMMON => wrong("a symbol of type COMMON is defined otherwise"),
            abi::STT_TLS => match home {
                Home::Section(section) if self.section_flags(section) & abi::SHF_TLS == 0 => {
                    wrong("a thread-local symbol is in an ordinary section")
                }
                _ => Ok(()),
            },
            _ => wrong("a symbol has an unknown type"),
        }
    }
}
