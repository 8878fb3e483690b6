#!/bin/bash
# emulated.sh - the digests of tests/golden/digests.txt from the programs of BUILD, each started by COMMAND (qemu-x86_64 -cpu Haswell, valgrind, ...):
# a script of their name in BUILD/emulated does that, since the kernel need not know whose programs they are. usage: tests/emulated.sh BUILD COMMAND...
set -eu
build=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
command -v "$1" >/dev/null || { echo "emulated: $1 is not there" >&2; exit 3; }
rm -rf "$build/emulated"
mkdir -p "$build/emulated"
for p in "$build"/moe "$build"/moe-*; do
	[ -f "$p" ] && [ -x "$p" ] || continue
	printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$*" "$p" >"$build/emulated/${p##*/}"
	chmod +x "$build/emulated/${p##*/}"
done
echo "# $*: $("$build/emulated/moe-base" --version 2>/dev/null | tail -n 1)"
MOE_BIN=$build/emulated sh tests/cli/55-portable.sh
