//! Refuses objects of kernels that collect a profile: their code counts where it goes, so
//! that it says little about the kernel that is built with the profile.

use super::compare::Comparer;
use super::verdict::Verdicts;
use crate::elf::abi;
use crate::error::{Error, Result};

/// Sections of LLVM's instrumentation.
const SECTIONS: [&str; 3] = ["__llvm_prf_cnts", "__llvm_prf_data", "__llvm_covfun"];
/// What the names of counters begin with, in LLVM, gcc's -fprofile-arcs, and LLVM's gcov.
const COUNTERS: [&str; 4] = ["__profc_", "__gcov0.", "__llvm_gcov_ctr", "__llvm_internal_gcov"];

/// Fails when something differs in objects that count their own execution.
pub fn check_instrumented(comparer: &Comparer<'_, '_, '_, '_>, verdicts: &Verdicts) -> Result<()> {
    let object = comparer.patched.layout.object;
    if verdicts.differing().next().is_none() {
        return Ok(());
    }
    let section = object.sections().map(|id| object.section_name(id));
    let section = section.into_iter().find(|name| SECTIONS.contains(name));
    let counter = || {
        let named = object.symbols().filter(|&id| object.symbol_kind(id) == abi::STT_OBJECT);
        named.map(|id| object.symbol_name(id)).find(|n| COUNTERS.iter().any(|c| n.starts_with(c)))
    };
    let Some(trace) = section.or_else(counter) else { return Ok(()) };
    Err(Error::refused(
        "instrumented",
        format!("the object was built to collect a profile: it holds {trace}"),
    )
    .in_file(object.file())
    .advise(
        "build both objects as the running kernel was built: with the profile \
         (-fprofile-use, -fprofile-sample-use), not with -fprofile-generate, -fprofile-arcs or \
         GCOV_PROFILE",
    ))
}
