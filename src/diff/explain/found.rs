//! What a difference that was judged noise is told as.

use serde::Serialize;

use crate::diff::compare::forgiven::Forgiven;

/// A difference that was judged noise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoiseFound {
    /// Name of the rule.
    pub rule: &'static str,
    /// Why it holds.
    pub reason: &'static str,
    /// Name of the section.
    pub section: String,
    /// First byte in the section of the patched object.
    pub offset: u64,
    /// Bytes from there that the rule covers.
    pub width: u64,
    /// How many of them differ, as far as both objects have them.
    pub bytes: u64,
    /// How the original has it.
    pub before: String,
    /// How the patched object has it.
    pub after: String,
    /// What shows that the rule holds here.
    pub evidence: String,
}

impl NoiseFound {
    /// The entry of what a comparison forgave.
    pub(super) fn of(entry: Forgiven, section: &str) -> NoiseFound {
        NoiseFound {
            rule: entry.proof.name,
            reason: entry.proof.reason,
            section: section.to_owned(),
            offset: entry.offset,
            width: entry.width,
            bytes: entry.width,
            before: entry.before,
            after: entry.after,
            evidence: entry.evidence.into_owned(),
        }
    }
}
