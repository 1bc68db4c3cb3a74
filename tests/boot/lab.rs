//! A kernel to build modules for and to boot them on.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use crate::Boot;
use crate::drop_in::drop_in;

pub type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

const DATA: &str = "KLP_DIFF_DATA";
/// A bundle of one's own, made by bundle/make-bundle.sh.
const BUNDLE: &str = "KLP_DIFF_BUNDLE";
/// Lines of a log that a failure shows.
const SHOWN: usize = 25;

pub fn check(holds: bool, otherwise: &str) -> Fallible<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// A kernel's files, unpacked, and the modules built so far.
pub struct Lab {
    /// boot/, guest/, tools/, kdir/ and the symbol table.
    pub folder: PathBuf,
    /// Folder with one folder per case.
    cases: PathBuf,
    pub env: BTreeMap<String, String>,
    built: Mutex<BTreeMap<String, Arc<Once>>>,
    /// Arguments of make that choose the compiler.
    make: &'static [&'static str],
    /// Whether the linked kernel is there, unpacked.
    has_image: bool,
    /// Folder of the kernel's data.
    root: PathBuf,
    target: OnceLock<Result<Target, String>>,
    compat: OnceLock<Result<PathBuf, String>>,
    /// Outputs; removed at the end.
    out: tempfile::TempDir,
}

type Once = OnceLock<Result<Built, String>>;

/// What a build came to.
#[derive(Clone, Debug)]
pub enum Built {
    Module(PathBuf),
    Unchanged,
}

impl Built {
    pub fn module(self) -> Fallible<PathBuf> {
        match self {
            Built::Module(path) => Ok(path),
            Built::Unchanged => Err("nothing changed".into()),
        }
    }
}

/// The module of target.c.
#[derive(Clone, Debug)]
pub struct Target {
    pub running: PathBuf,
    pub symtab: String,
    pub orig: String,
    pub patched: String,
}

/// What the guest finds in /case.
pub struct Overlay {
    files: Vec<(String, PathBuf)>,
    test: String,
}

impl Overlay {
    pub fn new(module: &Path, test: &str) -> Overlay {
        Overlay { files: vec![("livepatch.ko".into(), module.to_owned())], test: test.to_owned() }
    }

    pub fn with(mut self, name: &str, file: &Path) -> Overlay {
        self.files.push((name.to_owned(), file.to_owned()));
        self
    }
}

impl Lab {
    /// The error says why not.
    pub fn gcc() -> Result<Lab, String> {
        Lab::new(&shared("kernel-gcc")?, "cases", "kdir.tar.xz", &["gcc", "ld"], &[])
    }

    /// The error says why not.
    pub fn lto() -> Result<Lab, String> {
        Lab::new(
            &shared("kernel-lto")?,
            "pairs",
            "kdir-lto.tar.xz",
            &["clang-19", "ld.lld-19", "llvm-objcopy-19"],
            &["LLVM=-19"],
        )
    }

    /// The error says why not.
    pub fn own() -> Result<Lab, String> {
        let root = std::env::var_os(BUNDLE).ok_or_else(|| format!("{BUNDLE} is unset"))?;
        Lab::new(Path::new(&root), "cases", "kdir", &["gcc", "ld"], &[])
    }

    fn new(
        root: &Path,
        cases: &str,
        tree: &str,
        tools: &[&str],
        make: &'static [&'static str],
    ) -> Result<Lab, String> {
        let root = root.canonicalize().map_err(|e| format!("{}: {e}", root.display()))?;
        let kernel = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let common = ["qemu-system-x86_64", "busybox", "cpio", "make", "xz", "tar"];
        for tool in common.iter().chain(tools) {
            let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
            if !found.is_ok_and(|o| o.status.success()) {
                return Err(format!("{tool} is not installed"));
            }
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot").join(&kernel);
        let shown = |e: Box<dyn Error + Send + Sync>| format!("cannot prepare {kernel}: {e}");
        if !folder.join("ready").exists() || root.join(tree).is_dir() {
            unpack(&root, tree, &folder).map_err(shown)?;
        }
        let cases = root.join(cases);
        let env = [cases.join("cmdline-string/env"), root.join("env")]
            .iter()
            .find_map(|f| fs::read_to_string(f).ok())
            .unwrap_or_default();
        let env = env.lines().filter_map(|l| l.split_once('='));
        Ok(Lab {
            env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            cases,
            has_image: root.join("boot/vmlinux").exists(),
            folder,
            built: Mutex::default(),
            make,
            root,
            target: OnceLock::new(),
            compat: OnceLock::new(),
            out: tempfile::tempdir().map_err(|e| e.to_string())?,
        })
    }

    pub fn case_test(&self, case: &str) -> Fallible<String> {
        Ok(fs::read_to_string(self.cases.join(case).join("test.sh"))?)
    }

    pub fn case(&self, case: &str) -> PathBuf {
        self.cases.join(case)
    }

    /// A folder of its own.
    pub fn fresh(&self) -> Fallible<PathBuf> {
        Ok(tempfile::Builder::new().tempdir_in(self.out.path())?.keep())
    }

    /// `klp-diff module` on some cases; built once per name.
    pub fn module(&self, name: &str, cases: &[&str], extra: &[&str]) -> Fallible<Built> {
        let cell = self
            .built
            .lock()
            .map_err(|e| e.to_string())?
            .entry(name.to_owned())
            .or_default()
            .clone();
        let built = cell.get_or_init(|| self.build(name, cases, extra).map_err(|e| e.to_string()));
        Ok(built.clone()?)
    }

    fn build(&self, name: &str, cases: &[&str], extra: &[&str]) -> Fallible<Built> {
        let output = self.out.path().join(format!("{name}.ko"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.current_dir(&self.folder).arg("module").args(["--kernel", "kdir"]);
        if self.has_image {
            // Its debug information tells the sizes of structs.
            command.args(["--image", "boot/vmlinux"]);
            for name in self.env.keys() {
                command.env_remove(name);
            }
        } else {
            command.envs(&self.env).args(["--symtab", "vmlinux.symtab"]);
        }
        command.args(["--symvers", "boot/Module.symvers", "--name", name, "-o"]).arg(&output);
        let pktgen = self.cases.join("neg-linechange/symtab/pktgen.symtab");
        let object = "orig/net/core/pktgen.o";
        if pktgen.exists() && cases.iter().any(|case| self.cases.join(case).join(object).exists()) {
            command.arg("--symtab").arg(format!("pktgen={}", pktgen.display()));
            command.args(["--object", "pktgen=net/core/pktgen.o"]);
        }
        for case in cases {
            command.arg(self.cases.join(case).join("orig"));
            command.arg(self.cases.join(case).join("patched"));
        }
        command.args(extra);
        let (status, log) = run(&mut command)?;
        match status {
            Some(0) => Ok(Built::Module(output)),
            Some(3) => Ok(Built::Unchanged),
            _ => Err(format!("klp-diff module {name} failed:\n{}", tail(&log)).into()),
        }
    }

    /// create-diff-object, link, Kbuild, create-klp-module; `None` when nothing changed.
    pub fn two_steps(&self, case: &str) -> Fallible<Option<PathBuf>> {
        let tools = self.compat()?;
        let folder = self.fresh()?;
        let case_folder = self.cases.join(case);
        let mut objects = Vec::new();
        let mut module = String::new();
        for line in fs::read_to_string(case_folder.join("objects.tsv"))?.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [object, parent, symtab, symvers, name, exit] = fields[..] else {
                return Err(format!("objects.tsv: {line}").into());
            };
            name.clone_into(&mut module);
            let symtab = match symtab.strip_prefix("boot/") {
                Some(file) => self.folder.join(file),
                None => self.cases.join(symtab.trim_start_matches("cases/")),
            };
            let output = folder.join(format!("out{}.o", objects.len()));
            let mut command = Command::new(tools.join("create-diff-object"));
            command.current_dir(&self.folder).envs(&self.env);
            command.arg(case_folder.join("orig").join(object));
            command.arg(case_folder.join("patched").join(object));
            command.arg(parent).arg(symtab).arg(symvers).arg(name).arg(&output);
            let (status, log) = run(&mut command)?;
            if status != exit.parse().ok() {
                return Err(format!("create-diff-object: {status:?}\n{}", tail(&log)).into());
            }
            if status == Some(0) {
                objects.push(output);
            }
        }
        if objects.is_empty() {
            return Ok(None);
        }
        let build = folder.join("build");
        fs::create_dir(&build)?;
        succeed(Command::new("ld").arg("-r").arg("-o").arg(build.join("patch.o")).args(&objects))?;
        let glue = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/patch/module");
        for file in ["glue.c", "glue.lds"] {
            fs::copy(glue.join(file), build.join(file))?;
        }
        fs::write(build.join(".patch.o.cmd"), "")?;
        fs::write(
            build.join("Kbuild"),
            format!(
                "obj-m := {module}.o\n{module}-y := glue.o patch.o\nldflags-y += -T $(src)/glue.lds\n"
            ),
        )?;
        self.kbuild(&build, "modules")?;
        let output = folder.join("livepatch.ko");
        succeed(
            Command::new(tools.join("create-klp-module"))
                .envs(&self.env)
                .arg(build.join(format!("{module}.ko")))
                .arg(&output),
        )?;
        Ok(Some(output))
    }

    /// Kbuild of what a folder holds: `modules`, or one object.
    pub fn kbuild(&self, folder: &Path, what: &str) -> Fallible<()> {
        let mut command = Command::new("make");
        command.arg("-C").arg(self.folder.join("kdir")).arg(format!("M={}", folder.display()));
        for variable in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
            command.env_remove(variable);
        }
        succeed(command.args(self.make).args(["KBUILD_MODPOST_WARN=1", what]))
    }

    /// The folder of the drop-in tools, built in the profile of this test.
    fn compat(&self) -> Fallible<&Path> {
        let built = self.compat.get_or_init(drop_in);
        Ok(built.as_deref().map_err(Clone::clone)?)
    }

    /// Objects of the kernel as they were built, each paired with a copy in which `bytes` are
    /// `others`; the two folders. `changes` are (object, bytes, others).
    pub fn edited(&self, changes: &[(&str, &[u8], &[u8])]) -> Fallible<[String; 2]> {
        let folder = self.fresh()?;
        let names = changes.iter().map(|c| format!("objs/{}", c.0));
        let archive = self.root.join("objs-orig.tar.xz");
        succeed(Command::new("tar").arg("xf").arg(archive).args(names).current_dir(&folder))?;
        for (object, bytes, others) in changes {
            let mut data = fs::read(folder.join("objs").join(object))?;
            let mut found =
                data.windows(bytes.len()).enumerate().filter(|(_, w)| w == bytes).map(|(i, _)| i);
            let (Some(at), None) = (found.next(), found.next()) else {
                return Err(format!("{object}: the bytes to change are not there, or twice").into());
            };
            data[at..at + others.len()].copy_from_slice(others);
            let copy = folder.join("patched").join(object);
            fs::create_dir_all(copy.parent().ok_or("no folder")?)?;
            fs::write(copy, data)?;
        }
        Ok(["objs", "patched"].map(|f| folder.join(f).display().to_string()))
    }

    /// Builds the module of target.c: as it runs, and for the comparison.
    pub fn target(&self) -> Fallible<Target> {
        let target = self
            .target
            .get_or_init(|| self.build_target("target.c", "klp_target").map_err(|e| e.to_string()));
        Ok(target.clone()?)
    }

    /// Builds a module of a source beside this one.
    pub fn build_target(&self, source: &str, name: &str) -> Fallible<Target> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let include = root.join("include");
        let base = self.fresh()?;
        for (variant, flags) in [
            ("running", ""),
            ("orig", "-ffunction-sections -fdata-sections"),
            ("patched", "-ffunction-sections -fdata-sections -DPATCHED"),
        ] {
            let folder = base.join(variant);
            fs::create_dir(&folder)?;
            let main = folder.join(format!("{name}_main.c"));
            fs::copy(root.join("tests/boot").join(source), main)?;
            let include = include.display();
            fs::write(
                folder.join("Kbuild"),
                // The objects to compare are those that the link reads, as code.
                format!(
                    "obj-m := {name}.o\n{name}-y := {name}_main.o\n\
                     ccflags-y += -I{include} {flags}\n\
                     CFLAGS_REMOVE_{name}_main.o := $(CC_FLAGS_LTO)\n"
                ),
            )?;
            self.kbuild(&folder, "modules")?;
        }
        let running = base.join(format!("running/{name}.ko"));
        let symbols = Command::new("readelf").args(["-s", "--wide"]).arg(&running).output()?;
        let symtab = base.join(format!("{name}.symtab"));
        fs::write(&symtab, symbols.stdout)?;
        let shown = |path: &str| base.join(path).display().to_string();
        Ok(Target {
            running,
            symtab: symtab.display().to_string(),
            orig: shown(&format!("orig/{name}_main.o")),
            patched: shown(&format!("patched/{name}_main.o")),
        })
    }

    /// Boots the kernel; the guest must come to the wanted result.
    pub fn boot(&self, overlay: &Overlay, how: &Boot) -> Fallible<()> {
        let folder = self.fresh()?;
        let case = folder.join("case");
        fs::create_dir(&case)?;
        for (name, file) in &overlay.files {
            fs::copy(file, case.join(name))?;
        }
        fs::write(case.join("test.sh"), &overlay.test)?;
        let log = folder.join("log");
        let mut text = String::new();
        // A guest that does not reach its init says nothing about the module.
        for _ in 0..3 {
            let mut command = Command::new(self.folder.join("tools/boot.sh"));
            command.arg(&log).arg(&case).env("KLPLAB_APPEND", how.append);
            command.env("KLPLAB_KERNEL", self.folder.join("boot").join(how.image));
            command.env("KLPLAB_TIMEOUT", "150");
            if std::env::var_os("KLPLAB_ACCEL").is_none() {
                // With a thread for each CPU, one may run stale code while the kernel
                // rewrites it on another: now and then a guest dies of a static branch.
                command.env("KLPLAB_ACCEL", "tcg,thread=single");
            }
            run(&mut command)?;
            text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
            if text.contains("KLPLAB: BOOT-OK") {
                break;
            }
        }
        let mut rest = text.as_str();
        for wanted in how.wanted {
            rest = match rest.split_once(wanted) {
                Some((_, rest)) => rest,
                None => {
                    return Err(
                        format!("the guest did not print '{wanted}':\n{}", tail(&text)).into()
                    );
                }
            };
        }
        Ok(())
    }
}

/// The folder of a kernel in the reference data.
fn shared(kernel: &str) -> Result<PathBuf, String> {
    let root = std::env::var_os(DATA).ok_or_else(|| format!("{DATA} is unset"))?;
    Ok(PathBuf::from(root).join(kernel))
}

fn unpack(root: &Path, tree: &str, folder: &Path) -> Fallible<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let tree = root.join(tree);
    if tree.is_dir() {
        std::os::unix::fs::symlink(&tree, folder.join("kdir"))?;
    } else {
        succeed(Command::new("tar").arg("xf").arg(tree).current_dir(folder))?;
    }
    for part in ["boot", "guest", "tools"] {
        succeed(
            Command::new("cp").args(["-r", "--no-preserve=mode"]).arg(root.join(part)).arg(folder),
        )?;
    }
    succeed(
        Command::new("chmod")
            .arg("-R")
            .arg("u+rwX,+x")
            .arg(folder.join("tools"))
            .arg(folder.join("guest")),
    )?;
    let symtab = fs::File::create(folder.join("vmlinux.symtab"))?;
    let xz = Command::new("xz")
        .arg("-dc")
        .arg(root.join("boot/vmlinux.symtab.xz"))
        .stdout(symtab)
        .status()?;
    check(xz.success(), "xz failed")?;
    let mut initramfs = Command::new(folder.join("tools/mk-initramfs.sh"));
    succeed(initramfs.arg(folder.join("boot/initramfs.cpio.gz")))?;
    fs::write(folder.join("ready"), "")?;
    Ok(())
}

/// Runs a command; gives its status and all that it printed.
pub fn run(command: &mut Command) -> Fallible<(Option<i32>, String)> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|e| format!("cannot run {program}: {e}"))?;
    let mut log = String::from_utf8_lossy(&output.stdout).into_owned();
    log += &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code(), log))
}

pub fn succeed(command: &mut Command) -> Fallible<()> {
    match run(command)? {
        (Some(0), _) => Ok(()),
        (status, log) => {
            let program = command.get_program().to_string_lossy();
            Err(format!("{program} ended with {status:?}:\n{}", tail(&log)).into())
        }
    }
}

pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}
