//! The way out of a refusal, as a skeleton with names filled in.
//!
//! Callbacks are those of livepatch (Documentation/livepatch/callbacks.rst), written with the
//! macros of kpatch-macros.h, which outputs carry; shadow variables are those of
//! Documentation/livepatch/shadow-vars.rst.

use std::fmt::Write as _;

use super::Values;
use crate::diag::{Code, Error, Place};

/// Data of which somebody knows how it differs.
pub struct Known<'d> {
    /// Its name.
    pub name: &'d str,
    /// How it differs.
    pub values: Option<&'d Values>,
}

/// The way out for each finding of a refusal, without repetitions; none where there is none that
/// can be written down.
/// `functions` are those that changed.
pub fn ways_out(error: &Error, data: &[Known<'_>], functions: &[&str]) -> Vec<String> {
    let count = error.details().len().max(1);
    let mut found: Vec<String> = Vec::new();
    for place in (0..count).map(|i| error.detail_place(i).unwrap_or(error.place())) {
        for way in at(error.code(), place, data, functions) {
            if !found.contains(&way) {
                found.push(way);
            }
        }
    }
    found
}

fn at(code: Code, place: &Place, data: &[Known<'_>], functions: &[&str]) -> Vec<String> {
    let symbol = place.symbol.as_deref();
    let changed = symbol.filter(|symbol| functions.contains(symbol));
    match code {
        Code::UnsupportedSectionChange | Code::LiveStateInitialiser | Code::ConstantInLiveData => {
            let section = place.section.as_deref().map(|s| s.strip_prefix(".rela").unwrap_or(s));
            let is = |known: &&Known<'_>| {
                let home = known.values.map(|v| v.section.as_str());
                symbol.map_or(home.is_some() && home == section, |symbol| symbol == known.name)
            };
            data.iter().filter(is).map(callback).collect()
        }
        Code::ObjectSizeMismatch => symbol.map(shadow).into_iter().collect(),
        Code::NoFtraceEntry => changed.map(callers).into_iter().collect(),
        Code::BootOnly => symbol.map(boot).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// A name as part of a name in C.
fn identifier(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    name.chars().map(fits).collect()
}

/// A text that cannot end a comment.
fn comment(text: &str) -> String {
    crate::diag::printable(text).replace("*/", "* /")
}

/// Sets data that exists from a callback, and back when the patch is taken away.
fn callback(known: &Known<'_>) -> String {
    let (name, plain) = (identifier(known.name), comment(known.name));
    let fields = known.values.map_or(&[][..], |values| &values.fields);
    let mut text = format!(
        "#include \"kpatch-macros.h\"\n\n/* {plain} is in use by the running kernel: set it when the patch is applied. */\n"
    );
    let number = |value: &Option<String>| {
        value.as_ref().filter(|v| v.bytes().all(|b| b.is_ascii_alphanumeric())).cloned()
    };
    let whole = match fields {
        [only] if only.at == Some(0) => number(&only.before).zip(number(&only.after)),
        _ => None,
    };
    let (mut set, mut reset) = (String::new(), String::new());
    match &whole {
        Some((before, after)) => {
            let _ = writeln!(set, "\t{name} = {after};");
            let _ = writeln!(reset, "\t{name} = {before};");
        }
        None => {
            for field in fields {
                let shown = |v: &Option<String>| comment(v.as_deref().unwrap_or("nothing"));
                let at = comment(&field.name);
                let _ = writeln!(set, "\t/* {name} {at}: {} */", shown(&field.after));
                let _ = writeln!(reset, "\t/* {name} {at}: {} */", shown(&field.before));
            }
        }
    }
    let _ = write!(
        text,
        "static int set_{name}(patch_object *obj)\n{{\n{set}\treturn 0;\n}}\nKPATCH_PRE_PATCH_CALLBACK(set_{name});\n\n\
         static void reset_{name}(patch_object *obj)\n{{\n{reset}}}\nKPATCH_POST_UNPATCH_CALLBACK(reset_{name});\n"
    );
    text
}

/// New members of an object that exists, beside it.
fn shadow(symbol: &str) -> String {
    let (name, plain) = (identifier(symbol), comment(symbol));
    format!(
        "#include <linux/livepatch.h>\n\n/* {plain} cannot grow in the running kernel: what is new of it lies beside it. */\n\
         #define SHADOW_{upper} 1\n\nstruct {name}_more {{\n\t/* the new members */\n}};\n\n\
         static struct {name}_more *{name}_more(void *obj)\n{{\n\treturn klp_shadow_get_or_alloc(obj, SHADOW_{upper}, \
         sizeof(struct {name}_more),\n\t\t\t\t       GFP_KERNEL, NULL, NULL);\n}}\n",
        upper = name.to_ascii_uppercase()
    )
}

/// A function that cannot be redirected: its callers can.
fn callers(symbol: &str) -> String {
    let (name, plain) = (identifier(symbol), comment(symbol));
    format!(
        "/* ftrace cannot redirect {plain}: leave it as it is, and let its callers call a copy. */\n\
         static noinline RETURN_TYPE {name}_patched(PARAMETERS)\n{{\n\t/* the new body of {plain} */\n}}\n\n\
         /* in each caller: {plain}(...) becomes {name}_patched(...) */\n"
    )
}

/// Code that has run already: its effect can be made again.
fn boot(symbol: &str) -> String {
    let (name, plain) = (identifier(symbol), comment(symbol));
    format!(
        "#include \"kpatch-macros.h\"\n\n/* {plain} ran when the kernel booted: leave it as it is, and do here what it should have done. */\n\
         static int redo_{name}(patch_object *obj)\n{{\n\treturn 0;\n}}\nKPATCH_PRE_PATCH_CALLBACK(redo_{name});\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Finding;
    use crate::report::explain::Field;

    #[test]
    fn a_variable_is_set_from_a_callback() {
        let field = |at: u64, before: &str, after: &str| Field {
            name: format!("+{at:#x}"),
            at: Some(at),
            before: Some(before.into()),
            after: Some(after.into()),
        };
        let values = |fields| Values { section: ".data.limit".into(), fields, ..Values::default() };
        let error = |section: &str| {
            let finding = Finding::in_section(section, "changed section");
            Error::refused(Code::UnsupportedSectionChange, "1 change").with_findings(vec![finding])
        };
        let one = values(vec![field(0, "0xa", "0x14")]);
        let known = [Known { name: "limit.1", values: Some(&one) }];
        let ways = ways_out(&error(".rela.data.limit"), &known, &[]);
        assert_eq!(ways.len(), 1);
        assert!(ways[0].contains("\tlimit_1 = 0x14;\n\treturn 0;"), "{}", ways[0]);
        assert!(ways[0].contains("\tlimit_1 = 0xa;\n}"), "{}", ways[0]);
        let two = values(vec![field(8, "kfree", "evil*/x"), field(16, "\"a\"", "\"b\"")]);
        let known = [Known { name: "ops", values: Some(&two) }];
        let ways = ways_out(&error(".data.limit"), &known, &[]);
        assert!(ways[0].contains("/* ops +0x8: evil* /x */"), "{}", ways[0]);
        assert!(ways_out(&error(".data.other"), &known, &[]).is_empty());
    }

    #[test]
    fn other_refusals_have_ways_of_their_own() {
        for (code, word) in [
            (Code::ObjectSizeMismatch, "klp_shadow_get_or_alloc"),
            (Code::NoFtraceEntry, "f_patched("),
            (Code::BootOnly, "KPATCH_PRE_PATCH_CALLBACK(redo_f)"),
        ] {
            let ways = ways_out(&Error::refused(code, "x").at_symbol("f"), &[], &["f"]);
            assert!(ways[0].contains(word), "{}", ways[0]);
        }
        assert!(
            ways_out(&Error::refused(Code::AliasMoved, "x").at_symbol("f"), &[], &["f"]).is_empty()
        );
    }
}
