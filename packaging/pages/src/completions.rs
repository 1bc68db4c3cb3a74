//! Completions for shells, by `clap_complete`, with what its text does not know of this command line set right:
//! the first word may be a verb or an object, and options of a comparison also stand behind the objects.

use anyhow::{Context as _, ensure};
use clap::Command;
use clap_complete::Shell;

/// The name of the program.
const NAME: &str = "klp-diff";

/// Of each shell its folder, the name under which it looks for the file, and the text.
pub fn all(command: &Command) -> anyhow::Result<[(&'static str, &'static str, String); 3]> {
    Ok([
        ("bash", NAME, bash(command)?),
        ("zsh", "_klp-diff", zsh(command)?),
        ("fish", "klp-diff.fish", fish(command)?),
    ])
}

fn generated(shell: Shell, mut command: Command) -> anyhow::Result<String> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, NAME, &mut text);
    Ok(String::from_utf8(text)?)
}

/// Replaces text that must be there: another release of `clap_complete` may write another one.
fn replaced(text: &str, old: &str, new: &str) -> anyhow::Result<String> {
    ensure!(text.contains(old), "the completion has no '{old}' to replace");
    Ok(text.replace(old, new))
}

fn bash(command: &Command) -> anyhow::Result<String> {
    let text = generated(Shell::Bash, command.clone())?;
    // Where a verb is found it is named otherwise than where it is looked up, because of the name's hyphen.
    let text = text.replace("klp__subcmd__diff__", "klp__diff__");
    // What is no option is a file: `complete -o default` has these where nothing else is found.
    let options =
        "            esac\n            COMPREPLY=( $(compgen -W \"${opts}\" -- \"${cur}\") )\n";
    replaced(&text, options, "            esac\n")
}

/// zsh: one function for the verbs and one for objects, since `_arguments` counts ORIG and PATCHED before any verb.
fn zsh(command: &Command) -> anyhow::Result<String> {
    let options = command.get_arguments().filter(|arg| !arg.is_positional());
    let verbs = Command::new(NAME).args(options).subcommands(command.get_subcommands());
    let objects = Command::new(NAME).args(command.get_arguments());
    let function = |text: &str, suffix: &str| -> anyhow::Result<String> {
        let (_, body) = text.split_once("\n_klp-diff() {").context("no function of the program")?;
        let (body, _) = body.split_once("\nif [ \"$funcstack[1]\"").context("no end")?;
        Ok(format!("_klp-diff{suffix}() {{{body}\n"))
    };
    let verbs = function(&generated(Shell::Zsh, verbs)?, "_verbs")?;
    let objects = function(&generated(Shell::Zsh, objects)?, "_objects")?;
    let (objects, _) = objects.split_once("\n(( $+functions").context("no end of the options")?;
    let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    Ok(format!(
        "#compdef {NAME}

autoload -U is-at-least

{verbs}
{objects}

# The first word decides: a verb, or an object.
_klp-diff() {{
    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
        _alternative 'verbs:verb:_klp-diff_commands' 'files:object:_files'
    elif (( CURRENT > 2 )) && [[ $words[2] == ({}) ]]; then
        _klp-diff_verbs \"$@\"
    else
        _klp-diff_objects \"$@\"
    fi
}}

if [ \"$funcstack[1]\" = \"_klp-diff\" ]; then
    _klp-diff \"$@\"
else
    compdef _klp-diff {NAME}
fi
",
        names.join("|")
    ))
}

/// fish: the helpers that look for a verb are written anew. Those of clap take the first object for one, and find
/// nothing while an option waits for its value.
fn fish(command: &Command) -> anyhow::Result<String> {
    let text = generated(Shell::Fish, command.clone())?;
    let start = text.find("complete -c").context("no completion")?;
    let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    let names = names.join(" ");
    let mut lines = String::new();
    for line in text[start..].lines() {
        let verb =
            line.strip_prefix("complete -c klp-diff -n \"__fish_klp_diff_needs_command\" -a ");
        lines += &match verb {
            Some(rest) => format!("complete -c klp-diff -n __fish_klp_diff_is_first -a {rest}\n"),
            None => format!("{line}\n"),
        };
    }
    ensure!(lines.contains("__fish_klp_diff_is_first"), "the completion has no verbs");
    Ok(format!(
        "# The first word decides: a verb, or an object.
function __fish_klp_diff_is_first
    set -l words (commandline -opc)
    test (count $words) -eq 1
end

function __fish_klp_diff_needs_command
    set -l words (commandline -opc)
    not contains -- \"$words[2]\" {names}
end

function __fish_klp_diff_using_subcommand
    set -l words (commandline -opc)
    contains -- \"$words[2]\" $argv
end

{lines}"
    ))
}
