//! Bytes and the object model: reading, indexing, writing and verifying
//! relocatable ELF files. Knows nothing about the kernel.

pub mod abi;
pub mod copy;
pub mod ids;
pub mod image;
pub mod object;
pub mod out;
pub mod publish;
pub mod verify;
pub mod write;
