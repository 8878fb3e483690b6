#!/bin/bash
# portable-arm64.sh - the digests of tests/golden/digests.txt once more, from aarch64 programs (NEON tiles) under qemu's emulation of the processor:
# cross-compiles into BUILD/arm64 and runs tests/cli/55-portable.sh with them. Minutes. usage: tests/portable-arm64.sh [BUILD]
#
# On Debian, as root, once (the libraries of both architectures lie beside one another):
#
#   dpkg --add-architecture arm64 && apt-get update && apt-get install --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user \
#     $(printf '%s:arm64 ' libc6 libarchive-dev zlib1g-dev libmsgpack-dev libblis-openmp-dev libjson-c-dev libpcre2-dev libutf8proc-dev nettle-dev \
#     liblua5.4-dev libseccomp-dev)
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}/arm64
cross=aarch64-linux-gnu
for c in $cross-gcc qemu-aarch64; do
	command -v "$c" >/dev/null || { sed -n '/^# On Debian/,/^set/s/^#  *//p' "$0" >&2; echo "portable-arm64: $c is not there: see above" >&2; exit 3; }
done
mkdir -p "$build"
touch "$build/.deps" # the Makefile would install this machine's
export PKG_CONFIG_LIBDIR=/usr/lib/$cross/pkgconfig:/usr/share/pkgconfig
make --no-print-directory BUILD="$build" CC="${CCACHE-} $cross-gcc -isystem /usr/include/$cross" all
exec tests/emulated.sh "$build" qemu-aarch64
