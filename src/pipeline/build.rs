//! Builds the output.

use super::resolve::Resolved;
use crate::diag::Result;
use crate::patch::resolve::lookup::RunningKernel;
use crate::patch::tables::Draft;

/// Builds the output of what was resolved.
pub fn build(running: &RunningKernel<'_>, resolved: Resolved<'_>) -> Result<Draft> {
    let Resolved { builder, entries, replaced, resolution } = resolved;
    builder.build(running, &replaced, resolution, &entries)
}
