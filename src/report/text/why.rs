//! Why something is in the output, in words.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use super::style::{Paint, Style};
use crate::diag::printable;
use crate::report::Report;
use crate::report::explain::graph::{Because, Graph, Kind, Node};
use crate::report::explain::is_called;

/// Why what is called `asked` is in the output, or is not; `None` where nothing is known of it.
pub fn why(report: &Report, asked: &str, style: &Style) -> Option<String> {
    let graph = report.graph.as_ref();
    let found = graph.and_then(|graph| Some((graph, graph.find(asked)?)));
    let lines = match found {
        Some((graph, index)) => chain(report, graph, index),
        None => vec![elsewhere(report, asked)?],
    };
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        let paint = if n == 0 { Paint::Title } else { Paint::None };
        text += &style.paint(paint, &printable(line));
        text.push('\n');
    }
    Some(text)
}

/// What is known of something that is not in the graph.
fn elsewhere(report: &Report, asked: &str) -> Option<String> {
    let function = report.functions.iter().find(|f| is_called(&f.name, asked));
    if let Some(function) = function {
        let reason = function.reasons.first().map(|r| format!(": {r}")).unwrap_or_default();
        return Some(format!(
            "{}{reason}; nothing was selected, because the change is refused",
            function.line()
        ));
    }
    if let Some((name, _)) = report.unchanged.iter().find(|(name, _)| is_called(name, asked)) {
        return Some(format!("{name} is not in the patch: it means the same in both objects"));
    }
    let removed = report.removed.iter().find(|name| is_called(name, asked));
    if let Some(name) = removed {
        return Some(format!("{name} is not in the patch: the patched object does not have it"));
    }
    let data = report.data.iter().find(|data| is_called(&data.name, asked))?;
    Some(format!(
        "{} is {}, and not in the patch: nothing of it refers to it",
        data.name, data.status
    ))
}

fn chain(report: &Report, graph: &Graph, index: usize) -> Vec<String> {
    let chain = graph.chain(index);
    let mut lines = Vec::new();
    if let Some(node) = chain.first() {
        lines.push(match node.kind {
            Kind::Kernel => format!("{} is not in the patch, which refers to it", node.name),
            _ => format!("{} ({}) is in the patch", node.name, kind(node.kind)),
        });
    }
    if let Some(fact) =
        report.klp.iter().find(|f| chain.first().is_some_and(|n| n.name == f.symbol))
    {
        let address = fact.address.map(|a| format!(", address {a:#x}")).unwrap_or_default();
        lines.push(format!(
            "  livepatch resolves it: {}:{},{}{address}, {} relocation(s)",
            fact.object, fact.symbol, fact.sympos, fact.relocations
        ));
    }
    for (n, node) in chain.iter().enumerate() {
        lines.push(format!("  {}", step(report, node, chain.get(n + 1).copied())));
    }
    lines
}

/// What a kind is called.
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Function => "function",
        Kind::Variable => "variable",
        Kind::Data => "data without a name",
        Kind::Table => "rows of a table",
        Kind::Kernel => "of the running kernel",
    }
}

/// Why a node is there.
fn step(report: &Report, node: &Node, via: Option<&Node>) -> String {
    let name = &node.name;
    let by = via.map_or("", |via| via.name.as_str());
    match node.because {
        Because::Referred => {
            let at = node.at.map(|at| format!(" at +{at:#x}")).unwrap_or_default();
            format!("{by} refers to {name}{at}")
        }
        Because::SplitOff => format!("{name} was split off from {by}"),
        Because::Describes => format!("{name} has rows that describe {by}"),
        Because::Changed => {
            let function = report.functions.iter().find(|f| f.name == *name);
            let reason = function.and_then(|f| f.reasons.first());
            let reason = reason.map(|r| format!(": {r}")).unwrap_or_default();
            format!("{name} changed{reason}")
        }
        Because::NewGlobal => format!("{name} is new, and other objects can refer to it"),
        Because::Callback => format!("{name} is a callback of the patch"),
        Because::Always => format!("{name} goes along with what is in the patch"),
    }
}
