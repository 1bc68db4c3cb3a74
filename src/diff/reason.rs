//! How a function or variable differs from its twin, as data. What it says in words is in
//! [`words`](super::words) alone.

/// How the original has something, and how the patched object has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides<T> {
    /// How the original has it.
    pub before: T,
    /// How the patched object has it.
    pub after: T,
}

impl<T> Sides<T> {
    /// Both.
    pub fn new(before: T, after: T) -> Sides<T> {
        Sides { before, after }
    }
}

/// One difference, for the people and programs that ask why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What differs, and how.
    pub kind: ReasonKind,
    /// Bytes from the start of the function or variable, negative for what lies before it.
    pub offset: Option<i64>,
}

impl Reason {
    /// A reason that is about no single place.
    pub fn of_all(kind: ReasonKind) -> Reason {
        Reason { kind, offset: None }
    }

    /// A reason about a place.
    pub fn at(offset: i64, kind: ReasonKind) -> Reason {
        Reason { kind, offset: Some(offset) }
    }
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReasonKind {
    /// Code.
    Code(Sides<Shown>),
    /// Where an instruction leads without a relocation; `None` where there is no such one.
    Leads(Sides<Option<Leads>>),
    /// The content of a variable.
    Data(Sides<Shown>),
    /// The size, in bytes.
    Size(Sides<u64>),
    /// The type of a function, as kCFI hashes it: the hashes, as the object has them.
    Type(Sides<Vec<u8>>),
    /// The type that a caller checks for (kCFI): the instructions that do.
    CheckedType(Sides<Shown>),
    /// A string that is referred to.
    String(Sides<Reference>),
    /// The content of what is referred to under the same name.
    Constant(Sides<Reference>),
    /// A constant that is read, or one that is reached from there.
    Chain {
        /// The constants on the way, each with the place in it that leads on, or differs.
        path: Vec<(String, Option<u64>)>,
        /// What differs at the end.
        sides: Sides<Content>,
    },
    /// What is referred to; `None` where there is no reference.
    Relocation(Sides<Option<Reference>>),
    /// A reference leads to the same thing, which became visible to other objects, or was copied
    /// into this one.
    Promoted(Sides<Reference>),
    /// A row of a table that describes it.
    Row {
        /// The table's section; empty when there is none.
        table: &'static str,
        /// What of the row.
        change: RowChange,
    },
    /// A callee is inlined in one build, and called in the other.
    Reinlined {
        /// The callee.
        callee: String,
        /// It is inlined in the patched build.
        after: bool,
    },
    /// The same instructions are in another order, as a profile has it.
    Profile(Sides<Blocks>),
    /// The compiler made another copy of a function of the source than before, or none.
    Clone {
        /// What the source calls the function.
        of: String,
        /// Names of those that went away.
        gone: Vec<String>,
        /// The name of the one that came.
        came: String,
    },
    /// Livepatch cannot redirect it: the patch has it for those that call it.
    Carried {
        /// These.
        callers: Vec<String>,
    },
    /// It is in the patch since it calls what is carried for its callers.
    CallsCarried {
        /// What it calls.
        callee: String,
    },
}

/// What is shown of code or data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// An instruction, as a listing has it.
    Instruction(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Shown {
    /// Up to eight bytes from `at`.
    pub fn bytes(bytes: &[u8], at: usize) -> Shown {
        Shown::Bytes(eight(bytes, at))
    }
}

/// Up to eight bytes from `at`.
pub fn eight(bytes: &[u8], at: usize) -> Vec<u8> {
    bytes.iter().skip(at).take(8).copied().collect()
}

/// Where an instruction leads: to a place of a symbol, or to code without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leads(pub Option<(String, i64)>);

/// What a relocation means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// A string.
    String(String),
    /// Nothing.
    Nothing,
    /// A place.
    Place {
        /// The symbol.
        name: String,
        /// Bytes from there.
        distance: i64,
    },
}

/// A reference, and what must be said of it to tell it from the other side's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What it means.
    pub meant: Meant,
    /// Where it is, when the other one is elsewhere.
    pub at: Option<i64>,
    /// What is there, of two that read the same: the content, and where in it.
    pub content: Option<(Content, u64)>,
    /// What is referred to is another thing than its name says.
    pub twin: Option<OtherTwin>,
    /// Its type, when that of the other one is another.
    pub relocation: Option<&'static str>,
}

impl Reference {
    /// One of which nothing more must be said.
    pub fn plain(meant: Meant) -> Reference {
        Reference { meant, at: None, content: None, twin: None, relocation: None }
    }
}

/// What a thing is in the original whose name there is another thing's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherTwin {
    /// Nothing.
    None,
    /// It has this name.
    Called(String),
}

/// A piece of what something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it: so many bytes.
    Size(u64),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A reference.
    Reference(Meant),
}

/// What of a row differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Only one side has one.
    Alone {
        /// The patched object has it.
        after: bool,
    },
    /// The rows are of different tables.
    Tables(Sides<&'static str>),
    /// They describe different places.
    Places(Sides<i64>),
    /// The number in a field.
    Number {
        /// The field.
        field: &'static str,
        /// Its values.
        values: Sides<u64>,
    },
    /// What a field refers to.
    Reference {
        /// The field.
        field: &'static str,
        /// What it means; `None` where it has no relocation.
        meant: Sides<Option<Meant>>,
        /// What is there, of two that read the same, and where.
        content: Option<Sides<(Content, u64)>>,
    },
    /// Nobody can say.
    Unknown,
}

/// Where the blocks of a function are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Their size.
    pub bytes: u64,
    /// Sections.
    pub sections: Vec<String>,
}

impl ReasonKind {
    /// The most telling kinds first.
    pub fn rank(&self) -> u8 {
        match self {
            ReasonKind::String(_) | ReasonKind::Type(_) | ReasonKind::CheckedType(_) => 0,
            ReasonKind::Constant(_) | ReasonKind::Chain { .. } => 1,
            ReasonKind::Code(_) | ReasonKind::Leads(_) | ReasonKind::Data(_) => 2,
            ReasonKind::Row { .. }
            | ReasonKind::Reinlined { .. }
            | ReasonKind::Profile(_)
            | ReasonKind::Clone { .. }
            | ReasonKind::Carried { .. }
            | ReasonKind::CallsCarried { .. } => 3,
            ReasonKind::Relocation(_) => 4,
            ReasonKind::Size(_) => 5,
            // It explains nothing but itself.
            ReasonKind::Promoted(_) => 6,
        }
    }

    /// Whether it is the optimiser's, and not what a patch says.
    pub fn is_optimiser(&self) -> bool {
        matches!(
            self,
            ReasonKind::Reinlined { .. } | ReasonKind::Promoted(_) | ReasonKind::Profile(_)
        )
    }
}
