#!/usr/bin/env bash
# Fills seeds/TARGET with inputs made of the project's own sources; smaller ones first.
# usage: fuzz/seeds.sh [COMPILER...]
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- gcc
mkdir -p seeds/{object,pair,text,module,corpus}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-O2 -w -c -fno-pie -fcf-protection=none -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -mfentry -pg"
for cc in "$@"; do
  for source in ../corpus/cases/*.c; do
    name=$(basename "$source" .c)-$(basename "$cc")
    # shellcheck disable=SC2086
    "$cc" $flags -I../corpus/cases -DORIG "$source" -o "$work/orig.o" 2>/dev/null || continue
    # shellcheck disable=SC2086
    "$cc" $flags -I../corpus/cases -DPATCHED "$source" -o "$work/patched.o" 2>/dev/null || continue
    cp "$work/patched.o" "seeds/object/$name"
    python3 - "$work/orig.o" "$work/patched.o" "seeds/pair/$name" <<'PY'
import struct, sys
orig, patched = (open(name, "rb").read() for name in sys.argv[1:3])
open(sys.argv[3], "wb").write(struct.pack("<I", len(orig)) + orig + patched)
PY
    readelf -s --wide "$work/orig.o" > "$work/symtab"
    cp "$work/symtab" "seeds/text/$name"
    ../target/release/klp-diff --symtab "$work/symtab" -o "$work/out.o" "$work/orig.o" \
      "$work/patched.o" >/dev/null 2>&1 && mv "$work/out.o" "seeds/module/$name"
  done
done
# The first byte of a corpus file says what the rest is: targets/corpus.rs.
for source in ../corpus/cases/*.c; do
  { printf '\002'; cat "$source"; } > "seeds/corpus/$(basename "$source")"
done
{ printf '\000'; cat <<'TOML'; } > seeds/corpus/case.toml
what = "why it is there"
orig = "orig.o"
patched = "patched.o"
symtab-of-orig = true
object = "vmlinux"
module = "corpus"
drop-in = true
[expected]
exit = 0
changed = ["f"]
new = ["g"]
says = "text"
[env]
BUG_STRUCT_SIZE = "12"
TOML
printf '\001%s' '[{"arch": "x86_64", "case": "a", "exit": 0, "functions": 1, "env": {"ALT_STRUCT_SIZE": "14"}}]' \
  > seeds/corpus/index.json
printf '\003%s' '{"compilers":{"gcc-12":"gcc 12.2.0"},"notes":["a note"],"failures":[],"cases":["a"]}' \
  > seeds/corpus/build.json
printf '\004%s' '{"format":1,"tool":"klp-diff 0.1.0","shard":{"index":1,"count":1},"total":0,"cases":[],"notes":[]}' \
  > seeds/corpus/results.json
printf '0x12345678\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n' > seeds/text/symvers
echo "$(find seeds -type f | wc -l) seeds in fuzz/seeds"
