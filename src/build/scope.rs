//! What a patch may touch: what no livepatch can bring about is refused, with the reason.

use super::apply::{Edited, Edits, Text};
use crate::diag::{Code, Error, Result};
use crate::kernel::knowledge::tree;

/// What a file is to the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Compiled, or included by what is compiled.
    Source,
    /// Says which objects there are.
    Makefile,
    /// Nothing that the kernel is made of.
    Other,
}

/// Parts of the tree of which no function of the running kernel is made, and what they are.
const ELSEWHERE: [(&str, &str); 6] = [
    ("tools/", "tools are programs of their own"),
    ("samples/", "samples are modules of their own"),
    ("scripts/", "the programs of the build would make other objects, all over the kernel"),
    ("usr/", "this becomes the initial file system, which was read at boot"),
    ("certs/", "these become keys, which are data of the running kernel"),
    ("rust/", "code in Rust cannot be patched"),
];

/// Folders below `arch/` that become other programs.
const OTHER_PROGRAMS: [(&str, &str); 6] = [
    ("/boot/", "the code that starts the kernel ran at boot"),
    ("/vdso/", "the vDSO is mapped into processes, not called by the kernel"),
    ("/vdso32/", "the vDSO is mapped into processes, not called by the kernel"),
    ("/vdso64/", "the vDSO is mapped into processes, not called by the kernel"),
    ("/purgatory/", "the code between two kernels is data of this one"),
    ("/realmode/", "the code of real mode is data of the kernel"),
];

/// Sorts the files that patches touch; refuses what cannot be patched. `outside`: they are not in the
/// kernel's source, whose folders have meanings.
pub fn check(edits: &Edits, outside: bool) -> Result<Vec<(String, Kind)>> {
    let mut refused = Vec::new();
    let mut sorted = Vec::new();
    for (path, edited) in edits.changed() {
        let kind = match outside {
            true => kind_outside(path, edited),
            false => kind(path, edited),
        };
        match kind {
            Ok(kind) => sorted.push((path.to_owned(), kind)),
            Err(why) => refused.push(format!("  {path}: {why}")),
        }
    }
    match refused.is_empty() {
        true => Ok(sorted),
        false => {
            Err(Error::refused(Code::PatchScope, "the patch has what no livepatch can bring about")
                .with_details(refused)
                .advise("leave these files out, and find a way to the same effect in functions"))
        }
    }
}

/// What a file is to modules with a source of their own.
fn kind_outside(path: &str, edited: &Edited) -> std::result::Result<Kind, String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    if name == "Makefile" || name == "Kbuild" || name.starts_with("Makefile.") {
        return makefile_lines(edited).map(|()| Kind::Makefile);
    }
    match ending {
        "c" | "h" | "S" | "inc" => Ok(Kind::Source),
        "rs" => Err("code in Rust cannot be patched".to_owned()),
        "md" | "rst" | "txt" | "conf" | "spec" => Ok(Kind::Other),
        _ if tree::FOR_PEOPLE.contains(&name) => Ok(Kind::Other),
        _ => Err("it is not known what is built from such a file".to_owned()),
    }
}

fn kind(path: &str, edited: &Edited) -> std::result::Result<Kind, String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let documents = path.starts_with("Documentation/") || path.starts_with("LICENSES/");
    let text = matches!(ending, "rst" | "txt" | "md" | "yaml" | "yml");
    if documents || text || tree::FOR_PEOPLE.contains(&name) {
        return Ok(Kind::Other);
    }
    if let Some((_, why)) = ELSEWHERE.iter().find(|(folder, _)| path.starts_with(folder)) {
        return match path.starts_with("tools/") || path.starts_with("samples/") {
            // They are built by themselves.
            true if !path.starts_with("tools/objtool/") => Ok(Kind::Other),
            _ => Err((*why).to_owned()),
        };
    }
    let other = |(part, _): &&(&str, &str)| path.starts_with("arch/") && path.contains(part);
    if let Some((_, why)) = OTHER_PROGRAMS.iter().find(other) {
        return Err((*why).to_owned());
    }
    if path.starts_with("include/vdso/") || path.contains("/include/asm/vdso/") {
        return Err("the vDSO includes it, which is mapped into processes".to_owned());
    }
    if name.starts_with("Kconfig") {
        return Err("another configuration is another kernel: what it switches is compiled in \
                    or not all over the tree"
            .to_owned());
    }
    if tree::LINKER_SCRIPTS.iter().any(|e| name.ends_with(e)) {
        return Err(
            "the linker script decided where everything of the running kernel lies".to_owned()
        );
    }
    if name.starts_with("asm-offsets") || path == "kernel/bounds.c" {
        return Err("these offsets are built into all assembly; a changed one means that a \
                    structure of the running kernel has another layout"
            .to_owned());
    }
    if name == "Makefile" || name == "Kbuild" || name.starts_with("Makefile.") {
        return makefile(path, edited).map(|()| Kind::Makefile);
    }
    match ending {
        "c" | "h" | "S" | "inc" => Ok(Kind::Source),
        "dts" | "dtsi" | "dtso" => Err("a device tree is data that was read at boot".to_owned()),
        "tbl" => {
            Err("tables of system calls become data and headers of all over the kernel".to_owned())
        }
        "rs" => Err("code in Rust cannot be patched".to_owned()),
        _ => Err("it is not known what is built from such a file".to_owned()),
    }
}

/// Fails unless only entries of objects come and go.
fn makefile(path: &str, edited: &Edited) -> std::result::Result<(), String> {
    if path == "Makefile"
        || path.starts_with("arch/")
            && path.matches('/').count() == 2
            && path.ends_with("/Makefile")
    {
        return Err("it holds the flags of all objects".to_owned());
    }
    makefile_lines(edited)
}

fn makefile_lines(edited: &Edited) -> std::result::Result<(), String> {
    let logical = |text: &Option<Text>| -> Vec<String> {
        let text = text.as_ref().map(Text::bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace("\\\n", " ");
        text.lines().map(|l| l.split('#').next().unwrap_or_default().trim().to_owned()).collect()
    };
    let (before, after) = (logical(&edited.before), logical(&edited.after));
    let differ = |line: &&String, others: &[String]| !line.is_empty() && !others.contains(line);
    let gone = before.iter().filter(|l| differ(l, &after));
    let come = after.iter().filter(|l| differ(l, &before));
    for line in gone.chain(come) {
        if !is_entry(line) {
            return Err(format!(
                "'{line}' is no entry of an object; other flags or rules make other objects"
            ));
        }
    }
    Ok(())
}

/// Whether a line lists objects: `obj-y += a.o`, `name-$(CONFIG_X) := a.o b.o`.
fn is_entry(line: &str) -> bool {
    let Some((variable, objects)) = line.split_once('=') else { return false };
    let variable = variable.trim_end_matches(['+', ':']).trim();
    let list = variable.ends_with("-y")
        || variable.ends_with("-m")
        || variable.ends_with("-objs")
        || variable.contains("-$(CONFIG_") && variable.ends_with(')');
    let flags = [
        "ccflags",
        "asflags",
        "ldflags",
        "rustflags",
        "subdir-",
        "always",
        "extra",
        "targets",
        "hostprogs",
    ];
    list && !flags.iter().any(|f| variable.starts_with(f))
        && objects.split_whitespace().all(|o| o.ends_with(".o") && !o.contains('$'))
}

/// Objects that a Makefile's edit adds and removes, below its folder.
pub fn entries(edited: &Edited) -> [Vec<String>; 2] {
    let all = |text: &Option<Text>| -> Vec<String> {
        let text = text.as_ref().map(Text::bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace("\\\n", " ");
        let lines = text.lines().map(|l| l.split('#').next().unwrap_or_default().trim());
        let entries = lines.filter(|l| is_entry(l)).filter_map(|l| l.split_once('='));
        entries.flat_map(|(_, objects)| objects.split_whitespace().map(str::to_owned)).collect()
    };
    let (before, after) = (all(&edited.before), all(&edited.after));
    let without = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|o| !b.contains(o)).cloned().collect()
    };
    [without(&after, &before), without(&before, &after)]
}

/// Fails when a Makefile adds or removes an object whose file the patch does not.
pub fn check_entries(edits: &Edits) -> Result<()> {
    let mut odd = Vec::new();
    for (path, edited) in edits.changed() {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        if name != "Makefile" && name != "Kbuild" {
            continue;
        }
        let [added, removed] = entries(edited);
        for (objects, come) in [(added, true), (removed, false)] {
            for object in objects {
                let stem = object.strip_suffix(".o").unwrap_or(&object);
                let touched = ["c", "S"].iter().any(|ending| {
                    let file = edits.files.get(&format!("{folder}{stem}.{ending}"));
                    file.is_some_and(|e| match come {
                        true => e.before.is_none() && e.after.is_some(),
                        false => e.before.is_some() && e.after.is_none(),
                    })
                });
                if !touched {
                    let what = if come { "adds" } else { "removes" };
                    odd.push(format!(
                        "  {path}: it {what} {object}, but the patch does not {} its file",
                        if come { "add" } else { "remove" }
                    ));
                }
            }
        }
    }
    match odd.is_empty() {
        true => Ok(()),
        false => Err(Error::refused(
            Code::PatchScope,
            "a Makefile's edit would change what the kernel consists of",
        )
        .with_details(odd)
        .advise("only entries of objects whose files the patch adds or removes can be followed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(before: &str, after: &str) -> Edited {
        let text = |t: &str| Some(Text::new(t.as_bytes()));
        Edited { before: text(before), after: text(after) }
    }

    fn kind_of(path: &str) -> std::result::Result<Kind, String> {
        kind(path, &edited("a", "b"))
    }

    #[test]
    fn files_are_what_their_names_say() {
        for path in ["fs/pipe.c", "include/linux/fs.h", "arch/x86/entry/entry_64.S", "lib/x.inc"] {
            assert_eq!(kind_of(path), Ok(Kind::Source), "{path}");
        }
        for path in ["Documentation/x.c", "MAINTAINERS", "tools/testing/x.c", "samples/a.c"] {
            assert_eq!(kind_of(path), Ok(Kind::Other), "{path}");
        }
        for (path, why) in [
            ("fs/Kconfig", "another kernel"),
            ("arch/x86/kernel/vmlinux.lds.S", "linker script"),
            ("include/asm-generic/vmlinux.lds.h", "linker script"),
            ("arch/x86/kernel/asm-offsets.c", "layout"),
            ("arch/x86/entry/vdso/vclock_gettime.c", "vDSO"),
            ("arch/x86/boot/main.c", "at boot"),
            ("tools/objtool/check.c", "programs of their own"),
            ("scripts/mod/modpost.c", "programs of the build"),
            ("Makefile", "flags"),
            ("arch/x86/Makefile", "flags"),
            ("x.dts", "device tree"),
            ("fs/odd", "not known"),
        ] {
            let refused = kind_of(path).expect_err(path);
            assert!(refused.contains(why), "{path}: {refused}");
        }
    }

    #[test]
    fn folders_of_other_sources_mean_nothing() {
        let of = |path: &str| kind_outside(path, &edited("obj-m += a.o\n", "obj-m += a.o b.o\n"));
        for path in ["tools/a.c", "boot/x.h", "a.c"] {
            assert_eq!(of(path), Ok(Kind::Source), "{path}");
        }
        assert_eq!(of("Makefile"), Ok(Kind::Makefile));
        assert_eq!(of("README.md"), Ok(Kind::Other));
        assert!(of("configure").is_err() && of("x.rs").is_err());
    }

    #[test]
    fn makefiles_may_only_list_other_objects() {
        let base = "obj-y += a.o \\\n\tb.o\nccflags-y := -O1\n";
        let of = |after: &str| kind("fs/Makefile", &edited(base, after));
        assert_eq!(of(&base.replace("b.o", "b.o c.o")), Ok(Kind::Makefile));
        assert_eq!(
            of(&base.replace("ccflags", "obj-$(CONFIG_X) += n.o\nccflags")),
            Ok(Kind::Makefile)
        );
        assert_eq!(of(&base.replace("-O1", "-O1 # why")), Ok(Kind::Makefile));
        for after in
            [base.replace("O1", "O3"), base.replace("b.o", "b.o dir/"), format!("{base}x: y\n")]
        {
            assert!(of(&after).is_err(), "{after}");
        }
        let mut edits = Edits::default();
        edits.files.insert("fs/Makefile".into(), edited(base, &base.replace("b.o", "b.o c.o")));
        assert_eq!(check_entries(&edits).expect_err("no file").code(), Code::PatchScope);
        let added = Edited { before: None, after: Some(Text::new(b"int x;\n")) };
        edits.files.insert("fs/c.c".into(), added);
        check_entries(&edits).expect("with its file");
    }
}
