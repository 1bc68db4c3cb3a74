//! A real ThinLTO kernel gives the same answer whichever way it is compared: object by
//! object, as folders, linked into one, and after objtool.

#[path = "common/suite.rs"]
mod suite;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a comparison says: exit status, and names of changed and of new functions.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Answer {
    exit: i32,
    changed: BTreeSet<String>,
    new: BTreeSet<String>,
}

/// What the pairs are known to change.
fn truth(data: &Path, pairs: &[&str]) -> Answer {
    let text = std::fs::read_to_string(data.join("truth.json")).unwrap();
    let truth: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut answer = Answer { exit: 3, changed: BTreeSet::new(), new: BTreeSet::new() };
    for pair in pairs {
        for object in truth[pair].as_object().unwrap().values() {
            for (key, to) in [("changed", &mut answer.changed), ("new", &mut answer.new)] {
                let names = object[key].as_array().into_iter().flatten();
                to.extend(names.map(|n| n.as_str().unwrap().to_owned()));
            }
        }
    }
    if !answer.changed.is_empty() {
        answer.exit = 0;
    }
    answer
}

struct Lab {
    data: PathBuf,
    folder: tempfile::TempDir,
    sizes: String,
}

impl Lab {
    /// `None` where what is needed is not there; says so.
    fn new() -> Option<Lab> {
        let Some(data) = std::env::var_os("KLP_DIFF_DATA") else {
            crate::suite::lacks("KLP_DIFF_DATA is not set");
            return None;
        };
        let data = Path::new(&data).join("kernel-lto");
        for program in ["tar", "xz", "ld.lld-19"] {
            let mut command = Command::new(program);
            command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            if !command.status().is_ok_and(|s| s.success()) {
                crate::suite::lacks(format!("{program} is not installed"));
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let sizes = std::fs::read_to_string(data.join("env")).unwrap();
        Some(Lab { data, folder, sizes })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn unpack(&self, archive: &str, only: &str) {
        let mut tar = Command::new("tar");
        tar.arg("xf").arg(self.data.join(archive)).arg("-C").arg(self.folder.path());
        assert!(tar.args(["--wildcards", only]).status().unwrap().success(), "{archive}");
    }

    fn compare(&self, orig: &Path, patched: &Path) -> (Answer, String) {
        let sizes = self.sizes.split_whitespace().filter_map(|s| s.split_once('='));
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        let done = command.envs(sizes).args([orig, patched]).output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout);
        let named = |prefix: &str| {
            text.lines().filter_map(|l| l.strip_prefix(prefix)).map(str::to_owned).collect()
        };
        let answer = Answer {
            exit: done.status.code().unwrap(),
            changed: named("changed function: "),
            new: named("new function: "),
        };
        (answer, String::from_utf8_lossy(&done.stderr).into_owned())
    }

    /// The pair's objects, by path below its folders.
    fn objects(&self, pair: &str) -> Vec<(PathBuf, PathBuf)> {
        let root = self.data.join("pairs").join(pair).join("patched");
        files(&root)
            .into_iter()
            .map(|path| (path.strip_prefix(&root).unwrap().to_owned(), path))
            .collect()
    }

    /// All that comparing the objects of pairs one by one says.
    fn one_by_one(&self, pairs: &[&str]) -> Answer {
        let mut all = Answer { exit: 3, changed: BTreeSet::new(), new: BTreeSet::new() };
        for pair in pairs {
            for (below, patched) in self.objects(pair) {
                let orig = self.data.join("pairs").join(pair).join("orig").join(below);
                let (answer, said) = self.compare(&orig, &patched);
                assert_ne!(answer.exit, 1, "{said}");
                all.exit = all.exit.min(answer.exit);
                all.changed.extend(answer.changed);
                all.new.extend(answer.new);
            }
        }
        all
    }

    /// A folder like that of the original objects, with those of the pairs in their places.
    fn tree(&self, name: &str, pairs: &[&str]) -> PathBuf {
        let (from, to) = (self.path("objs"), self.path(name));
        for path in files(&from) {
            let link = to.join(path.strip_prefix(&from).unwrap());
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(&path, link).unwrap();
        }
        for (below, patched) in pairs.iter().flat_map(|pair| self.objects(pair)) {
            std::fs::remove_file(to.join(&below)).unwrap();
            std::fs::copy(patched, to.join(below)).unwrap();
        }
        to
    }
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn link(objects: &[PathBuf], to: &Path) {
    let mut lld = Command::new("ld.lld-19");
    lld.args(["-m", "elf_x86_64", "-r", "-o"]).arg(to).args(objects);
    assert!(lld.status().unwrap().success());
}
fn all_ways_agree() {
    let Some(lab) = Lab::new() else { return };
    lab.unpack("objs-orig.tar.xz", "objs/*");
    let objs = lab.path("objs");

    // The kernel's own vmlinux.o, before and after objtool.
    lab.unpack("vmlinux-o.tar.xz", "*.vmlinux.o");
    lab.unpack("kdir-lto.tar.xz", "*/tools/objtool/objtool");
    let orig = lab.path("orig.vmlinux.o");
    for pair in ["a-meminfo", "g-comment"] {
        let wanted = truth(&lab.data, &[pair]);
        assert_eq!(lab.one_by_one(&[pair]), wanted, "{pair}: one by one");
        let tree = lab.tree(pair, &[pair]);
        let (answer, said) = lab.compare(&objs, &tree);
        assert_eq!(answer, wanted, "{pair}: folders: {said}");
        let patched = lab.path(&format!("{pair}.vmlinux.o"));
        let (answer, said) = lab.compare(&orig, &patched);
        assert_eq!(answer, wanted, "{pair}: vmlinux.o: {said}");
    }
    let patched = lab.path("a-meminfo.vmlinux.o");
    let options = "--hacks=jump_label --hacks=noinstr --hacks=skylake --ibt --cfi --mcount --mnop \
                   --orc --retpoline --rethunk --sls --static-call --uaccess --prefix=11 --link";
    for object in [&orig, &patched] {
        let mut objtool = Command::new(lab.path("kdir/tools/objtool/objtool"));
        let done = objtool.args(options.split_whitespace()).arg(object).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let (answer, said) = lab.compare(&orig, &patched);
    assert_eq!(answer, truth(&lab.data, &["a-meminfo"]), "after objtool: {said}");
    for object in [orig, patched] {
        std::fs::remove_file(object).unwrap();
    }

    // Several changes at once in a part of the kernel that lld links.
    let pairs = ["b-capable", "d-newfunc", "e-syscall"];
    let wanted = truth(&lab.data, &pairs);
    assert_eq!(lab.one_by_one(&pairs), wanted, "one by one");
    let tree = lab.tree("patched", &pairs);
    let (answer, said) = lab.compare(&objs, &tree);
    assert_eq!(answer, wanted, "folders: {said}");
    let part = |root: &Path| -> Vec<PathBuf> {
        let mut picked = vec![root.join("arch/x86/entry/common.o"), root.join("fs/pipe.o")];
        picked.extend(
            ["fs/proc", "kernel", "arch/x86/kernel"]
                .iter()
                .flat_map(|below| files(&root.join(below))),
        );
        picked
    };
    let whole = lab.path("orig.o");
    link(&part(&objs), &whole);
    let patched = lab.path("patched.o");
    link(&part(&tree), &patched);
    let (answer, said) = lab.compare(&whole, &patched);
    assert_eq!(answer, wanted, "linked: {said}");

    // Live data is refused by name.
    let tree = lab.tree("data", &["h-data"]);
    let patched = lab.path("data.o");
    link(&part(&tree), &patched);
    for (orig, patched) in [(&objs, &tree), (&whole, &patched)] {
        let (answer, said) = lab.compare(orig, patched);
        assert_eq!(answer.exit, 2, "{said}");
        assert!(said.contains("pipe_max_size"), "{said}");
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[("all_ways_agree", all_ways_agree)])
}
