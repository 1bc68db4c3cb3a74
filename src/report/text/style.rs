//! Colours, width and links of a terminal.

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// As it is.
    None,
    /// The line about a function.
    Title,
    /// The line about a part of one.
    Part,
    /// The head of a hunk.
    Hunk,
    /// What only the original has.
    Before,
    /// What only the patched object has.
    After,
    /// Where it is in the source.
    Source,
    /// What two lines do not show.
    Note,
}

/// How text is shown.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// With colours.
    pub color: bool,
    /// With links to source files.
    pub links: bool,
    /// Characters of a line.
    pub width: usize,
}

impl Style {
    /// For files: no colours.
    pub const PLAIN: Style = Style { color: false, links: false, width: 160 };

    /// The text in the colour of what it is. `text` holds nothing that a terminal acts on.
    pub fn paint(&self, what: Paint, text: &str) -> String {
        // ECMA-48, SGR.
        let code = match what {
            Paint::None => return text.to_owned(),
            Paint::Title => "1",
            Paint::Part => "2",
            Paint::Hunk => "36",
            Paint::Before => "31",
            Paint::After => "32",
            Paint::Source => "34",
            Paint::Note => "33",
        };
        match self.color && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[m"),
            false => text.to_owned(),
        }
    }

    /// The text as a link to a file, where the terminal takes links and the file is there.
    pub fn link(&self, file: &str, text: &str) -> String {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+~".contains(&b);
        if !self.links || !file.starts_with('/') || !std::path::Path::new(file).is_file() {
            return text.to_owned();
        }
        let escaped = file.bytes().map(|b| match plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        });
        let url: String = escaped.collect();
        format!("\x1b]8;;file://{url}\x1b\\{text}\x1b]8;;\x1b\\")
    }
}
