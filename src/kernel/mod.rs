//! What the kernel and its compilers mean by names, sections and tables.

pub mod layout;
pub mod lines;
pub mod names;
pub mod noise;
pub mod pieces;
pub mod refs;
pub mod rows;
pub mod tables;
