//! Mutates ELF files where it hurts: headers that lie, sections that overlap, references to
//! anywhere, cut files. Most mutants are still ELF files, so that what is behind the reader
//! is reached, too.

/// Numbers at which something ends, overflows or means something of its own.
const ODD: [u64; 30] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    9,
    15,
    16,
    23,
    24,
    25,
    63,
    64,
    0x7f,
    0x80,
    0xff,
    0xff00,
    0xfff1,
    0xfff2,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 63,
    u64::MAX - 7,
    u64::MAX,
];

/// Offsets and widths of the fields of a section header.
const SECTION: [(usize, usize); 10] =
    [(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8), (56, 8)];
/// Of a symbol.
const SYMBOL: [(usize, usize); 6] = [(0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 8)];
/// Of a relocation with addend: offset, type, symbol, addend.
const RELOCATION: [(usize, usize); 4] = [(0, 8), (8, 4), (12, 4), (16, 8)];
/// Of the file header, behind what says that it is one.
const HEADER: [(usize, usize); 9] =
    [(16, 2), (18, 2), (32, 8), (40, 8), (48, 4), (54, 2), (58, 2), (60, 2), (62, 2)];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// A file and how its numbers are written.
struct Elf<'f> {
    bytes: &'f mut Vec<u8>,
    big: bool,
}

impl Elf<'_> {
    fn get(&self, at: usize, width: usize) -> Option<u64> {
        let field = self.bytes.get(at..at.checked_add(width)?)?;
        let digit = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.big { field.iter().fold(0, digit) } else { field.iter().rev().fold(0, digit) })
    }

    fn set(&mut self, at: usize, width: usize, value: u64) {
        let Some(field) = at.checked_add(width).and_then(|end| self.bytes.get_mut(at..end)) else {
            return;
        };
        let bytes = value.to_le_bytes();
        for (i, byte) in field.iter_mut().enumerate() {
            *byte = bytes[if self.big { width - 1 - i } else { i }];
        }
    }

    /// Where the header of section `index` is.
    fn header(&self, index: usize) -> Option<usize> {
        let table = usize::try_from(self.get(40, 8)?).ok()?;
        table
            .checked_add(index.checked_mul(64)?)
            .filter(|at| at.saturating_add(64) <= self.bytes.len())
    }

    /// Start and size of the contents of section `index`, which has one of `kinds`.
    fn contents(&self, index: usize, kinds: &[u64]) -> Option<(usize, usize)> {
        let at = self.header(index)?;
        kinds.contains(&self.get(at + 4, 4)?).then_some(())?;
        let (start, size) = (self.get(at + 24, 8)? as usize, self.get(at + 32, 8)? as usize);
        (start.checked_add(size)? <= self.bytes.len()).then_some((start, size))
    }

    /// Sets a field of one of the records of `size` bytes at `start` to something else.
    fn alter(&mut self, random: &mut Random, start: usize, size: usize, fields: &[(usize, usize)]) {
        let record = start + random.below(size / 24) * 24;
        let (field, width) = fields[random.below(fields.len())];
        self.alter_field(random, record + field, width);
    }

    fn alter_field(&mut self, random: &mut Random, at: usize, width: usize) {
        let Some(old) = self.get(at, width) else { return };
        let value = match random.below(5) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_sub(1),
            2 => old ^ 1 << random.below(width * 8),
            3 => random.next() % 64,
            _ => ODD[random.below(ODD.len())],
        };
        self.set(at, width, value);
    }
}

/// Changes one to four things in `bytes`.
pub fn mutate(bytes: &mut Vec<u8>, seed: u32) {
    let mut random = Random(u64::from(seed) << 20 | 0x9e37_79b9);
    for _ in 0..1 + random.below(4) {
        mutate_once(bytes, &mut random);
    }
}

fn mutate_once(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.len() < 64 {
        return bytes.resize(64, 0);
    }
    let big = bytes[5] == 2;
    let mut elf = Elf { bytes, big };
    let count = elf.get(60, 2).unwrap_or(0) as usize;
    let index = random.below(count);
    match random.below(16) {
        0 => {
            let (field, width) = HEADER[random.below(HEADER.len())];
            elf.alter_field(random, field, width);
        }
        1..=3 => {
            let (field, width) = SECTION[random.below(SECTION.len())];
            if let Some(at) = elf.header(index) {
                elf.alter_field(random, at + field, width);
            }
        }
        // Two sections of the same place.
        4 => {
            let other = random.below(count);
            if let Some((from, to)) = elf.header(index).zip(elf.header(other)) {
                let place = elf.get(from + 24, 8).unwrap_or(0);
                elf.set(to + 24, 8, place);
            }
        }
        5..=7 => {
            if let Some((start, size)) = (0..count).find_map(|i| elf.contents(i, &[2])) {
                elf.alter(random, start, size, &SYMBOL);
            }
        }
        8..=10 => {
            let tables: Vec<_> = (0..count).filter_map(|i| elf.contents(i, &[4])).collect();
            if let Some(&(start, size)) = tables.get(random.below(tables.len())) {
                elf.alter(random, start, size, &RELOCATION);
            }
        }
        // A byte of code, data, notes, groups or names.
        11..=13 => {
            if let Some((start, size)) = elf.contents(index, &[1, 3, 7, 14, 17, 18]) {
                let at = start + random.below(size);
                elf.alter_field(random, at, 1);
            }
        }
        14 => {
            let at = random.below(elf.bytes.len());
            elf.alter_field(random, at, 1);
        }
        _ => {
            let length = random.below(elf.bytes.len());
            elf.bytes.truncate(length.max(64));
        }
    }
}
