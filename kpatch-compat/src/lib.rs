//! What kpatch's two binaries have in common besides the library they stand on.

pub mod argp;
