#!/bin/sh
# moe-cat --metrics, --completions and --watch, on streams made here and on a run of training.
# shellcheck disable=SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

header() { printf '{"t":"header","kind":"%s","labels":"none","seed":1,"tool":"x","v":[1,1],"argv":[]%s}\n' "$1" "$2"; }
end() { printf '{"t":"end","n":%d,"labels":"none","from":[],"sha256":null}\n' "$1"; }
{
	header metrics ',"method":"logistic","train_seed":3'
	for i in 0 1 2 3; do
		printf '{"t":"metrics","step":%d,"time":%d.0,"reward":0.%d,"kl":null,"num_tokens":%d.0,"completions/mean_length":7.5,"route/keep":0.5,"route/absorb":0.25,"route/route":0.25,"presence/quarantine/min_gate":1.0,"advantages":{"dtype":"F32","shape":[2],"data":{"$bin":"AACAPwAAgL8="}}}\n' $i $((2 * i)) $i $((100 * i))
	done
	end 4
} | moe-cat --from-json -o m.moes 2>/dev/null
{
	header metrics ',"method":"a,\"b\"","train_seed":4'
	printf '{"t":"metrics","step":0,"time":1.0,"loss":2.5}\n'
	end 1
} | moe-cat --from-json -o other.moes 2>/dev/null

# ---- tables ----
ok "a table of two runs" moe-cat --metrics csv m.moes other.moes
equal "its head is all keys" "$(head -1 out)" 'method,train_seed,step,time,completions/mean_length,kl,num_tokens,presence/quarantine/min_gate,reward,route/absorb,route/keep,route/route,loss'
equal "a row a step" "$(sed -n 3p out)" 'logistic,3,1,2,7.5,NaN,100,1,0.10000000000000001,0.25,0.5,0.25,NaN'
equal "a comma and quotes are quoted" "$(sed -n 6p out)" '"a,""b""",4,0,1,NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN,2.5'
ok "lines for W&B" moe-cat --metrics wandb m.moes
equal "are JSON, with step and run" "$(jq -c '[._step, ._runtime, .method, .train_seed, .reward, .kl]' out | sed -n 2p)" '[1,2,"logistic",3,0.1,"NaN"]'
ok "only some steps" moe-cat --metrics csv -w 'step>=2' m.moes
equal "pass a condition" "$(wc -l <out | tr -d ' ')" 3
ok "an event file" moe-cat --metrics tensorboard -o events m.moes
ok "again" moe-cat --metrics tensorboard -o events2 m.moes
same "is the same bytes" events events2
contains "that name the metrics" events 'completions/mean_length'
fails 2 "two runs are no event file" moe-cat --metrics tensorboard -o x m.moes other.moes
contains "but one for each" err 'these are 2: write one for each'
fails 2 "an unknown form" moe-cat --metrics parquet m.moes
contains "is told the forms" err "csv, wandb and tensorboard"
ok "a stream without metrics" sh -c 'printf "{\"id\":\"a\"}\n" | moe-cat -q --from-json -k prompts | moe-cat --metrics csv'
contains "is warned of" err 'no metrics'
head -c 700 m.moes >cut.moes
fails 3 "a stream that is cut off" moe-cat --metrics csv cut.moes
ok "has rows all the same, if that is wanted" moe-cat --metrics csv --allow-truncated cut.moes
printf '{"reward":1}\n' | moe-cat -q --from-json -k metrics -o nostep.moes
fails 3 "a record without its step" moe-cat --metrics csv nostep.moes
contains "is named" err "step"

# ---- completions ----
{
	header rollouts ''
	for i in 0 1 2; do for k in 0 1; do
		printf '{"t":"rollout","id":"p%d#%d","prompt":"<script>alert(%d)</script>","completion":"c\\u001b[31m%d","step":%d,"group":%d,"method":"logistic","train_seed":3,"mode":"exit_code","finish":"%s","reward":%d.5,"rewards":{"passed":%d.0,"format":0.5},"route":{"decision":"%s","score":0.75}}\n' \
			$i $k $i $k $i $i "$([ $k = 0 ] && echo stop || echo length)" $k $k "$([ $k = 0 ] && echo keep || echo route)"
	done; done
	printf '{"t":"rollout","id":"p2#2","prompt":"x","completion":"y","step":2,"group":2,"method":"logistic","train_seed":3}\n'
	end 7
} | moe-cat --from-json -o r.moes 2>/dev/null
ok "completions, metrics first" moe-cat --completions m.moes r.moes
cp out one
ok "metrics last" moe-cat --completions r.moes m.moes
same "are the same" out one
contains "by step" one '^step 1  logistic, seed 3$'
contains "with rewards and advantage" one '    reward +1\.5 = format 0\.5 \+ passed 1   advantage -1\.0000$'
contains "and route" one '    route +route \(score 0\.750\)$'
contains "control characters are escaped" one 'c\\x1b\[31m0'
equal "a step of another size gets no advantages" "$(sed -n '/^step 2/,$p' one | grep -c advantage)" 0
equal "the others do" "$(grep -c advantage one)" 4
contains "which is said" err '3 of 7 rollouts have no advantage'
ok "one of each step" moe-cat --completions -n 1 r.moes m.moes
equal "keeps its advantage" "$(grep -c 'advantage +1' out)" 2
contains "and says what it left out" out '^4 more, left out by -n$'
ok "a condition" moe-cat --completions -w route.decision=route r.moes m.moes
equal "does not shift the advantages" "$(grep -c 'advantage -1' out) $(grep -c 'advantage +1' out)" '2 0'
ok "a page" moe-cat --completions --html r.moes m.moes
equal "no text of a model is a tag in it" "$(grep -c 'script>alert' out) $(grep -c 'u003cscript\\u003ealert(1)' out)" '0 2'
contains "nothing is loaded" out "default-src 'none'"
if command -v chromium >/dev/null; then
	cp out page.html
	# rows in a browser once an input of the page has a value
	rows() { # INPUT VALUE
		sed "s|</body>|<script>field['$1'].value='$2';field['$1'].dispatchEvent(new Event('input'))</script></body>|" page.html >set.html
		timeout 100 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$T/chromium" --dump-dom "file://$T/set.html" 2>/dev/null >dom
		grep -o '<tr title="[^"]*"' dom | cut -d'"' -f2 | tr '\n' ' '
	}
	equal "in a browser: reward" "$(rows r0 1)" 'p0#1 p1#1 p2#1 '
	equal "step" "$(rows s1 0)" 'p0#0 p0#1 '
	equal "route" "$(rows decision route)" 'p0#1 p1#1 p2#1 '
	equal "advantage" "$(rows adv 'below 0')" 'p0#1 p1#1 '
	equal "no advantage" "$(rows adv 'not trained')" 'p2#0 p2#1 p2#2 '
	equal "text" "$(rows text 'ALERT(1)')" 'p1#0 p1#1 '
	contains "how many are left" dom '>2 of 7 rollouts<'
	equal "nothing of a model runs or is a tag" "$(grep -o '&lt;script&gt;alert' dom | wc -l | tr -d ' ') $(grep -c '<script>alert' dom)" '2 0'
else
	skip "the page in a browser" "no chromium"
fi
fails 2 "--html alone" moe-cat --html r.moes
ok "no rollouts" moe-cat --completions m.moes
equal "is said" "$(cat out)" 'no rollout'

# ---- watching ----
fails 2 "nothing to watch" moe-cat --watch
ok "runs that have ended" timeout 20 moe-cat --watch -n 4 m.moes other.moes
contains "a line each" out '^m: step 4/4, reward 0\.300, length 7\.5, kl -, keep/absorb/route 0\.50/0\.25/0\.25, quarantine 1\.00, 50 tokens/s, ended$'
contains "a pretraining has a loss" out '^other: step 1, loss 2\.5000, ended$'
contains "and a line for all" out '^\[0:0[0-9]\] 2 of 2 runs ended, 0 under way$'
mkdir -p run/late.1
timeout 60 moe-cat --watch -n 8 run/late.1/metrics.moes >watched &
sleep 1
cp cut.moes run/late.1/metrics.moes
sleep 3
cp m.moes run/late.1/metrics.moes
wait $!
equal "a run that was not there yet is waited for" "$?" 0
contains "by the name of its folder" watched '^late\.1: step 4/8, .*, ended$'
fails 3 "what is no stream" sh -c 'echo nonsense >n.moes; moe-cat --watch n.moes'
if command -v script >/dev/null && script -qec true /dev/null >/dev/null 2>&1; then
	TERM=xterm script -qec 'stty cols 90 rows 10; timeout 20 moe-cat --watch -n 8 m.moes' /dev/null >shown </dev/null
	contains "a terminal gets a table" shown 'run  .*step  .*reward'
	contains "with a sparkline" shown '▁▃▆█'
	LC_ALL=C NO_COLOR=1 TERM=xterm script -qec 'stty cols 40 rows 10; timeout 20 moe-cat --watch -n 8 m.moes' /dev/null >shown </dev/null
	equal "cut to its width" "$(sed 's/\x1b\[[0-9]*[A-Za-z]//g' shown | tr -d '\r' | awk '{ if (length($0) > n) n = length($0) } END { print n }')" 40
else
	skip "a terminal gets a table" "no script(1)"
fi

# ---- a run of training ----
env=$T/env.lua
pays_by_length "$env" 'function env.grade(task, completion) return { length = #completion * 7 % 4, odd = #completion % 2 } end'
moe-base -q --new tiny -o base && moe-pin -q -m base --method vanilla -o a0.moes </dev/null
moe-prompts -q -e "$env" --split train --modes run_tests -n 8 --seed 5 | moe-rollout -q -m base -a a0.moes --group 4 --per-step 4 --max-new 12 |
	moe-grade -q -e "$env" -o t.moes
ok "trains" moe-train -q -m base -a a0.moes --metrics t.m.moes -o a1.moes t.moes
moe-cat --json t.m.moes | grep '"t":"metrics"' >t.json
equal "the parts' shares of the variance sum to 1" "$(jq -c '(."rewards/length/variance_share" + ."rewards/odd/variance_share" - 1) | . < 1e-9 and . > -1e-9' t.json | uniq)" true
equal "the ratio is measured raw" "$(jq -c '."ratio/min" <= ."ratio/mean" and ."ratio/mean" <= ."ratio/max" and ."ratio/std" >= 0' t.json | uniq)" true
equal "on policy it is 1" "$(jq -c 'select(.step == 0) | [."ratio/min", ."ratio/max"]' t.json)" '[1,1]'
equal "decisions that nobody took are not measured" "$(jq -c '."route/absorb"' t.json | uniq)" null
equal "groups are counted" "$(jq -c '."groups/count"' t.json | uniq)" 4
moe-cat --completions t.moes t.m.moes >c
equal "every rollout has its advantage" "$(grep -c advantage c)" 32
equal "which sum to 0 in a step without a split baseline" "$(awk '/^step/ { s[++n] = 0 } /advantage/ { s[n] += $NF } END { for (i in s) bad += s[i] > 1e-3 || s[i] < -1e-3; print bad + 0 }' c)" 0
done_testing
