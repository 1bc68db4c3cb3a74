//! Module.symvers: which symbols are exported, and by which object.

#![expect(clippy::arithmetic_side_effects, reason = "a column is at least the third")]

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use crate::diag::{Code, Error, Result};

/// Who exports a symbol.
#[derive(Clone, Copy, Debug)]
struct Export {
    /// Index into [`Symvers::objects`].
    object: u32,
    /// The symbol is listed more than once.
    twice: bool,
}

/// An exported symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported<'a> {
    /// Name.
    pub name: &'a str,
    /// Exporting object as the kernel calls it: no directory, `_` for `-`.
    pub object: &'a str,
}

/// The exported symbols, by name.
#[derive(Debug, Default)]
pub struct Symvers<'t> {
    exports: IndexMap<&'t str, Export, RandomState>,
    objects: IndexSet<String, RandomState>,
}

impl<'t> Symvers<'t> {
    /// Reads `text`, which was loaded from `file`. An empty text exports nothing.
    ///
    /// The column of the object moved between kernel versions; it is found by the first
    /// line that has a value starting with `vmlinux` behind the symbol's name. Lines with
    /// fewer columns are passed over. Fails when no line has such a value.
    pub fn parse(file: &str, text: &'t str) -> Result<Self> {
        let mut symvers = Symvers::default();
        if text.is_empty() {
            return Ok(symvers);
        }
        let column = text.lines().find_map(object_column).ok_or_else(|| {
            Error::broken(Code::ModuleSymvers, "Module.symvers: invalid format").in_file(file).advise(
                "no line names vmlinux as the exporting object: give the kernel's Module.symvers, \
                 or /dev/null when nothing is exported",
            )
        })?;
        for line in text.lines() {
            let mut fields = line.split('\t');
            let (Some(name), Some(path)) = (fields.nth(1), fields.nth(column - 2)) else {
                continue;
            };
            let (name, path) = (name.trim_ascii(), path.trim_ascii());
            if name.is_empty() || path.is_empty() {
                continue;
            }
            let object = symvers.object(path);
            symvers
                .exports
                .entry(name)
                .and_modify(|e| e.twice = true)
                .or_insert(Export { object, twice: false });
        }
        Ok(symvers)
    }

    fn object(&mut self, path: &str) -> u32 {
        let base = path.rsplit_once('/').map_or(path, |(_, base)| base);
        let index = match self.objects.get_index_of(base) {
            Some(index) => index,
            None => self.objects.insert_full(base.replace('-', "_")).0,
        };
        index as u32
    }

    /// Whether `name` is exported by anyone.
    pub fn contains(&self, name: &str) -> bool {
        self.exports.contains_key(name)
    }

    /// Who exports `name`. Fails when it is listed more than once.
    pub fn get(&self, name: &str) -> Result<Option<Exported<'_>>> {
        let Some((&name, export)) = self.exports.get_key_value(name) else { return Ok(None) };
        if export.twice {
            return Err(Error::broken(
                Code::DuplicateExport,
                format!("duplicate exported symbol found for {name}"),
            )
            .advise("Module.symvers lists it more than once"));
        }
        let object = self.objects.get_index(export.object as usize).map_or("", String::as_str);
        Ok(Some(Exported { name, object }))
    }
}

/// Index of the last field behind the symbol's name that starts with `vmlinux`.
fn object_column(line: &str) -> Option<usize> {
    let fields = line.split('\t').enumerate().skip(2);
    fields.filter(|(_, f)| f.starts_with("vmlinux")).last().map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Symvers<'_> {
        Symvers::parse("Module.symvers", text).expect("parses")
    }

    fn object<'a>(symvers: &'a Symvers<'_>, name: &str) -> Option<&'a str> {
        symvers.get(name).expect("listed once").map(|e| e.object)
    }

    #[test]
    fn reads_today_s_format() {
        let s = parse(
            "0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n\
             0x2\tcfg\tnet/mac-80/mac-802.11\tEXPORT_SYMBOL_GPL\tNS\n",
        );
        assert_eq!(object(&s, "printk"), Some("vmlinux"));
        assert_eq!(object(&s, "cfg"), Some("mac_802.11"));
        assert_eq!(object(&s, "nothing"), None);
        assert!(s.contains("printk") && !s.contains("vmlinux"));
    }

    #[test]
    fn finds_the_column_behind_a_namespace() {
        let s = parse("0x1\ta\tNS\tfs/x\tEXPORT\n0x1\tb\t\tvmlinux\tEXPORT\n");
        assert_eq!(object(&s, "a"), Some("x"));
        assert_eq!(object(&s, "b"), Some("vmlinux"));
    }

    #[test]
    fn the_last_field_that_starts_with_vmlinux_decides() {
        let s = parse("0x1\ta\tvmlinux_ns\tvmlinux\n0x1\tb\tvmlinux\tfs/x\n");
        assert_eq!(object(&s, "a"), Some("vmlinux"));
        assert_eq!(object(&s, "b"), Some("x"));
    }

    #[test]
    fn a_symbol_called_vmlinux_does_not_move_the_column() {
        let s = parse("0x1\tvmlinux_id\tfs/x\tEXPORT\n0x1\tb\tvmlinux\tEXPORT\n");
        assert_eq!(object(&s, "vmlinux_id"), Some("x"));
    }

    #[test]
    fn a_module_column_at_the_line_end_has_no_newline() {
        for text in ["0x1\ta\tvmlinux\n", "0x1\ta\tvmlinux\r\n", "0x1\ta\tvmlinux"] {
            assert_eq!(object(&parse(text), "a"), Some("vmlinux"), "{text:?}");
        }
    }

    #[test]
    fn short_lines_name_nothing() {
        let s = parse("0x1\ta\tvmlinux\n0x1\tb\n\n0x1\n0x1\t\tvmlinux\n0x1\tc\t\n");
        assert_eq!(object(&s, "a"), Some("vmlinux"));
        assert!(!s.contains("b") && !s.contains("") && !s.contains("c"));
    }

    #[test]
    fn an_empty_file_exports_nothing_and_garbage_is_refused() {
        assert!(!parse("").contains("a"));
        for text in ["\n", "a b vmlinux\n", "\t\t\t", "0x1\ta\tfs/x\tEXPORT\n", "vmlinux\ta\tb\n"] {
            let error = Symvers::parse("some/file", text).expect_err("no vmlinux");
            assert_eq!(error.message(), "Module.symvers: invalid format");
            assert_eq!(error.place().file.as_deref(), Some("some/file"));
        }
    }

    #[test]
    fn a_symbol_listed_twice_is_refused_when_it_is_asked_for() {
        let s = parse("0x1\ta\tvmlinux\n0x1\ta\tfs/x\n0x1\tb\tvmlinux\n");
        assert_eq!(object(&s, "b"), Some("vmlinux"));
        assert!(s.contains("a"));
        let error = s.get("a").expect_err("twice");
        assert_eq!(error.message(), "duplicate exported symbol found for a");
    }
}
