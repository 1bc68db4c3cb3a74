//! The bill of materials, and whether the licenses in it are those that deny.toml allows: cargo-deny checks
//! the same where it is installed.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

fn bill() -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_klp-diff-sbom"))
        .env("CARGO", env!("CARGO"))
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn all(bill: &Value) -> Vec<Value> {
    let mut all = bill["components"].as_array().expect("components").clone();
    all.push(bill["metadata"]["component"].clone());
    all
}

/// Whether an expression of SPDX can be fulfilled with what is allowed.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    fn any<'w>(
        words: &mut std::iter::Peekable<impl Iterator<Item = &'w str>>,
        ok: &BTreeSet<String>,
    ) -> bool {
        let mut fulfilled = every(words, ok);
        while words.next_if_eq(&"OR").is_some() {
            fulfilled |= every(words, ok);
        }
        fulfilled
    }
    fn every<'w>(
        words: &mut std::iter::Peekable<impl Iterator<Item = &'w str>>,
        ok: &BTreeSet<String>,
    ) -> bool {
        let mut fulfilled = one(words, ok);
        while words.next_if_eq(&"AND").is_some() {
            fulfilled &= one(words, ok);
        }
        fulfilled
    }
    fn one<'w>(
        words: &mut std::iter::Peekable<impl Iterator<Item = &'w str>>,
        ok: &BTreeSet<String>,
    ) -> bool {
        if words.next_if_eq(&"(").is_some() {
            let fulfilled = any(words, ok);
            assert_eq!(words.next(), Some(")"), "a bracket is open");
            return fulfilled;
        }
        let mut license = words.next().expect("a license").to_owned();
        if words.next_if_eq(&"WITH").is_some() {
            license += " WITH ";
            license += words.next().expect("an exception");
        }
        ok.contains(&license)
    }
    let fulfilled = any(&mut words, allowed);
    assert_eq!(words.next(), None, "{expression}");
    fulfilled
}

#[test]
fn expressions_are_understood() {
    let allowed = ["MIT", "Zlib"].map(str::to_owned).into();
    for (expression, wanted) in [
        ("MIT", true),
        ("GPL-2.0-only", false),
        ("MIT OR GPL-2.0-only", true),
        ("MIT AND GPL-2.0-only", false),
        ("GPL-2.0-only OR MIT AND Zlib", true),
        ("(GPL-2.0-only OR MIT) AND Zlib", true),
        ("MIT WITH some-exception", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), wanted, "{expression}");
    }
}

#[test]
fn all_that_is_built_in_may_be_and_is_listed_with_its_checksum() {
    let deny = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deny.toml");
    let deny: toml::Table =
        std::fs::read_to_string(deny).expect("deny.toml").parse().expect("TOML");
    let allowed = deny["licenses"]["allow"].as_array().expect("a list").iter();
    let allowed = allowed.map(|l| l.as_str().expect("a name").to_owned()).collect();
    let bill = bill();
    let all = all(&bill);
    assert!(all.len() > 20, "{bill}");
    for component in &all {
        let license = component["licenses"][0]["expression"].as_str().expect("a license");
        assert!(is_allowed(license, &allowed), "{component}");
        let is_ours = component["type"] == "application";
        assert_eq!(component["hashes"][0]["content"].is_null(), is_ours, "{component}");
    }
    let names = |key: &str| all.iter().map(|c| c[key].to_string()).collect::<BTreeSet<_>>();
    assert!(names("name").contains("\"clap\""));
    // What only tests need is not built in.
    assert!(!names("name").contains("\"proptest\""));
    let known = names("bom-ref");
    for depends in bill["dependencies"].as_array().expect("a list") {
        assert!(known.contains(&depends["ref"].to_string()), "{depends}");
        let on = depends["dependsOn"].as_array().expect("a list");
        assert!(on.iter().all(|on| known.contains(&on.to_string())), "{depends}");
    }
    assert_eq!(bill, self::bill());
}
