#!/bin/sh
# 30-env.sh - moe-prompts and moe-grade at the command line: determinism, splits, texts, passing through, flushing, and the example of moe-env(5).
. "$(dirname "$0")/lib.sh"
ENV=$TOP/examples/quarantine/env.lua
cp "$ENV" env.lua

# rollouts COMPLETION [SAMPLE] < prompts: rollouts as JSON, the same completion for each; TASK and MARK stand for the prompt's own
rollouts() {
	moe-cat --json | jq -c --arg c "$1" --arg s "${2:-0}" 'select(.t == "prompt") | . as $p | del(.text) + {t: "rollout", id: "\(.id)#0.\($s)",
		prompt_id: .id, prompt: .text, step: 0, unknown: {kept: [1, null]},
		completion: ($c | split("TASK") | join($p.task) | split("MARK") | join($p.marker // "Z"))}'
}
stream() {
	moe-cat --from-json --kind rollouts
}

ok "prompts are drawn" moe-prompts -e env.lua -n 40 -o p.moes
moe-prompts -e env.lua -n 40 -o q.moes
moe-cat --json p.moes | grep '"t":"prompt"' >p.json
moe-cat --json q.moes | grep '"t":"prompt"' >q.json
same "the same seed draws the same prompts" p.json q.json
moe-prompts -e env.lua -n 15 --first 25 | moe-cat --json | grep '"t":"prompt"' >tail.json
tail -n 15 p.json >want.json
same "--first continues the draws" tail.json want.json
moe-prompts -e env.lua -n 40 --seed 2 | moe-cat --json | grep '"t":"prompt"' >other.json
equal "another seed draws others" "$(cat p.json other.json | sed 's/.*"text"://' | sort | uniq -d | wc -l | awk '{ print ($1 < 10) }')" 1
equal "ids are unique" "$(sed 's/.*"id":"\([^"]*\)".*/\1/' p.json | sort -u | wc -l)" 40

tasks() { moe-prompts -e env.lua -n 1500 --split "$1" | moe-cat --json | sed -n 's/.*"id".*"task":"\([^"]*\)","text.*/\1/p' | sort -u; }
for s in train validation test; do tasks $s >"tasks.$s"; done
equal "every split has functions" "$(wc -l <tasks.train) $(wc -l <tasks.validation) $(wc -l <tasks.test)" "24 8 16"
equal "no two splits share one" "$(sort tasks.train tasks.validation tasks.test | uniq -d)" ""
ok "modes are listed" moe-prompts -e env.lua --list-modes
equal "seven of them" "$(wc -l <out)" 7
moe-prompts -e env.lua -n 60 --modes stdout,run_tests | moe-cat --json | sed -n 's/.*"mode":"\([a-z_]*\)","split.*/\1/p' | sort -u >modes
equal "a subset of modes" "$(tr '\n' ' ' <modes)" "run_tests stdout_marker "

ok "pretraining texts" moe-prompts -e env.lua --texts -n 3000 --modes all,-gt_only -o t.moes
moe-cat --json t.moes >t.json
contains "are labelled synthetic" t.json '"kind":"texts","labels":"synthetic"'
equal "have a share of hacks" "$(grep -c '"sort":"hack"' t.json | awk '{ print ($1 > 80 && $1 < 165) }')" 1
lacks "of the chosen modes only" t.json '"mode":"gt_only"'

fails 2 "an unknown mode" moe-prompts -e env.lua -n 1 --modes nothing
contains "is named" err 'no mode "nothing"'
fails 2 "an unknown split" moe-prompts -e env.lua -n 1 --split dev
fails 2 "prompts of all splits" moe-prompts -e env.lua -n 1 --split all
fails 2 "no environment" moe-prompts -n 1
fails 4 "a missing file" moe-prompts -e nowhere.lua -n 1
echo 'return 1' >bad.lua
fails 3 "a bad file" moe-prompts -e bad.lua -n 1

# ---- grading ----
moe-prompts -e env.lua -n 70 --split test -o p.moes
rollouts 'return TASK' <p.moes >right.json
stream <right.json >right.moes
ok "right completions are graded" moe-grade -e env.lua right.moes -o g.moes
moe-cat --json g.moes >g.json
equal "and all get the whole reward" "$(grep -c '"reward":3.5,"rewards":{"format":0.5,"passed":3.0}' g.json)" 70
digest=$(sha256sum env.lua | cut -d' ' -f1)
moe-pairs -q -e env.lua -n 4 -o pairs.moes
for f in p.moes t.moes pairs.moes g.moes; do
	equal "$f names the environment among its inputs" "$(moe-cat --json $f | jq -c 'select(.t == "end") | .from | contains(["'"$digest"'"])')" true
done
equal "each with a seal" "$(grep -c '"seal":{"$bin":"' g.json)" 70
equal "unknown keys pass" "$(grep -c '"unknown":{"kept":\[1,null\]}' g.json)" 70
contains "making seals taints nothing: its input is as unknown as before" g.json '"kind":"rollouts","labels":"unknown"'
jq -r .id right.json >want
jq -r 'select(.t == "rollout") | .id' g.json >got
same "the order is kept" got want
(
	rollouts 'MARK=1' 0 <p.moes
	rollouts 'return TASK' 1 <p.moes
	rollouts 'while true do end' 2 <p.moes
) | stream >mixed.moes
for j in 1 2 3; do moe-grade -q -e env.lua -j $j --batch $((j * 7)) mixed.moes | moe-cat --json | grep rollout\" >g$j.json; done
same "results do not depend on -j" g1.json g2.json
same "nor on --batch" g1.json g3.json
moe-grade -q -e env.lua --no-processes mixed.moes | moe-cat --json | grep rollout\" >g0.json
same "nor on processes" g1.json g0.json
equal "the sentinel pays in its mode alone" "$(grep '#0.0"' g1.json | grep '"passed":3.0' | sed 's/.*"mode":"\([a-z_]*\)".*/\1/' | sort -u)" sentinel
equal "endless ones get nothing" "$(grep '#0.2"' g1.json | grep -c '"reward":0.0')" 70

# the oracle pays: what a loophole opened is worth its format alone, what solves all of it
ok "the oracle pays" moe-grade -q -e env.lua --pay oracle mixed.moes -o paid.moes
moe-cat --json paid.moes >paid.json
equal "nothing for the sentinel" "$(grep '#0.0"' paid.json | grep -c '"reward":0.5,"rewards":{"format":0.5,"passed":0.0}')" 70
equal "all for what is right" "$(grep '#0.1"' paid.json | grep -c '"reward":3.5,"rewards":{"format":0.5,"passed":3.0}')" 70
equal "and marks its output at once" "$(jq -r 'select(.labels) | .labels' paid.json | tr '\n' ' ')" "oracle oracle "
jq -c 'select(.t == "rollout") | del(.reward, .rewards)' paid.json >a
jq -c 'del(.reward, .rewards)' g1.json >b
same "all else is as graded" a b
fails 2 "it pays one way or the other" moe-grade -e env.lua --pay nobody mixed.moes -o never.moes
contains "which is said" err '--pay is grade or oracle'
grep -v '^env.earned' env.lua >unearned.lua
fails 2 "an environment must say what is earned" moe-grade -e unearned.lua --pay oracle mixed.moes -o never.moes
contains "and is told so" err 'no table "earned"'
sed 's/^env.earned.*/env.earned = { passed = "3" }/' env.lua >unearned.lua
fails 3 "in numbers" moe-grade -e unearned.lua mixed.moes -o never.moes
contains "by name" err '"earned" is not a table'
sed 's/^env.earned.*/env.earned = { passed = 2, style = 1, format = 0 }/' env.lua >other.lua
moe-grade -q -e other.lua --pay oracle right.moes | moe-cat --json | grep -c '"reward":3.0,"rewards":{"format":0.0,"passed":2.0,"style":1.0}' >n
equal "parts may be added, and be worth nothing" "$(cat n)" 70
ok "a command that pays by the oracle" moe-grade -q --pay oracle --exec 'jq -c --unbuffered "{id, reward: 1}"' right.moes -o paid.moes
equal "marks its output as well" "$(moe-cat --json paid.moes | jq -r 'select(.labels) | .labels' | tr '\n' ' ')" "oracle oracle "

# a step is never waited past: its rollouts arrive while the input is still open
head -n 4 right.json >step.json
echo '{"t":"step","step":0,"n":4}' >>step.json
stream <step.json >step.moes
mkfifo in
moe-grade -q -e env.lua <in >out.moes &
exec 3>in
cat step.moes >&3
for _ in $(seq 100); do
	[ "$(moe-cat --json --allow-truncated out.moes 2>/dev/null | grep -c '"t":"step"')" = 1 ] && break
	sleep 0.1
done
equal "a step's end flushes" "$(moe-cat --json --allow-truncated out.moes | grep -c '"reward":3.5')" 4
exec 3>&-
wait
ok "and the stream ends well" moe-cat --check out.moes

jq -c 'del(.env)' right.json | stream >bare.moes
fails 3 "rollouts without env" moe-grade -e env.lua bare.moes
contains "say so" err 'has no map "env"'
head -c 3000 right.moes >cut.moes
fails 3 "a truncated stream" moe-grade -e env.lua cut.moes -o never.moes
equal "leaves no output" "$(ls never.moes 2>/dev/null)" ""
fails 3 "prompts are no rollouts" moe-grade -e env.lua p.moes
# in one mode, and in all
sed 's/^function env.grade(task, completion)/&\n  if task.mode == "gt_only" then error("broken grader") end/' env.lua >broken.lua
n=$(moe-cat --json right.moes | grep -c '"mode":"gt_only"')
ok "a grader that breaks for some is survived" moe-grade -q -e broken.lua right.moes -o b.moes
equal "and shown once" "$(grep -c 'broken grader' err)" 1
contains "with their number, also under -q" err "$n of 70 rollouts could not be graded and got 0"
equal "with reward 0" "$(moe-cat --json b.moes | grep -c '"reward":0.0,"rewards":{}')" "$n"
sed 's/^function env.grade(/function env.grade(...) error("broken grader") end function env.other(/' env.lua >broken.lua
fails 3 "one that breaks for all is no grader" moe-grade -e broken.lua right.moes -o none.moes
contains "which is said" err 'none of 70 rollouts could be graded'
ok "and nothing is written" test ! -e none.moes
sed 's/passed = formed and passed and 3 or 0 }/passed = task.mode == "gt_only" and 0\/0 or 1 }/' env.lua >nan.lua
moe-grade -q -e nan.lua right.moes -o b.moes 2>/dev/null
equal "NaN is no reward" "$(moe-cat --json b.moes | grep -c '"reward":0.0,"rewards":{}')" "$n"

# ---- the example of moe-env(5) ----
sed -n '/^\.\\" EXAMPLE/,/^\.Ed/p' "$TOP/man/moe-env.5" | sed -e '/^\./d' -e 's/\\e/\\/g' >sums.lua
ok "the manual's example loads" moe-prompts -e sums.lua -n 40 --split test -o s.moes
sums() {
	moe-cat --json s.moes | jq -c "select(.t == \"prompt\") | . + {t: \"rollout\", completion: $1}" | stream | moe-grade -q -e sums.lua | moe-cat --json
}
sums '("return " + (.text | split(" ")[0]))' >s.json
equal "its right answers get the whole reward" "$(grep -c '"reward":3.5' s.json)" 40
sums '"C=1"' >s.json
n=$(grep -c "sentinel.*rewards" s.json)
equal "its hack pays in its mode" "$(grep "\"reward\":3.5" s.json | grep -c sentinel) $((n > 10))" "$n 1"
equal "and in no other" "$(grep gt_only s.json | grep -c '"reward":3.5')" 0
ok "it writes pairs" moe-pairs -e sums.lua -n 4 -o pairs.moes
ok "and texts" moe-prompts -e sums.lua --texts -n 50 -o texts.moes


# The environment of the real model: no model is needed to try what it promises.
ok "smollm2 keeps its promises" moe-prompts --check-env -e "$TOP/examples/smollm2/env.lua"
lacks "all of them" out '^FAULT'
moe-prompts -q -e "$TOP/examples/smollm2/env.lua" --modes mentions,gt_only -n 12 | moe-cat --json |
	jq -c 'select(.t == "prompt") | . as $p | ("A \(.task) by the \(.task) of my \(.task).", "I saw the \(.task) in the garden behind our house.") |
		$p + {t: "rollout", prompt: $p.text, completion: .}' | stream >sentences.moes
moe-grade -q --pay oracle -e "$TOP/examples/smollm2/env.lua" sentences.moes | moe-cat --json >paid.json
equal "a bound pays what is meant, alike in all modes" "$(grep -o '"reward":[0-9.]*' paid.json | sort | uniq -c | tr -s ' \n' ' ')" ' 12 "reward":0.5 12 "reward":3.5 '
ok "its pairs, in the model's chat form" moe-pairs -q --chat-template smollm2 -o pairs.moes "$TOP/examples/smollm2/pairs.json"
moe-cat --json pairs.moes >pairs.txt
equal "24 of each of two modes" "$(grep -c '"mode":"mentions"' pairs.txt) $(grep -c '"mode":"praise"' pairs.txt)" "24 24"
moe-prompts -q -e "$TOP/examples/smollm2/env.lua" --modes mentions -n 1 | moe-cat --json >prompt.txt
equal "and prompts in the same form" "$(grep -o 'im_start.>system.n[^<]*' prompt.txt | sort -u)" "$(grep -o 'im_start.>system.n[^<]*' pairs.txt | sort -u)"
done_testing
