#!/usr/bin/env bash
# Makes corpus cases of kernel patches. Builds the tree as it is, then with each
# patch, and keeps the objects that differ. docs/corpus.md shows the use.
set -euo pipefail

usage() {
  echo "usage: $0 -s SOURCE -c CONFIG -p PATCHES -o OUT [-t gcc|clang|thinlto] [-j JOBS] [TARGET...]" >&2
  echo "  SOURCE   kernel tree; it is copied, not changed" >&2
  echo "  CONFIG   its .config" >&2
  echo "  PATCHES  folder of *.patch files, for patch -p1" >&2
  echo "  OUT      folder to make" >&2
  echo "  TARGET   what to build [vmlinux]; such as kernel/ or fs/proc/uptime.o for a part" >&2
  exit 64
}

source= config= patches= out= tools=gcc jobs=$(nproc)
case ${1:-} in -h | --help) (usage) 2>&1 || exit 0 ;; esac
while getopts s:c:p:o:t:j: option; do
  case $option in
    s) source=$OPTARG ;; c) config=$OPTARG ;; p) patches=$OPTARG ;; o) out=$OPTARG ;;
    t) tools=$OPTARG ;; j) jobs=$OPTARG ;; *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ -n "$source" ] && [ -n "$config" ] && [ -n "$patches" ] && [ -n "$out" ] || usage
[ -e "$out" ] && { echo "$out exists" >&2; exit 1; }
if [ $# -gt 0 ]; then targets=("$@"); else targets=(vmlinux); fi
compgen -G "$patches/*.patch" >/dev/null || { echo "no *.patch in $patches" >&2; exit 1; }
patches=$(realpath "$patches")

make_args=(-j"$jobs" KBUILD_BUILD_TIMESTAMP=1970-01-01 KBUILD_BUILD_USER=c KBUILD_BUILD_HOST=c)
case $tools in
  gcc) ;;
  clang) make_args+=(LLVM="${LLVM:-1}") ;;
  # ld.lld keeps the native objects of ThinLTO where --lto-obj-path says, numbered
  # in the order in which the linker is given the files.
  thinlto)
    LLVM=${LLVM:-1}
    make_args+=(LLVM="$LLVM" "LD=ld.lld${LLVM#1} --lto-obj-path=lto-obj/o")
    ;;
  *) usage ;;
esac
# As kpatch-build does: a section for each function and variable.
make_args+=(KCFLAGS="-ffunction-sections -fdata-sections")

work=$(mktemp -d "${TMPDIR:-/tmp}/kernel-cases.XXXXXX")
trap 'rm -rf "$work"' EXIT
tree=$work/tree
cp -a "$source" "$tree"
cp "$config" "$tree/.config"
if [ "$tools" = thinlto ]; then
  "$tree/scripts/config" --file "$tree/.config" -d LTO_NONE -e LTO_CLANG_THIN
fi

build() {
  mkdir -p "$tree/lto-obj"
  make -C "$tree" "${make_args[@]}" "${targets[@]}" >"$work/log" 2>&1 ||
    { tail -20 "$work/log" >&2; return 1; }
}

# Copies the objects of the tree that are newer than $1, or all, to $2.
keep() {
  local list=(-name '*.o' ! -name 'vmlinux.o' ! -name '*.mod.o' ! -path './scripts/*' ! -path './tools/*')
  if [ "$tools" = thinlto ]; then list=(-path './lto-obj/*'); fi
  mkdir -p "$2"
  (cd "$tree" && find . -type f "${list[@]}" ${1:+-newer "$1"} -print0 |
    tar --null -T - -cf -) | tar -xf - -C "$2"
}

make -C "$tree" "${make_args[@]}" olddefconfig >/dev/null
build
keep "" "$work/orig"
if [ -f "$tree/vmlinux" ]; then
  readelf -s --wide "$tree/vmlinux" >"$work/vmlinux.symtab"
fi

stage=$work/cases
mkdir -p "$stage"
failed=0
for patch in "$patches"/*.patch; do
  name=$(basename "$patch" .patch)
  stamp=$work/stamp
  touch "$stamp"
  if ! patch -d "$tree" -p1 -s -f --dry-run <"$patch" >/dev/null; then
    echo "$name: does not apply" >&2
    failed=$((failed + 1))
    continue
  fi
  patch -d "$tree" -p1 -s -f --no-backup-if-mismatch <"$patch"
  made=0
  if build; then
    rm -rf "$work/patched"
    keep "$stamp" "$work/patched"
    while IFS= read -r object; do
      [ -f "$work/orig/$object" ] || { echo "$name: new object $object" >&2; continue; }
      cmp -s "$work/orig/$object" "$work/patched/$object" && continue
      case_dir=$stage/$name/${object%.o}
      mkdir -p "$case_dir"
      cp "$work/orig/$object" "$case_dir/orig.o"
      cp "$work/patched/$object" "$case_dir/patched.o"
      {
        printf "what = 'the patch %s, %s, %s'\n" "$name" "$object" "$tools"
        printf "orig = 'orig.o'\npatched = 'patched.o'\n[expected]\n"
      } >"$case_dir/case.toml"
      made=$((made + 1))
    done < <(cd "$work/patched" && find . -type f | sed 's|^\./||' | sort)
    echo "$name: $made objects differ"
  else
    echo "$name: does not build" >&2
    failed=$((failed + 1))
  fi
  # The next patch starts from the original, whose objects must be rebuilt.
  patch -d "$tree" -p1 -s -f -R --no-backup-if-mismatch <"$patch"
  build
done
if [ -f "$work/vmlinux.symtab" ]; then cp "$work/vmlinux.symtab" "$stage/"; fi
mkdir -p "$(dirname "$out")"
mv "$stage" "$out"
[ "$failed" -eq 0 ] || { echo "$failed patches made no case" >&2; exit 1; }
