//! Finds out what there is to tell of the differences, whatever is decided about them.

use super::compare::Evidence;
use super::select::SelectFindings;
use crate::diag::Result;
use crate::diff::explain::found::NoiseFound;
use crate::diff::explain::ignored::noise;
use crate::diff::refuse::check;
use crate::report::describe::{describe_data, functions, unchanged};
use crate::report::{Data, Function};

/// What differs.
pub struct Differences {
    /// Functions, where it was not decided what the patch carries.
    pub functions: Vec<Function>,
    /// Functions that went away.
    pub removed: Vec<String>,
    /// Variables and constants.
    pub data: Vec<Data>,
    /// What was judged noise, when it is wanted.
    pub noise: Vec<NoiseFound>,
    /// What was asked for by name and means the same.
    pub unchanged: Vec<(String, Vec<NoiseFound>)>,
}

/// Describes what differs. `findings` is what is known of the patch, which could not be decided when
/// it is `refused`.
pub fn tell(
    evidence: &Evidence<'_>,
    findings: &SelectFindings,
    refused: bool,
) -> Result<Differences> {
    let Evidence { job, comparer, verdicts, .. } = evidence;
    let wanted = &job.wanted;
    let noise = if wanted.noise { noise(comparer, verdicts)? } else { Vec::new() };
    let (removed, data) =
        rayon::join(|| check::removed_functions(comparer), || check::data(comparer, verdicts));
    let functions = match refused && findings.functions.is_empty() {
        true => {
            let differing = check::differing_functions(comparer, verdicts, job.context.boot);
            functions(comparer, differing, Vec::new(), |_| Vec::new(), wanted)?
        }
        false => Vec::new(),
    };
    Ok(Differences {
        functions,
        removed,
        data: describe_data(comparer, data, wanted),
        noise,
        unchanged: unchanged(comparer, verdicts, wanted)?,
    })
}
