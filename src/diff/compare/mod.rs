//! Compares what twins mean: code, data, references, rows of tables.
//!
//! Comparing goes round: two things are equal when what they refer to is. So that files need not
//! go round as well, that is a question: `questions` finds the answers, `ways` says what there is
//! to try, and all that is between them only asks. Lowest first:
//!
//! | files | |
//! |---|---|
//! | `spans`, `pair`, `meaning`, `forgiven`, `uses`, `questions`, `realignments` | values |
//! | `comparer` | what is looked up, with the answers so far |
//! | `counterpart`, `forgive`, `padding`, `entry`, `address_parts`, `build_version` | what needs no question |
//! | `realigned`, `places`, `assembler_resolved`, `labels`, `constants`, `row_pair`, `live_state` | parts of what a reference means |
//! | `targets` | what a reference means |
//! | `apart`, `rows`, `fields_apart`, `relocs`, `lines`, `same_but_for_padding` | references and rows of whole things |
//! | `entities`, `content` | things with and without names |
//! | `ways` | how questions are answered |
//! | `registration`, `verdicts`, `states` | what differs |
//! | `inlining`, `relayout`, `reasons` | why |
//! | `instrumented`, `reordered` | what is told or refused of all of it |

pub(super) mod address_parts;
pub(super) mod apart;
pub mod assembler_resolved;
pub(super) mod build_version;
pub mod comparer;
pub mod constants;
pub(super) mod content;
mod counterpart;
pub(super) mod entities;
pub mod entry;
pub mod fields_apart;
mod forgive;
pub mod forgiven;
pub mod inlining;
pub mod instrumented;
pub mod labels;
pub(super) mod lines;
mod live_state;
pub mod meaning;
pub(super) mod padding;
pub mod pair;
mod places;
pub mod questions;
pub(super) mod realigned;
pub(super) mod realignments;
pub mod reasons;
pub(super) mod registration;
pub mod relayout;
mod relocs;
pub(super) mod reordered;
mod row_pair;
pub(super) mod rows;
mod same_but_for_padding;
pub(super) mod spans;
pub mod states;
pub(super) mod targets;
pub mod uses;
pub mod verdicts;
pub mod ways;
