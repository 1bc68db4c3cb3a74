#!/usr/bin/env bash
# Makes a package for Debian and its kin out of what the Makefile installs. `cargo deb` makes the same
# from the metadata in Cargo.toml; this needs dpkg-deb alone.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
arch=$(dpkg --print-architecture)
out=$(realpath -m "${CARGO_TARGET_DIR:-target}")/package
stage=$out/deb
rm -rf "$stage"
mkdir -p "$stage/DEBIAN" "$stage/usr/libexec/kpatch" "$stage/usr/share/kpatch/patch"

# shellcheck source=packaging/remap.sh
. packaging/remap.sh

# Beside kpatch's: packaging/alternatives makes the links.
make install DESTDIR="$stage" PREFIX=/usr \
  LIBEXECDIR=/usr/libexec/klp-diff PATCHDIR=/usr/share/klp-diff/include \
  ZSHDIR=/usr/share/zsh/vendor-completions
install -m 755 packaging/alternatives "$stage/usr/libexec/klp-diff/alternatives"
doc=$stage/usr/share/doc/klp-diff
install -m 644 packaging/debian/copyright "$doc/copyright"
make sbom
install -m 644 "$out/klp-diff.cdx.json" "$doc/klp-diff.cdx.json"
gzip -9n <"$doc/CHANGELOG.md" >"$doc/changelog.gz"
rm "$doc/CHANGELOG.md"
gzip -9n <packaging/debian/changelog >"$doc/changelog.Debian.gz"

for script in postinst prerm; do
  install -m 755 "packaging/debian/$script" "$stage/DEBIAN/$script"
done
install -m 644 packaging/debian/triggers "$stage/DEBIAN/triggers"

# What the programs are linked with, in the versions they need.
depends="libc6, libgcc-s1"
if command -v dpkg-shlibdeps >/dev/null; then
  mkdir -p "$out/shlibs/debian"
  printf 'Source: klp-diff\n\nPackage: klp-diff\nArchitecture: any\n' >"$out/shlibs/debian/control"
  found=$(cd "$out/shlibs" && dpkg-shlibdeps -O "$stage"/usr/bin/klp-diff \
    "$stage"/usr/libexec/klp-diff/create-* 2>/dev/null | sed -n 's/^shlibs:Depends=//p') || :
  depends=${found:-$depends}
fi
cat >"$stage/DEBIAN/control" <<CONTROL
Package: klp-diff
Version: $version-1
Architecture: $arch
Maintainer: The klp-diff authors <klp-diff@localhost>
Section: devel
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$stage" | cut -f1)
Depends: $depends
Recommends: binutils, xz-utils, zstd
Suggests: kpatch-build
Description: compare kernel objects by meaning and build livepatches
 Compares the objects of a kernel built without and with a source patch by
 what their functions mean, and builds the livepatch module from what changed.
 Has drop-ins for create-diff-object and create-klp-module, which kpatch-build
 calls; they are put in place through alternatives.
CONTROL

deb=$out/klp-diff_$version-1_$arch.deb
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)} \
  dpkg-deb --root-owner-group --build "$stage" "$deb"
echo "$deb"
