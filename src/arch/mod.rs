//! What the differ knows about each machine: one file and one const each.
//!
//! Checklist for adding a machine: one file that opens with the ABI facts it rests on and
//! their source; a const [`Arch`]; its row in [`ALL`]; the kernel's table sections of that
//! machine in `kernel::knowledge::tables`; a pair of objects in the tests. A relocation type that is
//! not in [`Arch::relocs`] is an error wherever it is met: nothing is guessed.

//!
//! # How functions begin
//!
//! One row for each form; the code of a machine knows those of its rows, and refuses others.
//! `N` is a NOP, `H` the hash of kCFI, `|` the function's symbol. The ftrace site is where
//! `*` stands; livepatch redirects there.
//!
//! | machine | compiled with | bytes | site |
//! |---|---|---|---|
//! | x86_64 | `-pg -mfentry` | `\| *call __fentry__` | 0 |
//! | x86_64 | the same, `-fcf-protection=branch` | `\| endbr64 *call __fentry__` | 4 |
//! | x86_64 | either, after objtool | `\| [endbr64] *NOP5` with R_X86_64_NONE: made a call again | 0, 4 |
//! | x86_64 | either, `-mnop-mcount -mrecord-mcount` | `\| [endbr64] *NOP5`, in `__mcount_loc` | 0, 4 |
//! | x86_64 | `-fpatchable-function-entry=N,N` | N NOPs, which objtool names `__pfx_f`, then the above | as above |
//! | x86_64 | `-fsanitize=kcfi` | 11 N, `__cfi_f: mov $H, %eax`, then the above | as above |
//! | x86_64 | the same, `-fpatchable-function-entry=11,11` | `__cfi_f: mov $H, %eax`, 11 N; the symbol of five bytes or sixteen | as above |
//! | x86_64 | the same, `=16,16` | 11 N, `__cfi_f: mov $H, %eax`, 16 N | as above |
//! | aarch64 | `-fpatchable-function-entry=2` | `[H] \| [bti c] *N N`, in `__patchable_function_entries` | 0, 4 |
//! | aarch64 | `=4,2` (CALL_OPS) | `[H] *N N \| [bti c] N N`, in the same | -8 |
//! | powerpc64, s390x, loongarch64 | see their files | | |
//!
//! Aliases share what lies before their address. A prefix symbol names no function: it has no
//! site. Checklist for a new form: a row here; [`Arch::padding`] if something lies before the
//! symbol; [`Arch::has_profiling`] and [`Arch::ftrace_site`]; [`Arch::type_hash`] and
//! [`Arch::indirect_target`] if it may come and go with pointers to the function; a line in the tests
//! of the machine with the compiler's flags, and in `tests/entries.rs`.

#![deny(clippy::indexing_slicing)]

use crate::diag::{Code, Error, Result};

/// The rows of [`Arch::relocs`]: the type's name in `object::elf` (or its name and number
/// where that crate has none), its class, and the width of the field in bytes.
macro_rules! relocs {
    (@id $name:ident) => { object::elf::$name.0 };
    (@id $name:ident $id:literal) => { $id };
    ($($name:ident $(= $id:literal)? $class:ident $width:literal;)*) => {
        &[$(crate::arch::RelocType {
            id: relocs!(@id $name $($id)?),
            name: stringify!($name),
            class: crate::arch::RelocClass::$class,
            width: $width,
        }),*]
    };
}

mod aarch64;
mod displacement;
mod effect;
#[cfg(test)]
mod fixtures;
mod loongarch64;
mod powerpc64;
mod s390x;
mod x86_64;

pub use displacement::displacement;
pub use effect::{Addresses, Arguments, Does, Effect, Immediate, IsLoaded, Place, Stack};

/// How a relocation computes its value; decides which fields are compared and masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelocClass {
    /// Touches nothing (R_*_NONE and pure markers).
    None,
    /// Symbol value plus addend.
    Absolute,
    /// Relative to the place, directly or through a PLT entry or stub.
    PcRelative,
    /// Through a GOT or TOC slot.
    Got,
    /// Relative to the TOC base.
    Toc,
    /// Thread-local storage.
    Tls,
    /// Arithmetic between labels, or a linker relaxation hint.
    Arithmetic,
}

/// One relocation type.
#[derive(Clone, Copy, Debug)]
pub struct RelocType {
    /// Number in r_info.
    pub id: u32,
    /// Name in the ABI document.
    pub name: &'static str,
    /// How its value is computed.
    pub class: RelocClass,
    /// Bytes from r_offset that may be overwritten; 0 for none.
    pub width: u8,
}

/// How the distance between the relocated place and the base of PC-relative addressing
/// shows in addends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// The addend is the offset in the target.
    None,
    /// x86: the processor counts from the end of the instruction.
    InstructionEnd,
    /// s390: for these types the processor counts from the start of the instruction, that many
    /// bytes before the field. Ascending by type; the addends of all others are not biased.
    InstructionStart(&'static [(u32, u8)]),
}

/// A relocation near a function's entry, as the entry checks need it.
#[derive(Clone, Copy, Debug)]
pub struct EntryReloc<'a> {
    /// Offset in the section.
    pub offset: u64,
    /// Type.
    pub kind: u32,
    /// Name of the symbol referred to.
    pub symbol: &'a str,
}

/// A function as the entry checks see it.
#[derive(Clone, Copy, Debug)]
pub struct FunctionView<'a> {
    /// Name.
    pub name: &'a str,
    /// Contents of its section.
    pub section: &'a [u8],
    /// st_value: where in `section` it starts.
    pub value: u64,
    /// st_other.
    pub other: u8,
    /// An entry of `__patchable_function_entries` points into its section.
    pub patchable_entry: bool,
    /// `__mcount_loc` or `__patchable_function_entries` of the object lists this place in its
    /// section, at or closely behind its start, or before it.
    pub listed_site: Option<u64>,
    /// Some section of the object is called `__patchable_function_entries`.
    pub object_has_pfe: bool,
}

/// The relocations of the function's section from the function's start (prefix included).
pub type EntryRelocs<'i, 'a> = &'i mut dyn Iterator<Item = EntryReloc<'a>>;

/// Where ftrace hooks a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FtraceSite {
    /// Offset in the function's section.
    pub offset: u64,
    /// The site must be turned back from a NOP into a call: these bytes are written at
    /// `offset`, and the relocation at `offset + 1` gets this type.
    pub rewrite: Option<(&'static [u8], u32)>,
}

/// Which section lists a new function's ftrace site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteTable {
    /// One `__mcount_loc` for all.
    McountLoc,
    /// One `__patchable_function_entries` per function.
    PatchableEntries,
}

impl SiteTable {
    /// Its name.
    pub fn section(self) -> &'static str {
        match self {
            SiteTable::McountLoc => "__mcount_loc",
            SiteTable::PatchableEntries => "__patchable_function_entries",
        }
    }
}

/// Length of the instruction at a byte of the slice, and where it leads when the distance is in
/// it; `None` where no instruction is. Relocations are not asked.
pub type Reaches = fn(code: &[u8], at: u64) -> Option<(u64, Option<Reach>)>;

/// See [`step`].
pub type Steps = fn(code: &[u8], at: u64) -> Option<Step>;

/// See [`immediates`].
pub type Immediates = fn(code: &[u8]) -> Vec<u64>;

/// See [`instruction_text`].
pub type Texts = fn(code: &[u8], at: u64, named: &dyn Fn(u64) -> Option<String>) -> Option<String>;

/// See [`Arch::effect`].
pub type Effects = fn(code: &[u8], at: u64) -> Option<Effect>;

/// See [`Arch::is_branch`].
pub type IsBranch = fn(code: &[u8], offset: u64, kind: u32) -> bool;

/// See [`Arch::reads_directly`].
pub type ReadsDirectly = fn(instruction: &[u8], field: usize) -> Option<u64>;

/// See [`Arch::instruction_at`].
pub type InstructionAt =
    fn(code: &[u8], from: usize, at: usize) -> std::result::Result<(usize, usize), usize>;

/// Relocations whose field is too small for the distance between modules and the kernel: the
/// kernel cuts what it writes there, or refuses to load the module.
#[derive(Clone, Copy, Debug)]
pub struct Short {
    /// Types.
    pub kinds: &'static [u32],
    /// The type that holds the rest of the address where the code takes it from several fields.
    pub completed_by: Option<u32>,
    /// What the kernel does.
    pub why: &'static str,
    /// How to compile without them.
    pub flags: &'static str,
}

/// See [`Arch::opcode`].
pub type OpcodeOf = fn(field: u64) -> (u64, u64);

/// See [`Arch::call_distance`].
pub type CallDistance = fn(kind: u32, field: [u8; 4]) -> Option<Distance>;

/// The distance in a relocated field of four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distance {
    /// From the field, in bytes, before the addend is taken off.
    pub bytes: i64,
    /// The bits of the field that hold it.
    pub mask: [u8; 4],
}

/// See [`Arch::relaxes_got`].
pub type Relaxes = fn(was: &[u8], now: &[u8]) -> bool;

/// See [`Arch::disabled_jump`] and [`Arch::disabled_call`].
pub type Disabled = fn(code: &[u8]) -> Option<&'static [u8]>;

/// See [`Arch::filled_by_bolt`].
pub type FilledByBolt = fn(room: usize, there: &[u8], ours: &[u8]) -> bool;

/// Everything the differ knows about one machine.
pub struct Arch {
    /// Name as used in file names and tables.
    pub name: &'static str,
    /// e_machine.
    pub machine: u16,
    /// EI_DATA says big-endian. What is known of each machine holds for one byte order only.
    pub big_endian: bool,
    /// The absolute 64-bit relocation type: what a pointer in data uses.
    pub abs64: u32,
    /// All relocation types that are understood, ascending by number.
    pub relocs: &'static [RelocType],
    /// Length in bytes of the instruction at the start of the slice; `None` when it is not one.
    pub instruction_len: fn(&[u8]) -> Option<usize>,
    /// Start and end of the instruction that contains byte `at` of the slice, when an
    /// instruction starts at `from`; the error is the offset of what is no instruction.
    pub instruction_at: InstructionAt,
    /// Whether the code before a relative field of so many bytes shows that the field ends its
    /// instruction. False where only decoding tells.
    pub ends_instruction: Option<fn(&[u8], usize) -> bool>,
    /// What fills the gaps between functions.
    pub padding_pattern: &'static [u8],
    /// The bytes that are padding between functions where nothing but one of them is repeated,
    /// beside zeros: NOPs and traps of one byte.
    pub padding_bytes: &'static [u8],
    /// The NOPs and traps that stand behind what never returns and are never run, beside
    /// [`Flow::Padding`]. Known where the kernel unwinds by ORC, which describes no such code
    /// (Linux arch/{x86,loongarch}/include/asm/orc_types.h).
    pub never_run: &'static [&'static [u8]],
    /// How PC-relative addends are biased.
    pub bias: Bias,
    /// Relocated fields are little-endian numbers of whole bytes, which hold an address or the
    /// distance to it, in code as in data. Elsewhere those of code are bits of instructions.
    pub whole_fields: bool,
    /// The distance in the field of a call or jump of this type that leads everywhere in a
    /// kernel, where fields are not whole; `None` for other types.
    pub call_distance: CallDistance,
    /// Where the bytes are that tell the instruction of a relocated field, whatever the link
    /// writes there: start and end, from the offset of the field. Where fields are whole, a few
    /// bytes before it; elsewhere the instruction, whose field is empty in an object.
    pub opcode: OpcodeOf,
    /// Name prefixes of FUNC symbols that lie before a function and belong to it.
    pub prefix_symbols: &'static [&'static str],
    /// `__patchable_function_entries` decides about ftrace sites (not so on x86, where
    /// objtool makes `__mcount_loc` from the fentry calls).
    pub uses_pfe: bool,
    /// LOCAL NOTYPE symbols are assembler labels: references to them are references to their section.
    pub local_labels: bool,
    /// Relocations to global symbols name them: assemblers keep the name, and compilers have
    /// no section anchors. What goes through a section's symbol means a local symbol then.
    pub names_globals: bool,
    /// How many bytes the instruction that fills the slice reads or writes at the place that
    /// the field at this offset in it gives, when it has no base or index register; `None`
    /// when it only takes the address, or this is not known.
    pub reads_directly: Option<ReadsDirectly>,
    /// LOCAL NOTYPE symbols starting with `$` mark code and data, and name nothing.
    pub mapping_symbols: bool,
    /// The two relocation types through `.toc` slots.
    pub toc_relocs: Option<[u32; 2]>,
    /// Distance from a function's global to its local entry point, from st_other (bytes).
    pub local_entry: fn(u8) -> u64,
    /// The instruction that may open a function whose address escapes, so that indirect
    /// branches may land there; empty where the machine has none.
    pub indirect_target: &'static [u8],
    /// The kernel takes [`Arch::indirect_target`] away from the functions that its build lists
    /// because nothing takes their address (Linux arch/x86/kernel/alternative.c).
    pub seals_indirect_targets: bool,
    /// Whether the relocated field at this offset is that of a branch: the code calls or
    /// jumps to the target, and does not take its address (section's contents, offset, type).
    /// Known where kernels take markers away from functions whose address does not escape.
    pub is_branch: Option<IsBranch>,
    /// Whether the relocated field at this offset is the distance of a call or a jump (section's
    /// contents, offset, type). What is not is taken for the address of the target.
    pub leads: IsBranch,
    /// The hash of the function's type (kCFI) in what lies before its symbol, when that
    /// consists of such a hash and of padding.
    pub type_hash: fn(&[u8]) -> Option<&[u8]>,
    /// The hash that the code at the start of the slice compares with a callee's type.
    pub checks_type: fn(&[u8]) -> Option<u32>,
    /// How many bytes before a function's symbol its site may be.
    pub site_lead: u64,
    /// Bytes of the hash of a function's type, where no symbol names what lies before it.
    pub hash_word: u64,
    /// The relocation, and its bytes, that code reads directly before a function's symbol.
    pub toc_distance: Option<(u32, u64)>,
    /// Bytes of padding that a bundled function may have before its symbol.
    pub padding: fn(&FunctionView<'_>) -> u64,
    /// Whether ftrace can hook the function.
    pub has_profiling: fn(&FunctionView<'_>, EntryRelocs<'_, '_>) -> bool,
    /// Where ftrace hooks the function. The error is the bare message.
    pub ftrace_site:
        fn(&FunctionView<'_>, EntryRelocs<'_, '_>) -> std::result::Result<FtraceSite, String>,
    /// Where sites of new functions are listed.
    pub site_table: fn(object_has_pfe: bool) -> SiteTable,
    /// What the instruction at a byte of the slice does to registers; `None` where that is not
    /// known whole. Relocations are not asked.
    pub effect: Effects,
    /// How calls pass arguments.
    pub arguments: Arguments,
    /// Whether a relocation to a function inside the patch is a function pointer (type, addend relative to the function's start).
    pub is_function_pointer: fn(u32, i64) -> bool,
    /// Relocation types that never become klp relocations in the given section.
    pub never_klp: fn(kind: u32, section: &str) -> bool,
    /// Relocations that do not lead from a module to all of the kernel.
    pub short: &'static [Short],
    /// Symbols with this prefix never become klp relocations.
    pub never_klp_symbol: Option<&'static str>,
    /// Opcode words of a sibling call that the machine cannot livepatch (ppc64).
    pub sibling_call: Option<u32>,
    /// Where an instruction leads that holds a distance.
    pub reach: Reaches,
    /// What follows an instruction; where it is not known, functions whose blocks are in another
    /// order are changed ones.
    pub step: Option<Steps>,
    /// Code of functions that do nothing but return, as compilers write it.
    pub returns: &'static [&'static [u8]],
    /// The immediate operands of code, by which a callee without references is known.
    pub immediates: Option<Immediates>,
    /// Instructions in the words of the assembler, in reasons and in listings.
    pub text: Option<Texts>,
    /// The same, in listings alone: reasons show the instruction as a number.
    pub listing: Option<Texts>,
    /// Relocation types that do the same in code that is linked into the kernel, or loaded into
    /// it, of which assemblers use one for local and one for global functions.
    pub calls: &'static [u32],
    /// Whether linkers write the code `now` in the place of `was`, which lies directly before a
    /// field that is relocated through the GOT, when they know the address.
    pub relaxes_got: Relaxes,
    /// What the kernel's build writes over the jump at the start of the slice where a static
    /// key does not jump: a NOP of the same length.
    pub disabled_jump: Disabled,
    /// The same, over a call that is made at no time, or not yet.
    pub disabled_call: Disabled,
    /// Whether BOLT wrote what is in the room between a function and the next one of a linked
    /// kernel (`there`), and neither the compiler, which left `ours` behind the function, nor
    /// the linker, which fills the rest. `None` where it is not known what BOLT writes.
    pub filled_by_bolt: Option<FilledByBolt>,
    /// st_other says more of a function than its visibility: where calls enter it, or that it
    /// keeps to another convention.
    pub conventions: bool,
}

/// All machines.
pub static ALL: [&Arch; 5] =
    [&x86_64::ARCH, &aarch64::ARCH, &powerpc64::ARCH, &s390x::ARCH, &loongarch64::ARCH];

impl Arch {
    /// The machine with this e_machine.
    pub fn from_machine(machine: u16) -> Result<&'static Arch> {
        ALL.into_iter().find(|a| a.machine == machine).ok_or_else(|| {
            Error::broken(Code::UnsupportedMachine, "Unsupported target architecture").advise(
                format!("e_machine is {machine}; supported are {}", ALL.map(|a| a.name).join(", ")),
            )
        })
    }

    /// Whether bytes are nothing but what fills the gaps between functions.
    pub fn fills(&self, bytes: &[u8]) -> bool {
        let mut patterns = bytes.chunks_exact(self.padding_pattern.len());
        patterns.by_ref().all(|bytes| bytes == self.padding_pattern)
            && patterns.remainder().is_empty()
    }

    /// Fails unless objects of this machine with this byte order are supported.
    pub fn check_byte_order(&self, big_endian: bool) -> Result<()> {
        if self.big_endian == big_endian {
            return Ok(());
        }
        let order = |big| if big { "big" } else { "little" };
        Err(Error::broken(
            Code::UnsupportedMachine,
            format!("{}-endian {} objects are not supported", order(big_endian), self.name),
        )
        .advise(format!("compile for {}-endian {}", order(self.big_endian), self.name)))
    }

    /// The relocation type with number `kind`.
    #[inline]
    pub fn reloc(&self, kind: u32) -> Result<&'static RelocType> {
        let found = self.relocs.binary_search_by_key(&kind, |r| r.id);
        found.ok().and_then(|i| self.relocs.get(i)).ok_or_else(|| {
            Error::broken(Code::UnknownRelocation, format!("unhandled rela type {kind}")).advise(
                format!(
                    "this relocation type is not known for {}; please report it with the object",
                    self.name
                ),
            )
        })
    }

    /// Whether `name` is that of a prefix symbol; returns the function's name.
    pub fn prefixed<'n>(&self, name: &'n str) -> Option<&'n str> {
        self.prefix_symbols.iter().find_map(|p| name.strip_prefix(p))
    }

    /// Whether relocation `kind` goes through a `.toc` slot.
    pub fn is_toc(&self, kind: u32) -> bool {
        self.toc_relocs.is_some_and(|t| t.contains(&kind))
    }
}

/// The instruction at the start of `code` in the words of its assembler, for people; `at` is
/// its place, counted from the start of the function, and `named` gives what the relocation at
/// a distance from the first byte stands for. `None` where there is no disassembler.
pub fn instruction_text(
    arch: &Arch,
    code: &[u8],
    at: u64,
    named: &dyn Fn(u64) -> Option<String>,
) -> Option<String> {
    arch.text?(code, at, named)
}

/// [`instruction_text`], also of machines of which reasons show bytes.
pub fn disassemble(
    arch: &Arch,
    code: &[u8],
    at: u64,
    named: &dyn Fn(u64) -> Option<String>,
) -> Option<String> {
    arch.listing.or(arch.text)?(code, at, named)
}

/// Whether two types of relocations do the same in code that is linked into the kernel, or
/// loaded into it.
pub fn same_reloc(arch: &Arch, a: u32, b: u32) -> bool {
    arch.calls.contains(&a) && arch.calls.contains(&b)
}

/// Where an instruction leads that holds a distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// A byte of the slice; it may be outside.
    pub target: u64,
    /// First byte of the slice that holds the distance.
    pub field: u64,
    /// The bits of up to four bytes from there that do.
    pub mask: [u8; 4],
    /// Type and addend of the relocation that says the same, when one reaches everywhere.
    pub reloc: Option<(u32, i64)>,
}

impl Reach {
    /// Of a little-endian instruction of four bytes at `at`, whose `mask` is a distance of
    /// `distance` bytes.
    fn of_word(at: u64, distance: i64, mask: u32, kind: Option<u32>) -> Reach {
        let target = at.wrapping_add_signed(distance);
        Reach { target, field: at, mask: mask.to_le_bytes(), reloc: kind.map(|kind| (kind, 0)) }
    }

    /// Sets the distance to 0; `code` is the slice.
    pub fn clear(&self, code: &mut [u8]) {
        let field = code.iter_mut().skip(self.field as usize);
        field.zip(self.mask).for_each(|(byte, mask)| *byte &= !mask);
    }
}

/// The low `bits` of `value` as a signed number.
#[expect(clippy::arithmetic_side_effects, reason = "callers ask for one bit to 32")]
fn signed(value: u32, bits: u32) -> i64 {
    i64::from((value << (32 - bits)).cast_signed() >> (32 - bits))
}

/// The little-endian word at `at`.
fn word_at(code: &[u8], at: u64) -> Option<u32> {
    bytes_at(code, at, 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// What one instruction does to the order in which instructions run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It only fills space.
    Padding,
    /// It goes on behind it; calls do, too.
    Next,
    /// It goes on at `target`, a byte of the slice, unless a relocation says where.
    Jump {
        /// Where.
        target: u64,
    },
    /// As [`Flow::Jump`] when a condition holds, else behind it.
    Branch {
        /// Which condition: opposites differ in bit 0 alone.
        condition: u8,
        /// Where.
        target: u64,
    },
    /// It calls `target`, a byte of the slice, unless a relocation says what.
    Call {
        /// What.
        target: u64,
    },
    /// It traps: whoever handles that may go on behind it.
    Trap,
    /// Nothing follows: a return.
    Stop,
    /// It is not known where it goes on.
    Unknown,
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes.
    pub len: u64,
    /// What follows.
    pub flow: Flow,
    /// It reads or writes at a distance from itself, so that it means something else at
    /// another place unless the distance is relocated.
    pub is_relative: bool,
}

/// The instruction at byte `at` of `code`. `None` where no code can be read, and for machines
/// of which it is not known.
pub fn step(arch: &Arch, code: &[u8], at: u64) -> Option<Step> {
    arch.step?(code, at)
}

/// The immediate operands of the instructions in `code`; none for machines of which they are
/// not known. An operand that is relocated is zero.
pub fn immediates(arch: &Arch, code: &[u8]) -> Vec<u64> {
    arch.immediates.map_or_else(Vec::new, |immediates| immediates(code))
}

/// `len` bytes of a section at `offset`; `None` when they are not all there.
fn bytes_at(section: &[u8], offset: u64, len: usize) -> Option<&[u8]> {
    section.get(usize::try_from(offset).ok()?..)?.get(..len)
}

/// Whether the instruction words at `offset` are `words`, in the byte order of the section.
fn words_are(section: &[u8], offset: u64, words: &[[u8; 4]]) -> bool {
    let words = words.as_flattened();
    bytes_at(section, offset, words.len()) == Some(words)
}

/// [`Arch::instruction_at`] where all instructions have four bytes.
#[expect(clippy::arithmetic_side_effects, reason = "places within code that is in memory")]
fn four_bytes_at(
    code: &[u8],
    from: usize,
    at: usize,
) -> std::result::Result<(usize, usize), usize> {
    let start = from + at.saturating_sub(from) / 4 * 4;
    if start + 4 <= code.len() { Ok((start, start + 4)) } else { Err(start) }
}

/// [`Arch::opcode`] where relocated fields are bits of an instruction of four bytes, or are one:
/// the word, which is what relocations add to.
#[expect(clippy::arithmetic_side_effects, reason = "a remainder")]
fn word_of_field(field: u64) -> (u64, u64) {
    let start = field - field % 4;
    (start, start.saturating_add(4))
}

/// [`Arch::instruction_len`] where all instructions have four bytes.
fn four_bytes(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= 4).then_some(4)
}
