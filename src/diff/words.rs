//! The words for a [`Reason`]: for text, for JSON, and for refusals that quote one.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::fmt;

use super::reason::{
    Blocks, Content, Leads, Meant, OtherTwin, Reason, ReasonKind, Reference, RowChange, Shown,
    Sides, eight,
};
use crate::diag::distance;
use crate::kernel::knowledge::names;

/// A callee is inlined on one side and called on the other.
const REINLINED: &str = "re-inlined";
/// The same thing, exported to other objects or copied from them.
const PROMOTED: &str = "promoted";
/// The same code with its blocks in another order.
const PROFILE: &str = "profile";

/// Another clone that the compiler made of a function.
const CLONE: &str = "clone";

/// Names of the kinds that are the optimiser's.
pub const OPTIMISER: [&str; 3] = [REINLINED, PROMOTED, PROFILE];

impl ReasonKind {
    /// Its name in reports: of rows the table's.
    pub fn name(&self) -> &'static str {
        match self {
            ReasonKind::Code(_) | ReasonKind::Leads(_) => "code",
            ReasonKind::Data(_) => "data",
            ReasonKind::Size(_) => "size",
            ReasonKind::Type(_) | ReasonKind::CheckedType(_) => "type",
            ReasonKind::String(_) => "string",
            ReasonKind::Constant(_) | ReasonKind::Chain { .. } => "constant",
            ReasonKind::Relocation(_) => "relocation",
            ReasonKind::Promoted(_) => PROMOTED,
            ReasonKind::Row { table, .. } => table,
            ReasonKind::Reinlined { .. } => REINLINED,
            ReasonKind::Profile(_) => PROFILE,
            ReasonKind::Clone { .. } => CLONE,
            ReasonKind::Carried { .. } | ReasonKind::CallsCarried { .. } => "carried",
        }
    }

    /// Both sides in words; they may be the same words.
    pub fn sides(&self) -> Sides<String> {
        match self {
            ReasonKind::Code(sides) | ReasonKind::Data(sides) | ReasonKind::CheckedType(sides) => {
                sides.text(shown)
            }
            ReasonKind::Leads(sides) => {
                sides.text(|to| to.as_ref().map_or_else(String::new, ToString::to_string))
            }
            ReasonKind::Size(sides) => sides.text(|&size| bytes(size)),
            ReasonKind::Type(sides) => sides.text(|hash| function_type(hash)),
            ReasonKind::String(sides)
            | ReasonKind::Constant(sides)
            | ReasonKind::Promoted(sides) => sides.text(ToString::to_string),
            ReasonKind::Relocation(sides) => {
                sides.text(|r| r.as_ref().map_or_else(none, ToString::to_string))
            }
            ReasonKind::Chain { path, sides } => {
                let path = steps(path);
                sides.text(|content| format!("{path}: {content}"))
            }
            ReasonKind::Row { change, .. } => row(change),
            ReasonKind::Reinlined { callee, after } => {
                let called = format!("calls {callee}");
                let inlined = format!("{callee} is inlined");
                match after {
                    true => Sides::new(called, inlined),
                    false => Sides::new(inlined, called),
                }
            }
            ReasonKind::Profile(Sides { before, after }) => Sides {
                before: before.to_string(),
                after: format!("the same instructions in another order, {after}"),
            },
            ReasonKind::Clone { of, gone, came } => {
                let gone: Vec<String> = gone.iter().map(|name| clone(name)).collect();
                let before = match gone.is_empty() {
                    true => format!("no such clone of {of}"),
                    false => gone.join(", "),
                };
                Sides { before, after: clone(came) }
            }
            ReasonKind::Carried { callers } => Sides {
                before: "livepatch cannot redirect it".to_owned(),
                after: format!("carried for its callers: {}", callers.join(", ")),
            },
            ReasonKind::CallsCarried { callee } => Sides {
                before: format!("calls {callee} of the kernel"),
                after: format!(
                    "calls that of the patch, carried for its callers: livepatch cannot redirect {callee}"
                ),
            },
        }
    }
}

/// A function's name, and what the compiler made it for.
fn clone(name: &str) -> String {
    let kinds: Vec<&str> = names::clone_kinds(name).collect();
    match kinds.is_empty() {
        true => name.to_owned(),
        false => format!("{name} ({})", kinds.join(", ")),
    }
}

impl Reason {
    /// Both sides in words, which are never the same.
    pub fn sides(&self) -> Sides<String> {
        let mut sides = self.kind.sides();
        if sides.before == sides.after {
            sides.after += ", but not the same one";
        }
        sides
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if let Some(offset) = self.offset {
            write!(f, " at {}", distance(offset))?;
        }
        let Sides { before, after } = self.sides();
        write!(f, ": {before} -> {after}")
    }
}

impl<T> Sides<T> {
    /// Both sides, as `text` says them.
    fn text(&self, text: impl Fn(&T) -> String) -> Sides<String> {
        Sides { before: text(&self.before), after: text(&self.after) }
    }
}

impl fmt::Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Meant::String(text) => write!(f, "{text:?}"),
            Meant::Nothing => f.write_str("none"),
            Meant::Place { name, distance: 0 } => f.write_str(name),
            Meant::Place { name, distance: by } => write!(f, "{name}{}", distance(*by)),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.meant.fmt(f)?;
        if let Some(at) = self.at {
            write!(f, " at {}", distance(at))?;
        }
        if let Some(content) = &self.content {
            write!(f, ": {}", placed(content))?;
        }
        if let Some(twin) = &self.twin {
            write!(f, ", {twin}")?;
        }
        match self.relocation {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Leads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((name, 0)) => write!(f, "leads to {name}"),
            Some((name, by)) => write!(f, "leads to {name}{}", distance(*by)),
            None => f.write_str("leads to code without a name"),
        }
    }
}

impl fmt::Display for OtherTwin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OtherTwin::None => f.write_str("which the original does not have"),
            OtherTwin::Called(name) => write!(f, "which is the original's {name}"),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Size(size) => f.write_str(&bytes(*size)),
            Content::Bytes(bytes) => f.write_str(&hex(bytes)),
            Content::Reference(meant) => meant.fmt(f),
        }
    }
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.sections.get(..2).unwrap_or(&self.sections);
        write!(f, "{} bytes in {}", self.bytes, named.join(" and "))?;
        match self.sections.len() - named.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Up to eight bytes from `at`, as hex.
pub(super) fn hex_at(bytes: &[u8], at: usize) -> String {
    hex(&eight(bytes, at))
}

/// Bytes as hex.
pub fn hex(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    shown.join(" ")
}

/// A content with the place in it.
pub fn placed((content, at): &(Content, u64)) -> String {
    format!("{content} at +{at:#x}")
}

fn shown(shown: &Shown) -> String {
    match shown {
        Shown::Instruction(text) => text.clone(),
        Shown::Bytes(bytes) => hex(bytes),
    }
}

fn bytes(size: u64) -> String {
    format!("{size} bytes")
}

fn none() -> String {
    "none".to_owned()
}

/// The hash is a little-endian number.
fn function_type(hash: &[u8]) -> String {
    let digits: String = hash.iter().rev().map(|b| format!("{b:02x}")).collect();
    format!("function type {digits}")
}

fn steps(path: &[(String, Option<u64>)]) -> String {
    let step = |(name, at): &(String, Option<u64>)| {
        let at = at.map(|at| format!("{at:+#x}")).unwrap_or_default();
        format!("{name}{at}")
    };
    path.iter().map(step).collect::<Vec<_>>().join(" -> ")
}

fn row(change: &RowChange) -> Sides<String> {
    let present = |there: bool| if there { "a row".to_owned() } else { none() };
    match change {
        RowChange::Alone { after } => Sides::new(present(!after), present(*after)),
        RowChange::Tables(tables) => tables.text(|table| format!("a row of {table}")),
        RowChange::Places(places) => places.text(|&at| format!("for {}", distance(at))),
        RowChange::Number { field, values } => values.text(|value| format!("{field} {value:#x}")),
        RowChange::Reference { field, meant, content } => {
            let text = |m: &Option<Meant>| m.as_ref().map_or_else(none, ToString::to_string);
            let mut sides = meant.text(|m| format!("{field} {}", text(m)));
            match content {
                Some(content) => {
                    sides.before += &format!(": {}", placed(&content.before));
                    sides.after += &format!(": {}", placed(&content.after));
                }
                None if sides.before == sides.after => sides.after += " with other content",
                None => {}
            }
            sides
        }
        RowChange::Unknown => Sides::new("a row".to_owned(), "another row".to_owned()),
    }
}
