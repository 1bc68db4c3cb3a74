#!/bin/sh
# boot.sh LOG FOLDER: boots the kernel with the files of FOLDER in /case; the console goes to
# LOG. KLPLAB_KERNEL names another kernel, KLPLAB_APPEND adds to its command line,
# KLPLAB_TIMEOUT is in seconds.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
log=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/case"
cp "$2"/* "$work/root/case/"
# The kernel unpacks one archive behind the other if the second starts at a multiple of 4.
cp "$here/boot/initramfs.cpio.gz" "$work/initramfs"
truncate -s %4 "$work/initramfs"
(cd "$work/root" && find . | cpio -o -H newc -R 0:0 --quiet) >> "$work/initramfs"
timeout "${KLPLAB_TIMEOUT:-240}" qemu-system-x86_64 -accel "${KLPLAB_ACCEL:-tcg}" \
	-smp 2 -m 512 -display none -monitor none -net none -no-reboot -serial "file:$log" \
	-kernel "${KLPLAB_KERNEL:-$here/boot/bzImage}" -initrd "$work/initramfs" \
	-append "console=ttyS0 panic=-1 oops=panic ${KLPLAB_APPEND:-}" < /dev/null > /dev/null 2> "$log.qemu" ||
	echo "qemu ended with $?"
