//! Cases as C: one source with `#ifdef PATCHED` parts whose first lines say what must come
//! of it, `//# KEY: VALUE`. docs/corpus.md lists the keys. The suites of tests read the same.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::case::{Case, Exits, Expected, Objects, Symtab};
use super::compilers::{COMPILERS, Compiler};
use super::directives::Directives;
use super::source::Source;
use crate::diag::{Code, Error, Result};

const KEYS: [&str; 9] =
    ["what", "changed", "new", "exit", "says", "only", "machines", "flags", "needs-symbol"];

/// Sizes of the rows our sources write.
pub const STRUCT_SIZES: [(&str, &str); 6] = [
    ("ALT_STRUCT_SIZE", "14"),
    ("BUG_STRUCT_SIZE", "12"),
    ("EX_STRUCT_SIZE", "12"),
    ("JUMP_STRUCT_SIZE", "16"),
    ("PRINTK_INDEX_STRUCT_SIZE", "8"),
    ("STATIC_CALL_STRUCT_SIZE", "8"),
];

/// The header of a source.
#[derive(Debug)]
pub struct Header {
    path: PathBuf,
    name: String,
    directives: Directives,
}

impl Header {
    /// Reads the `//#` lines of `text`, which the file `path` has; `None` when it has none.
    /// Fails when they are wrong, or for no compiler of [`COMPILERS`].
    pub fn parse(path: &Path, text: &str) -> Result<Option<Header>> {
        let directives = Directives::parse(path, text, &KEYS)?;
        if directives.is_empty() {
            return Ok(None);
        }
        let name = path.file_stem().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
        let header = Header { path: path.to_owned(), name, directives };
        if !header.directives.has("what") {
            return Err(header.bad("no `//# what:` line says why the case exists"));
        }
        if !COMPILERS.iter().any(|c| header.is_for(c)) {
            return Err(header.bad("`only` and `machines` name no compiler known here"));
        }
        Ok(Some(header))
    }

    fn bad(&self, what: &str) -> Error {
        Error::broken(Code::Case, what).in_file(self.path.display().to_string())
    }

    /// The file's name without its extension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why the case exists.
    pub fn what(&self) -> &str {
        self.directives.get("what", &[])
    }

    /// The directive for this machine and family, machine, compiler, family, or all.
    pub fn directive(&self, key: &str, compiler: &Compiler) -> &str {
        let (machine, family) = (compiler.arch, compiler.family());
        let both = format!("{machine}-{family}");
        self.directives.get(key, &[&both, machine, compiler.command, family])
    }

    /// The functions that must be `changed`, or `new`.
    pub fn functions(&self, key: &str, compiler: &Compiler) -> BTreeSet<&str> {
        self.directive(key, compiler).split_whitespace().collect()
    }

    /// The exit status that the case must have. Fails when it is none, or does not go with the
    /// functions.
    pub fn exit(&self, compiler: &Compiler) -> Result<u8> {
        let exit = match self.directive("exit", compiler) {
            "" => 0,
            text => text.parse().map_err(|_| self.bad(&format!("'{text}' is no exit status")))?,
        };
        let named = ["changed", "new"].map(|key| self.functions(key, compiler).len());
        if (exit == 0) != (named.iter().sum::<usize>() > 0) {
            return Err(self.bad("functions are named exactly when the exit status is 0"));
        }
        Ok(exit)
    }

    /// Whether the case is for this compiler.
    pub fn is_for(&self, compiler: &Compiler) -> bool {
        let names = |key: &str, of: &[&str]| {
            let wanted = self.directive(key, compiler);
            wanted.is_empty() || wanted.split_whitespace().any(|w| of.contains(&w))
        };
        names("only", &[compiler.command, compiler.family()]) && names("machines", &[compiler.arch])
    }

    /// The cases this source makes for one compiler, none when it is not for it.
    pub(crate) fn cases(&self, prefix: &str, compiler: &Compiler) -> Result<Vec<Case>> {
        if !self.is_for(compiler) {
            return Ok(Vec::new());
        }
        let exit = self.exit(compiler)?;
        let named = exit == 0 || exit == 3;
        let names = |key| -> Option<BTreeSet<String>> {
            named.then(|| self.functions(key, compiler).into_iter().map(str::to_owned).collect())
        };
        let needs = self.directive("needs-symbol", compiler);
        let says = self.directive("says", compiler);
        let case = |&(variant, flags): &(&str, &str)| Case {
            name: format!("{prefix}{}/{variant}/{}", compiler.name, self.name),
            objects: Objects::Source(Source {
                orig: self.path.clone(),
                patched: self.path.clone(),
                command: compiler.command.to_owned(),
                args: compiler.args(flags, self.directive("flags", compiler)),
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
                changed: names("changed"),
                new: names("new"),
                says: (!says.is_empty()).then(|| says.to_owned()),
                ..Expected::exit(Exits::Is(exit))
            },
        };
        Ok(compiler.variants.iter().map(case).collect())
    }
}
