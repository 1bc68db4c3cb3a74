#!/usr/bin/env bash
# Runs all tests. What a test needs and does not find makes it an ignored one, by
# name, and is told as "skipped: ...": compilers (gcc-12, clang-14, clang-16, clang-19, clang-22)
# and the reference data that KLP_DIFF_DATA points to.
set -euo pipefail
cd "$(dirname "$0")"
# A run of everything builds the drop-in tools too, before the first test.
[ $# -gt 0 ] || export KLP_DIFF_DROP_IN_BUILT=yes
# All test programs run, also when one fails.
cargo test --workspace --no-fail-fast "$@"
