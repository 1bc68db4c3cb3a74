//! Sections that are compressed in the file (System V gABI, chapter 4, "Section compression").

use std::borrow::Cow;
use std::io::Read;

use super::abi;
use super::compressed::{HEADER, integer};
use super::ids::{SectionId, Side};
use super::linked::{Linked, LinkedSection};
use super::object::Object;
use crate::diag::{Code, Error, Result};

/// ELFCOMPRESS_ZLIB.
const ZLIB: u64 = 1;
/// ELFCOMPRESS_ZSTD.
const ZSTD: u64 = 2;
/// Most bytes that a section of this length may unpack to, as for whole files.
fn most(packed: u64) -> u64 {
    packed.saturating_mul(64).saturating_add(64 << 20)
}

/// The contents of a section of a linked file, unpacked where they are compressed. Fails, with
/// code `malformed-elf`, where they cannot be.
pub fn contents<'d>(elf: &Linked<'_>, section: &LinkedSection<'d>) -> Result<Cow<'d, [u8]>> {
    if section.flags & abi::SHF_COMPRESSED == 0 {
        return Ok(Cow::Borrowed(section.data));
    }
    let unpacked = unpacked(section.data, |bytes| elf.integer(bytes));
    unpacked.map(Cow::Owned).map_err(|what| {
        Error::broken(Code::MalformedElf, what)
            .in_file(elf.file())
            .in_section(section.name)
            .advise("`objcopy --decompress-debug-sections` may unpack it")
    })
}

/// The contents of a section of a relocatable object, unpacked where they are compressed;
/// `None` where they cannot be.
pub fn contents_of<'d, S: Side>(object: &Object<'d, S>, id: SectionId<S>) -> Option<Cow<'d, [u8]>> {
    let data = object.contents(id);
    if object.section_flags(id) & abi::SHF_COMPRESSED == 0 {
        return Some(Cow::Borrowed(data));
    }
    let big = matches!(object.endian(), object::Endianness::Big);
    unpacked(data, |bytes| integer(bytes, big)).ok().map(Cow::Owned)
}

/// What a compressed section holds, or why that cannot be told; `integer` reads numbers of the
/// file's byte order.
#[expect(clippy::arithmetic_side_effects, reason = "checked to be far below the largest number")]
fn unpacked(data: &[u8], integer: impl Fn(&[u8]) -> u64) -> std::result::Result<Vec<u8>, String> {
    let header = data.split_first_chunk::<HEADER>();
    let (header, packed) = header.ok_or("the compressed section is cut short")?;
    let (kind, size) = (integer(&header[..4]), integer(&header[8..16]));
    if size > most(packed.len() as u64) {
        return Err(format!("{} bytes cannot unpack to {size}", packed.len()));
    }
    let mut bytes = Vec::new();
    let read = match kind {
        ZLIB => flate2::read::ZlibDecoder::new(packed).take(size + 1).read_to_end(&mut bytes),
        ZSTD => match ruzstd::decoding::StreamingDecoder::new(packed) {
            Ok(decoder) => decoder.take(size + 1).read_to_end(&mut bytes),
            Err(error) => return Err(format!("the section cannot be unpacked: {error}")),
        },
        other => return Err(format!("the section is compressed in an unknown way ({other})")),
    };
    match read {
        Ok(_) if bytes.len() as u64 == size => Ok(bytes),
        Ok(_) => Err(format!("the section does not unpack to the {size} bytes it claims")),
        Err(error) => Err(format!("the section cannot be unpacked: {error}")),
    }
}
