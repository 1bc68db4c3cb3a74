//! What is asked of a run.

use std::fmt::Debug;

use crate::diag::Result;
use crate::diff::policy::Policy;
use crate::diff::select::boot_code::BootCode;
use crate::kernel::knowledge::tables::StructSizes;
use crate::patch::resolve::lookup::Peers;
use crate::patch::sealed::Pointers;
use crate::report::explain::Wanted;
use crate::report::progress::Progress;
use crate::running::image::KernelImage;
use crate::running::parent::Parent;
use crate::running::symtab::ParentTable;
use crate::running::symvers::Symvers;

/// A file's name, for messages, and its contents.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, T> {
    /// Name for messages.
    pub name: &'a str,
    /// Contents.
    pub data: T,
}

/// The kernel or module that is patched, as text files describe it.
#[derive(Clone, Copy, Debug)]
pub struct ParentFiles<'a> {
    /// `vmlinux` or a module's name.
    pub name: &'a str,
    /// Output of `readelf -s --wide`, or a System.map; not read when there is an image.
    pub symtab: Input<'a, &'a str>,
    /// The linked kernel or module itself.
    pub image: Option<&'a KernelImage<'a>>,
    /// Refuse to patch functions that are not in the image as the original has them.
    pub strict: bool,
    /// Module.symvers; may be empty.
    pub symvers: Input<'a, &'a str>,
    /// What pointers to the kernel's functions are checked against beside the image.
    pub pointers: Pointers<'a>,
    /// What [`ParentFiles::read`] gave, when several pairs share it.
    pub known: Option<&'a Parent<'a>>,
}

impl<'a> ParentFiles<'a> {
    /// Reads the symbol table and the exports.
    pub fn read(&self) -> Result<Parent<'a>> {
        let symvers = Symvers::parse(self.symvers.name, self.symvers.data)?;
        let table = match self.image {
            Some(image) => image.table()?,
            None => ParentTable::parse(self.symtab.name, self.symtab.data)?,
        };
        let neighbours = self.image.map_or(&[][..], |image| &image.neighbours);
        Ok(Parent::new(self.name, table, symvers).with_neighbours(neighbours))
    }
}

/// One pair of objects to compare.
pub struct Job<'a> {
    /// Built from the unpatched source.
    pub orig: Input<'a, &'a [u8]>,
    /// Built from the patched source.
    pub patched: Input<'a, &'a [u8]>,
    /// What to build the output against; without it there is no output.
    pub parent: Option<ParentFiles<'a>>,
    /// Sizes of kernel structs.
    pub sizes: StructSizes,
    /// How to decide where kpatch's tool and this one differ.
    pub policy: Policy,
    /// kpatch's `--klp-arch`.
    pub klp_arch: bool,
    /// What else is known of the patch that the pair is part of.
    pub context: PatchContext<'a>,
    /// What is told beside the verdict.
    pub wanted: Wanted,
    /// How far the run is; others may watch it.
    pub progress: Progress,
}

impl<'a> Job<'a> {
    /// Compares two objects as `klp-diff` does, and builds nothing.
    pub fn new(orig: Input<'a, &'a [u8]>, patched: Input<'a, &'a [u8]>) -> Self {
        Job {
            orig,
            patched,
            parent: None,
            sizes: StructSizes::default(),
            policy: Policy::NATIVE,
            klp_arch: false,
            context: PatchContext::default(),
            wanted: Wanted::default(),
            progress: Progress::default(),
        }
    }
}

/// The other objects of a patch.
pub trait Others: Sync + Debug {
    /// Path of an object whose patched build refers to `name`, which another object defines.
    fn who_refers(&self, name: &str) -> Result<Option<String>>;

    /// Whether there is any.
    fn exist(&self) -> bool;
}

impl PatchContext<'_> {
    /// Whether the pair is all that the patch changes, as far as is known.
    pub fn is_alone(&self) -> bool {
        match self.others {
            Some(others) => !others.exist(),
            None => self.peers.is_none() && !self.complete,
        }
    }

    /// Which other object of the patch refers to what has one of these names, or that this is not
    /// known. `verb` is what it would do. Objects that have not changed are in the image.
    pub(super) fn who_refers<'n>(
        &self,
        mut names: impl Iterator<Item = &'n str>,
        verb: &str,
    ) -> Result<Option<String>> {
        let Some(others) = self.others else {
            let may = self.peers.is_some() || self.complete;
            return Ok(may.then(|| format!("another object of the patch may {verb} it")));
        };
        let path = names.find_map(|name| others.who_refers(name).transpose()).transpose()?;
        Ok(path.map(|path| format!("{path}, which is part of the patch, refers to it")))
    }
}

/// What a pair has to do with the rest of a patch.
#[derive(Clone, Copy, Debug, Default)]
pub struct PatchContext<'a> {
    /// What to do about changed code that only runs at boot.
    pub boot: BootCode,
    /// A module is patched, whether or not it is described.
    pub module: bool,
    /// Where the other objects' symbols are; also asks for [`Report::offers`](crate::report::Report::offers).
    pub peers: Option<&'a Peers>,
    /// What the other objects of the patch refer to, where these are known.
    pub others: Option<&'a dyn Others>,
    /// Refuse changed functions that cannot be redirected, instead of patching their callers.
    pub no_lift: bool,
    /// All other objects were looked at: a weak definition that became an ordinary one, or
    /// back, is the one that counts in both builds.
    pub complete: bool,
    /// objtool sees the linked module, and makes its tables then: the output has none of them,
    /// and entries of functions as the compiler made them.
    pub remade: bool,
}
