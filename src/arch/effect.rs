//! What an instruction does to registers, as far as the proof that a number reaches one
//! argument of a call needs it.
//!
//! A decoder says nothing of an instruction that it does not know whole: who follows a value
//! stops there. It may name more registers than an instruction uses, never fewer.

/// What one instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Bytes.
    pub len: u64,
    /// Registers that it may read; bit n is register n.
    pub reads: u64,
    /// Registers that it may write.
    pub writes: u64,
    /// What it does to the top of the stack.
    pub stack: Stack,
    /// How far it moves the stack pointer.
    pub moves: i64,
    /// What comes of it.
    pub does: Does,
}

/// The memory that an instruction reads or writes by way of the stack pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// None.
    Untouched,
    /// From the first to the second distance from the stack pointer before the instruction.
    Touched(i64, i64),
    /// Any: the stack pointer is changed, copied or part of an address that is not known.
    Unknown,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a register.
    Register(u8),
    /// At this distance from the stack pointer before the instruction.
    Stack(i64),
}

/// What comes of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It goes on behind it; nothing else is known of what it writes.
    Other,
    /// The place holds nothing but the constant. With an absolute relocation of the whole
    /// immediate it holds an address, if `address` says that it is as wide as one.
    Constant {
        /// Where it is then.
        place: Place,
        /// The constant.
        immediate: Immediate,
        /// Its relocation may be that of a whole address.
        address: bool,
    },
    /// The register holds the address that the instruction's relocation says.
    Address(u8),
    /// The register holds the upper part of the address that the relocation says.
    Upper(u8),
    /// The first register holds the address that the relocation says, if the second one held
    /// its upper part.
    Lower(u8, u8),
    /// As [`Does::Lower`], if the relocation is that of a slot that holds the address.
    Slot(u8, u8),
    /// The first register holds what the second one holds.
    Copy(u8, u8),
    /// The place at this distance from the stack pointer holds what the register holds.
    Store(i64, u8),
    /// It calls what its relocation says.
    Call,
    /// It goes on where its relocation says, or else at a known distance.
    Jump,
    /// It goes on somewhere else, or behind it.
    Branch,
    /// It goes on, perhaps, where a register or memory says: anywhere, but not where a return
    /// leads.
    Anywhere,
}

/// A constant in an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Immediate {
    /// First byte of the instruction that holds it.
    pub at: u64,
    /// Bytes that do.
    pub width: u64,
    /// The bits of these that do.
    pub mask: [u8; 4],
    /// The value.
    pub value: i64,
}

impl Immediate {
    /// Of whole bytes.
    pub(super) fn bytes(at: u64, width: u64, value: i64) -> Immediate {
        let mask = [0, 1, 2, 3].map(|i| if i < width { 0xff } else { 0 });
        Immediate { at, width, mask, value }
    }

    /// Sets the constant to 0; `instruction` is the one that holds it.
    pub fn clear(&self, instruction: &mut [u8]) {
        let field = instruction.iter_mut().skip(self.at as usize);
        field.zip(self.mask).for_each(|(byte, mask)| *byte &= !mask);
    }
}

/// How calls pass whole numbers and pointers.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    /// The registers of the first arguments.
    pub registers: &'static [u8],
    /// Distance of the first argument on the stack from the stack pointer at the call; `None`
    /// where arguments on the stack are not followed. Each has eight bytes.
    pub stack: Option<i64>,
    /// Registers that a callee gives back as it found them; bit n is register n.
    pub preserved: u64,
    /// How code makes the address that is passed in a register.
    pub addresses: Addresses,
}

/// How code makes an address in a register for a call, so that it can be read with certainty.
#[derive(Clone, Copy, Debug)]
pub enum Addresses {
    /// One instruction loads it, which has a field for it.
    Field(IsLoaded),
    /// One instruction of four bytes, or two that make the upper and the lower part of it;
    /// relocations belong to the whole instruction, and [`Effect`]s tell which it is.
    Words,
    /// Not read so far.
    Unread,
}

/// Whether the field at `field` is that of an instruction that loads `register`, and from there
/// to the call whose field is at `call` nothing but loads of other registers.
pub type IsLoaded = fn(code: &[u8], field: u64, call: u64, register: u8) -> bool;

/// A set of registers; numbers from 64 on are none.
pub(super) fn registers(numbers: &[u8]) -> u64 {
    numbers.iter().filter(|&&n| n < 64).fold(0, |set, n| set | 1 << n)
}

impl Effect {
    /// An instruction that reads and writes these registers.
    pub(super) fn new(len: u64, reads: u64, writes: u64) -> Effect {
        Effect { len, reads, writes, stack: Stack::Untouched, moves: 0, does: Does::Other }
    }

    /// The same, with what comes of it.
    pub(super) fn does(self, does: Does) -> Effect {
        Effect { does, ..self }
    }
}
