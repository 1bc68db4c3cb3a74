//! The completions as the shells understand them. zsh and fish are asked where they are installed.

use std::path::Path;
use std::process::Command;

/// Words at the cursor, each with what must be offered.
const ASKED: [(&str, &str); 14] = [
    ("klp-diff m", "module"),
    ("klp-diff --explain-n", "--explain-noise"),
    ("klp-diff --flavor klp-", "klp-build"),
    ("klp-diff orig.o patched.o --expect", "--expect-change"),
    ("klp-diff --flavor klp orig.o --colo", "--color"),
    ("klp-diff module --repl", "--replace"),
    ("klp-diff build --dry", "--dry-run"),
    ("klp-diff verify-orig --verb", "--verbose"),
    ("klp-diff corpus r", "run"),
    ("klp-diff corpus run --save", "--save-baseline"),
    ("klp-diff corpus build --ou", "--output"),
    ("klp-diff ori", "orig.o"),
    ("klp-diff orig.o pat", "patched.o"),
    ("klp-diff verify-orig --image vmlinux pat", "patched.o"),
];

fn pages() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let done = Command::new(env!("CARGO_BIN_EXE_klp-diff-pages")).arg(folder.path()).status();
    assert!(done.expect("the program runs").success());
    for name in ["orig.o", "patched.o", "vmlinux"] {
        std::fs::write(folder.path().join(name), "").expect("file");
    }
    folder
}

/// What a shell says to a script, or `None` without the shell.
fn said(folder: &Path, shell: &str, script: &str) -> Option<String> {
    let flag = if shell == "bash" { vec!["--norc", "-c"] } else { vec!["-c"] };
    let output = Command::new(shell).args(flag).arg(script).current_dir(folder).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn offers(said: &str, wanted: &str) -> bool {
    said.split_whitespace().any(|word| word == wanted)
}

#[test]
fn bash_completes() {
    let folder = pages();
    for (line, wanted) in ASKED {
        // As readline calls the function, with files where it has nothing.
        let script = format!(
            "source bash/klp-diff; complete -p klp-diff | grep -q -- '-o default' || exit 1
             COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); at=$COMP_CWORD
             _klp__diff klp-diff \"${{COMP_WORDS[at]}}\" \"${{COMP_WORDS[at-1]}}\"
             echo \"${{COMPREPLY[@]:-$(compgen -f -- \"${{COMP_WORDS[at]}}\")}}\""
        );
        let said = said(folder.path(), "bash", &script).expect("bash is there");
        assert!(offers(&said, wanted), "'{line}': {wanted} is not among {said}");
    }
    let script = "source bash/klp-diff; COMP_WORDS=(klp-diff orig.o ''); COMP_CWORD=2
        _klp__diff klp-diff '' orig.o; echo \"${#COMPREPLY[@]}\"";
    assert_eq!(said(folder.path(), "bash", script).as_deref(), Some("0\n"), "files, not options");
}

#[test]
fn fish_completes() {
    let folder = pages();
    for (line, wanted) in ASKED {
        let script = format!("source fish/klp-diff.fish; complete -C'{line}'");
        let Some(said) = said(folder.path(), "fish", &script) else { return };
        assert!(offers(&said, wanted), "'{line}': {wanted} is not among {said}");
        assert!(!line.contains(".o ") || !offers(&said, "module"), "'{line}': {said}");
    }
}

#[test]
fn zsh_completes() {
    let folder = pages();
    let lines: Vec<String> =
        ASKED.iter().map(|(line, wanted)| format!("'{line}' '{wanted}'")).collect();
    // A terminal of its own; what is typed comes back with what is put behind it, or listed below it.
    let script = format!(
        "zmodload zsh/zpty && zpty z zsh -f -i || exit 0
         zpty -w z 'fpath=($PWD/zsh $fpath); autoload -U compinit; compinit -u -D; PS1=; LISTMAX=999; echo rea\"\"dy'
         zpty -r -m z said '*ready*'
         for line wanted in {}; do
           zpty -w -n z $'\\x15'$line$'\\t'
           n=0; all=; while (( n++ < 200 )) && [[ $all != *$wanted* ]]; do
             sleep 0.02; while zpty -r -t z said; do all+=$said; done
           done
           [[ $all == *$wanted* ]] || print -r -- \"lacks: $line: $wanted: $all\"
           (( asked++ ))
         done
         zpty -d z; print asked $asked",
        lines.join(" ")
    );
    let Some(said) = said(folder.path(), "zsh", &script) else { return };
    // Without the module for terminals nothing is said.
    assert!(!said.contains("lacks:"), "{said}");
    assert!(
        said.is_empty()
            || said.contains("zpty")
            || said.contains(&format!("asked {}", ASKED.len())),
        "{said}"
    );
}
