//! ELF constants as plain integers, the form in which tables and messages use them.
//! Names and values: System V gABI; the livepatch ones: Linux include/uapi/linux/elf.h.

use object::elf as e;

macro_rules! plain {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(#[doc = concat!("gABI ", stringify!($name), ".")]
        pub const $name: $type = e::$name.0 as $type;)*
    };
}

plain! {
    ET_REL: u16,
    EM_PPC64: u16, EM_X86_64: u16, EM_S390: u16, EM_AARCH64: u16, EM_LOONGARCH: u16,
    SHT_NULL: u32, SHT_PROGBITS: u32, SHT_SYMTAB: u32, SHT_STRTAB: u32, SHT_RELA: u32,
    SHT_NOBITS: u32, SHT_NOTE: u32, SHT_REL: u32, SHT_GROUP: u32, SHT_SYMTAB_SHNDX: u32,
    SHF_WRITE: u64, SHF_ALLOC: u64, SHF_EXECINSTR: u64, SHF_MERGE: u64, SHF_STRINGS: u64,
    SHF_INFO_LINK: u64, SHF_LINK_ORDER: u64, SHF_GROUP: u64, SHF_TLS: u64, SHF_COMPRESSED: u64,
    STT_NOTYPE: u8, STT_OBJECT: u8, STT_FUNC: u8, STT_SECTION: u8, STT_FILE: u8,
    STT_COMMON: u8, STT_TLS: u8, STT_GNU_IFUNC: u8,
    STB_LOCAL: u8, STB_GLOBAL: u8, STB_WEAK: u8,
    SHN_UNDEF: u16, SHN_ABS: u16, SHN_COMMON: u16, SHN_XINDEX: u16,
}

/// Whether a file begins as ELF files do (gABI `e_ident`).
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(&e::ELFMAG)
}

/// First of the reserved section indexes (gABI SHN_LORESERVE).
pub const SHN_LORESERVE: u16 = 0xff00;
/// SHN_LIVEPATCH: the kernel resolves the symbol when it applies the patch.
pub const SHN_LIVEPATCH: u16 = 0xff20;
/// SHF_RELA_LIVEPATCH: the kernel applies these relocations when the object is patched.
pub const SHF_RELA_LIVEPATCH: u64 = 0x0010_0000;
