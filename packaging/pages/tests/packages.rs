//! Files of packages that name a version name that of the workspace.

use std::path::Path;

fn read(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
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
