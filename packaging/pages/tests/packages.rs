//! Files of packages that name a version name that of the workspace.

use std::path::Path;

fn read(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn dependencies_are_accounted_for() {
    let reasons = read("docs/design.md");
    for file in ["Cargo.toml", "kpatch-compat/Cargo.toml", "packaging/pages/Cargo.toml"] {
        let manifest: toml::Table = read(file).parse().expect("a manifest");
        for kind in ["dependencies", "dev-dependencies"] {
            for name in
                manifest.get(kind).and_then(|d| d.as_table()).into_iter().flat_map(|t| t.keys())
            {
                let own = name == "klp-diff";
                assert!(
                    own || reasons.contains(&format!("`{name}`")),
                    "docs/design.md: why {name}?"
                );
            }
        }
    }
}

#[test]
fn versions_are_one() {
    let version = env!("CARGO_PKG_VERSION");
    for (file, wanted) in [
        ("packaging/debian/changelog", format!("klp-diff ({version}-1) ")),
        ("packaging/klp-diff.spec", format!("\nVersion:        {version}\n")),
        ("packaging/klp-diff.spec", "%changelog\n* ".to_owned()),
        ("packaging/klp-diff.spec", format!("> - {version}-1\n")),
        ("kpatch-compat/Cargo.toml", format!("klp-diff = {{ version = \"{version}\"")),
        ("CHANGELOG.md", format!("\n## {version}")),
        ("docs/install.md", format!("klp-diff_{version}-1_amd64.deb")),
    ] {
        assert!(read(file).contains(&wanted), "{file} has no '{}'", wanted.trim());
    }
    let changelog = read("packaging/debian/changelog");
    assert!(changelog.starts_with(&format!("klp-diff ({version}-1) ")), "the newest comes first");
}
