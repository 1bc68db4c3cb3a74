//! The head of the page, and its tables.

use std::fmt::Write as _;

use super::html::Text;
use super::{STYLE, name_of};
use crate::report::OPTIMISER;
use crate::report::explain::graph::{Because, Graph, Kind};
use crate::report::explain::klp::KlpFact;
use crate::report::json::Document;
use crate::report::text::blamed;
use crate::report::text::why::kind;

/// Everything before the first object.
pub(super) fn head(document: &Document, out: &mut String) {
    let title = match document.objects.as_slice() {
        [only] => format!("klp-diff: {}", name_of(only)),
        all => format!("klp-diff: {} objects", all.len()),
    };
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        Text(&title)
    );
    let (verdict, described) = match document.exit {
        0 => ("changed", "can be applied"),
        2 => ("refused", "cannot be applied"),
        3 => ("unchanged", "nothing changed"),
        _ => ("refused", "could not be compared"),
    };
    let _ = write!(
        out,
        "<header>\n<h1>Livepatch review <span class=\"verdict {verdict}\">{verdict}</span></h1>\n<div class=\"dim\">"
    );
    match document.objects.as_slice() {
        [only] => {
            let _ = write!(
                out,
                "<code>{}</code> → <code>{}</code>, ",
                Text(&only.orig),
                Text(&only.patched)
            );
        }
        all => {
            let _ = write!(out, "{} objects, ", all.len());
        }
    }
    let causes = document.objects.iter().flat_map(|o| &o.functions);
    let blame = blamed(causes.map(|f| (f.name.as_str(), f.cause.as_ref())));
    let blame = blame.map(|described| format!("; {described}")).unwrap_or_default();
    let _ = write!(out, "{described}{}</div>\n<div class=\"tiles\">", Text(&blame));
    tiles(document, out);
    out.push_str(
        "</div>\n</header>\n<nav><input id=\"find\" type=\"search\" placeholder=\"Search functions, reasons, symbols ( / )\" \
         aria-label=\"Search\" autocomplete=\"off\"><span id=\"count\" class=\"dim\"></span>\
         <button id=\"open\" type=\"button\">Unfold all</button><button id=\"close\" type=\"button\">Fold all</button></nav>\n<main>\n",
    );
}

fn tiles(document: &Document, out: &mut String) {
    let functions = || document.objects.iter().flat_map(|o| &o.functions);
    let optimised = |f: &crate::report::json::FunctionEntry| {
        f.reasons.first().is_some_and(|r| OPTIMISER.contains(&r.kind.as_str()))
    };
    let of = |status: &str| functions().filter(|f| f.status == status && !optimised(f)).count();
    let mut tile = |count: usize, what: &str, always: bool| {
        if count > 0 || always {
            let _ = write!(out, "<div class=\"tile\"><b>{count}</b>{what}</div>");
        }
    };
    tile(of("changed"), "changed", true);
    tile(
        functions().filter(|f| f.status == "changed" && optimised(f)).count(),
        "by the optimiser",
        false,
    );
    tile(of("new"), "new", true);
    tile(of("removed"), "removed", false);
    tile(document.objects.iter().flat_map(|o| &o.data).count(), "variables", false);
    tile(document.objects.iter().flat_map(|o| &o.klp).count(), "livepatch symbols", false);
    tile(document.objects.iter().flat_map(|o| &o.warnings).count(), "warnings", false);
    tile(document.objects.iter().flat_map(|o| &o.refusals).count(), "refusals", false);
}

/// Everything in the output, with what brought it in.
pub(super) fn included(graph: &Graph, out: &mut String) {
    let inside: Vec<_> = graph.nodes.iter().filter(|n| n.kind != Kind::Kernel).collect();
    if inside.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<details class=\"thing\"><summary>Everything in the output ({})</summary><div class=\"scroll\"><table>\
         <tr><th>name</th><th>what</th><th>because</th></tr>",
        inside.len()
    );
    for node in inside {
        let via = node.via.and_then(|via| graph.nodes.get(via)).map_or("", |via| via.name.as_str());
        let at = node.at.map(|at| format!(" at +{at:#x}")).unwrap_or_default();
        let because = match node.because {
            Because::Changed => "it changed".to_owned(),
            Because::NewGlobal => "it is new, and other objects can refer to it".to_owned(),
            Because::Callback => "it is a callback of the patch".to_owned(),
            Because::Referred => format!("{via} refers to it{at}"),
            Because::SplitOff => format!("it was split off from {via}"),
            Because::Describes => format!("it has rows that describe {via}"),
            Because::Always => "it goes along with what is in the patch".to_owned(),
        };
        let _ = writeln!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            Text(&node.name),
            kind(node.kind),
            Text(&because)
        );
    }
    out.push_str("</table></div></details>\n");
}

/// What livepatch resolves.
pub(super) fn klp(facts: &[KlpFact], out: &mut String) {
    if facts.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<div data-section><h3>Livepatch symbols ({})</h3>\n<div class=\"scroll\"><table><tr><th>object</th><th>symbol</th>\
         <th class=\"num\">sympos</th><th>address</th><th class=\"num\">relocations</th><th>first in</th></tr>",
        facts.len()
    );
    for fact in facts {
        let address = fact.address.map_or("?".to_owned(), |a| format!("{a:#x}"));
        let exported = if fact.exported { "<span class=\"tag\">exported</span>" } else { "" };
        let find = Text(&fact.symbol);
        let _ = writeln!(
            out,
            "<tr data-find=\"{find}\"><td>{}</td><td><code>{}</code>{exported}</td><td class=\"num\">{}</td>\
             <td><code>{address}</code></td><td class=\"num\">{}</td><td><code>{}</code></td></tr>",
            Text(&fact.object),
            Text(&fact.symbol),
            fact.sympos,
            fact.relocations,
            Text(&fact.first)
        );
    }
    out.push_str("</table></div></div>\n");
}
