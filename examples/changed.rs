//! Prints the functions that differ between two builds of an object, each with its first reason:
//!
//!     cargo run --example changed -- orig.o patched.o

use klp_diff::{Input, Job, Outcome};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut names = std::env::args().skip(1);
    let (orig, patched) = names.next().zip(names.next()).ok_or("give two objects")?;
    let [orig_data, patched_data] = [std::fs::read(&orig)?, std::fs::read(&patched)?];
    let orig = Input { name: &orig, data: &*orig_data };
    let patched = Input { name: &patched, data: &*patched_data };
    // Without the kernel's symbols nothing is built: the functions are all that is asked.
    let run = klp_diff::run(&Job::new(orig, patched));
    for function in &run.report.functions {
        let reason = function.reasons.first().map(ToString::to_string).unwrap_or_default();
        println!("{:?} {}: {reason}", function.status, function.name);
    }
    match run.outcome {
        // The functions are also known when the change is refused.
        Outcome::Refused(error) => Err(error.into()),
        Outcome::Unchanged | Outcome::Changed { .. } => Ok(()),
    }
}
