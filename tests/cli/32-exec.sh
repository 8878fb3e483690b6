#!/bin/sh
# 32-exec.sh - moe-grade --exec: answers, order, misbehaviour of every kind, the box.
. "$(dirname "$0")/lib.sh"

mkdir tmp
TMPDIR=$T/tmp
export TMPDIR

# rollouts with these completions, one each
rollouts() {
	_i=0
	for _c in "$@"; do
		_i=$((_i + 1))
		printf '{"t":"rollout","id":"r%d#0.0","prompt_id":"r%d","prompt":"?","completion":"%s","step":0,"arm":"on","mode":"exit_code","env":{"k":[1,2]},"seal":{"$bin":"AAAA"},"reward":9}\n' $_i $_i "$_c"
	done
	echo '{"t":"step","step":0,"n":1}'
}
stream() { moe-cat --from-json --kind rollouts; }
recs() { moe-cat --json "$1" | grep '"t":"rollout"'; }

cat >g.sh <<'EOF'
while IFS= read -r line; do
	id=$(printf '%s' "$line" | sed 's/.*"id":"\([^"]*\)".*/\1/')
	case $line in
	*'"seal"'* | *'"reward"'*) exit 9 ;;
	*'"completion":"good"'*) echo "{\"id\":\"$id\",\"rewards\":{\"a\":1,\"b\":0.5},\"findings\":{\"solved\":true,\"hacked\":false,\"more\":[1,2]}}" ;;
	*'"completion":"hack"'*) echo "{\"id\":\"$id\",\"reward\":3,\"findings\":{\"solved\":false,\"hacked\":true}}" ;;
	*'"completion":"slow"'*) sleep 0.4; echo "{\"id\":\"$id\",\"reward\":1}" ;;
	*'"completion":"sleep"'*) sleep 6160 ;;
	*'"completion":"orphan"'*) sleep 6161 & sleep 6162 ;;
	*'"completion":"die"'*) echo "these are my last words" >&2; exit 3 ;;
	*'"completion":"kill"'*) kill -9 $$ ;;
	*'"completion":"nonsense"'*) echo '{{{' ;;
	*'"completion":"two"'*) printf '{}\n{}\n' ;;
	*'"completion":"late"'*) printf '{"id":"%s","reward":1}\njunk\n' "$id" ;; # one write: both lines arrive together
	*'"completion":"long"'*) head -c 3000000 /dev/zero | tr '\0' x; echo ;;
	*'"completion":"other"'*) echo '{"id":"r1#0.0","reward":1}' ;;
	*'"completion":"nan"'*) echo "{\"id\":\"$id\",\"reward\":NaN}" ;;
	*'"completion":"none"'*) echo "{\"id\":\"$id\"}" ;;
	*'"completion":"maybe"'*) echo "{\"id\":\"$id\",\"reward\":1,\"findings\":{\"solved\":\"yes\"}}" ;;
	*) echo "{\"id\":\"$id\",\"reward\":0}" ;;
	esac
done
EOF
rollouts good hack x good | stream >r.moes
ok "a grader of one's own" moe-grade --exec 'sh g.sh' r.moes -o g.moes
recs g.moes >g.json
contains "rewards by part and their sum" g.json '"id":"r1#0.0".*"reward":1.5,"rewards":\{"a":1.0,"b":0.5\}'
contains "a single number" g.json '"id":"r2#0.0".*"reward":3.0'
lacks "findings are not visible" g.json 'solved|hacked|more'
equal "every rollout has a seal, and not the old one" "$(grep -c '"seal":{"$bin":' g.json) $(grep -c '"AAAA"' g.json)" "4 0"
equal "the mechanism is the prompt's mode" "$(sed -n 's/.*"id":"r2#0.0".*"$bin":"\([^"]*\)".*/\1/p' g.json | base64 -d | grep -c exit_code)" 1
equal "the step record comes last" "$(moe-cat --json g.moes | sed -n 's/.*"t":"\(rollout\|step\)".*/\1/p' | tail -1)" step
equal "the order is kept" "$(sed 's/.*"id":"\([^"]*\)".*/\1/' g.json | tr '\n' ' ')" "r1#0.0 r2#0.0 r3#0.0 r4#0.0 "

rollouts slow good slow hack good slow good | stream >o.moes
moe-grade -q -j 3 --exec 'sh g.sh' o.moes -o o3.moes
moe-grade -q -j 1 --exec 'sh g.sh' o.moes -o o1.moes
recs o3.moes >o3.json
recs o1.moes >o1.json
same "several workers keep the order and give the same" o1.json o3.json

rollouts good sleep die nonsense two kill late long other nan none maybe orphan hack good | stream >bad.moes
for box in bwrap namespaces limits; do
	if ! moe-grade -q --exec true --exec-box $box -o e.moes </dev/null 2>err && grep -q 'does not work' err; then
		skip "misbehaviour in a box of $box" "not on this machine"
		continue
	fi
	ok "misbehaviour is survived ($box)" moe-grade -j 2 --exec 'sh g.sh' --exec-wall 3 --exec-box $box bad.moes -o b.moes
	recs b.moes >b.json
	equal "every rollout is there" "$(wc -l <b.json)" 15
	equal "the good ones are graded" "$(grep -c '"reward":1.5' b.json) $(grep -c '"reward":3.0' b.json)" "2 1"
	equal "the others get 0" "$(grep -c '"reward":0.0,"rewards":{}' b.json)" 12
	contains "the lateness is counted" err '2 ran for too long, 2 ended'
	contains "the first trouble is told" err 'r[0-9]+#0.0'
	sleep 1
	equal "nothing is left running" "$(ps ax 2>/dev/null | grep -c '[s]leep 616[012]')" 0
done
equal "no temporary directory is left" "$(ls "$TMPDIR")" ""

cat >once.sh <<'EOF'
read -r line
id=$(printf '%s' "$line" | sed 's/.*"id":"\([^"]*\)".*/\1/')
case $line in *die*) echo no; exit 1 ;; *sleep*) sleep 6160 ;; esac
printf '{"id":"%s",\n "reward":%s}\n' "$id" "$$"
EOF
rollouts x x die sleep x | stream >r1.moes
ok "a process for each rollout" moe-grade --exec-once --exec 'sh once.sh' --exec-wall 3 --exec-box limits r1.moes -o w.moes
recs w.moes >w.json
equal "answers of several lines are read" "$(sed -n 's/.*"reward":\([0-9.]*\).*/\1/p' w.json | sort -u | wc -l)" 4

cat >look.sh <<'EOF'
while IFS= read -r line; do
	id=$(printf '%s' "$line" | sed 's/.*"id":"\([^"]*\)".*/\1/')
	n=0
	[ "$PWD" = "$START" ] && n=$((n + 1))
	[ -z "$SECRET" ] && n=$((n + 2))
	echo x >"$TMPDIR/file" && [ "$HOME" = "$TMPDIR" ] && n=$((n + 4))
	(echo x >"$START/escaped") 2>/dev/null || n=$((n + 8))
	[ "$(grep -c : /proc/net/dev)" -le 1 ] && n=$((n + 16))
	[ "$(awk '/^CapEff/ { print $2 }' /proc/self/status)" = 0000000000000000 ] && n=$((n + 32))
	[ ! -e /proc/self/fd/9 ] && n=$((n + 64))
	echo "{\"id\":\"$id\",\"reward\":$n}"
done
EOF
rollouts x | stream >x.moes
SECRET=1 START=$PWD
export SECRET START
if moe-grade -q --exec 'sh look.sh' --exec-env START --exec-box namespaces x.moes -o y.moes 2>err 9<g.sh; then
	recs y.moes >y.json
	contains "the box: the caller's folder, a clean environment, its own TMPDIR, read-only files, no network, no capabilities, no descriptors" y.json '"reward":127.0'
	moe-grade -q --exec 'sh look.sh' --exec-env START --exec-writable --exec-box namespaces x.moes -o y.moes
	recs y.moes >y.json
	contains "--exec-writable leaves the files" y.json '"reward":119.0'
else
	skip "the box" "name spaces do not work on this machine: $(head -c 200 err)"
fi
moe-grade -q --exec 'sh look.sh' --exec-env START --exec-box limits x.moes -o y.moes 9<g.sh
recs y.moes >y.json
equal "limits only: still a clean environment, TMPDIR and descriptors" "$(sed 's/.*"reward":\([0-9]*\).*/\1/' y.json | awk '{ print int($1 / 64) % 2, int($1 / 4) % 2, int($1 / 2) % 2, $1 % 2 }')" "1 1 1 1"

# limits of the processes
echo 'read -r l; printf "{\"id\":\"r1#0.0\",\"reward\":%s}\n" "$(ulimit -v)"' >lim.sh
moe-grade -q --exec 'sh lim.sh' --exec-once --exec-memory 512M x.moes -o y.moes
recs y.moes >y.json
contains "address space" y.json '"reward":524288.0'
echo 'read -r l; case $l in *"r1#0.0"*) while :; do :; done ;; esac; echo "$l" | jq -c "{id: .id, reward: 1}"' >spin.sh
ok "CPU time" moe-grade --exec 'sh spin.sh' --exec-once --exec-cpu 1 --exec-wall 30 r.moes -o y.moes
contains "ends a process that spins" err '0 ran for too long, 1 ended'

fails 3 "nor is a grader that answers nothing in time" moe-grade -q --exec 'echo slow >&2; sleep 9' --exec-wall 1 x.moes -o z.moes
contains "taken for one that pays 0: its words and a hint" err 'took too long; its last words: slow.*flush'
fails 3 "a command that is not there" moe-grade -q --exec nosuchcommand x.moes -o z.moes
contains "is named as the shell names it" err 'nosuchcommand'
TMPDIR=/nonexistent/dir
export TMPDIR
fails 4 "a TMPDIR that is gone" moe-grade -q --exec 'sh spin.sh' r.moes -o z.moes
contains "is what is wrong, and not the box" err '/nonexistent/dir .TMPDIR'
unset TMPDIR
fails 3 "a command that never answers" moe-grade --exec 'echo sorry >&2; exit 1' bad.moes -o z.moes
contains "is given up with its last words" err 'without an answer; its last words: sorry'
fails 3 "a command whose answers are none" moe-grade --exec 'echo hello' --exec-once r.moes -o z2.moes
contains "which is said" err 'none of [0-9]* rollouts could be graded'
ok "and nothing is written" test ! -e z2.moes
fails 2 "a box that is not known" moe-grade --exec true --exec-box steel r.moes
fails 2 "environment and command at once" moe-grade -e "$TOP/examples/quarantine/env.lua" --exec true r.moes
contains "is not a lack of one" err 'not both'
fails 2 "neither" moe-grade r.moes
done_testing
