//! Trials on a bundle that bundle/make-bundle.sh built: each of its cases, and what only a
//! kernel with versioned symbols and signed modules can show.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use klp_diff::elf::ids::Patched;
use klp_diff::elf::image::Image;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::{OutHome, OutObject};
use klp_diff::patch::module::check::check as check_module;
use klp_diff::patch::module::tree::{KernelTree, exports};
use libtest_mimic::Trial;

use crate::broken::without;
use crate::lab::{Built, Fallible, Lab, Overlay, check};
use crate::{Boot, LOOP, MANY, REPLACE, many, trial};

pub fn trials(lab: &Arc<Lab>, trials: &mut Vec<Trial>) {
    let cases = fs::read_dir(lab.case("")).into_iter().flatten().flatten();
    let mut cases: Vec<String> =
        cases.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    cases.sort();
    for case in cases {
        // create-diff-object has no way to take an object without an original.
        if case != "new-file" {
            let name = case.clone();
            trials.push(trial(lab, format!("boot::own::two-steps::{case}"), move |lab| match lab
                .two_steps(&name)?
            {
                Some(module) => live(lab, &name, &module),
                None => unchanged(lab, &name),
            }));
        }
        trials.push(trial(lab, format!("boot::own::module::{case}"), move |lab| {
            match lab.module(&name_of(&case), &[&case], &[])? {
                Built::Module(module) => live(lab, &case, &module),
                Built::Unchanged => unchanged(lab, &case),
            }
        }));
    }
    trials.push(trial(lab, "boot::own::many-objects-and-callbacks".into(), |lab| {
        many(lab, &["new-file", "tables"], &format!("{MANY}{MANY_OWN}"))
    }));
    trials.push(trial(lab, "boot::own::load-and-unload-20-times".into(), |lab| {
        let module = lab.module("livepatch_loop", &["new-file"], &[])?.module()?;
        let looped = LOOP.replace("klplab /proc/loadavg", "klp /proc/loadavg");
        let test = format!("{}\n{looped}", lab.case_test("new-file")?);
        lab.boot(&Overlay::new(&module, &test), &Boot::default())
    }));
    trials.push(trial(lab, "boot::own::replace".into(), |lab| {
        let old = lab.module("livepatch_old", &["tables"], &[])?.module()?;
        let new = lab.module("livepatch_new", &["new-file"], &["--replace"])?.module()?;
        let replace = REPLACE.replace("KLPLAB-PATCHED' /proc/cmdline", "klp keys' /proc/uptime");
        let test = format!("{}\nWARNINGS=1\n{replace}", lab.case_test("new-file")?);
        lab.boot(&Overlay::new(&new, &test).with("old.ko", &old), &Boot::default())
    }));
    trials.push(trial(lab, "boot::own::would-not-load".into(), would_not_load));
    trials.push(trial(lab, "boot::own::unsigned".into(), unsigned));
}

const MANY_OWN: &str = r#"
WARNINGS=1
PROBE() { cat /proc/uptime /proc/loadavg; }
BEFORE='^[0-9]'
AFTER='^klp loadavg 10'
UNLOADED() { value | grep -q '^original ' && ! cat /proc/uptime /proc/loadavg | grep -q '^klp '; }
"#;

fn name_of(case: &str) -> String {
    format!("livepatch_{}", case.replace('-', "_"))
}

fn live(lab: &Lab, case: &str, module: &Path) -> Fallible<()> {
    lab.boot(&Overlay::new(module, &lab.case_test(case)?), &Boot::default())
}

fn unchanged(lab: &Lab, case: &str) -> Fallible<()> {
    let wanted = fs::read_to_string(lab.case(case).join("objects.tsv"))?;
    check(wanted.lines().all(|l| l.ends_with("\t3")), "nothing changed")
}

/// What the check before success says when the kernel is another one than the module wants.
fn would_not_load(lab: &Lab) -> Fallible<()> {
    let path = lab.module("livepatch_tables", &["tables"], &[])?.module()?;
    let image = Image::open(&path)?;
    let module = OutObject::from_object(&Object::<Patched>::parse("module", image.bytes())?)?;
    let tree = KernelTree::open(&lab.folder.join("kdir"))?;
    check(tree.has("MODVERSIONS") && tree.has("MODULE_SIG"), "the bundle's options")?;
    let symvers = fs::read_to_string(lab.folder.join("boot/Module.symvers"))?;
    let said = |module: &OutObject, symvers: &str| {
        check_module(module, &[], &tree, &exports(symvers)).map_err(|e| e.details().join("\n"))
    };
    let fine = said(&module, &symvers)?;
    check(fine.notes.iter().any(|n| n.contains("sign-file sha512")), "no hint about signing")?;

    let used = "seq_printf";
    let is_used = |s: &klp_diff::elf::out::OutSymbol| s.name == used;
    check(module.symbols.iter().any(|s| is_used(s) && s.home == OutHome::Undefined), used)?;
    let row = symvers.lines().find(|l| l.contains("\tseq_printf\t")).ok_or("no seq_printf")?;
    let (_, rest) = row.split_once('\t').ok_or("no fields")?;
    let mut wanted = vec![
        (module.clone(), symvers.replace(row, &format!("0x00000bad\t{rest}")), "expects version"),
        (module.clone(), symvers.replace(row, ""), "undefined symbol seq_printf"),
        (module.clone(), symvers.replace(row, &format!("{row}KLP_TEST")), "in namespace KLP_TEST"),
    ];
    let losses: [(&[&str], &str); 6] = [
        (&["__versions"], "no version in __versions"),
        (&["__mcount_loc"], "no ftrace site"),
        (&[".orc_unwind_ip"], "no row in .orc_unwind_ip"),
        (&[".return_sites"], ".return_sites lacks"),
        (&[".kpatch.funcs", ".kpatch.callbacks.pre_patch"], "would change nothing"),
        (&[".modinfo"], "license=GPL is missing"),
    ];
    for (tables, text) in losses {
        wanted.push((without(module.clone(), tables)?, symvers.clone(), text));
    }
    for (module, symvers, text) in wanted {
        match said(&module, &symvers) {
            Err(problems) if problems.contains(text) => eprintln!("would-not-load: {problems}"),
            Err(problems) => return Err(format!("not '{text}': {problems}").into()),
            Ok(_) => return Err(format!("nobody noticed: {text}").into()),
        }
    }
    Ok(())
}

/// A kernel that insists on signatures refuses the module, as the hint says.
fn unsigned(lab: &Lab) -> Fallible<()> {
    let module = lab.module("livepatch_tables", &["tables"], &[])?.module()?;
    let overlay = Overlay::new(&module, &lab.case_test("tables")?);
    let wanted = &["Loading of unsigned module is rejected", "RESULT FAIL tables insmod"];
    lab.boot(&overlay, &Boot { append: "module.sig_enforce=1", wanted, ..Boot::default() })
}
