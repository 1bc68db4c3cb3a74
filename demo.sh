#!/usr/bin/env bash
# Builds the tools and runs them on a pair of objects made here from corpus/demo.c.
set -euo pipefail
cd "$(dirname "$0")"

cc=
for candidate in ${CC:-} gcc-12 gcc clang cc; do
  if command -v "$candidate" >/dev/null; then cc=$candidate; break; fi
done
if [ -z "$cc" ] || ! command -v readelf >/dev/null; then
  echo "demo.sh needs a C compiler for x86_64 and readelf (Debian: apt-get install gcc binutils)" >&2
  exit 1
fi

cargo build --release --workspace --bins
tools=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# As the kernel build of a livepatch would compile it: a section for each
# function and variable, and the call of the tracer at the start.
flags="-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel
  -fno-asynchronous-unwind-tables -fno-stack-protector"
# shellcheck disable=SC2086
$cc $flags -c -o "$work/orig.o" corpus/demo.c
# shellcheck disable=SC2086
$cc $flags -DPATCHED -c -o "$work/patched.o" corpus/demo.c
# The symbols of the kernel to be patched; here the object stands for the kernel.
readelf -s --wide "$work/orig.o" >"$work/vmlinux.symtab"

show() {
  echo
  echo "$ $*"
}

show klp-diff orig.o patched.o
"$tools/klp-diff" "$work/orig.o" "$work/patched.o"

show create-diff-object orig.o patched.o vmlinux vmlinux.symtab /dev/null demo output.o
"$tools/create-diff-object" "$work/orig.o" "$work/patched.o" vmlinux "$work/vmlinux.symtab" \
  /dev/null demo "$work/output.o"

show readelf -SW output.o
readelf -SW "$work/output.o" | grep -E 'Name|\.text\.|\.kpatch\.|__mcount_loc'
show readelf -sW output.o
readelf -sW "$work/output.o" | grep -E 'Name|FUNC|OBJECT|UND'
