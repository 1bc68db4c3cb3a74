//! How the cost of a whole run grows with the input.
//!
//! `klp-diff -o OUT --symtab FILE ORIG PATCHED` runs as a process between two runs of
//! `sha1sum ORIG PATCHED`: the machine's noise hits all three, so the ratio holds
//! where seconds do not. Prints one markdown table for each series. The growth
//! exponent is log(time ratio) / log(size ratio): 1 is linear. That of the ratio to
//! sha1sum, which is linear, is free of the noise that lasts.
//!
//! `cargo bench` measures N = 4k..256k functions, `cargo bench -- --quick`
//! N = 1k..64k with fewer runs. The pair of a real kernel is measured when
//! `KLP_DIFF_DATA` names a folder with `kernel-lto/vmlinux-o.tar.xz`.

mod measure;
mod synth;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use clap::Parser;
use measure::{median, peak_anonymous, time};
use synth::{Options, Side};

/// Measures klp-diff against sha1sum over the same files.
#[derive(Parser)]
struct Arguments {
    /// Smaller inputs and fewer runs
    #[arg(long)]
    quick: bool,
    /// Runs of each measurement (median is shown); default 10, with --quick 3
    #[arg(long)]
    runs: Option<usize>,
    /// Only the series whose names contain this text
    series: Option<String>,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A pair to measure and what must come out.
struct Pair {
    label: String,
    /// Number of functions; 0 for a real kernel.
    functions: u32,
    orig: PathBuf,
    patched: PathBuf,
    symtab: PathBuf,
    env: Vec<(String, String)>,
    changed: usize,
    /// The drop-in to measure instead of klp-diff.
    drop_in: Option<PathBuf>,
}

/// One line of a table.
struct Row {
    functions: u32,
    wall: f64,
    cpu: f64,
    /// To sha1sum of both objects.
    ratio: f64,
    /// Bytes of both objects.
    size: u64,
}

/// Measures one pair and prints its line; `previous` is the line before it.
fn measure(pair: &Pair, runs: usize, previous: Option<&Row>) -> anyhow::Result<Row> {
    let out = pair.symtab.with_file_name("out.o");
    let tool = || {
        let mut command = match &pair.drop_in {
            None => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
                command.arg("-o").arg(&out).arg("--symtab");
                command.args([&pair.symtab, &pair.orig, &pair.patched]);
                command
            }
            Some(drop_in) => {
                let mut command = Command::new(drop_in);
                command.args([&pair.orig, &pair.patched]).arg("vmlinux").arg(&pair.symtab);
                command.args(["/dev/null", "test"]).arg(&out);
                command
            }
        };
        command.envs(pair.env.iter().cloned());
        command
    };
    let sum = || {
        let mut command = Command::new("sha1sum");
        command.args([&pair.orig, &pair.patched]);
        command
    };
    let (mut walls, mut cpus, mut sums, mut ratios) = (vec![], vec![], vec![], vec![]);
    let reference = || -> anyhow::Result<f64> {
        let run = time(&mut sum()).context("cannot run sha1sum")?;
        ensure!(run.status == 0, "sha1sum: {}", run.stderr);
        Ok(run.wall.as_secs_f64())
    };
    // The first runs read the files into memory.
    reference()?;
    time(&mut tool())?;
    let mut before = reference()?;
    for _ in 0..runs {
        let run = time(&mut tool())?;
        let after = reference()?;
        let beside = (before + after) / 2.0;
        before = after;
        let changed = run.stdout.lines().filter(|l| l.contains("changed function: ")).count();
        let wanted = if pair.changed == 0 { 3 } else { 0 };
        ensure!(
            (run.status, changed) == (wanted, pair.changed),
            "{}: klp-diff ended with {} and {changed} changed functions, wanted {wanted} and {}\n{}",
            pair.label,
            run.status,
            pair.changed,
            run.stderr
        );
        walls.push(run.wall.as_secs_f64());
        cpus.push(run.cpu.as_secs_f64());
        sums.push(beside);
        ratios.push(run.wall.as_secs_f64() / beside);
    }
    let peak = peak_anonymous(&mut tool())?;
    let size = fs::metadata(&pair.orig)?.len() + fs::metadata(&pair.patched)?.len();
    // Processor time comes in steps of 10 ms: the mean of all runs is finer than their median.
    let cpu = cpus.iter().sum::<f64>() / cpus.len().max(1) as f64;
    let ratio = median(ratios);
    let row = Row { functions: pair.functions, wall: median(walls), cpu, ratio, size };
    let growth =
        previous.map_or(String::new(), |previous| format!("{:.2}", exponent(previous, &row)));
    println!(
        "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} | {growth} | {:.1} | {:.0} % |",
        pair.label,
        size as f64 / 1e6,
        row.wall * 1e3,
        row.cpu * 1e3,
        median(sums) * 1e3,
        ratio,
        peak as f64 / 1e6,
        peak as f64 * 100.0 / size as f64,
    );
    Ok(row)
}

/// Growth of the wall-clock time between two sizes.
fn exponent(from: &Row, to: &Row) -> f64 {
    (to.wall / from.wall).ln() / (f64::from(to.functions) / f64::from(from.functions)).ln()
}

fn head(title: &str) {
    println!("\n### {title}\n");
    println!(
        "| | inputs MB | wall ms | cpu ms | sha1sum ms | ratio | exponent | anon MB | of inputs |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
}

/// Generates the pair of `options` in a folder.
fn generate(options: &Options, folder: &Path) -> anyhow::Result<Pair> {
    let path = |name: &str| folder.join(name);
    fs::write(path("orig.o"), synth::object(options, Side::Original))?;
    fs::write(path("patched.o"), synth::object(options, Side::Patched))?;
    let mut symtab = BufWriter::new(fs::File::create(path("symtab"))?);
    synth::parent_symtab(options, &mut symtab)?;
    symtab.flush()?;
    let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    Ok(Pair {
        label: format!("N = {}", options.functions),
        functions: options.functions,
        orig: path("orig.o"),
        patched: path("patched.o"),
        symtab: path("symtab"),
        env: synth::STRUCT_SIZES.iter().map(own).collect(),
        changed: options.changed_names().count(),
        drop_in: None,
    })
}

/// A named way to make [`Options`] for any N.
type Series = (&'static str, fn(u32) -> Options);

const SERIES: [Series; 5] = [
    ("10 functions changed", |n| Options::new(n, 10)),
    ("a quarter of the functions changed", |n| Options::new(n, n / 4)),
    ("static locals share their names and are renumbered", |n| Options {
        shared_names: true,
        renumbered: true,
        ..Options::new(n, 10)
    }),
    ("all unchanged functions in one section", |n| Options {
        one_section: true,
        ..Options::new(n, 10)
    }),
    ("4 more parent symbols for each function", |n| Options {
        padding: 4 * n,
        ..Options::new(n, 10)
    }),
];

fn synthetic(
    series: &Series,
    drop_in: Option<&Path>,
    arguments: &Arguments,
    runs: usize,
) -> anyhow::Result<()> {
    let sizes: [u32; 4] = if arguments.quick {
        [1_000, 4_000, 16_000, 64_000]
    } else {
        [4_000, 16_000, 64_000, 256_000]
    };
    match drop_in {
        None => head(series.0),
        Some(_) => head(&format!("create-diff-object, {}", series.0)),
    }
    let mut rows: Vec<Row> = Vec::new();
    for size in sizes {
        let folder = tempfile::tempdir()?;
        let mut pair = generate(&series.1(size), folder.path())?;
        pair.drop_in = drop_in.map(Path::to_owned);
        rows.push(measure(&pair, runs, rows.last())?);
    }
    if let [_, second, .., last] = rows.as_slice() {
        let (from, to) = (second.functions, last.functions);
        println!("\nExponent from N = {from} to {to}: {:.2}", exponent(second, last));
        let cpu = (last.cpu / second.cpu.max(0.001)).ln() / (f64::from(to) / f64::from(from)).ln();
        println!("(of processor time: {cpu:.2})");
        // Sizes grow as the number of functions does; sha1sum is linear in them.
        let growth = last.size as f64 / second.size as f64;
        let ratio = (growth * last.ratio / second.ratio).ln() / growth.ln();
        println!("(of time in units of sha1sum, over bytes: {ratio:.2})");
    }
    Ok(())
}

/// The whole kernel objects, original against one real and one empty change.
fn real(data: &Path, runs: usize) -> anyhow::Result<()> {
    let lto = data.join("kernel-lto");
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let mut unpack = Command::new("tar");
    unpack.arg("-xJf").arg(lto.join("vmlinux-o.tar.xz")).arg("-C").arg(folder.path());
    let run = time(&mut unpack).context("cannot run tar")?;
    ensure!(run.status == 0, "tar: {}", run.stderr);
    let symtab = Command::new("xz").arg("-dc").arg(lto.join("boot/vmlinux.symtab.xz")).output()?;
    ensure!(symtab.status.success(), "xz: {}", String::from_utf8_lossy(&symtab.stderr));
    fs::write(path("symtab"), symtab.stdout)?;
    let env = fs::read_to_string(lto.join("env"))?;
    let env: Vec<(String, String)> = env
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    head("a real kernel (ThinLTO, IBT)");
    for (patch, changed) in [("a-meminfo", 1), ("g-comment", 0)] {
        let pair = Pair {
            label: patch.to_owned(),
            functions: 0,
            orig: path("orig.vmlinux.o"),
            patched: path(&format!("{patch}.vmlinux.o")),
            symtab: path("symtab"),
            env: env.clone(),
            changed,
            drop_in: None,
        };
        measure(&pair, runs, None)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runs = arguments.runs.unwrap_or(if arguments.quick { 3 } else { 10 }).max(1);
    let chosen = |name: &str| arguments.series.as_ref().is_none_or(|text| name.contains(text));
    let mut failed = false;
    let mut report = |result: anyhow::Result<()>| {
        if let Err(error) = result {
            println!("\nfailed: {error:#}");
            failed = true;
        }
    };
    println!("Median of {runs} runs; ratio is to sha1sum of both objects, run before and after.");
    for series in SERIES.iter().filter(|series| chosen(series.0)) {
        report(synthetic(series, None, &arguments, runs));
    }
    let drop_in = Path::new(env!("CARGO_BIN_EXE_klp-diff")).with_file_name("create-diff-object");
    if drop_in.exists() {
        for series in SERIES[..2].iter().filter(|s| chosen(&format!("create-diff-object, {}", s.0)))
        {
            report(synthetic(series, Some(&drop_in), &arguments, runs));
        }
    } else {
        println!("\nskipped: create-diff-object: `cargo build --release --workspace` makes it");
    }
    if chosen("real kernel") {
        match std::env::var_os("KLP_DIFF_DATA").map(PathBuf::from) {
            Some(data) if data.join("kernel-lto/vmlinux-o.tar.xz").exists() => {
                report(real(&data, runs));
            }
            _ => println!("\nskipped: the real kernel: KLP_DIFF_DATA names no folder with it"),
        }
    }
    ExitCode::from(u8::from(failed))
}
