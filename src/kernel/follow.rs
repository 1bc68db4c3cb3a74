//! Follows constants from the instructions that load them to the calls that get them.
//!
//! A constant is a line number when it reaches the line argument of a function that is known to
//! take one (`kernel::knowledge::lines`) and nothing else. Everything that is not read, or leaves open where
//! the constant goes, ends the proof: another use, a copy, a call, a jump or branch, a place
//! that something else may come to or that the kernel may rewrite, a new value, an instruction
//! that is not known. Code is read once from front to back.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within code, which has less than 4 GiB; an instruction moves the stack by 32 bits at most"
)]

use super::entered::Entered;
use super::knowledge::lines::{self, Takes};
use super::layout::Layout;
use super::refs::{Effective, Refs};
use crate::arch::{Does, Effect, Immediate, Place, RelocClass, Stack};
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side};
use crate::elf::object::Reloc;

/// What a constant was proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineArgument<'a> {
    /// Byte of the section where the load is.
    pub load: u64,
    /// The constant.
    pub immediate: Immediate,
    /// Byte of the section where the call is.
    pub call: u64,
    /// The callee.
    pub callee: &'a str,
    /// Which argument it is; the first one is 0.
    pub argument: usize,
    /// The format that says so; `None` where the callee's prototype does.
    pub format: Option<&'a [u8]>,
}

/// What a register or a place on the stack holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a, S> {
    Unknown,
    /// The constant with this number; `given` when a call got it as its line.
    Line {
        number: usize,
        given: bool,
    },
    /// The upper part of the address that the relocation says.
    Upper(Reloc<S>),
    /// The address of a string.
    Text(&'a [u8]),
    /// The address of a constant that holds the name of a function.
    FunctionName,
}

/// One reading of a stretch of code.
struct Walk<'a, S> {
    layout: &'a Layout<'a, S>,
    entered: &'a Entered<'a, S>,
    refs: Refs<'a, S>,
    section: SectionId<S>,
    /// The name of the function.
    function: &'a str,
    /// The loads, ascending.
    loads: Vec<u64>,
    found: Vec<Option<LineArgument<'a>>>,
    immediates: Vec<Option<Immediate>>,
    registers: [Value<'a, S>; 32],
    /// By the distance from where the stack pointer was when the reading began anew.
    slots: Vec<(i64, Value<'a, S>)>,
    depth: i64,
    /// There are jumps of which it is not known where they lead.
    is_open: bool,
}

/// The end of a proof.
enum End {
    /// A constant does not reach a line argument, or this is not known.
    NotALine,
    Failed(crate::diag::Error),
}

impl From<crate::diag::Error> for End {
    fn from(error: crate::diag::Error) -> Self {
        End::Failed(error)
    }
}

type Step<T> = std::result::Result<T, End>;

/// What the constants that the instructions at `loads`, in `start..end` of a section of code and
/// ascending, load are, when all are line numbers; `None` when this is not proved for one.
pub fn line_arguments<'a, S: Side>(
    layout: &'a Layout<'a, S>,
    entered: &'a Entered<'a, S>,
    section: SectionId<S>,
    (start, end): (u64, u64),
    loads: Vec<u64>,
) -> Result<Option<Vec<LineArgument<'a>>>> {
    let function = layout.entity_at(section, start).map(|i| layout.entity(section, i));
    let function = function.and_then(|e| e.symbol).map_or("", |s| layout.object.symbol_name(s));
    let mut walk = Walk {
        layout,
        entered,
        refs: Refs::new(layout, section),
        section,
        function,
        found: vec![None; loads.len()],
        immediates: vec![None; loads.len()],
        loads,
        registers: [Value::Unknown; 32],
        slots: Vec::new(),
        depth: 0,
        is_open: false,
    };
    match walk.run(start, end) {
        Ok(()) => Ok(walk.found.into_iter().collect()),
        Err(End::NotALine) => Ok(None),
        Err(End::Failed(error)) => Err(error),
    }
}

impl<'a, S: Side> Walk<'a, S> {
    fn run(&mut self, start: u64, end: u64) -> Step<()> {
        let code = self.layout.object.contents(self.section);
        let (targets, is_open) = self.targets(start, end)?;
        self.is_open = is_open;
        let entered = self.entered.places()?;
        let mut at = start;
        let mut last = start;
        // Behind the last load only what is under way matters.
        while at < end && (self.loads.last().is_some_and(|&l| l >= at) || self.is_following()) {
            let length = code.get(at as usize..).and_then(self.layout.arch.instruction_len);
            let Some(length) = length.filter(|&length| length > 0) else {
                return Err(End::NotALine);
            };
            let next = at + length as u64;
            // A place inside the instruction before counts as one in front of this.
            let behind = last + u64::from(last < at);
            let target = targets.get(targets.partition_point(|&t| t < behind));
            if target.is_some_and(|&t| t <= at) || entered.any(self.section, behind, at + 1) {
                self.begin_anew()?;
            }
            match (self.layout.arch.effect)(code, at) {
                Some(effect) if effect.len == length as u64 => self.step(at, &effect)?,
                _ => self.begin_anew()?,
            }
            (last, at) = (at, next);
        }
        self.begin_anew()
    }

    /// Where branches in this code lead, as far as they are in it, and whether there are others
    /// of which this is not known.
    fn targets(&self, start: u64, end: u64) -> Step<(Vec<u64>, bool)> {
        let code = self.layout.object.contents(self.section);
        let relocs = self.layout.object.relocs(self.section);
        let mut targets = Vec::new();
        let mut is_open = false;
        let mut at = start;
        while at < end {
            let effect = (self.layout.arch.effect)(code, at);
            is_open |= effect.is_some_and(|effect| match effect.does {
                Does::Anywhere => true,
                Does::Jump => {
                    let mut names = relocs.within(at, at + effect.len).map(|r| r.symbol);
                    names.any(|s| lines::jumps_anywhere(self.layout.object.symbol_name(s)))
                }
                _ => false,
            });
            let read = (self.layout.arch.reach)(code, at).filter(|&(length, _)| length > 0);
            let Some((length, reach)) = read else { return Err(End::NotALine) };
            if let Some(reach) = reach
                && relocs.within(at, at + length).next().is_none()
            {
                targets.push(reach.target);
            }
            at += length;
        }
        targets.sort_unstable();
        Ok((targets, is_open))
    }

    /// Whether a constant is under way.
    fn is_following(&self) -> bool {
        let is_line = |value: &Value<'a, S>| matches!(value, Value::Line { .. });
        self.registers.iter().any(is_line) || self.slots.iter().any(|(_, value)| is_line(value))
    }

    /// Forgets all values: other code may have run before what follows, or may run next.
    fn begin_anew(&mut self) -> Step<()> {
        if self.is_following() {
            return Err(End::NotALine);
        }
        self.registers = [Value::Unknown; 32];
        self.slots.clear();
        self.depth = 0;
        Ok(())
    }

    /// Forgets all texts. An upper part stays: with another one the lower part, which names
    /// what it belongs to, would lead nowhere.
    fn forget(&mut self) {
        let is_text = |value: &Value<'a, S>| matches!(value, Value::Text(_) | Value::FunctionName);
        self.slots.retain(|(_, value)| !is_text(value));
        for value in self.registers.iter_mut().filter(|value| is_text(value)) {
            *value = Value::Unknown;
        }
    }

    fn step(&mut self, at: u64, effect: &Effect) -> Step<()> {
        let end = at + effect.len;
        self.refs.know(at, end);
        let mut relocs = self.layout.object.relocs(self.section).within(at, end);
        let reloc = relocs.next().filter(|_| relocs.next().is_none());
        let is_relocated = self.layout.object.relocs(self.section).within(at, end).next().is_some();
        self.check_uses(effect)?;
        let number = self.loads.binary_search(&at).ok();
        let value = match effect.does {
            Does::Constant { place, immediate, .. } if number.is_some() && !is_relocated => {
                let number = number.unwrap_or_default();
                // Other code may come to this place, with other values than those known here.
                if self.is_open {
                    self.forget();
                }
                if let Some(slot) = self.immediates.get_mut(number) {
                    *slot = Some(immediate);
                }
                Some((place, Value::Line { number, given: false }))
            }
            _ if number.is_some() => return Err(End::NotALine),
            Does::Constant { place, address: true, .. } => {
                let whole = reloc.filter(|r| self.is_class(r, RelocClass::Absolute));
                Some((place, self.pointed(whole)?))
            }
            Does::Address(register) => {
                let near = reloc.filter(|r| self.is_class(r, RelocClass::PcRelative));
                Some((Place::Register(register), self.pointed(near)?))
            }
            Does::Upper(register) => {
                Some((Place::Register(register), reloc.map_or(Value::Unknown, Value::Upper)))
            }
            Does::Lower(register, base) => {
                let low = reloc.filter(|r| self.holds_upper(base, r) && !self.is_got(r));
                Some((Place::Register(register), self.pointed(low)?))
            }
            Does::Slot(register, base) => {
                let slot = reloc.filter(|r| self.holds_upper(base, r) || self.is_got(r));
                Some((Place::Register(register), self.slot(slot)?))
            }
            Does::Copy(to, from) => Some((Place::Register(to), self.register(from))),
            Does::Store(at, from) => Some((Place::Stack(at), self.register(from))),
            Does::Call => return self.call(at, reloc, false),
            Does::Jump => {
                self.call(at, reloc, true)?;
                return self.begin_anew();
            }
            Does::Branch if self.is_following() => return Err(End::NotALine),
            Does::Anywhere => return self.begin_anew(),
            Does::Constant { .. } | Does::Branch | Does::Other => None,
        };
        self.write(effect, value)
    }

    /// Whether an instruction leaves all constants under way alone that it does not overwrite.
    fn check_uses(&self, effect: &Effect) -> Step<()> {
        for (number, value) in self.registers.iter().enumerate() {
            let Value::Line { given, .. } = value else { continue };
            let (reads, writes) = (effect.reads >> number & 1, effect.writes >> number & 1);
            // A constant that a call got as its line may go; another one is lost before.
            if reads == 1 || writes == 1 && !given {
                return Err(End::NotALine);
            }
        }
        for (at, value) in &self.slots {
            let Value::Line { .. } = value else { continue };
            if is_touched(effect, at - self.depth) {
                return Err(End::NotALine);
            }
        }
        Ok(())
    }

    /// Takes over what an instruction writes, and the value that is known of it.
    fn write(&mut self, effect: &Effect, value: Option<(Place, Value<'a, S>)>) -> Step<()> {
        for (number, register) in self.registers.iter_mut().enumerate() {
            if effect.writes >> number & 1 == 1 {
                *register = Value::Unknown;
            }
        }
        let depth = self.depth;
        self.slots.retain(|(at, _)| !is_touched(effect, at - depth));
        match value {
            Some((Place::Register(register), value)) => {
                if let Some(slot) = self.registers.get_mut(usize::from(register)) {
                    *slot = value;
                }
            }
            Some((Place::Stack(at), value)) => {
                // The instruction's own access of its slot was checked before.
                self.slots.push((depth + at, value));
            }
            None => {}
        }
        self.depth += effect.moves;
        Ok(())
    }

    fn register(&self, number: u8) -> Value<'a, S> {
        self.registers.get(usize::from(number)).copied().unwrap_or(Value::Unknown)
    }

    fn is_class(&self, reloc: &Reloc<S>, class: RelocClass) -> bool {
        self.layout.arch.reloc(reloc.kind).is_ok_and(|kind| {
            kind.class == class && (kind.width >= 4 || class != RelocClass::Absolute)
        })
    }

    fn is_got(&self, reloc: &Reloc<S>) -> bool {
        self.is_class(reloc, RelocClass::Got)
    }

    /// Whether a register holds the upper part of the address whose lower part is relocated.
    fn holds_upper(&self, base: u8, low: &Reloc<S>) -> bool {
        matches!(self.register(base), Value::Upper(up)
            if up.symbol == low.symbol && up.addend == low.addend)
    }

    /// The value of a register that holds the address a relocation says.
    fn pointed(&self, reloc: Option<Reloc<S>>) -> Result<Value<'a, S>> {
        match reloc {
            Some(reloc) => pointed(&self.refs, &reloc),
            None => Ok(Value::Unknown),
        }
    }

    /// The value of a register that is loaded from a slot, which a relocation says.
    fn slot(&self, reloc: Option<Reloc<S>>) -> Result<Value<'a, S>> {
        let Some(reloc) = reloc else { return Ok(Value::Unknown) };
        match self.refs.effective(&reloc)? {
            Effective::Reloc(base, through) if base != self.section => {
                pointed(&Refs::new(self.layout, base), &through)
            }
            Effective::Reloc(_, got) if self.is_got(&got) => pointed(&self.refs, &got),
            _ => Ok(Value::Unknown),
        }
    }

    /// Gives the constants under way to a callee. Behind a call registers are as the ABI says.
    fn call(&mut self, at: u64, reloc: Option<Reloc<S>>, is_jump: bool) -> Step<()> {
        if self.is_following() {
            let Some(callee) = self.callee(reloc)? else { return Err(End::NotALine) };
            self.give(at, callee, is_jump)?;
        }
        let preserved = self.layout.arch.arguments.preserved;
        for (number, register) in self.registers.iter_mut().enumerate() {
            if preserved >> number & 1 == 0 {
                *register = Value::Unknown;
            }
        }
        // The callee owns its arguments.
        self.slots.clear();
        Ok(())
    }

    /// The function of the kernel that is called; `None` for one of this file, of which it is not
    /// known what it leaves alone.
    fn callee(&self, reloc: Option<Reloc<S>>) -> Step<Option<&'a str>> {
        let object = self.layout.object;
        let Some(reloc) = reloc else { return Ok(None) };
        let target = self.refs.resolve(&reloc)?;
        let offset = self.refs.target_offset(&reloc)?;
        let place = |symbol| object.symbol_value(symbol).cast_signed();
        let at_start = match object.section_of(target.symbol) {
            None => target.symbol == reloc.symbol && offset == 0,
            Some(_) => {
                offset.wrapping_add(place(reloc.symbol)) == place(target.symbol)
                    && self.layout.is_linked()
            }
        };
        let is_global = object.symbol_bind(target.symbol) != abi::STB_LOCAL;
        Ok((at_start && is_global).then(|| object.symbol_name(target.symbol)))
    }

    fn give(&mut self, at: u64, callee: &'a str, is_jump: bool) -> Step<()> {
        let arguments = &self.layout.arch.arguments;
        let takes = lines::takes_line(callee).ok_or(End::NotALine)?;
        let by_register = |n: usize| arguments.registers.iter().position(|&r| usize::from(r) == n);
        let mut given = Vec::new();
        for (n, value) in self.registers.iter().enumerate() {
            let &Value::Line { number, .. } = value else { continue };
            given.push((number, by_register(n).ok_or(End::NotALine)?));
        }
        for &(slot, value) in &self.slots {
            let Value::Line { number, .. } = value else { continue };
            // A jump leaves the return address where a call would put it.
            let first = arguments.stack.filter(|_| !is_jump).ok_or(End::NotALine)?;
            let behind = slot - self.depth - first;
            let index = usize::try_from(behind / 8).map_err(|_| End::NotALine)?;
            if behind % 8 != 0 {
                return Err(End::NotALine);
            }
            given.push((number, arguments.registers.len() + index));
        }
        for (number, argument) in given {
            let format = self.line_format(takes, argument)?;
            let (load, immediate) = (self.loads.get(number), self.immediates.get(number));
            let (Some(&load), Some(&Some(immediate))) = (load, immediate) else {
                return Err(End::NotALine);
            };
            let line = LineArgument { load, immediate, call: at, callee, argument, format };
            if let Some(found) = self.found.get_mut(number) {
                *found = Some(line);
            }
        }
        for register in &mut self.registers {
            if let Value::Line { given, .. } = register {
                *given = true;
            }
        }
        Ok(())
    }

    /// Fails unless an argument is the line; returns the format that says so.
    fn line_format(&self, takes: Takes, argument: usize) -> Step<Option<&'a [u8]>> {
        let proved = match takes {
            Takes::At(line) => argument == line,
            Takes::BehindFunction(lines) => {
                lines.contains(&argument) && self.is_function(self.argument(argument, 1))
            }
            Takes::Format(at) => {
                let Value::Text(format) = self.argument(at, 0) else { return Err(End::NotALine) };
                let behind = argument.checked_sub(at + 1).ok_or(End::NotALine)?;
                let name = self.argument(argument, 1);
                let says = lines::says_line(format, behind);
                if says && (self.is_function(name) || self.is_file(name)) {
                    return Ok(Some(format));
                }
                false
            }
        };
        if proved { Ok(None) } else { Err(End::NotALine) }
    }

    /// The value of the argument so many before this one.
    fn argument(&self, argument: usize, before: usize) -> Value<'a, S> {
        let arguments = &self.layout.arch.arguments;
        let Some(index) = argument.checked_sub(before) else { return Value::Unknown };
        if let Some(&register) = arguments.registers.get(index) {
            return self.register(register);
        }
        let Some(first) = arguments.stack else { return Value::Unknown };
        let at = self.depth + first + 8 * (index - arguments.registers.len()) as i64;
        let slot = self.slots.iter().find(|(slot, _)| *slot == at);
        slot.map_or(Value::Unknown, |&(_, value)| value)
    }

    /// Whether a value is the name of a function: of any by the constant's own name, or of this
    /// one by the text.
    fn is_function(&self, value: Value<'a, S>) -> bool {
        let own = self.function.split('.').next().unwrap_or(self.function);
        match value {
            Value::FunctionName => true,
            Value::Text(text) => !own.is_empty() && text == own.as_bytes(),
            _ => false,
        }
    }

    /// Whether a value is the name of the source file.
    fn is_file(&self, value: Value<'a, S>) -> bool {
        let Value::Text(text) = value else { return false };
        let object = self.layout.object;
        lines::is_file(text, self.layout.files().iter().map(|&f| object.symbol_name(f)))
    }
}

/// Whether an instruction uses the slot of eight bytes at this distance from the stack pointer.
fn is_touched(effect: &Effect, slot: i64) -> bool {
    match effect.stack {
        Stack::Untouched => false,
        Stack::Touched(from, to) => from < slot + 8 && slot < to,
        Stack::Unknown => true,
    }
}

/// What is known of the target of a relocation.
fn pointed<'a, S: Side>(refs: &Refs<'a, S>, reloc: &Reloc<S>) -> Result<Value<'a, S>> {
    if refs.leaves_string(reloc)? {
        return Ok(Value::Unknown);
    }
    if let Some(text) = refs.string(reloc)? {
        return Ok(Value::Text(text));
    }
    let object = refs.layout.object;
    let symbol = refs.resolve(reloc)?.symbol;
    let is_named = object.symbol_kind(symbol) == abi::STT_OBJECT
        && object.symbol_bind(symbol) == abi::STB_LOCAL
        && lines::is_function_name(object.symbol_name(symbol));
    let (Some(section), true) = (object.section_of(symbol), is_named) else {
        return Ok(Value::Unknown);
    };
    let at_start = refs.place(reloc)? == Some((section, object.symbol_value(symbol)));
    let constant = object.section_flags(section) & abi::SHF_WRITE == 0;
    Ok(if at_start && constant { Value::FunctionName } else { Value::Unknown })
}
