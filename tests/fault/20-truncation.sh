#!/bin/sh
# A stream cut at every byte is found to be cut, by moe-cat and in the middle of a pipe; a half-written -o never appears.
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
done_testing
