//! What a livepatch module is made of: the objects of all pairs, compared as one patch with the
//! kernel that runs.

#![expect(clippy::indexing_slicing, reason = "units and outcomes have the numbers they were given")]

use super::super::kernel::{Shared, check_allowed};
use super::super::output::summary;
use super::super::wait::compare_all;
use super::Request;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::image::Image;
use crate::elf::out::OutObject;
use crate::folders::builds::{Builds, CompareOptions, Outcome, check_needs};
use crate::folders::candidates::{Candidates, Given, ParentFile};
use crate::folders::context::KernelContext;
use crate::folders::same_kernel::{Magic, check_image};
use crate::kernel::knowledge::tables::StructSizes;
use crate::patch::module::link::{Prepare, prepare};
use crate::patch::module::tree::{KernelTree, exports};
use crate::patch::resolve::lookup::Peers;
use crate::report::json;
use crate::running::dead_ends::DeadEnds;
use crate::running::image::KernelImage;
use crate::running::installed::{Installed, VMLINUX};
use crate::{Input, ParentFiles};

/// What a module is made of.
pub(super) struct Parts {
    /// Objects for the kernel's build, for each that changed.
    pub prepared: Vec<OutObject>,
    /// The same as they came out of the comparison.
    pub outputs: Vec<OutObject>,
    /// What the images say of the kernel that they are of.
    pub magics: Vec<Magic>,
}

/// An object of the running kernel: what its symbols are read from, and the linked object itself
/// when that is it.
type Running<'a> = (&'a ParentFile, &'a Option<KernelImage<'a>>);

impl Request<'_> {
    /// Compares all objects as one patch; gives the link inputs of those that changed.
    pub(super) fn parts(
        &self,
        found: &Installed,
        symvers: &Image,
        tree: &KernelTree,
        objects: &mut Vec<json::Object>,
    ) -> Result<Parts> {
        let builds = self.builds()?;
        self.check_objects(&builds)?;
        let subjects = builds.subjects();
        let given = Given { files: &self.parents, folders: &self.args.images };
        let candidates = Candidates::new(given, found)?;
        let owners = candidates.owners(&self.rules, &subjects)?;
        let parents = candidates.open(&owners)?;
        let images = parents.iter().map(|p| {
            let elf = p.may_be_image && abi::is_elf(p.file.bytes());
            elf.then(|| KernelImage::parse(&p.shown, p.file.bytes())).transpose()
        });
        let images = images.collect::<Result<Vec<_>>>()?;
        let kernel: Vec<_> = parents.iter().zip(&images).collect();
        let symvers_name = symvers.path().display().to_string();
        let symvers_text = symvers.text();
        let symvers = Input { name: symvers_name.as_str(), data: symvers_text.as_ref() };
        let files = self.parent_files(&kernel, symvers, tree)?;
        let sizes = self.sizes_in(&kernel)?;
        let known = files.iter().map(ParentFiles::read).collect::<Result<Vec<_>>>()?;
        let of_unit: Vec<ParentFiles<'_>> = owners
            .iter()
            .map(|owner| {
                let at = parents.iter().position(|p| p.candidate == *owner).unwrap_or(0);
                ParentFiles { known: known.get(at), ..files[at] }
            })
            .collect();
        let outcomes = self.compare(&builds, &of_unit, &sizes)?;
        let mut order: Vec<usize> = (0..outcomes.len()).collect();
        order.sort_by(|&a, &b| outcomes[a].path.cmp(&outcomes[b].path));
        let describe = |o: &Outcome| {
            json::Object::new(&o.orig, &o.patched, &o.report, o.result.as_ref().err())
        };
        objects.extend(order.iter().map(|&unit| describe(&outcomes[unit])));
        for &unit in &order {
            self.judge(&builds, unit, &outcomes[unit], of_unit[unit].known, tree)?;
        }
        self.show.finish(true).map_or(Ok(()), Err)?;
        if self.show.lists() {
            summary(outcomes.iter().map(|o| &o.report), true);
        }
        let made = order.iter().map(|&unit| &outcomes[unit]);
        let made: Vec<_> =
            made.filter_map(|o| Some((o, o.result.as_ref().ok()?.as_ref()?))).collect();
        check_needs(made.iter().copied(), true)?;
        Ok(Parts {
            prepared: prepare_all(&made, &kernel, tree)?,
            outputs: made.iter().map(|(_, output)| (*output).clone()).collect(),
            magics: images.iter().flatten().filter_map(Magic::of).collect(),
        })
    }

    /// What the comparison is told of each object of the running kernel. Fails when these are not
    /// of one kernel.
    fn parent_files<'f>(
        &'f self,
        kernel: &[Running<'f>],
        symvers: Input<'f, &'f str>,
        tree: &KernelTree,
    ) -> Result<Vec<ParentFiles<'f>>> {
        let exported = exports(symvers.data);
        for (parent, image) in kernel {
            let Some(image) = image else { continue };
            check_image(image, parent.file.bytes(), tree, (symvers.name, &exported))?;
        }
        let images = kernel.iter().filter_map(|(_, image)| image.as_ref());
        check_allowed(&self.args.allow_sealed, images)?;
        let vmlinux = kernel.iter().find(|(p, _)| p.object == VMLINUX);
        let vmlinux = vmlinux.and_then(|(_, image)| image.as_ref());
        let of = |(parent, image): &Running<'f>| {
            let shared = Shared {
                strict: self.args.strict,
                allowed: &self.args.allow_sealed,
                kernel: vmlinux.filter(|_| parent.object != VMLINUX),
                symvers,
            };
            shared.files((&parent.object, &parent.shown), &parent.file, image.as_ref())
        };
        kernel.iter().map(of).collect()
    }

    /// The sizes of the kernel's structs: those given, and those that the image says.
    fn sizes_in(&self, kernel: &[Running<'_>]) -> Result<StructSizes> {
        let mut sizes = self.sizes.clone();
        for (_, image) in kernel.iter().filter(|(p, _)| p.object == VMLINUX) {
            if let Some(image) = image {
                sizes = sizes.with_image(image.struct_sizes()?);
            }
        }
        Ok(sizes)
    }

    /// Compares all pairs.
    fn compare(
        &self,
        builds: &Builds,
        of_unit: &[ParentFiles<'_>],
        sizes: &StructSizes,
    ) -> Result<Vec<Outcome>> {
        let against = |unit: usize| {
            let module = of_unit[unit].name != VMLINUX;
            KernelContext { parent: Some(of_unit[unit]), sizes, module }
        };
        // `--strict` is about the images here.
        let wanted = self.args.report.wanted();
        let no_lift = self.args.no_lift;
        let options = CompareOptions { strict: false, no_lift, wanted: &wanted, remade: false };
        let mut outcomes = compare_all(builds, options, &against, Some(&Peers::default()));
        builds.connect(&mut outcomes, options, &against);
        builds.ask(&mut outcomes)?;
        for other in builds.not_compared() {
            self.show.pair(None, &other.path, &other.report, None);
        }
        Ok(outcomes)
    }
}

/// The outputs as the kernel's build takes them.
fn prepare_all(
    made: &[(&Outcome, &OutObject)],
    kernel: &[Running<'_>],
    tree: &KernelTree,
) -> Result<Vec<OutObject>> {
    let named = kernel.iter();
    let named = named.filter_map(|(p, image)| Some((p.object.as_str(), image.as_ref()?)));
    let ends = DeadEnds::new(named.collect());
    let dead_end = |object: &str, name: &str| ends.has(object, name);
    let options = Prepare {
        drop_sites: tree.objtool_makes_sites(),
        by_section: tree.objtool_is_late(),
        dead_end: tree.objtool_is_late().then_some(&dead_end),
    };
    let prepared = |(outcome, output): &(&Outcome, &OutObject)| {
        prepare((*output).clone(), options).map_err(|e| e.in_file(outcome.patched.clone()))
    };
    made.iter().map(prepared).collect()
}
