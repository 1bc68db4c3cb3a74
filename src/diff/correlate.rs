//! Pairs the symbols and sections of the two objects.
//!
//! Symbols first: a thing is what its name says, within its scope (the FILE block for local
//! symbols). Where several share a normal name, evidence decides: equal contents, then equal
//! full names, then order. Sections follow their owners, or their names.
//! Static local variables are left to `diff::statics`, special ones have no twin at all.
//!
//! Everything is one sort and one merge over (hash of scope and normal name) keys, so that
//! ten thousand variables called `__func__` cost no more than ten thousand different ones.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use rayon::prelude::*;

use super::twins::Twins;
use crate::elf::abi;
use crate::elf::ids::{Id, Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Home;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::names;

/// One entry of the sorted lists that are merged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<I> {
    hash: u64,
    id: I,
}

/// Pairs everything that can be paired by name and contents.
pub fn correlate(orig: &Layout<'_, '_, Orig>, patched: &Layout<'_, '_, Patched>) -> Twins {
    let mut twins = Twins::new(
        (orig.object.symbol_count(), patched.object.symbol_count()),
        (orig.object.section_count(), patched.object.section_count()),
    );
    let (o, p) = rayon::join(
        || symbol_keys(orig, true, |l, id| !l.is_static_local(id)),
        || symbol_keys(patched, true, |_, _| true),
    );
    merge(&o, &p, |o, p| pair_symbols(orig, patched, &mut twins, o, p));
    drop((o, p));
    // A static function made global, or back, is in another scope but still unique.
    let (o, p) = rayon::join(
        || {
            symbol_keys(orig, false, |l, id| {
                !l.is_static_local(id) && twins.patched_symbol(id).is_none()
            })
        },
        || symbol_keys(patched, false, |_, id| twins.orig_symbol(id).is_none()),
    );
    merge(&o, &p, |o, p| {
        if let ([o], [p]) = (o, p)
            && compatible(orig, patched, o.id, p.id)
        {
            twins.pair_symbols(o.id, p.id);
        }
    });
    pair_sections(orig, patched, &mut twins);
    twins
}

/// Sorted keys of the symbols that take part. With `scoped`, local symbols of different
/// files differ.
fn symbol_keys<S: Side>(
    layout: &Layout<'_, '_, S>,
    scoped: bool,
    takes_part: impl Fn(&Layout<'_, '_, S>, SymbolId<S>) -> bool + Sync,
) -> Vec<Key<SymbolId<S>>> {
    let object = layout.object;
    let hasher = FixedState::default();
    let files = if scoped { file_scopes(layout) } else { Vec::new() };
    let key = |id: SymbolId<S>| {
        let kind = object.symbol_kind(id);
        if kind == abi::STT_SECTION
            || !takes_part(layout, id)
            || layout.is_label(id)
            || layout.is_mapping(id)
            || layout.is_special_static(id)
        {
            return None;
        }
        let name = object.symbol_name(id);
        if names::is_ubsan(name) {
            return None;
        }
        let mut state = hasher.build_hasher();
        if scoped {
            let file = || files[..files.partition_point(|f| f.0 <= id)].last().map_or(0, |f| f.1);
            let local = object.symbol_bind(id) == abi::STB_LOCAL;
            state.write_u64(if local { file() } else { 1 });
        }
        state.write_u8(kind);
        names::hash_normal(name, &mut state);
        Some(Key { hash: state.finish(), id })
    };
    let symbols = (1..object.symbol_count()).into_par_iter().with_min_len(1024);
    let mut keys: Vec<_> = symbols.filter_map(|i| key(SymbolId::new(i))).collect();
    keys.par_sort_unstable();
    keys
}

/// The FILE symbols in order, each with a hash of its name and of how many of that name
/// precede it: the scope of the local symbols behind it.
fn file_scopes<S: Side>(layout: &Layout<'_, '_, S>) -> Vec<(SymbolId<S>, u64)> {
    let object = layout.object;
    let hasher = FixedState::default();
    let mut seen: indexmap::IndexMap<&str, u64, foldhash::fast::RandomState> = Default::default();
    let files = object.symbols().skip(1).filter(|&id| object.symbol_kind(id) == abi::STT_FILE);
    files
        .map(|id| {
            let name = object.symbol_name(id);
            let occurrence = seen.entry(name).or_insert(0);
            *occurrence += 1;
            (id, hasher.hash_one((name, *occurrence)))
        })
        .collect()
}

/// Calls `found` for each hash that both sorted lists have, with the entries of both.
fn merge<O: Copy, P: Copy>(
    mut orig: &[Key<O>],
    mut patched: &[Key<P>],
    mut found: impl FnMut(&[Key<O>], &[Key<P>]),
) {
    while let (Some(o), Some(p)) = (orig.first(), patched.first()) {
        match o.hash.cmp(&p.hash) {
            std::cmp::Ordering::Less => orig = &orig[1..],
            std::cmp::Ordering::Greater => patched = &patched[1..],
            std::cmp::Ordering::Equal => {
                let (o, p) = (run(orig, o.hash), run(patched, p.hash));
                found(&orig[..o], &patched[..p]);
                (orig, patched) = (&orig[o..], &patched[p..]);
            }
        }
    }
}

fn run<I>(keys: &[Key<I>], hash: u64) -> usize {
    keys.iter().take_while(|k| k.hash == hash).count()
}

/// Whether two symbols with equal keys may be one: the hash is no proof.
fn compatible(
    orig: &Layout<'_, '_, Orig>,
    patched: &Layout<'_, '_, Patched>,
    o: SymbolId<Orig>,
    p: SymbolId<Patched>,
) -> bool {
    orig.object.symbol_kind(o) == patched.object.symbol_kind(p)
        && names::same(orig.object.symbol_name(o), patched.object.symbol_name(p))
}

fn pair_symbols(
    orig: &Layout<'_, '_, Orig>,
    patched: &Layout<'_, '_, Patched>,
    twins: &mut Twins,
    o: &[Key<SymbolId<Orig>>],
    p: &[Key<SymbolId<Patched>>],
) {
    if let ([o], [p]) = (o, p) {
        if compatible(orig, patched, o.id, p.id) {
            twins.pair_symbols(o.id, p.id);
        }
        return;
    }
    let mut o: Vec<_> = o.iter().map(|k| k.id).collect();
    let mut p: Vec<_> = p.iter().map(|k| k.id).collect();
    let hasher = FixedState::default();
    type Evidence<'e, S> = &'e dyn Fn(SymbolId<S>) -> u64;
    let by_contents: (Evidence<'_, Orig>, Evidence<'_, Patched>) =
        (&|s| fingerprint(orig, s), &|s| fingerprint(patched, s));
    let by_name: (Evidence<'_, Orig>, Evidence<'_, Patched>) =
        (&|s| hasher.hash_one(orig.object.symbol_name(s)), &|s| {
            hasher.hash_one(patched.object.symbol_name(s))
        });
    for (of_orig, of_patched) in [by_contents, by_name] {
        let mut a: Vec<_> = o.iter().map(|&id| Key { hash: of_orig(id), id }).collect();
        let mut b: Vec<_> = p.iter().map(|&id| Key { hash: of_patched(id), id }).collect();
        a.sort_unstable();
        b.sort_unstable();
        merge(&a, &b, |a, b| {
            // Equal evidence on both sides in equal number: the copies are interchangeable.
            if a.len() == b.len() {
                for (a, b) in a.iter().zip(b) {
                    if compatible(orig, patched, a.id, b.id) {
                        twins.pair_symbols(a.id, b.id);
                    }
                }
            }
        });
        o.retain(|&id| twins.patched_symbol(id).is_none());
        p.retain(|&id| twins.orig_symbol(id).is_none());
    }
    for (&a, &b) in o.iter().zip(&p) {
        if compatible(orig, patched, a, b) {
            twins.pair_symbols(a, b);
            if o.len() > 1 || p.len() > 1 {
                twins.by_order.push(b);
            }
        }
    }
}

/// A hash of what a symbol stands for: its bytes, and its relocations with normal names.
/// Undefined symbols have nothing but their full name.
fn fingerprint<S: Side>(layout: &Layout<'_, '_, S>, id: SymbolId<S>) -> u64 {
    let object = layout.object;
    let symbol = object.symbol(id);
    let mut state = FixedState::default().build_hasher();
    state.write_u64(symbol.size);
    // Of what is imported the name is all there is: other files' `.str.1.llvm.7` and
    // `.str.4.llvm.9` have the same normal form, but nothing else in common.
    let Home::Section(section) = symbol.home else {
        state.write(symbol.name.as_bytes());
        return state.finish();
    };
    let bundled = layout.is_bundled(id);
    let (start, end) = if bundled {
        (0, object.section_size(section))
    } else {
        (symbol.value, symbol.value.saturating_add(symbol.size))
    };
    let data = object.contents(section);
    state.write(data.get(start as usize..(end as usize).min(data.len())).unwrap_or(&[]));
    for reloc in object.relocs(section).within(start, end) {
        state.write_u64(reloc.offset - start);
        state.write_u32(reloc.kind);
        names::hash_normal(object.symbol_name(reloc.symbol), &mut state);
    }
    state.finish()
}

fn pair_sections(
    orig: &Layout<'_, '_, Orig>,
    patched: &Layout<'_, '_, Patched>,
    twins: &mut Twins,
) {
    for p in patched.object.sections() {
        let Some(owner) = patched.owner(p) else { continue };
        let Some(twin) = twins.orig_symbol(owner) else { continue };
        let Some(o) = orig.object.section_of(twin).filter(|&o| orig.owner(o) == Some(twin)) else {
            continue;
        };
        if names::same(orig.object.section_name(o), patched.object.section_name(p)) {
            twins.pair_sections(o, p);
        }
    }
    pair_by_members(orig, patched, twins);
    let o = section_keys(orig, |id| twins.patched_section(id).is_none());
    let p = section_keys(patched, |id| twins.orig_section(id).is_none());
    merge(&o, &p, |o, p| {
        for (o, p) in o.iter().zip(p) {
            let same_name =
                names::same(orig.object.section_name(o.id), patched.object.section_name(p.id));
            if same_name && same_group(orig, patched, o.id, p.id) {
                twins.pair_sections(o.id, p.id);
            }
        }
    });
}

/// Of several sections of one name, those that hold the same variable or function belong
/// together.
fn pair_by_members(
    orig: &Layout<'_, '_, Orig>,
    patched: &Layout<'_, '_, Patched>,
    twins: &mut Twins,
) {
    for p in patched.object.sections() {
        if patched.owner(p).is_some() || twins.orig_section(p).is_some() {
            continue;
        }
        let class = patched.class(p);
        if !matches!(class, Class::Data | Class::Text | Class::Strings) {
            continue;
        }
        let home = patched.object.members(p).iter().find_map(|&member| {
            let o = orig.object.section_of(twins.orig_symbol(member)?)?;
            (orig.owner(o).is_none() && twins.patched_section(o).is_none()).then_some(o)
        });
        if let Some(o) = home
            && names::same(orig.object.section_name(o), patched.object.section_name(p))
        {
            twins.pair_sections(o, p);
        }
    }
}

fn section_keys<S: Side>(
    layout: &Layout<'_, '_, S>,
    takes_part: impl Fn(SectionId<S>) -> bool,
) -> Vec<Key<SectionId<S>>> {
    let object = layout.object;
    let hasher = FixedState::default();
    let mut keys = Vec::new();
    for id in object.sections() {
        if matches!(layout.class(id), Class::Meta | Class::Relocations) || !takes_part(id) {
            continue;
        }
        let name = object.section_name(id);
        // A section that belongs to one variable has a twin only if the variable has.
        let follows_owner = layout
            .owner(id)
            .is_some_and(|owner| layout.is_special_static(owner) || layout.is_static_local(owner));
        if names::is_ubsan(name) || names::is_clang_unnamed(name) || follows_owner {
            continue;
        }
        let mut state = hasher.build_hasher();
        names::hash_normal(name, &mut state);
        keys.push(Key { hash: state.finish(), id });
    }
    keys.par_sort_unstable();
    keys
}

/// Section groups are the same when flags and members are: the members by name, since
/// their numbers change with every added section.
fn same_group(
    orig: &Layout<'_, '_, Orig>,
    patched: &Layout<'_, '_, Patched>,
    o: SectionId<Orig>,
    p: SectionId<Patched>,
) -> bool {
    if !matches!(orig.class(o), Class::Group) {
        return true;
    }
    group_words(orig, o) == group_words(patched, p)
}

/// The flag word of a group and the names of its members.
fn group_words<'d, S: Side>(
    layout: &Layout<'_, 'd, S>,
    id: SectionId<S>,
) -> (Option<u32>, Vec<Option<&'d str>>) {
    let object = layout.object;
    let data = object.contents(id);
    let word = |at: usize| crate::elf::object::read_u32(data, at, object.endian());
    let members = (4..data.len()).step_by(4).map(|at| {
        let index = word(at)? as usize;
        (index < object.section_count()).then(|| object.section_name(SectionId::new(index)))
    });
    (word(0), members.collect())
}
