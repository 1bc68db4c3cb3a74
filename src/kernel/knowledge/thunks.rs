//! Code that compilers make once for each object that needs it, in a group of which the linker
//! keeps one: jumps and returns that speculation cannot follow, and checks of memory tags.

use crate::elf::abi;
use crate::elf::object::Symbol;

/// What their names begin with; a register, or a register and a number follow.
const THUNKS: [&str; 9] = [
    // gcc -mindirect-branch=thunk, s390x and x86
    "__s390_indirect_jump_r",
    "__x86_indirect_thunk_",
    "__x86_return_thunk",
    // gcc -mharden-sls=indirect-jmp and aarch64 -mharden-sls=blr
    "__x86_indirect_call_thunk_",
    "__x86_indirect_jump_thunk_",
    "__call_indirect_x",
    // clang -mretpoline, aarch64 -mharden-sls=blr, -fsanitize=kernel-hwaddress
    "__llvm_retpoline_",
    "__llvm_slsblr_thunk_x",
    "__hwasan_check_x",
];

/// Whether a symbol names such code, which no other object sees.
pub fn is_own<S>(symbol: &Symbol<'_, S>) -> bool {
    let rest = THUNKS.iter().find_map(|thunk| symbol.name.strip_prefix(thunk));
    let hidden = symbol.bind == abi::STB_LOCAL || matches!(symbol.other & 3, 1 | 2);
    hidden && rest.is_some_and(is_register)
}

/// Whether what follows may say which register a thunk is for, and what it checks.
fn is_register(rest: &str) -> bool {
    rest.len() <= 24
        && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
