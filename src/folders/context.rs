//! What the pairs of a patch are compared against.

use crate::kernel::knowledge::tables::StructSizes;
use crate::report::explain::Wanted;
use crate::{Input, Job, ParentFiles, PatchContext, Run};

/// What pairs are compared against.
#[derive(Clone, Copy)]
pub(crate) struct KernelContext<'k> {
    /// Without it nothing is built.
    pub(crate) parent: Option<ParentFiles<'k>>,
    pub(crate) sizes: &'k StructSizes,
    /// It is a module.
    pub(crate) module: bool,
}

impl KernelContext<'_> {
    /// Compares a pair, names and contents, and builds its output in kpatch's flavour.
    pub(crate) fn compare(
        &self,
        inputs: [(&str, &[u8]); 2],
        context: PatchContext<'_>,
        wanted: &Wanted,
    ) -> Run {
        let context = PatchContext { module: self.module, ..context };
        crate::run(&Job { wanted: wanted.clone(), ..self.job(inputs, context) })
    }

    /// What is compared, names and contents, and what to build the output against.
    pub(crate) fn job<'j>(
        &'j self,
        [orig, patched]: [(&'j str, &'j [u8]); 2],
        context: PatchContext<'j>,
    ) -> Job<'j> {
        Job {
            parent: self.parent,
            sizes: self.sizes.clone(),
            context,
            ..Job::new(
                Input { name: orig.0, data: orig.1 },
                Input { name: patched.0, data: patched.1 },
            )
        }
    }
}
