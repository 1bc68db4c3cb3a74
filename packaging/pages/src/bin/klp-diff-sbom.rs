//! Writes a bill of materials: what the programs are made of, in the form of CycloneDX 1.5.
//!
//!     cargo run -p klp-diff-pages --bin klp-diff-sbom > klp-diff.cdx.json
//!
//! `cargo metadata` knows the packages and what each needs, Cargo.lock their checksums. Packages that
//! only tests need are left out. There is neither a date nor a random number in it: the same sources
//! make the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// The packages that are installed.
const ROOTS: [&str; 2] = ["klp-diff", "kpatch-compat"];

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let metadata = metadata(&root)?;
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock")?;
    let bill = bill(&metadata, &checksums(&lock)?)?;
    println!("{}", serde_json::to_string_pretty(&bill)?);
    Ok(())
}

/// What cargo knows of the workspace, for the machine that the programs are built for.
fn metadata(root: &Path) -> anyhow::Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let target = std::env::var("CARGO_BUILD_TARGET").unwrap_or_else(|_| env!("TARGET").to_owned());
    let output = Command::new(&cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &target])
        .current_dir(root)
        .output()
        .with_context(|| format!("{} cannot be run", cargo.display()))?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("what cargo metadata says is no JSON")
}

/// SHA-256 of each package that was published, by name and version.
fn checksums(lock: &str) -> anyhow::Result<BTreeMap<(String, String), String>> {
    let lock: toml::Table = toml::from_str(lock).context("Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array).context("no packages")?;
    let text = |package: &toml::Value, key: &str| {
        package.get(key).and_then(toml::Value::as_str).map(str::to_owned)
    };
    Ok(packages
        .iter()
        .filter_map(|p| Some(((text(p, "name")?, text(p, "version")?), text(p, "checksum")?)))
        .collect())
}

fn bill(metadata: &Value, checksums: &BTreeMap<(String, String), String>) -> anyhow::Result<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|p| (text(&p["id"]), p)).collect();
    let needs: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            // A kind of null is what the program itself is built with.
            let is_built_in =
                |dep: &Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            let deps = list(&node["deps"]).into_iter().filter(is_built_in);
            (text(&node["id"]), deps.map(|dep| text(&dep["pkg"])).collect())
        })
        .collect();
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let is_root = |p: &Value| p["source"].is_null() && ROOTS.iter().any(|root| p["name"] == *root);
    let mut open: Vec<&str> =
        packages.iter().filter(|(_, p)| is_root(p)).map(|(id, _)| id.as_str()).collect();
    if open.len() != ROOTS.len() {
        bail!("the packages {ROOTS:?} are not all there");
    }
    while let Some(id) = open.pop() {
        if reached.insert(id) {
            open.extend(needs.get(id).into_iter().flatten().map(String::as_str));
        }
    }
    let purl = |id: &str| {
        let package = &packages[id];
        format!("pkg:cargo/{}@{}", text(&package["name"]), text(&package["version"]))
    };
    let component = |id: &str| {
        let package = &packages[id];
        let key = (text(&package["name"]), text(&package["version"]));
        let mut component = json!({
            "type": if is_root(package) { "application" } else { "library" },
            "bom-ref": purl(id),
            "name": key.0,
            "version": key.1,
            "purl": purl(id),
            // Old packages separate them by a slash.
            "licenses": [{ "expression": text(&package["license"]).replace('/', " OR ") }],
        });
        if let Some(sum) = checksums.get(&key) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
        }
        component
    };
    let main = reached.iter().find(|id| packages[**id]["name"] == ROOTS[0]).context("no root")?;
    let depends = |id: &str| {
        let on: BTreeSet<String> = needs[id].iter().map(|need| purl(need)).collect();
        json!({ "ref": purl(id), "dependsOn": on })
    };
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(main) },
        "components": reached.iter().filter(|id| id != &main).map(|id| component(id)).collect::<Vec<_>>(),
        "dependencies": reached.iter().map(|id| depends(id)).collect::<Vec<_>>(),
    }))
}
