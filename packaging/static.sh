#!/usr/bin/env bash
# Builds the programs without shared libraries, for machines of another distribution or none. Needs the
# static C library (libc6-dev has it, glibc-static elsewhere).
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=packaging/remap.sh
. packaging/remap.sh
host=$(rustc -vV | sed -n 's/^host: //p')
# With --target, what runs during the build is not linked so.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
  ${CARGO:-cargo} build ${CARGOFLAGS:---locked} --release --workspace --bins --target "$host"
out=${CARGO_TARGET_DIR:-target}/package/static
mkdir -p "$out"
for program in klp-diff create-diff-object create-klp-module; do
  install -s -m 755 "${CARGO_TARGET_DIR:-target}/$host/release/$program" "$out/$program"
done
ls -l "$out"
