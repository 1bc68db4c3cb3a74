//! Sections that are compressed in the file (System V gABI, chapter 4, "Section compression").

use std::borrow::Cow;
use std::io::Read;

use super::abi;
use super::linked::{Linked, LinkedSection};
use crate::diag::{Code, Error, Result};

/// ELFCOMPRESS_ZLIB.
const ZLIB: u64 = 1;
/// ELFCOMPRESS_ZSTD.
const ZSTD: u64 = 2;
/// Bytes of an Elf64_Chdr: type, reserved, size, alignment.
const HEADER: usize = 24;

/// Most bytes that a section of this length may unpack to, as for whole files.
fn most(packed: u64) -> u64 {
    packed.saturating_mul(64).saturating_add(64 << 20)
}

/// The contents of a section, unpacked where they are compressed. Fails, with code `malformed-elf`,
/// where they cannot be.
pub fn contents<'d>(elf: &Linked<'_>, section: &LinkedSection<'d>) -> Result<Cow<'d, [u8]>> {
    if section.flags & abi::SHF_COMPRESSED == 0 {
        return Ok(Cow::Borrowed(section.data));
    }
    let fail = |what: String| {
        Error::broken(Code::MalformedElf, what)
            .in_file(elf.file())
            .in_section(section.name)
            .advise("`objcopy --decompress-debug-sections` may unpack it")
    };
    let header = section.data.split_at_checked(HEADER);
    let (header, packed) =
        header.ok_or_else(|| fail("the compressed section is cut short".into()))?;
    let (kind, size) = (elf.integer(&header[..4]), elf.integer(&header[8..16]));
    if size > most(packed.len() as u64) {
        return Err(fail(format!("{} bytes cannot unpack to {size}", packed.len())));
    }
    let mut bytes = Vec::new();
    let read = match kind {
        ZLIB => flate2::read::ZlibDecoder::new(packed).take(size + 1).read_to_end(&mut bytes),
        ZSTD => match ruzstd::decoding::StreamingDecoder::new(packed) {
            Ok(decoder) => decoder.take(size + 1).read_to_end(&mut bytes),
            Err(error) => return Err(fail(format!("the section cannot be unpacked: {error}"))),
        },
        other => {
            return Err(fail(format!("the section is compressed in an unknown way ({other})")));
        }
    };
    match read {
        Ok(_) if bytes.len() as u64 == size => Ok(Cow::Owned(bytes)),
        Ok(_) => Err(fail(format!("the section does not unpack to the {size} bytes it claims"))),
        Err(error) => Err(fail(format!("the section cannot be unpacked: {error}"))),
    }
}
