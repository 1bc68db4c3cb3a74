//! Reads the objects and the parent, and lays the objects out.

use super::job::Job;
use crate::diag::{Error, Result};
use crate::diff::select::status::check_headers;
use crate::elf::ids::{Orig, Patched};
use crate::elf::object::Object;
use crate::kernel::bytecode::check_compiled;
use crate::kernel::layout::Layout;
use crate::kernel::objtool::check_same;
use crate::running::parent::Parent;

/// What was read.
pub struct Loaded<'a> {
    /// The original.
    pub orig: Object<'a, Orig>,
    /// The patched object.
    pub patched: Object<'a, Patched>,
    /// The parent, where the job does not bring one that was read before.
    read: Option<Result<Parent<'a>>>,
}

impl<'a> Loaded<'a> {
    /// The parent, if one was given.
    pub fn parent(&'a self, job: &Job<'a>) -> Result<Option<&'a Parent<'a>>> {
        let known = job.parent.and_then(|files| files.known);
        let read = self.read.as_ref().map(|read| read.as_ref().map_err(Error::clone));
        Ok(known.or(read.transpose()?))
    }
}

/// Both objects' layouts.
pub struct Layouts<'a> {
    /// The original's.
    pub orig: Layout<'a, Orig>,
    /// The patched object's.
    pub patched: Layout<'a, Patched>,
}

/// Reads the files. An error about the parent comes out of [`Loaded::parent`].
pub fn load<'a>(job: &Job<'a>) -> Result<Loaded<'a>> {
    let ((orig, patched), read) = rayon::join(
        || {
            rayon::join(
                || Object::<Orig>::parse(job.orig.name, job.orig.data),
                || Object::<Patched>::parse(job.patched.name, job.patched.data),
            )
        },
        || job.parent.filter(|files| files.known.is_none()).map(|files| files.read()),
    );
    Ok(Loaded { orig: orig?, patched: patched?, read })
}

/// Lays both objects out. Fails unless they can be compared.
pub fn lay_out<'a>(job: &Job<'_>, loaded: &'a Loaded<'a>) -> Result<Layouts<'a>> {
    check_headers(loaded.orig.header(), loaded.patched.header())?;
    let (orig, patched) =
        rayon::join(|| Layout::new(&loaded.orig), || Layout::new(&loaded.patched));
    let of_orig = |e: Error| e.in_file(job.orig.name);
    let layouts = Layouts { orig: orig.map_err(of_orig)?, patched: patched? };
    if job.policy.refuses_unsafe {
        check_compiled(&layouts.orig).map_err(of_orig)?;
        check_compiled(&layouts.patched)?;
        check_same(&layouts.orig, &layouts.patched).map_err(|e| e.in_file(job.patched.name))?;
    }
    Ok(layouts)
}
