#!/bin/sh
# Filters of one's own: examples/filters and the recipe of moe-stream(5), on files and in the live loop.
. "$(dirname "$0")/lib.sh"
env=$TOP/examples/new/env.lua
filters=$TOP/examples/filters
PYTHON=
for p in ${MOE_PYTHON-} python3; do
	"$p" -c 'import msgpack' 2>/dev/null && PYTHON=$p && break
done

moe-base -q --new tiny --seed 1 -o base
moe-pin -q -m base --method vanilla -o a0.moes </dev/null
moe-prompts -q -e "$env" -n 8 | moe-rollout -q -m base -a a0.moes --group 4 --per-step 4 --max-new 4 | moe-grade -q -e "$env" -o run.moes

jq_filter() { moe-cat --json -u | jq -c --unbuffered 'if .t == "rollout" then .reward -= 0.01 * .completion_ids.shape[0] else . end' | moe-cat --from-json -u; }

# The loop: two steps, each of which must arrive before the weights of the next can be made.
loop() {
	rm -f weights && mkfifo weights
	moe-prompts -q -e "$env" -n 8 | moe-rollout -q -m base -a a0.moes --follow weights --wait 60 --group 4 --per-step 4 --max-new 4 |
		moe-grade -q -e "$env" | "$@" | moe-train -q -m base -a a0.moes --publish weights -o live.moes 2>train.err
}
rewards() { moe-cat --json "$1" | jq -c 'select(.t == "rollout") | .reward' | tr '\n' ' '; }

jq_filter <run.moes >jq.moes
ok "jq: a stream again" moe-cat -q --check jq.moes
if loop jq_filter; then
	ok "jq in the live loop" true
else
	ok "jq in the live loop" cat train.err
fi
cp live.moes jq.live.moes

printf '%s\n' '{"t":"header","kind":"rollouts","v":[1,0]}' >lines
mkfifo text
moe-cat --from-json -u <text >out.moes &
exec 3>text
cat lines >&3
printf '%s\n' '{"t":"rollout","id":"a"}' >&3
i=0
while [ "$i" -lt 100 ] && ! grep -q rollout out.moes; do
	sleep 0.1
	i=$((i + 1))
done
ok "--from-json -u sends a record at once" grep -q rollout out.moes
exec 3>&-
wait
if [ -z "$PYTHON" ]; then
	skip "moestream.py" "Python's msgpack is not installed"
	done_testing
	exit
fi
py() { PYTHONPATH=$filters "$PYTHON" "$filters/length.py" 0.01; }
py <run.moes >py.moes
ok "Python: a stream again" moe-cat -q --check py.moes
equal "with the rewards that jq gives" "$(rewards py.moes)" "$(rewards jq.moes)"
equal "from names its input" "$(moe-cat --json py.moes | jq -r 'select(.t == "end") | .from[0]')" "$(moe-cat --json run.moes | jq -r 'select(.t == "end") | .sha256')"
cat run.moes run.moes | py >two.moes
ok "two segments are one stream" moe-cat -q --check two.moes
head -c 2000 run.moes | py >cut.moes 2>err
equal "a cut stream is refused" "$? $(grep -o "moestream.Truncated" err)" "1 moestream.Truncated"
moe-cat -q --check cut.moes 2>/dev/null
equal "and what it wrote has no end" "$?" 3
sed 's/gt_only/gt_onlY/' run.moes | py >/dev/null 2>err
equal "a changed byte is noticed" "$? $(grep -o "moestream.Damaged" err)" "1 moestream.Damaged"
if loop py; then
	ok "Python in the live loop" true
else
	ok "Python in the live loop" cat train.err
fi
equal "gives the weights that jq gives" "$(digest live.moes)" "$(digest jq.live.moes)"
done_testing
