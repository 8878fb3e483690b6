#!/bin/sh
# A stream cut at every byte is found to be cut, by moe-cat and in the middle of a pipe, compressed and in archives.
. "$(dirname "$0")/../cli/lib.sh"

printf '{"id":"1","text":"x"}\n{"id":"2","text":"y"}\n' | moe-cat --from-json -k prompts >a.moes
size=$(wc -c <a.moes)
cut=0
bad=
step=1
[ -n "${MOE_SAN-}" ] && step=7
while [ $cut -lt "$size" ]; do
	head -c $cut a.moes >cut.moes
	moe-cat --check cut.moes >/dev/null 2>err
	[ $? -eq 3 ] && grep -q 'truncated: record\|empty' err || bad="$bad $cut"
	cut=$((cut + step))
done
equal "every cut of $size bytes" "$bad" ""
ok "the whole is whole" moe-cat --check a.moes
head -c $((size - 3)) a.moes | moe-cat -s | moe-cat --check >out 2>err
equal "a cut in the middle of a pipe reaches its end" $? 3
contains "and is named as such" err 'truncated|empty'
moe-cat -s a.moes a.moes | moe-cat -s | moe-cat --json >out 2>err
equal "what is whole passes" "$(grep -ac '"t":"end"' out)" 2

# cuts NAME FILE FROM TO STEP: cut at these bytes it must be refused, and whole it must be read (every byte of all: tests/unit/test_input.c)
cuts() {
	bad=
	cut=$3
	while [ "$cut" -lt "$4" ]; do
		head -c "$cut" "$2" | moe-cat --check >/dev/null 2>err
		[ $? -eq 3 ] || bad="$bad $cut"
		cut=$((cut + $5))
	done
	moe-cat --check "$2" >/dev/null 2>err || bad="$bad whole"
	equal "cuts of $1" "$bad" ""
}
# lost NAME FILE...: joined by cat, these are refused
lost() {
	what=$1
	shift
	cat "$@" | moe-cat --check >out 2>err
	equal "$what is refused" $? 3
	contains "$what: the message has the byte" err 'byte [0-9]+'
}

cp a.moes b.moes
gzip -kn b.moes
gzip -k a.moes # its header holds a name
zstd -q a.moes
one=$(wc -c <b.moes.gz)
cat b.moes.gz a.moes.gz >ba.gz
cuts "the first of two gzip members" ba.gz 0 "$one" 13
cuts "the second of two gzip members" ba.gz $((one + 1)) "$(wc -c <ba.gz)" 1
moe-cat --check ba.gz >out 2>err
contains "two gzip members joined by cat are two segments" out '2 segments'
cat a.moes.zst a.moes.zst >aa.zst
cuts "the second of two zstd frames" aa.zst $(($(wc -c <a.moes.zst) + 1)) "$(wc -c <aa.zst)" 13
lost "a plain stream behind a gzip member" b.moes.gz a.moes
lost "zstd behind a gzip member" b.moes.gz a.moes.zst
(cat b.moes.gz && head -c 3000 /dev/zero) | moe-cat --check >out 2>err
equal "zeros behind a gzip member are padding" $? 0

tar --format=ustar -cf ab.tar a.moes b.moes
each=$((512 + (size + 511) / 512 * 512))
cuts "a tar, around its members' ends" ab.tar $((each - 1)) $((each + 2)) 1
cuts "a tar, around its end" ab.tar $((2 * each - 1)) $((2 * each + 2)) 1
cuts "a tar" ab.tar 0 $((2 * each + 1024)) 97
tar -czf ab.tgz a.moes b.moes
cuts "a tar.gz" ab.tgz 0 "$(wc -c <ab.tgz)" 17
head -c $((2 * each)) ab.tar | gzip | moe-cat --check >out 2>err
equal "a tar cut before it was compressed" $? 3
lost "a tar behind a tar" ab.tar ab.tar
lost "a stream behind a tar" ab.tar a.moes
lost "a tar.gz behind a tar.gz" ab.tgz ab.tgz
done_testing
