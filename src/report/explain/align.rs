//! Finds the lines that two listings have in common.
//!
//! The longest common subsequence where that is cheap. Long listings are first cut at lines
//! that each side has once, so that the cost stays near the length of the input.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]

/// Most cells of the table by which a stretch is compared.
const CELLS: usize = 1 << 20;
/// How often a stretch is cut.
const DEPTH: usize = 24;

/// Positions of lines that are the same, ascending on both sides.
pub fn matches<T: Eq + Ord>(a: &[T], b: &[T]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut stretches = vec![((0, a.len()), (0, b.len()), 0)];
    while let Some(((mut a0, mut a1), (mut b0, mut b1), depth)) = stretches.pop() {
        while a0 < a1 && b0 < b1 && a.get(a0) == b.get(b0) {
            found.push((a0, b0));
            (a0, b0) = (a0 + 1, b0 + 1);
        }
        while a0 < a1 && b0 < b1 && a.get(a1 - 1) == b.get(b1 - 1) {
            (a1, b1) = (a1 - 1, b1 - 1);
            found.push((a1, b1));
        }
        let (Some(x), Some(y)) = (a.get(a0..a1), b.get(b0..b1)) else { continue };
        if x.is_empty() || y.is_empty() {
            continue;
        }
        if x.len().saturating_mul(y.len()) <= CELLS {
            found.extend(longest(x, y).into_iter().map(|(i, j)| (a0 + i, b0 + j)));
            continue;
        }
        if depth >= DEPTH {
            continue;
        }
        let anchors = anchors(x, y);
        let (mut from, all) = ((0, 0), anchors.iter().copied());
        if anchors.is_empty() {
            continue;
        }
        for (i, j) in all.chain([(x.len(), y.len())]) {
            stretches.push(((a0 + from.0, a0 + i), (b0 + from.1, b0 + j), depth + 1));
            from = (i, j);
        }
    }
    found.sort_unstable();
    found
}

/// The longest common subsequence.
fn longest<T: Eq>(a: &[T], b: &[T]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    let mut best = vec![0_u32; (a.len() + 1) * width];
    for (i, x) in a.iter().enumerate().rev() {
        let (above, below) = best.split_at_mut((i + 1) * width);
        let (Some(row), Some(next)) = (above.get_mut(i * width..), below.get(..width)) else {
            continue;
        };
        let mut right = 0;
        for (j, y) in b.iter().enumerate().rev() {
            let cell = match x == y {
                true => next.get(j + 1).copied().unwrap_or(0) + 1,
                false => right.max(next.get(j).copied().unwrap_or(0)),
            };
            if let Some(place) = row.get_mut(j) {
                *place = cell;
            }
            right = cell;
        }
    }
    let at = |i: usize, j: usize| best.get(i * width + j).copied().unwrap_or(0);
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            found.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if at(i + 1, j) >= at(i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

/// Lines that each side has once, as far as they are in the same order.
fn anchors<T: Eq + Ord>(a: &[T], b: &[T]) -> Vec<(usize, usize)> {
    let once = |all: &[T]| {
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&i, &j| all.get(i).cmp(&all.get(j)));
        let groups = order.chunk_by(|&i, &j| all.get(i) == all.get(j));
        groups.filter_map(|g| if let &[only] = g { Some(only) } else { None }).collect::<Vec<_>>()
    };
    let (x, y) = (once(a), once(b));
    let (mut x, mut y) = (x.into_iter().peekable(), y.into_iter().peekable());
    let mut both = Vec::new();
    while let (Some(&i), Some(&j)) = (x.peek(), y.peek()) {
        match a.get(i).cmp(&b.get(j)) {
            std::cmp::Ordering::Less => drop(x.next()),
            std::cmp::Ordering::Greater => drop(y.next()),
            std::cmp::Ordering::Equal => {
                both.push((i, j));
                x.next();
                y.next();
            }
        }
    }
    both.sort_unstable();
    ascending(&both)
}

/// The longest run of pairs whose second parts ascend; the first ones do.
fn ascending(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // Of each length the run that ends lowest, by the position of its last pair.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (n, &(_, j)) in pairs.iter().enumerate() {
        let at = ends.partition_point(|&e| pairs.get(e).is_some_and(|p| p.1 < j));
        before.push(at.checked_sub(1).and_then(|last| ends.get(last).copied()));
        match ends.get_mut(at) {
            Some(end) => *end = n,
            None => ends.push(n),
        }
    }
    let mut run = Vec::new();
    let mut next = ends.last().copied();
    while let Some(n) = next {
        run.extend(pairs.get(n));
        next = before.get(n).copied().flatten();
    }
    run.reverse();
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(a: &str, b: &str) -> String {
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        let found = matches(&a, &b);
        assert!(found.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1), "{found:?}");
        assert!(found.iter().all(|&(i, j)| a[i] == b[j]));
        found.iter().map(|&(i, _)| a[i]).collect()
    }

    #[test]
    fn what_is_common_is_found() {
        assert_eq!(common("", ""), "");
        assert_eq!(common("abc", ""), "");
        assert_eq!(common("abcd", "abxd"), "abd");
        assert_eq!(common("abcd", "bcde"), "bcd");
        assert_eq!(common("aXbYc", "abZc"), "abc");
        assert_eq!(common("aaaa", "aa"), "aa");
    }

    #[test]
    fn long_listings_are_cut() {
        let a: Vec<u32> = (0..40_000).collect();
        let b: Vec<u32> = (0..40_000).filter(|n| n % 97 != 0).chain([7]).collect();
        let found = matches(&a, &b);
        assert_eq!(found.len(), b.len() - 1);
        // Without any line that is there once there is nothing to cut at.
        let a: Vec<u32> = (0..4000).map(|n| n % 2).collect();
        let b: Vec<u32> = (0..4000).map(|n| 2 + n % 2).collect();
        assert_eq!(matches(&a, &b), []);
    }
}
