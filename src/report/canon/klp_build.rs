//! The tables of the form that the kernel's klp-build links a module from.

use super::{Canon, bad};
use crate::diag::Result;
use crate::elf::ids::Side;
pub(super) use crate::kernel::knowledge::klp_build::STRINGS;
use crate::kernel::knowledge::klp_build::{
    FUNCTION_COUNT, FUNCTION_ROW, FUNCTIONS, OBJECT_ROW, OBJECTS, RELOCATION_ROW, RELOCATIONS,
};

/// The pointers of an object's row, in order.
const FIELDS: [&str; 6] =
    ["name", "funcs", "pre_patch", "post_patch", "pre_unpatch", "post_unpatch"];

/// Whether a section shows in other lines.
pub(super) fn is_hidden(section: &str) -> bool {
    [OBJECTS, FUNCTIONS, STRINGS].contains(&section) || section.starts_with(RELOCATIONS)
}

impl<S: Side> Canon<'_, S> {
    /// Lines for the objects, functions and relocations of these tables.
    pub(super) fn klp_build(&self, lines: &mut Vec<String>) -> Result<()> {
        if let Some(table) = self.table(OBJECTS, OBJECT_ROW)? {
            for entry in table.entries() {
                let mut line = String::from("klpobject");
                for (field, name) in (0..).step_by(8).zip(FIELDS) {
                    if table.has_reloc(&entry, field) {
                        line += &format!(" {name}={}", table.target(&entry, field)?);
                    }
                }
                let count = table.u32(&entry, FUNCTION_COUNT)?;
                lines.push(format!("{line} nr_funcs={count}"));
            }
        }
        if let Some(table) = self.table(FUNCTIONS, FUNCTION_ROW)? {
            for entry in table.entries() {
                lines.push(format!(
                    "klpfunc old={} new={} sympos={}",
                    table.target(&entry, 0)?,
                    table.target(&entry, 8)?,
                    table.u64(&entry, 16)?,
                ));
            }
        }
        for (&name, _) in self.by_name.iter().filter(|(name, _)| name.starts_with(RELOCATIONS)) {
            let object = name.strip_prefix(RELOCATIONS).unwrap_or_default();
            let table = self.table(name, RELOCATION_ROW)?;
            let table = table.ok_or_else(|| bad("a table is missing").in_section(name))?;
            for entry in table.entries() {
                lines.push(format!(
                    "klpreloc obj={object} dest={} type={} {}",
                    table.target(&entry, 0)?,
                    table.u32(&entry, 16)?,
                    table.target(&entry, 8)?,
                ));
            }
        }
        Ok(())
    }
}
