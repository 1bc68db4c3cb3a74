#!/usr/bin/env bash
# Makes an RPM package from the committed sources. Needs rpmbuild.
set -euo pipefail
cd "$(dirname "$0")/.."

spec=packaging/klp-diff.spec
version=$(sed -n 's/^Version: *//p' $spec)
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
top=$target/package/rpm
mkdir -p "$top/SOURCES"
git archive --format=tar.gz --prefix="klp-diff-$version/" -o "$top/SOURCES/klp-diff-$version.tar.gz" HEAD

# Where rpm does not know of the toolchain, it is not asked for it.
nodeps=
command -v cargo >/dev/null && ! rpm -q cargo >/dev/null 2>&1 && nodeps=--nodeps
# What is built already is used again.
CARGO_TARGET_DIR=$target rpmbuild -bb $nodeps --define "_topdir $top" $spec
find "$top/RPMS" -name '*.rpm'
