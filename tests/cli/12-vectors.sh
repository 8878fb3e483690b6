#!/bin/sh
# The vectors of formats/stream.md: those in passed/ are read, and come back from JSON; those in failed/ are refused with status 3.
. "$(dirname "$0")/lib.sh"

V=$TOP/formats/vectors
for f in "$V"/passed/*.moes; do
	n=${f##*/}
	ok "$n is accepted" moe-cat --check "$f"
	moe-cat -s "$f" >copy 2>err
	case $n in *_c.moes) same "$n: a copy is the same" "$f" copy ;; esac
	ok "$n: a copy is accepted" moe-cat --check copy
	moe-cat --json "$f" >json && moe-cat --from-json json >back
	same "$n: JSON and back" copy back
	jq -c . <json >/dev/null 2>err
	equal "$n: its JSON is JSON" $? 0
done
for f in "$V"/failed/*.moes; do
	n=${f##*/}
	fails 3 "$n is refused" moe-cat --check "$f"
	contains "$n: with a sentence that names it" err "$n: .*[a-z]"
	case $n in tensor_*) continue ;; esac # who only looks does not put tensors together
	[ -n "${MOE_SAN-}" ] && continue # sanitizers need address space of their own
	# shellcheck disable=SC3045 # dash has it
	(ulimit -v 400000 && exec moe-cat --json "$f" >/dev/null 2>&1)
	equal "$n: also in little memory" $? 3
done
# what can not be read must not be written either
moe-cat --json "$V/passed/two_records_c.moes" >good.jsonl
for change in 's/"v":\[1,0\]/"v":[2,0]/' 's/"kind":"rollouts"/"kind":""/' 's/"labels":"none"/"labels":"secret"/' '$s/"labels":"none"/"labels":"secret"/' 's/"v":\[1,0\]/"v":1/'; do
	sed "$change" good.jsonl >bad.jsonl
	fails 3 "--from-json after $change" moe-cat --from-json bad.jsonl
done
if command -v perl >/dev/null && perl -MDigest::SHA -e 1 2>/dev/null; then
	mkdir again
	perl "$V/make.pl" again
	equal "the vectors are what make.pl makes" "$(cd again && for d in passed failed; do for f in $d/*; do cmp "$f" "$V/$f" 2>&1; done; done; ls passed failed | wc -l)" "$(ls "$V/passed" "$V/failed" | wc -l)"
else
	skip "make.pl" "no Perl with Digest::SHA"
fi
done_testing
