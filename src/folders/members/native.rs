//! Distributed ThinLTO: native objects beside the bitcode that they are made of.
//!
//! With CONFIG_LTO_CLANG_THIN_DIST the linker only decides what goes where (`foo.o.thinlto.bc`), and the
//! kernel's build then compiles `foo.thinlto-native.o` of `foo.o`, and links that in its place
//! (scripts/Makefile.thinlto, scripts/Makefile.vmlinux_a). So bitcode with such an object beside it is
//! part of the source as far as a comparison goes.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::{Kind, Member};
use crate::diag::{Code, Error, Result};
use crate::kernel::knowledge::tree::{NATIVE, THIN_INDEX};

/// Leaves bitcode out that a native object stands for, and takes each native object once.
pub(super) fn take(all: Vec<(Member, Kind)>) -> Result<Vec<(Member, Kind)>> {
    let natives = natives(&all);
    if natives.is_empty() {
        return Ok(all);
    }
    let mut left_out = Vec::with_capacity(all.len());
    for (member, kind) in &all {
        let native = stem(member).and_then(|stem| natives.get(stem));
        left_out.push(match (native, kind) {
            (Some(_), Kind::Bitcode) => true,
            (Some(native), Kind::Object) if member.image.bytes() == native.image.bytes() => true,
            (Some(native), Kind::Object) => return Err(both(member, native)),
            _ => false,
        });
    }
    let mut left_out = left_out.into_iter();
    Ok(all.into_iter().filter(|_| left_out.next() != Some(true)).collect())
}

/// Fails where one folder has bitcode alone, and the other one the native object of it.
pub(super) fn check(orig: &[(Member, Kind)], patched: &[(Member, Kind)]) -> Result<()> {
    for (here, there) in [(orig, patched), (patched, orig)] {
        let natives = natives(there);
        let alone = |f: &&(Member, Kind)| {
            f.1 == Kind::Bitcode && stem(&f.0).is_some_and(|stem| natives.contains_key(stem))
        };
        if let Some((member, _)) = here.iter().find(alone) {
            let what = "LLVM bitcode without the native object that the other folder has of it";
            return Err(Error::broken(Code::Bitcode, what).in_file(member.shown()).advise(
                "was the build interrupted? It makes NAME.thinlto-native.o of each NAME.o before it links them",
            ));
        }
    }
    Ok(())
}

/// The native objects by what they are made of, without its suffix.
fn natives(all: &[(Member, Kind)]) -> IndexMap<&str, &Member, RandomState> {
    let objects = all.iter().filter(|(_, kind)| *kind == Kind::Object);
    objects.filter_map(|(member, _)| Some((member.path.strip_suffix(NATIVE)?, member))).collect()
}

/// What a file may be made of, without its suffix.
fn stem(member: &Member) -> Option<&str> {
    let path = member.path.as_str();
    path.strip_suffix(THIN_INDEX).unwrap_or(path).strip_suffix(".o")
}

/// The error about two native objects where one is linked.
fn both(member: &Member, native: &Member) -> Error {
    Error::refused(
        Code::AmbiguousObject,
        format!("it is a native object, and another one is beside it, {}: one of them is linked", native.path),
    )
    .in_file(member.shown())
    .advise(
        "the build makes the latter of bitcode alone: remove what an earlier build with another configuration left",
    )
}
