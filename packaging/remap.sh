# Sourced by what makes packages: has the compiler write other folders into the programs than those of this machine, so
# that the same sources, toolchain and options make the same bytes in any folder. From the folder of the sources.
# shellcheck shell=bash

for pair in "$PWD=/usr/src/klp-diff" "${CARGO_HOME:-$HOME/.cargo}=/usr/share/cargo" \
  "$(rustc --print sysroot)/lib/rustlib/src/rust=/usr/src/rust"; do
  case $pair in
    # RUSTFLAGS has no form for them.
    *[[:space:]]*) echo "the folder ${pair%%=*} will be found in the programs: its name has blanks" >&2 ;;
    *) RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$pair" ;;
  esac
done
export RUSTFLAGS
