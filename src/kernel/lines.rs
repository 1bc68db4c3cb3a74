//! Callees that take `__LINE__`: a changed immediate before such a call is a moved line.
//!
//! Checklist for a new callee: its name here, and a pair of objects in the tests in which
//! only the line differs (spec section 14).

use crate::arch::{Arch, LineCallees};

/// Functions whose argument is a line number.
const CALLEES: [&str; 10] = [
    "__warn_printk",
    "__might_sleep",
    "___might_sleep",
    "__might_fault",
    "printk",
    "_printk",
    "lockdep_rcu_suspicious",
    "__btrfs_abort_transaction",
    "__btrfs_handle_fs_error",
    "__btrfs_panic",
];

/// Once-only flags that stand between the load of the line and the call.
const BETWEEN: [&str; 3] = ["__warned.", "__already_done.", "__func__."];

/// Whether a call of `callee` explains a changed line number before it.
pub fn takes_line(callee: &str, arch: &Arch) -> bool {
    match arch.line_callees {
        LineCallees::WarnPrintkOnly => callee == "__warn_printk",
        LineCallees::All => callee.starts_with("warn_slowpath_") || CALLEES.contains(&callee),
    }
}

/// Whether a reference to `symbol` may stand between the load and the call.
pub fn may_stand_between(symbol: &str) -> bool {
    BETWEEN.iter().any(|p| symbol.starts_with(p))
}
