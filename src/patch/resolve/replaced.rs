//! What the changed functions replace in the running kernel.

use rayon::prelude::*;

use super::check::{check_listed, check_local, check_weak, not_found};
use super::lookup::Lookup;
use crate::diag::Result;
use crate::elf::ids::{Patched, SymbolId};

/// A changed function and what it replaces.
#[derive(Clone, Debug)]
pub struct Replaced<'a> {
    /// The function in the patched object.
    pub symbol: SymbolId<Patched>,
    /// Its name in the running kernel.
    pub name: &'a str,
    /// Address of the original; 0 when unknown.
    pub old_addr: u64,
    /// Size of the original in bytes.
    pub old_size: u64,
    /// Position among its namesakes.
    pub sympos: u64,
    /// Its place in the parent's table, when it is there.
    pub entry: Option<u32>,
}

/// What the changed functions replace, in symbol order.
pub fn replaced<'a>(
    lookup: &Lookup<'a>,
    functions: &[SymbolId<Patched>],
) -> Result<Vec<Replaced<'a>>> {
    let replaced: Vec<Result<Replaced<'a>>> =
        functions.par_iter().with_min_len(64).map(|&symbol| replaces(lookup, symbol)).collect();
    replaced.into_iter().collect()
}

fn replaces<'a>(lookup: &Lookup<'a>, symbol: SymbolId<Patched>) -> Result<Replaced<'a>> {
    let found = lookup.find(symbol)?;
    let found = found.ok_or_else(|| not_found(lookup.running.parent, lookup.name(symbol)))?;
    check_local(lookup, symbol, &found)?;
    check_weak(lookup, symbol, &found)?;
    check_listed(lookup, &found)?;
    Ok(Replaced {
        symbol,
        name: found.name,
        old_addr: found.addr,
        old_size: found.size,
        sympos: lookup.position(&found),
        entry: found.index,
    })
}
