//! Where kpatch's tool and this one decide otherwise, a name for each.

/// How to decide: [`Policy::KPATCH`] as kpatch's `create-diff-object` does, [`Policy::NATIVE`] as
/// what is known of kernels and compilers allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A section goes into the output whole when one thing of it does, sections of constants
    /// and FILE symbols always.
    pub whole_sections: bool,
    /// Of variables that nothing tells apart, the first one of a section is the first one of
    /// its twin; what is left over there is the same as well.
    pub pairs_by_order: bool,
    /// Positions of symbols are counted as kpatch's tool does, not as the kernel does.
    pub kpatch_sympos: bool,
    /// Differences that compilers make on their own are proved to mean nothing, or named as
    /// such: promotion, functions moved between hot and cold text, registration, alignment.
    pub proves_noise: bool,
    /// What would load and not work is refused, although kpatch's tool writes it.
    pub refuses_unsafe: bool,
    /// Callers are patched in place of functions that cannot be redirected.
    pub lifts_callers: bool,
    /// Code that only runs at boot is a warning and stays out of the patch.
    pub leaves_boot_code: bool,
    /// What only objtool reads comes along.
    pub carries_annotations: bool,
    /// Thunks that each object has its own of are carried as local ones.
    pub own_thunks: bool,
    /// The macros of kernel and kpatch that point to callbacks are known.
    pub reads_callbacks: bool,
    /// More is told than kpatch's tool does: callers, endless functions, inlining.
    pub tells_more: bool,
}

impl Policy {
    /// As kpatch's `create-diff-object`, for `kpatch-build`.
    pub const KPATCH: Policy = Policy {
        whole_sections: true,
        pairs_by_order: true,
        kpatch_sympos: true,
        proves_noise: false,
        refuses_unsafe: false,
        lifts_callers: false,
        leaves_boot_code: false,
        carries_annotations: false,
        own_thunks: false,
        reads_callbacks: false,
        tells_more: false,
    };

    /// As `klp-diff`.
    pub const NATIVE: Policy = Policy {
        whole_sections: false,
        pairs_by_order: false,
        kpatch_sympos: false,
        proves_noise: true,
        refuses_unsafe: true,
        lifts_callers: true,
        leaves_boot_code: true,
        carries_annotations: true,
        own_thunks: true,
        reads_callbacks: true,
        tells_more: true,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Policy::NATIVE
    }
}
