//! Cases as C: one source with `#ifdef PATCHED` parts whose first lines say what must come
//! of it, `//# KEY: VALUE`. docs/corpus.md lists the keys.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;

use super::case::{Case, Exits, Expected, Objects, Symtab};
use super::compilers::{COMPILERS, Compiler, FLAGS};
use super::source::Source;
use crate::diag::{Code, Error, Result};

const KEYS: [&str; 9] =
    ["what", "changed", "new", "exit", "says", "only", "machines", "flags", "needs-symbol"];

/// Sizes of the rows our sources write.
const STRUCT_SIZES: [(&str, &str); 6] = [
    ("ALT_STRUCT_SIZE", "14"),
    ("BUG_STRUCT_SIZE", "12"),
    ("EX_STRUCT_SIZE", "12"),
    ("JUMP_STRUCT_SIZE", "16"),
    ("PRINTK_INDEX_STRUCT_SIZE", "8"),
    ("STATIC_CALL_STRUCT_SIZE", "8"),
];

/// The header of a source.
#[derive(Debug)]
pub(super) struct Header {
    name: String,
    directives: BTreeMap<String, String>,
}

impl Header {
    /// Reads the `//#` lines of `text`; `None` when it has none.
    pub fn parse(path: &Path, text: &str) -> Result<Option<Header>> {
        let mut directives = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some(directive) = line.strip_prefix("//#") else { break };
            let fail = |what: &str| {
                Err(Error::broken(Code::Case, format!("line {number}: {what}: {line}"))
                    .in_file(path.display().to_string()))
            };
            let Some((key, value)) = directive.split_once(':') else {
                return fail("no colon");
            };
            let (key, value) = (key.trim(), value.trim());
            if !KEYS.contains(&key.split('[').next().unwrap_or(key)) {
                return fail("unknown key");
            }
            if directives.insert(key.to_owned(), value.to_owned()).is_some() {
                return fail("given twice");
            }
        }
        if directives.is_empty() {
            return Ok(None);
        }
        let name = path.file_stem().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
        let header = Header { name, directives };
        if !header.directives.contains_key("what") {
            return Err(header.bad(path, "no `//# what:` line says why the case exists"));
        }
        if !COMPILERS.iter().any(|c| header.is_for(c)) {
            return Err(header.bad(path, "`only` and `machines` name no compiler known here"));
        }
        Ok(Some(header))
    }

    fn bad(&self, path: &Path, what: &str) -> Error {
        Error::broken(Code::Case, what).in_file(path.display().to_string())
    }

    /// Why the case exists.
    pub fn what(&self) -> &str {
        self.directives.get("what").map_or("", String::as_str)
    }

    /// The directive for this machine and family, machine, compiler, family, or all.
    fn directive(&self, key: &str, compiler: &Compiler) -> &str {
        let (machine, family) = (compiler.arch, compiler.family());
        [&format!("{machine}-{family}"), machine, compiler.command, family]
            .iter()
            .find_map(|who| self.directives.get(&format!("{key}[{who}]")))
            .or_else(|| self.directives.get(key))
            .map_or("", String::as_str)
    }

    fn is_for(&self, compiler: &Compiler) -> bool {
        let names = |key: &str, of: &[&str]| {
            let wanted = self.directive(key, compiler);
            wanted.is_empty() || wanted.split_whitespace().any(|w| of.contains(&w))
        };
        names("only", &[compiler.command, compiler.family()]) && names("machines", &[compiler.arch])
    }

    /// The cases this source makes for one compiler, none when it is not for it.
    pub fn cases(&self, path: &Path, prefix: &str, compiler: &Compiler) -> Result<Vec<Case>> {
        if !self.is_for(compiler) {
            return Ok(Vec::new());
        }
        let exit = match self.directive("exit", compiler) {
            "" => 0,
            text => {
                text.parse().map_err(|_| self.bad(path, &format!("'{text}' is no exit status")))?
            }
        };
        let names = |key| -> BTreeSet<String> {
            self.directive(key, compiler).split_whitespace().map(str::to_owned).collect()
        };
        let (changed, new) = (names("changed"), names("new"));
        if (exit == 0) != (changed.len() + new.len() > 0) {
            return Err(self.bad(path, "functions are named exactly when the exit status is 0"));
        }
        let named = exit == 0 || exit == 3;
        let needs = self.directive("needs-symbol", compiler);
        let says = self.directive("says", compiler);
        let case = |&(variant, flags): &(&str, &str)| Case {
            name: format!("{prefix}{}/{variant}/{}", compiler.name, self.name),
            objects: Objects::Source(Source {
                orig: path.to_owned(),
                patched: path.to_owned(),
                command: compiler.command.to_owned(),
                args: [FLAGS, compiler.flags, flags, self.directive("flags", compiler)]
                    .iter()
                    .flat_map(|flags| flags.split_whitespace())
                    .map(str::to_owned)
                    .collect(),
                needs_symbol: (!needs.is_empty()).then(|| needs.to_owned()),
            }),
            parent: "vmlinux".to_owned(),
            symtab: Symtab::OfOrig,
            symvers: None,
            module: "corpus".to_owned(),
            env: STRUCT_SIZES.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
            drop_in: false,
            klp_arch: false,
            test: None,
            expected: Expected {
                changed: named.then(|| changed.clone()),
                new: named.then(|| new.clone()),
                says: (!says.is_empty()).then(|| says.to_owned()),
                ..Expected::exit(Exits::Is(exit))
            },
        };
        Ok(compiler.variants.iter().map(case).collect())
    }
}
