//! `klp-diff`: see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    return_freed_memory();
    klp_diff::prepare("klp-diff");
    ExitCode::from(klp_diff::cli::main(std::env::args_os()) as u8)
}

/// Has tables of 128 KiB and more freed for good: by default glibc raises that bound to the
/// largest table that was ever freed, and keeps what is below it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "declares a function of glibc")]
fn return_freed_memory() {
    // SAFETY: glibc declares it so in malloc.h: two integers, by value.
    unsafe extern "C" {
        safe fn mallopt(parameter: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
    }
    /// From malloc.h.
    const M_MMAP_THRESHOLD: std::ffi::c_int = -3;
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

/// Other allocators have other rules.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn return_freed_memory() {}
