#!/bin/sh
# Whether two builds of klp-diff and create-diff-object do the same: exit statuses, text, JSON
# reports, and bytes of the outputs.
#
#   tests/same.sh OLD NEW FOLDER...
#
# OLD and NEW are folders with the two programs. Below each FOLDER a pair of objects is
# [NAME.]orig.o and [NAME.]patched.o (also NAME.ORIG.o, or NAME-orig.o), with [NAME.]symtab and
# [NAME.]symvers where they are there, or orig/PATH.o and patched/PATH.o. Of the result of each pair that differs the first lines are
# shown; exit 1 when there is any.
set -u

if [ $# -lt 3 ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '/^set/d' >&2
    exit 64
fi
old=$(cd "$1" && pwd) && new=$(cd "$2" && pwd) || exit 64
shift 2
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# All that a pair makes one build say and write, in folder $1, with the programs of folder $2.
one() {
    mkdir -p "$1" && cd "$1" || exit 1
    "$2/klp-diff" --explain --explain-noise --json report.json -o out.o $options "$orig" "$patched" \
        > native.text 2>&1
    echo "$?" >> native.text
    for flavor in klp klp-build; do
        "$2/klp-diff" --flavor $flavor -o $flavor.o $options "$orig" "$patched" > $flavor.text 2>&1
        echo "$?" >> $flavor.text
    done
    "$2/create-diff-object" "$orig" "$patched" vmlinux "$table" "$exports" patch kpatch.o \
        > kpatch.text 2>&1
    echo "$?" >> kpatch.text
    for output in *.o; do
        [ ! -f "$output" ] || "$2/klp-diff" dump "$output" > "$output.dump" 2>&1
    done
}

pairs=0 differ=0
for folder in "$@"; do
    for orig in $(find "$(cd "$folder" && pwd)" -type f \
        \( -iname '*orig.o' -o -path '*/orig/*.o' \) | LC_ALL=C sort); do
        stem=${orig%[oO][rR][iI][gG].o}
        beside=${orig%/orig/*}/patched/${orig##*/orig/}
        for patched in "${stem}patched.o" "${stem}PATCHED.o" "$beside"; do
            [ -f "$patched" ] && break
        done
        [ -f "$patched" ] || continue
        pairs=$((pairs + 1)) options='' table=/dev/null exports=/dev/null
        [ -f "${stem}symtab" ] && table=${stem}symtab options="--symtab $table"
        [ -f "${stem}symvers" ] && exports=${stem}symvers options="$options --symvers $exports"
        (one "$scratch/a" "$old") && (one "$scratch/b" "$new")
        if ! diff -r "$scratch/a" "$scratch/b" > "$scratch/found"; then
            differ=$((differ + 1))
            echo "$orig"
            head -n 20 "$scratch/found"
        fi
        rm -rf "$scratch/a" "$scratch/b"
    done
done
echo "$pairs pairs, $differ differ"
[ "$differ" = 0 ]
