#!/bin/bash
# make-bundle.sh OUT [SOURCE]: builds a small Linux for x86_64 and what the boot tests need to
# know about it, in the new folder OUT (2 GB; it cannot be moved afterwards). SOURCE is a
# kernel's source, a tar file or a folder, by default that of Debian's linux-source-6.12.
# docs/boot.md has the packages to install.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] && [ $# -le 2 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 64; }
source=${2:-/usr/src/linux-source-6.12.tar.xz}
[ -e "$source" ] || { echo "$source: not there; apt-get install linux-source-6.12" >&2; exit 1; }
mkdir "$1"
out=$(cd "$1" && pwd)
jobs=${JOBS:-$(nproc)}
linux=$out/linux kdir=$out/kdir
said() { echo "[$SECONDS s] $*"; }

said "unpacking"
mkdir "$linux" "$kdir"
if [ -d "$source" ]; then
	cp -a "$source/." "$linux"
else
	tar xf "$source" -C "$linux" --strip-components=1
fi
build() { make -s -C "$linux" O="$kdir" -j"$jobs" "$@"; }

said "configuring"
build KCONFIG_ALLCONFIG="$here/kernel.config" allnoconfig
for option in $(sed -n 's/^\(CONFIG_[A-Z0-9_]*\)=.*/\1/p' "$here/kernel.config"); do
	grep -q "^$option=" "$kdir/.config" || { echo "$option cannot be set" >&2; exit 1; }
done

said "building the kernel"
build bzImage modules
mkdir "$out/boot"
cp "$kdir/arch/x86/boot/bzImage" "$kdir/vmlinux" "$kdir/Module.symvers" "$out/boot"
readelf -s --wide "$out/boot/vmlinux" | xz -1 > "$out/boot/vmlinux.symtab.xz"

said "measuring structs"
mkdir "$out/sizes"
cp "$here/sizes.c" "$out/sizes"
echo 'obj-m := sizes.o' > "$out/sizes/Kbuild"
make -s -C "$kdir" M="$out/sizes" sizes.s
sed -n 's/.*->\([A-Z_]*\) \$\([0-9]*\).*/\1=\2/p' "$out/sizes/sizes.s" > "$out/env"
cat "$out/env"

# objects FOLDER NAME...: builds objects as kpatch-build does it, and puts them there.
objects() {
	local folder=$1 object
	shift
	build KCFLAGS="-ffunction-sections -fdata-sections -I$here/../../../include" "$@"
	for object; do
		install -D -m 644 "$kdir/$object" "$folder/$object"
	done
}

mkdir "$out/cases"
for case in "$here"/cases/*/; do
	name=$(basename "$case")
	said "case $name"
	cp -r "$case" "$out/cases/$name"
	folder=$out/cases/$name
	# Sets `objects`, `new` and `files`, and patch().
	. "$case/case.sh"
	status=${status:-0}
	objects "$folder/orig" $objects
	for file in $files; do
		cp "$linux/$file" "$linux/$file.orig"
	done
	(cd "$linux" && patch "$case")
	objects "$folder/patched" $objects ${new:-}
	for file in $files; do
		mv "$linux/$file.orig" "$linux/$file"
		touch "$linux/$file"
	done
	for object in $objects; do
		printf '%s\tvmlinux\tboot/vmlinux.symtab\tboot/Module.symvers\tlivepatch_%s\t%s\n' \
			"$object" "${name//-/_}" "$status"
	done > "$folder/objects.tsv"
	unset objects new files status
done
cp -r "$here/guest" "$here/tools" "$out"
said "done: run the tests with KLP_DIFF_BUNDLE=$out"
