#!/bin/sh
# make: a second run does nothing; install and uninstall; dist is the same bytes each time.
. "$(dirname "$0")/lib.sh"
unset MAKEFLAGS MAKELEVEL MFLAGS

make_in() { make -s -C "$TOP" BUILD="$MOE_BIN" PREFIX=/usr DESTDIR="$T/root" "$@"; }
if [ -n "${MOE_SAN-}" ]; then
	skip "make" "the flags of this build are not known here"
	done_testing
fi
equal "a second make does nothing" "$(make_in all 2>&1)" ""
ok "install" make_in install
missing=
for p in "$MOE_BIN"/moe "$MOE_BIN"/moe-*; do
	n=${p##*/}
	[ -f "$p" ] && [ -x "$p" ] || continue
	for f in bin/$n share/man/man1/$n.1 share/bash-completion/completions/$n share/zsh/vendor-completions/_$n \
		share/fish/vendor_completions.d/$n.fish; do
		[ -s "root/usr/$f" ] || missing="$missing $f"
	done
done
equal "programs, pages and completion are there" "$missing" ""
ok "the other pages too" test -s root/usr/share/man/man7/moe.7 -a -s root/usr/share/man/man5/moe-stream.5
ok "the examples too" test -s root/usr/share/moetools/quarantine/env.lua -o -s root/usr/share/moetools/examples/quarantine/env.lua
missing=
for page in "$TOP"/man/*.[157] "$TOP/README.md"; do
	for f in $(grep -oE 'formats/[a-z]+\.md' "$page" | sort -u) README.md LICENSE; do
		cmp -s "$TOP/$f" "root/usr/share/doc/moetools/$f" || missing="$missing ${page##*/}:$f"
	done
done
equal "and the specifications that pages and README name" "$missing" ""
equal "all of them" "$(ls root/usr/share/doc/moetools/formats)" "$(cd "$TOP/formats" && ls -- *.md)"
ok "an installed program runs" root/usr/bin/moe-cat --version
equal "the same program was installed" "$(cmp "$MOE_BIN/moe-cat" root/usr/bin/moe-cat)" ""
ok "uninstall" make_in uninstall
equal "leaves no file" "$(find root -type f | head -3)" ""
equal "nor a folder of its own" "$(find root -name moetools)" ""
ok "a second uninstall is no error" make_in uninstall
echo keep >root.file
ok "a blank in DESTDIR is a part of it" make_in install DESTDIR="$T/root.file too"
ok "also for uninstall" make_in uninstall DESTDIR="$T/root.file too"
equal "which removes nothing else" "$(cat root.file) $(find 'root.file too' -type f | head -1)" "keep "
if [ -f "$TOP/README.md" ]; then
	ok "dist" make_in dist DIST="$T/one.tar.gz"
	ok "dist again" make_in dist DIST="$T/two.tar.gz"
	same "gives the same bytes" one.tar.gz two.tar.gz
	contains "with the sources" /dev/stdin 'moetools-[0-9.]*/formats/stream\.c' <<END
$(tar -tzf one.tar.gz)
END
else
	skip "dist" "there is no README.md yet"
fi
done_testing
