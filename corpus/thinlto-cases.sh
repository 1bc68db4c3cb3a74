#!/usr/bin/env bash
# Makes corpus cases of ThinLTO links: compiles the files of each folder of corpus/thinlto,
# unpatched and with -DPATCHED, links both, and keeps the native objects of each file.
# docs/corpus.md shows the use.
set -euo pipefail

usage() {
  echo "usage: $0 -o OUT [-v VERSION] [CASE...]" >&2
  echo "  OUT      folder to make" >&2
  echo "  VERSION  of clang and ld.lld, such as 19; all that are installed without it" >&2
  echo "  CASE     folders with FILE.c and FILE.expected [all of corpus/thinlto]" >&2
  exit 64
}

out= versions=
case ${1:-} in -h | --help) (usage) 2>&1 || exit 0 ;; esac
while getopts o:v: option; do
  case $option in o) out=$OPTARG ;; v) versions=$OPTARG ;; *) usage ;; esac
done
shift $((OPTIND - 1))
[ -n "$out" ] || usage
[ -e "$out" ] && { echo "$out exists" >&2; exit 1; }
if [ $# -gt 0 ]; then cases=("$@"); else cases=("$(dirname "$0")"/thinlto/*/); fi
flags=(-O2 -flto=thin -target x86_64-linux-gnu -pg -mfentry -fno-pic -mcmodel=kernel
  -fno-asynchronous-unwind-tables -fno-stack-protector -ffunction-sections -fdata-sections)

work=$(mktemp -d "${TMPDIR:-/tmp}/thinlto-cases.XXXXXX")
trap 'rm -rf "$work"' EXIT
made=0
for version in ${versions:-14 16 19 22}; do
  clang=clang-$version lld=ld.lld-$version
  if ! command -v "$clang" >/dev/null || ! command -v "$lld" >/dev/null; then
    echo "skipped: ${#cases[@]} cases, $clang and $lld are not both installed"
    continue
  fi
  for case in "${cases[@]}"; do
    name=$(basename "$case")
    objects=$work/$version/$name
    for side in orig patched; do
      define=()
      if [ "$side" = patched ]; then define=(-DPATCHED); fi
      mkdir -p "$objects/$side"
      inputs=()
      for file in "$case"/*.c; do
        bitcode=$objects/$side/$(basename "$file" .c).bc
        (cd "$case" && "$clang" "${flags[@]}" "${define[@]}" -c "$(basename "$file")" -o "$bitcode")
        inputs+=("$bitcode")
      done
      # The native objects are numbered in the order of the inputs, from 1.
      "$lld" -r --lto-obj-path="$objects/$side/o" -o "$objects/$side/all" "${inputs[@]}"
    done
    number=0
    for file in "$case"/*.c; do
      number=$((number + 1))
      base=$(basename "$file" .c)
      to=$work/cases/clang-$version/$name/$base
      mkdir -p "$to"
      for side in orig patched; do cp "$objects/$side/o$number" "$to/$side.o"; done
      {
        printf "what = '%s'\n" "$(sed -n '1s|^/\* \(.*\) \*/$|\1|p' "$file")"
        printf "orig = 'orig.o'\npatched = 'patched.o'\n[expected]\n"
        # `@f@` is f by the name that promotion gave it, which has a hash of the file.
        sed "s|@\([a-z_]*\)@|\$(nm -j '$to/orig.o' \| grep '^\1\\\\.llvm\\\\.')|g" "$case/$base.expected" |
          while IFS= read -r line; do eval "printf '%s\n' \"$line\""; done
      } >"$to/case.toml"
      made=$((made + 1))
    done
  done
done
[ "$made" -gt 0 ] || { echo "no cases: clang-N and ld.lld-N are needed" >&2; exit 1; }
mkdir -p "$(dirname "$out")"
mv "$work/cases" "$out"
echo "$made cases"
