//! Faults of the program itself: what must not happen, and ends in good order when it does.
//!
//! A result that is wrong is worse than none. So sums that overflow are faults in release builds,
//! too, and what unwinds drops, and so removes, what was begun. The exit status is that of a file
//! which cannot be read.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use crate::diag::printable;

/// From now on, says of a fault where it is, and what to do about it; `program` is who says it.
pub fn announce(program: &'static str) {
    std::panic::set_hook(Box::new(move |info| {
        // Whoever holds a lock of the printer may be the one that fails: past it.
        let _ = std::io::stderr().write_all(text(program, info).as_bytes());
    }));
}

fn text(program: &str, info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    let what = payload.downcast_ref::<&str>().copied().or(owned).unwrap_or("no reason is known");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    format!(
        "{program}: internal error at {place}: {}: this is a fault of {program}, and there is no \
         result: please report it, with the files\n",
        printable(what)
    )
}

/// The result of `run`; `None` after a fault, which has been announced.
pub fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_no_result() {
        assert_eq!(contained(|| 1), Some(1));
        let one = std::hint::black_box(u64::MAX);
        assert_eq!(contained(|| one.checked_add(1).expect("a fault for the test")), None);
    }
}
