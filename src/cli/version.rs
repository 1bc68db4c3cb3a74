//! What `--version` says: the release, and of which commit and with which features it was built.

use std::sync::LazyLock;

use crate::arch;

/// The release alone, for `-V`.
pub(super) const SHORT: &str = env!("CARGO_PKG_VERSION");

/// Features of the package that are in.
const FEATURES: &[&str] = &["cli"];

/// All of it, for `--version`: the same from the same sources, wherever they are built.
pub(super) fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let commit = match env!("KLP_DIFF_COMMIT") {
            "" => String::new(),
            commit => format!(" ({commit})"),
        };
        let machines = arch::ALL.map(|arch| arch.name).join(", ");
        format!("{SHORT}{commit}\nfeatures: {}\nmachines: {machines}", FEATURES.join(", "))
    });
    &TEXT
}
