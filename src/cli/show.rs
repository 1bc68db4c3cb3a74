//! Shows people what was found out: lists, lines, explanations.

use std::cell::RefCell;
use std::io::IsTerminal as _;

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::args::{ReportArgs, When};
use super::complain;
use super::output::{explain_noise, say};
use crate::diag::{Code, Diagnostic, Error, printable};
use crate::host::pager;
use crate::report::Report;
use crate::report::explain::is_called;
use crate::report::text::style::{Paint, Style};
use crate::report::text::why::why;
use crate::report::text::{explanation, in_source, stat, ways_out};

/// Width of lines where nobody knows it.
const WIDTH: usize = 160;

/// What is shown of a run.
pub(super) struct Show<'a> {
    args: &'a ReportArgs,
    style: Style,
    /// Explanations, to be shown at the end.
    pages: RefCell<String>,
    /// Names that were asked for and found.
    found: RefCell<IndexSet<String, RandomState>>,
}

impl<'a> Show<'a> {
    /// Nothing is shown yet.
    pub(super) fn new(args: &'a ReportArgs) -> Self {
        let style = style(args);
        let (pages, found) = (RefCell::default(), RefCell::default());
        Show { args, style, pages, found }
    }

    /// Whether the usual lists are shown.
    pub(super) fn lists(&self) -> bool {
        let explain = &self.args.explain;
        !explain.quiet && !explain.stat
    }

    /// Shows what was found out about a pair: the result on standard output, unless that is
    /// taken, and remarks on standard error. `path` is what a list of several says it is.
    pub(super) fn pair(
        &self,
        path: Option<&str>,
        shown: &str,
        report: &Report,
        error: Option<&Error>,
    ) {
        let explain = &self.args.explain;
        let to_stderr = self.args.text_to_stderr();
        if explain.quiet {
            return;
        }
        if explain.stat {
            let described = stat(report, error.map(|e| e.code().name()));
            say(&format!("{} | {described}\n", printable(shown)), to_stderr);
            return;
        }
        match explain.explain.is_empty() && explain.why.is_empty() {
            true => self.list(path, report, error),
            false => self.explain(path, report, error),
        }
        let warnings = report.warnings.iter().map(Diagnostic::describe);
        for line in warnings.chain(report.messages.iter().cloned()) {
            complain(&line);
        }
        if self.args.explain_noise {
            explain_noise(report);
        }
    }

    /// The functions, each with the first of its reasons.
    fn list(&self, path: Option<&str>, report: &Report, error: Option<&Error>) {
        let to_stderr = self.args.text_to_stderr();
        // Plain lists have colours only when somebody asks for them.
        let style = match self.args.explain.color {
            When::Always => self.style,
            _ => Style::PLAIN,
        };
        if let Some(path) = path {
            if !report.functions.is_empty() || report.is_changed() || error.is_some() {
                say(&format!("{}:\n", style.paint(Paint::Part, &printable(path))), to_stderr);
            } else if !report.warnings.is_empty()
                || self.args.explain_noise && !report.ignored.is_empty()
            {
                complain(&format!("{path}:"));
            }
        }
        let mut text = String::new();
        for function in &report.functions {
            text += &style.paint(Paint::Title, &printable(&function.line()));
            text.push('\n');
            if let Some(reason) = function.reasons.first() {
                text += &format!("  {}\n", printable(&reason.to_string()));
            }
            if let Some(described) = in_source(function, &style) {
                text += &format!("{described}\n");
            }
        }
        say(&text, to_stderr);
    }

    fn explain(&self, path: Option<&str>, report: &Report, error: Option<&Error>) {
        let explain = &self.args.explain;
        let mut text = String::new();
        let mut found = self.found.borrow_mut();
        for asked in &explain.why {
            if let Some(described) = why(report, asked, &self.style) {
                text += &described;
                found.insert(asked.clone());
            }
        }
        let names = explain.explain.iter().filter(|name| !name.is_empty());
        let all = explain.explain.len() > names.clone().count();
        let only: Vec<String> = if all { Vec::new() } else { names.clone().cloned().collect() };
        if !explain.explain.is_empty() {
            text += &explanation(report, &only, &self.style);
            text += &ways_out(report, error, &self.style);
        }
        for asked in names {
            let is = |name: &str| is_called(name, asked);
            if report.functions.iter().any(|f| is(&f.name))
                || report.data.iter().any(|d| is(&d.name))
                || report.unchanged.iter().any(|(name, _)| is(name))
                || report.removed.iter().any(|name| is(name))
            {
                found.insert(asked.clone());
            }
        }
        let mut pages = self.pages.borrow_mut();
        if let Some(path) = path.filter(|_| !text.is_empty()) {
            *pages += &self.style.paint(Paint::Part, &format!("{}:", printable(path)));
            pages.push('\n');
        }
        *pages += &text;
    }

    /// Shows the explanations. The error is that a name was asked for which nothing has; it is
    /// none where the run ended before all names were known.
    pub(super) fn finish(&self, complete: bool) -> Option<Error> {
        let pages = self.pages.take();
        let to_stderr = self.args.text_to_stderr();
        let paged =
            !pages.is_empty() && !to_stderr && !self.args.explain.no_pager && pager::page(&pages);
        if !paged {
            say(&pages, to_stderr);
        }
        let explain = &self.args.explain;
        let found = self.found.borrow();
        let named = explain.explain.iter().filter(|n| !n.is_empty()).map(|n| ("--explain=", n));
        let mut named = named.chain(explain.why.iter().map(|n| ("--why ", n)));
        let (option, name) = named.find(|(_, name)| !found.contains(*name)).filter(|_| complete)?;
        let error =
            Error::broken(Code::NoEffect, format!("{option}{name}: there is nothing of this name"));
        Some(error.advise(match option {
            "--why " => "give the name of something in the patch, or of what it refers to",
            _ => "give the name of a function or variable of the patched object",
        }))
    }
}

/// How text is shown.
fn style(args: &ReportArgs) -> Style {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let terminal = match args.text_to_stderr() {
        true => std::io::stderr().is_terminal(),
        false => std::io::stdout().is_terminal(),
    };
    let color = match args.explain.color {
        When::Always => true,
        When::Never => false,
        When::Auto => terminal && !dumb && !set("NO_COLOR"),
    };
    let width = if terminal { pager::width() } else { None };
    let links = terminal && args.explain.color != When::Never && takes_links();
    Style { color, links: links && color, width: width.unwrap_or(WIDTH) }
}

/// Whether the terminal is one that is known to make links of OSC 8. Others would show them.
fn takes_links() -> bool {
    let is = |name: &str, known: &[&str]| {
        std::env::var(name).is_ok_and(|value| known.contains(&value.as_str()))
    };
    let vte = std::env::var("VTE_VERSION").ok().and_then(|v| v.parse::<u32>().ok());
    vte.is_some_and(|version| version >= 5000)
        || std::env::var_os("WT_SESSION").is_some()
        || is("TERM_PROGRAM", &["iTerm.app", "WezTerm", "vscode", "ghostty"])
        || is("TERM", &["xterm-kitty", "alacritty", "foot", "foot-extra", "xterm-ghostty"])
}
