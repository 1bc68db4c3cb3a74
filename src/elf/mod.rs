//! Bytes and the object model: reading, indexing, writing and verifying
//! relocatable ELF files. Knows nothing about the kernel.

#![deny(clippy::indexing_slicing)]

pub mod abi;
mod compressed;
pub mod copy;
pub mod globals;
pub mod group;
mod header;
pub mod ids;
pub mod image;
pub mod inflate;
pub mod link;
pub mod linked;
mod literals;
pub mod map;
pub mod object;
pub mod out;
mod overridden;
pub mod publish;
mod relocs;
pub mod search;
pub mod strings;
pub mod unpack;
pub mod verify;
mod wellformed;
pub mod write;
