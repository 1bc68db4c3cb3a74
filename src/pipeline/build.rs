//! Builds the output.

use super::resolve::Resolved;
use crate::diag::Result;
use crate::patch::resolve::Resolver;
use crate::patch::tables::Draft;

/// Builds the output of what was resolved.
pub fn build<'a>(resolver: &Resolver<'a>, resolved: Resolved<'a>) -> Result<Draft> {
    let Resolved { builder, entries, replaced, resolution } = resolved;
    builder.build(resolver, &replaced, resolution, &entries)
}
