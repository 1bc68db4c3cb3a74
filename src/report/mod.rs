//! What a run found, for people and for programs.

pub mod canon;
mod sha1;

/// Whether a function changed or is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionStatus {
    /// It replaces a function of the running kernel.
    Changed,
    /// The original does not have it.
    New,
}

/// A function of the patch.
#[derive(Clone, Debug)]
pub struct Function {
    /// Name: the original's where it has one.
    pub name: String,
    /// Whether it changed or is new.
    pub status: FunctionStatus,
}

/// Everything a run found out about one pair.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The functions of the patch, in symbol order.
    pub functions: Vec<Function>,
    /// Remarks that go with the result.
    pub messages: Vec<String>,
    /// What the user should look at.
    pub warnings: Vec<String>,
}

impl Function {
    /// The line that tells of it.
    pub fn line(&self) -> String {
        let status = match self.status {
            FunctionStatus::Changed => "changed",
            FunctionStatus::New => "new",
        };
        format!("{status} function: {}", self.name)
    }
}
