//! Prints the functions that differ between two builds of an object, each with its first reason:
//!
//!     cargo run --example changed -- orig.o patched.o

use klp_diff::kernel::tables::StructSizes;
use klp_diff::report::Report;
use klp_diff::{Input, Job, Policy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut names = std::env::args().skip(1);
    let (orig, patched) = names.next().zip(names.next()).ok_or("give two objects")?;
    let [orig_data, patched_data] = [std::fs::read(&orig)?, std::fs::read(&patched)?];
    let job = Job {
        orig: Input { name: &orig, data: &orig_data },
        patched: Input { name: &patched, data: &patched_data },
        // Without the kernel's symbols nothing is built: the functions are all that is asked.
        parent: None,
        sizes: StructSizes::default(),
        policy: Policy::NATIVE,
        klp_arch: false,
        among: Default::default(),
    };
    let mut report = Report::default();
    let result = klp_diff::run(&job, &mut report);
    for function in &report.functions {
        let reason = function.reasons.first().map(ToString::to_string).unwrap_or_default();
        println!("{:?} {}: {reason}", function.status, function.name);
    }
    // The functions are also known when the change is refused.
    result?;
    Ok(())
}
