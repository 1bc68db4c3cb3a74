//! What a prepared kernel tree says about the kernel that it builds modules for.

use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::diag::{Code, Error, Result};
use crate::elf::image::Image;
use crate::running::installed::release_of;

/// Where a prepared tree has the options that are set.
const CONFIGURATION: &str = "include/config/auto.conf";

/// A kernel tree that can build modules: the `build` link in /lib/modules/RELEASE, or the
/// folder that the kernel was built in.
#[derive(Debug)]
pub struct KernelTree {
    path: PathBuf,
    release: String,
    /// Options that are set, without `CONFIG_`; strings without their quotes.
    options: IndexMap<String, String, RandomState>,
}

impl KernelTree {
    /// Reads the tree's configuration. Fails when the tree is not prepared.
    pub fn open(path: &Path) -> Result<KernelTree> {
        let shown = path.display().to_string();
        let path = path.canonicalize().map_err(|e| {
            Error::broken(Code::KernelTree, format!("cannot open the kernel tree: {e}"))
                .in_file(&*shown)
                .advise(
                    "give the folder that the kernel was built in, or /lib/modules/RELEASE/build",
                )
        })?;
        let read = |file: &str| -> Result<String> {
            let image = Image::open(&path.join(file)).map_err(|e| {
                e.advise("the tree is not prepared: run `make modules_prepare` in it")
            })?;
            Ok(image.text().into_owned())
        };
        let release = release_of(&path)?;
        let text = read(CONFIGURATION)?;
        let options = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('"').to_owned()))
        });
        let tree = KernelTree { release, options: options.collect(), path };
        if !tree.has("LIVEPATCH") {
            return Err(Error::refused(
                Code::NoLivepatch,
                "the kernel is built without livepatching",
            )
            .in_file(shown)
            .advise("it needs CONFIG_LIVEPATCH=y"));
        }
        Ok(tree)
    }

    /// Its configuration: the text of auto.conf.
    pub fn configuration(&self) -> Result<String> {
        Ok(Image::open(&self.path.join(CONFIGURATION))?.text().into_owned())
    }

    /// Absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `uname -r` says on that kernel.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Whether an option, named without `CONFIG_`, is on.
    pub fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    /// An option's value.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// Whether objtool runs on the linked module and not on each object (Linux
    /// scripts/Makefile.lib, `delay-objtool`).
    pub fn objtool_is_late(&self) -> bool {
        self.has("OBJTOOL") && (self.has("LTO_CLANG") || self.has("X86_KERNEL_IBT"))
    }

    /// Whether objtool makes `__mcount_loc` for the linked module.
    pub fn objtool_makes_sites(&self) -> bool {
        self.objtool_is_late() && self.has("FTRACE_MCOUNT_USE_OBJTOOL")
    }

    /// Version of the compiler that built the kernel, as three numbers, and whether it is
    /// clang.
    pub fn compiler(&self) -> Option<(bool, [u32; 3])> {
        let clang = self.has("CC_IS_CLANG");
        let number = self.value(if clang { "CLANG_VERSION" } else { "GCC_VERSION" })?;
        let number: u32 = number.parse().ok()?;
        Some((clang, [number / 10_000, number / 100 % 100, number % 100]))
    }
}

/// A row of Module.symvers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// CRC of the symbol's type; 0 without CONFIG_MODVERSIONS.
    pub crc: u32,
    /// Exporting object, without folder.
    pub object: String,
    /// Only for modules with a compatible license.
    pub gpl: bool,
    /// Namespace that a user must import; often empty.
    pub namespace: String,
}

/// The rows of Module.symvers that are complete, by symbol. The first of equal names counts.
pub fn exports(text: &str) -> IndexMap<&str, Export, RandomState> {
    let mut all = IndexMap::default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let (crc, name, object, kind, namespace) = match fields[..] {
            // From 5.4 to 5.9 the namespace came before the object.
            [crc, name, namespace, object, kind, ..] if kind.starts_with("EXPORT_") => {
                (crc, name, object, kind, namespace)
            }
            [crc, name, object, kind, ref rest @ ..] => {
                (crc, name, object, kind, rest.first().copied().unwrap_or(""))
            }
            _ => continue,
        };
        let object = object.rsplit_once('/').map_or(object, |(_, base)| base);
        all.entry(name).or_insert_with(|| Export {
            crc: u32::from_str_radix(crc.trim_start_matches("0x"), 16).unwrap_or(0),
            object: object.replace('-', "_"),
            gpl: kind.ends_with("_GPL"),
            namespace: namespace.to_owned(),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_have_crc_license_and_namespace() {
        let text = "0x0000002a\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n\
            0xdeadbeef\tsecret\tdrivers/my-mod\tEXPORT_SYMBOL_GPL\tMY_NS\n\
            0x00000001\told\tOLD_NS\tvmlinux\tEXPORT_SYMBOL\n\
            cut\tshort\n";
        let all = exports(text);
        assert_eq!(all.len(), 3);
        assert_eq!((&*all["old"].object, &*all["old"].namespace), ("vmlinux", "OLD_NS"));
        let printk = &all["printk"];
        assert_eq!((printk.crc, printk.gpl, &*printk.namespace), (42, false, ""));
        let secret = &all["secret"];
        assert_eq!(
            (secret.crc, secret.gpl, &*secret.namespace, &*secret.object),
            (0xdead_beef, true, "MY_NS", "my_mod")
        );
    }

    #[test]
    fn an_unprepared_tree_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let error = KernelTree::open(folder.path()).expect_err("empty");
        assert!(error.advice().is_some_and(|a| a.contains("modules_prepare")), "{error}");
    }

    #[test]
    fn options_are_read() {
        let folder = tempfile::tempdir().expect("folder");
        let config = folder.path().join("include/config");
        std::fs::create_dir_all(&config).expect("folder");
        std::fs::write(config.join("kernel.release"), "6.1.0-x\n").expect("written");
        let write = |text: &str| std::fs::write(config.join("auto.conf"), text).expect("written");
        write("CONFIG_OBJTOOL=y\n");
        let error = KernelTree::open(folder.path()).expect_err("no livepatch");
        assert_eq!(error.code(), Code::NoLivepatch);
        write(
            "CONFIG_LIVEPATCH=y\nCONFIG_OBJTOOL=y\nCONFIG_X86_KERNEL_IBT=y\n\
             CONFIG_GCC_VERSION=120200\nCONFIG_CC_VERSION_TEXT=\"gcc 12\"\n",
        );
        let tree = KernelTree::open(folder.path()).expect("tree");
        assert_eq!(tree.release(), "6.1.0-x");
        assert!(tree.objtool_is_late() && !tree.objtool_makes_sites());
        assert_eq!(tree.compiler(), Some((false, [12, 2, 0])));
        assert_eq!(tree.value("CC_VERSION_TEXT"), Some("gcc 12"));
        let generated = folder.path().join("include/generated");
        std::fs::create_dir_all(&generated).expect("folder");
        std::fs::write(generated.join("utsrelease.h"), "#define UTS_RELEASE \"6.1.0-1-y\"\n")
            .expect("written");
        assert_eq!(KernelTree::open(folder.path()).expect("tree").release(), "6.1.0-1-y");
    }
}
