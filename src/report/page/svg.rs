//! The inclusion graph as a picture: what changed on the left, what it brings in to the right.

#![expect(clippy::arithmetic_side_effects, reason = "a drawing's measures")]

use std::fmt::Write as _;

use super::html::{Text, short};
use crate::report::explain::graph::{Because, Graph, Kind, Node};

const ROW: usize = 30;
const HEIGHT: usize = 22;
const LETTER: usize = 8;
/// Longest name in the picture.
const NAME: usize = 34;
const GAP: usize = 46;
/// Nodes of a picture: more are not readable, and listed instead.
const MOST: usize = 600;

/// A node with its place.
struct Placed<'g> {
    node: &'g Node,
    index: usize,
    depth: usize,
    row: usize,
}

/// The picture; `None` where nothing brings in anything. What stands by itself is left out, and
/// so is what only the running kernel has.
pub(super) fn picture(graph: &Graph) -> Option<String> {
    let placed = place(graph);
    if placed.is_empty() {
        return None;
    }
    let depths = placed.iter().map(|p| p.depth).max().unwrap_or(0) + 1;
    let width_of = |depth: usize| {
        let names = placed.iter().filter(|p| p.depth == depth);
        names.map(|p| short(&p.node.name, NAME).chars().count()).max().unwrap_or(0) * LETTER + 16
    };
    let widths: Vec<usize> = (0..depths).map(width_of).collect();
    let left = |depth: usize| 10 + widths.iter().take(depth).map(|w| w + GAP).sum::<usize>();
    let (width, height) = (left(depths), placed.len().min(MOST) * ROW + 12);
    let mut svg = format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"Inclusion graph\">\n"
    );
    let y_of = |row: usize| 8 + row * ROW;
    for p in &placed {
        let Some(via) = p.node.via.and_then(|via| placed.iter().find(|q| q.index == via)) else {
            continue;
        };
        let from = (
            left(via.depth) + widths.get(via.depth).copied().unwrap_or(0),
            y_of(via.row) + HEIGHT / 2,
        );
        let to = (left(p.depth), y_of(p.row) + HEIGHT / 2);
        let bend = from.0 + GAP / 2;
        let _ = writeln!(
            svg,
            "<path d=\"M{} {}C{bend} {} {bend} {} {} {}\"/>",
            from.0, from.1, from.1, to.1, to.0, to.1
        );
    }
    for p in &placed {
        let class = match (p.node.because, p.node.kind) {
            (Because::Changed, _) => "changed",
            (_, Kind::Function) => "code",
            _ => "data",
        };
        let (x, y) = (left(p.depth), y_of(p.row));
        let width = widths.get(p.depth).copied().unwrap_or(0);
        let name = short(&p.node.name, NAME);
        let (full, name) = (Text(&p.node.name), Text(&name));
        let _ = writeln!(
            svg,
            "<g class=\"{class}\"><title>{full}</title><rect x=\"{x}\" y=\"{y}\" width=\"{width}\" \
             height=\"{HEIGHT}\" rx=\"4\"/><text x=\"{}\" y=\"{}\">{name}</text></g>",
            x + 8,
            y + 15
        );
    }
    svg += "</svg>\n";
    Some(svg)
}

/// Nodes with something before or behind them, each below its own, in rows.
fn place(graph: &Graph) -> Vec<Placed<'_>> {
    let drawn = |node: &Node| node.kind != Kind::Kernel;
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().filter(|(_, n)| drawn(n)) {
        if let Some(list) = node.via.and_then(|via| below.get_mut(via)) {
            list.push(index);
        }
    }
    let is_root = |n: &Node| n.via.is_none() && drawn(n);
    let roots = graph.nodes.iter().enumerate().filter(|(_, n)| is_root(n)).map(|(i, _)| i);
    let mut stack: Vec<(usize, usize)> =
        roots.filter(|&i| below.get(i).is_some_and(|b| !b.is_empty())).map(|i| (i, 0)).collect();
    stack.reverse();
    let mut placed = Vec::new();
    while let Some((index, depth)) = stack.pop() {
        let Some(node) = graph.nodes.get(index).filter(|_| placed.len() < MOST) else { continue };
        placed.push(Placed { node, index, depth, row: placed.len() });
        let inner = below.get(index).into_iter().flatten().rev();
        stack.extend(inner.map(|&inner| (inner, depth + 1)));
    }
    placed
}
