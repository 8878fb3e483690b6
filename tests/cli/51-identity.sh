#!/bin/sh
# 51-identity.sh - whose rollouts train an adapter: what moe-train refuses, what it warns of with numbers, and what the lineage and the report say.
# shellcheck disable=SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

tiny_world 12
moe-pin -q -m base --seed 3 -o a0.moes pins.moes
moe-pin -q -m base --seed 4 -o b0.moes pins.moes
moe-pin -q -m base --method vanilla -o v0.moes pins.moes
trained() { moe-cat --json "$1" | jq -c 'select(.t == "layout") | .lineage.trained' | head -1; }
train() { moe-train -m base -q "$@"; }
loop() { # ADAPTER NAME PROMPTS [OPTION...] (of moe-rollout)
	a=$1 n=$2 p=$3
	shift 3
	mkfifo "$n.fifo"
	moe-prompts -q -e "$env" --split train --modes run_tests,exit_code -n "$p" --seed 5 |
		timeout 100 moe-rollout -q -m base -a "$a" --follow "$n.fifo" --group 4 --per-step 4 --max-new 8 --seed 5 -j 1 "$@" |
		moe-grade -q -e "$env" -j 1 | moe-route -q -m base -a "$a" --seed 5 -j 1 | tee "$n.run.moes" |
		timeout 100 moe-train -q -m base -a "$a" --publish "$n.fifo" -j 1 -o "$n.moes"
}
edit() { # FILE JQ
	moe-cat --json "$1" | jq -c "$2" | moe-cat --from-json
}

# ---- the honest run ----
ok 'an honest run on policy' loop a0.moes on 12
lacks 'is not warned of' err warning
equal 'its lineage says that it was on policy, and who routed' "$(trained on.moes)" '{"by_itself":48,"rollouts":48,"routes":{"logistic":48}}'
ok 'a replay' train -a a0.moes -o replay.moes on.run.moes
lacks 'neither' err warning
equal 'says the same' "$(trained replay.moes)" "$(trained on.moes)"
ok 'one step behind' loop a0.moes lag 12 --lag 1
lacks 'is not warned of either' err warning
equal 'but counted' "$(trained lag.moes)" '{"by_itself":16,"by_last":32,"rollouts":48,"routes":{"logistic":48}}'
ok 'other options on the command line (--plan) are the same adapter' train -a a0.moes --plan sample.clean=1 -o x.moes on.run.moes
lacks 'at least at the start' err 'step 0'

# ---- sampled by another ----
ok 'rollouts of another seed train' train -a b0.moes -o x.moes on.run.moes
contains 'with a warning that has numbers' err 'step 0: 16 of 16 rollouts were sampled by another adapter'
contains 'and the sum of them' err '48 of 48 rollouts were not sampled by the adapter that they trained'
equal 'which the lineage keeps' "$(trained x.moes)" '{"by_other":48,"rollouts":48,"routes":{"logistic":48}}'
moe-prompts -q -e "$env" --split train --modes run_tests -n 16 --seed 6 >p16.moes
sampled() { # ADAPTER-OPTIONS...
	moe-rollout -q -m base "$@" --group 4 --per-step 4 --max-new 8 p16.moes | moe-grade -q -e "$env" | moe-route -q -m base -a a0.moes
}
sampled -a a0.moes >still.moes
ok 'a sampler that did not follow' train -a a0.moes -o x.moes still.moes
contains 'is told' err 'step 2: 16 of 16 rollouts were sampled by this adapter as it was several steps ago \(is moe-rollout --follow missing\?\)'
sampled >plain.moes
ok 'the plain base' train -a a0.moes -o x.moes plain.moes
contains 'is told apart' err 'step 0: 16 of 16 rollouts were sampled by the plain base'
edit on.run.moes 'del(.policy)' >nobody.moes
ok 'rollouts that do not say who sampled them' train -a a0.moes -o x.moes nobody.moes
equal 'are counted' "$(trained x.moes | jq -c .by_unknown)" 48
moe-base -q --new tiny --seed 2 -o base2 2>err || cat err
moe-pin -q -m base2 --seed 3 -o c0.moes pins.moes
fails 3 'rollouts of another base' train -m base2 -a c0.moes -o no.moes on.run.moes
contains 'are refused with the two digests' err 'step 0: 16 of 16 rollouts were sampled with another base \([0-9a-f]{12}, not [0-9a-f]{12}\)'
equal 'and nothing is written' "$(ls no.moes 2>/dev/null)" ''
ok 'unless any base will do' train -m base2 -a c0.moes --any-base -o x.moes on.run.moes

fails 3 'moe-route refuses them too' moe-route -q -m base2 -a c0.moes -o no.moes on.run.moes
contains 'in the same words' err 'was sampled with another base'

# ---- routed by another ----
edit on.run.moes 'if .route then .route.method = "mine" else . end' >mine.moes
ok 'a router of the user'"'"'s own' train -a a0.moes --metrics mine.m.moes -o mine1.moes mine.moes
contains 'is warned of' err "step 0: 16 of 16 rollouts were routed by 'mine', and the adapter's method is 'logistic'"
equal 'its name is the adapter'"'"'s' "$(moe-cat --json mine1.moes | jq -r 'select(.t == "layout") | [.method, .decided_by] | join(" ")')" 'logistic mine'
equal 'and its rollouts'"'"'' "$(moe-rollout -q -m base -a mine1.moes --max-new 2 p16.moes | moe-cat --json | jq -r 'select(.method) | .method' | sort -u)" mine
moe-rollout -q -m base -a mine1.moes --group 2 --max-new 4 p16.moes | moe-grade -q -e "$env" -o mine.eval.moes
moe-report mine.eval.moes mine.m.moes --run mine.moes >mine.txt 2>err
contains 'and the report'"'"'s' mine.txt 'mine, seed 1'
lacks 'where the row of the table has no part' mine.txt 'logistic'
edit on.run.moes 'if .route and .step > 0 then .route.method = "mine" else . end' >both.moes
ok 'two routers' train -a a0.moes -o x.moes both.moes
equal 'are both in the name' "$(moe-cat --json x.moes | jq -r 'select(.t == "layout") | .decided_by')" logistic+mine
edit on.run.moes 'if .route then .route.method = "it'"'"'s \u001b[31m" else . end' >evil.moes
ok 'a name that a terminal would obey' train -a a0.moes -o x.moes evil.moes
contains 'is not obeyed' err "routed by 'it_s__"
edit on.run.moes 'if .route then .route |= del(.method) else . end' >unnamed.moes
ok 'a router without a name' train -a a0.moes -o x.moes unnamed.moes
contains 'is called so' err "routed by 'unnamed'"
ok 'vanilla heeds no route' train -a v0.moes -o x.moes on.run.moes
equal 'and keeps its name' "$(moe-cat --json x.moes | jq -r 'select(.t == "layout") | .method + (.decided_by // "")')" vanilla
moe-route -q -m base -a a0.moes --method oracle --allow-oracle on.run.moes | moe-cat --json |
	sed 's/"labels":"oracle"/"labels":"none"/' | moe-cat --from-json >washed.moes
fails 3 'routes of the oracle whose label was washed off' train -a a0.moes -o no.moes washed.moes
contains 'are known by their name' err "the method 'oracle' routed a rollout, and it opens seals"
ok 'unless allowed' train -a a0.moes --allow-oracle -o x.moes washed.moes
contains 'and the adapter is marked' "$(moe-cat --check x.moes >c; echo c)" 'labels oracle'

# ---- steps and groups ----
moe-cat -s on.run.moes on.run.moes >twice.moes
fails 3 'two recordings joined' train -a a0.moes -o no.moes twice.moes
contains 'are refused' err 'step 0 comes after step 2'
train -a a0.moes --checkpoint ck --save-every 1 -o x.moes on.run.moes
fails 3 'also on --resume' train -a a0.moes --checkpoint ck --resume -o no.moes twice.moes
contains 'where all of it would be passed over' err 'step 0 comes after step 2'
edit on.run.moes 'if .step then .step = 2 - .step elif .step == 0 then .step = 2 else . end' >down.moes
fails 3 'steps that run backwards' train -a a0.moes -o no.moes down.moes
edit on.run.moes 'select(.t != "step")' >unmarked.moes
fails 3 'steps without marks between them' train -a a0.moes -o no.moes unmarked.moes
contains 'are not one step' err 'rollouts of step 0 and of step [0-9]+ stand together'
moe-ablate -q --arms on,quarantine-off -o arms.moes on.moes
moe-rollout -q -m base -a arms.moes --group 4 --per-step 4 --max-new 8 p16.moes | moe-grade -q -e "$env" | moe-route -q -m base -a a0.moes >arms.run.moes
fails 3 'two arms in a group' train -a a0.moes -o no.moes arms.run.moes
contains 'are refused' err "mixes the arms 'on' and 'quarantine-off'"
edit on.run.moes 'if .group then .group = 0 else . end' >mixed.moes
ok 'several prompts in a group' train -a a0.moes -o x.moes mixed.moes
contains 'are warned of' err 'groups hold rollouts of several prompts \(12 of 16\)'
edit on.run.moes 'if .t == "rollout" then ., . else . end' >doubled.moes
ok 'rollouts given twice' train -a a0.moes -o x.moes doubled.moes
contains 'are warned of' err 'step 0: 16 of 32 rollouts stand there twice'

# ---- the counts survive a break ----
edit lag.run.moes 'select(.step == null or .step < 2)' >first.moes
for k in 'b0.moes on.run.moes first-b' 'a0.moes lag.run.moes first-a'; do
	# shellcheck disable=SC2086
	set -- $k
	edit "$2" 'select(.step == null or .step < 2)' >first.moes
	train -a "$1" -o whole.moes "$2" 2>/dev/null
	train -a "$1" --checkpoint "$3.ck" --save-every 1 -o x.moes first.moes 2>/dev/null
	ok "a resumed run of $1" train -a "$1" --checkpoint "$3.ck" --resume -o resumed.moes "$2"
	equal 'counts as the whole one' "$(trained resumed.moes)" "$(trained whole.moes)"
	equal 'and gives the same adapter' "$(digest resumed.moes)" "$(digest whole.moes)"
done
edit on.run.moes 'select(.step == null or .step < 1) | if .route then .route.method = "mine" else . end' >first.moes
train -a a0.moes -o whole.moes mine.moes 2>/dev/null
train -a a0.moes --checkpoint m.ck --save-every 1 -o x.moes first.moes 2>/dev/null
ok 'a resumed run of another router' train -a a0.moes --checkpoint m.ck --resume -o resumed.moes mine.moes
equal 'keeps its name' "$(digest resumed.moes)" "$(digest whole.moes)"
done_testing
