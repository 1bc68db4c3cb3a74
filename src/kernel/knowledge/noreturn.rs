//! Functions that never return: nothing is known of what lies behind a call of them.
//!
//! Those that the kernel declares `__noreturn` and that compiled code calls often
//! (include/linux/panic.h, sched/task.h, stackprotector.h, fortify-string.h, ubsan.c). One
//! that is missing here costs a sentence about a function whose blocks are in another order,
//! and nothing else.

/// Names, sorted.
const NAMES: [&str; 15] = [
    "__fortify_panic",
    "__module_put_and_kthread_exit",
    "__stack_chk_fail",
    "__ubsan_handle_builtin_unreachable",
    "do_exit",
    "do_group_exit",
    "fortify_panic",
    "kthread_complete_and_exit",
    "kthread_exit",
    "make_task_dead",
    "nmi_panic_self_stop",
    "panic",
    "panic_smp_self_stop",
    "rest_init",
    "usercopy_abort",
];

/// Two that every objtool knows by name, whatever else it knows.
pub const KNOWN_ENDS: [&str; 2] = ["panic", "do_exit"];

/// Whether a function of that name never returns.
pub fn never_returns(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted() {
        assert!(NAMES.is_sorted());
        assert!(never_returns("panic") && !never_returns("printk"));
    }
}
