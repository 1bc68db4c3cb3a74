//! What kpatch's two binaries have in common besides the library they stand on.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use klp_diff::host::print;

pub mod argp;

/// The exit status of a run that ended with `status`: what nobody could read is an error.
pub fn finish(status: u8) -> u8 {
    match print::failure() {
        None => status,
        Some(_) if status == argp::USAGE_STATUS => status,
        Some(failure) => {
            print::err(&format!("ERROR: {failure}"));
            1
        }
    }
}
