#!/bin/sh
# moe-route --explain: scores per token, gates per token, site and expert, and that they are those that decided.
# shellcheck disable=SC2016,SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

env=$TOP/examples/quarantine/env.lua
moe-base -q --new tiny -o base 2>err || cat err
moe-pairs -q -e "$env" -n 6 --modes run_tests,stdout_marker -o pins.moes
moe-prompts -q -e "$env" -n 3 --modes run_tests --seed 4 >prompts.moes

# Each record of routes as it is compared: values of tensors, with the rollout's own route beside it.
look() { # ROUTES ROLLOUTS
	moe-cat --json --values "$1" | jq -c 'select(.t == "route")' >routes.json
	moe-cat --json --values "$2" | jq -c 'select(.t == "rollout")' >rollouts.json
	jq -sc --slurpfile r rollouts.json 'to_entries[] | {a: .value, b: $r[.key]}' routes.json >both.json
}
every() { # NAME FILTER: true of all records of both.json, of which there are six
	equal "$1" "$(jq -c "$2" both.json | sort | uniq -c | tr -s ' ')" ' 6 true'
}
near='def near($x; $y; $d): ($x - $y | fabs) < $d;'

# a router at each placement: settings, and what its sites are called (tiny has three layers)
routed() { # METHOD PLACEMENT SITES MORE...
	m=$1 p=$2 sites=$3
	shift 3
	ok "$m at $p: an adapter" moe-pin -q -m base --method "$m" --set placement="$p" "$@" --seed 3 -o r.moes pins.moes
	moe-rollout -q -m base -a r.moes --group 2 --max-new 9 --seed 5 -o roll.moes prompts.moes
	ok "$m at $p: is explained" moe-route -q -m base -a r.moes --explain -o ex.moes roll.moes
	look ex.moes roll.moes
	equal "$m at $p: names of experts and sites" "$(jq -c '[.experts, .sites]' routes.json | uniq)" "[[\"clean\",\"quarantine\"],$sites]"
	every "$m at $p: of the rollout, its tokens" '.a.id == .b.id and (.a.completion_ids == .b.completion_ids) and .a.step == .b.step'
	every "$m at $p: a gate per token, site and expert" "(.a.gate | length) == (.b.completion_ids | length) and
		([.a.gate[] | length] | unique == [$sites | length]) and ([.a.gate[][] | length] | unique == [2])"
	every "$m at $p: gates lie in [0,1]" '[.a.gate[][][]] | all(. >= 0 and . <= 1)'
	# rows from `from` on are those at which the router decided
	every "$m at $p: their mean is the sampler's" "$near .a as \$a | .b.route.weights as \$w | all(range(2); . as \$e | ([\$a.gate[\$a.from:][][][\$e]] | if . == [] then 1 else add / length end) as \$m |
		near(\$m; \$w[\$e]; 1e-5) and near(\$m; \$a.weights[\$e]; 1e-5))"
	every "$m at $p: score and decision are the sampler's" "$near near(.a.score; .b.route.score; 1e-5) and .a.decision == .b.route.decision"
}
routed topk layer '["layers.0","layers.1","layers.2"]'
equal 'gates differ from token to token' "$(jq -s 'map(.gate[.from:] | unique | length) | add > 12' routes.json)" true
equal 'top-1 of two: one of them is at 0' "$(jq -sc '[.[] | .gate[.from:][][] | (.[0] == 0) != (.[1] == 0)] | unique' routes.json)" '[true]'
moe-route -q -m base -a r.moes --explain -j 3 -o three.moes roll.moes
moe-route -q -m base -a r.moes --explain -j 1 -o one.moes roll.moes
equal 'threads do not matter' "$(moe-cat --json --values three.moes | grep '"t":"route"' | cksum)" "$(moe-cat --json --values one.moes | grep '"t":"route"' | cksum)"
ok 'the stream is whole' moe-cat --check ex.moes
ok 'moe-cat looks at it' moe-cat ex.moes
contains 'and shows the gates' out 'gate +F32'
ok 'the first record' moe-cat --head -n 1 ex.moes
contains 'has decision and gates' out 'decision'
contains 'by their shape' out 'gate +F32\[[0-9]+,3,2\]'
ok 'for numpy' moe-cat --numpy -o ex.msgpack ex.moes
moe-cat --json ex.moes | moe-cat --from-json -o back.moes 2>err
lacks 'JSON and back knows the kind' err 'no program reads'
routed topk linear '["layers.0.q","layers.0.k","layers.0.v","layers.0.o","layers.0.gate","layers.0.up","layers.0.down","layers.1.q","layers.1.k","layers.1.v","layers.1.o","layers.1.gate","layers.1.up","layers.1.down","layers.2.q","layers.2.k","layers.2.v","layers.2.o","layers.2.gate","layers.2.up","layers.2.down"]'
routed entmax block '["layers.0.q+k+v+o","layers.0.gate+up+down","layers.1.q+k+v+o","layers.1.gate+up+down","layers.2.q+k+v+o","layers.2.gate+up+down"]'
routed topk token '["token"]' --set pon=off
equal 'without pon, the router decides at the first row too' "$(jq -sc 'map(.from == 0 and (.gate[0][0] | min) == 0) | unique' routes.json)" '[true]'
routed topk group '["layers.0.q+k+v","layers.0.o","layers.0.gate+up","layers.0.down","layers.1.q+k+v","layers.1.o","layers.1.gate+up","layers.1.down","layers.2.q+k+v","layers.2.o","layers.2.gate+up","layers.2.down"]' --set pon=on
equal 'with pon, the first row is not the router'"'"'s' "$(jq -sc 'map([.from, (.gate[0] | flatten | unique)]) | unique' routes.json)" '[[1,[1]]]'

# off while sampling: off here too
moe-rollout -q -m base -a r.moes --group 2 --max-new 9 --seed 5 --off-share quarantine=1 -o off.moes prompts.moes
ok 'a bank that was off' moe-route -q -m base -a r.moes --explain -o ex.moes off.moes
look ex.moes off.moes
every 'has gates of 0' '.b.sampled_off == "quarantine" and ([.a.gate[][][1]] | all(. == 0)) and ([.a.gate[][][0]] | any(. > 0))'

# one decision per rollout
moe-pin -q -m base --method seeded --seed 3 -o s.moes pins.moes
ok 'a router per rollout' moe-route -q -m base -a s.moes --explain -o ex.moes roll.moes
look ex.moes roll.moes
every 'has one row, one site' '.a.sites == ["rollout"] and (.a.gate | length == 1 and (.[0] | length == 1)) and (.a.gate[0][0] | .[0] == 1 and .[1] > 0 and .[1] < 1)'

# a score per token
for m in logistic random vector vanilla; do
	moe-pin -q -m base --method $m --seed 3 -o p.moes pins.moes 2>err || moe-pin -q -m base --method $m --seed 3 -o p.moes </dev/null
	moe-route -q -m base -a p.moes --seed 8 -o judged.moes roll.moes
	ok "$m is explained" moe-route -q -m base -a p.moes --seed 8 --explain -o ex.moes roll.moes
	look ex.moes judged.moes
	every "$m: score and decision are moe-route's" '.a.score == .b.route.score and .a.decision == .b.route.decision and .a.method == .b.route.method'
	every "$m: it has no gates" '(.a | has("gate") or has("weights") or has("from")) | not'
	case $m in
	logistic | random)
		every "$m: a score for each token but the stop token" '(.b.completion_ids | length) as $n |
			(.a.token_score | length) == if .b.finish == "stop" then $n - 1 else $n end'
		every "$m: whose mean is the score" "$near .a.token_score as \$t | if \$t == [] then .a.score == 0.5 else near((\$t | add) / (\$t | length); .a.score; 1e-6) end"
		equal "$m: they are not all the same" "$(jq -s 'map(.token_score | unique | length) | add > 6' routes.json)" true
		;;
	*) every "$m: none per token" '.a | has("token_score") | not' ;;
	esac
done

# steps pass through; taint too
equal 'steps stay' "$(moe-cat --json ex.moes | grep -c '"t":"step"')" "$(moe-cat --json roll.moes | grep -c '"t":"step"')"
moe-grade -q -e "$env" -j 1 -o graded.moes roll.moes
moe-pin -q -m base --method oracle --allow-oracle -o o.moes </dev/null
fails 2 'the seals stay closed' moe-route -q -m base -a o.moes --explain -o x.moes graded.moes
ok 'unless it is allowed' moe-route -q -m base -a o.moes --explain --allow-oracle -o x.moes graded.moes
equal 'and then the stream says so' "$(moe-cat --json x.moes | jq -c 'select(.kind) | .labels')" '"oracle"'
# what has no row, and what cannot be run
edit() { # FILTER: routes of the rollouts so changed, by the router at placement layer
	moe-cat --json roll.moes | jq -c "def none: {dtype: \"I32\", shape: [0], data: {\"\$bin\": \"\"}}; if .t == \"rollout\" then $1 else . end" |
		moe-cat --from-json | moe-route -q -m base -a r.moes --explain -o ex.moes
}
moe-pin -q -m base --method topk --set placement=layer --seed 3 -o r.moes pins.moes
ok 'completions of no token' edit '.completion_ids = none'
equal 'have no row' "$(moe-cat --json ex.moes | jq -c 'select(.t == "route") | .gate.shape' | uniq)" '[0,3,2]'
fails 3 'a completion without a prompt' edit '.prompt_ids = none'
contains 'is told' err 'record 1 .*no prompt token'
fails 3 'a token that the base does not have' edit '.prompt_ids = {dtype: "I32", shape: [1], data: {"$bin": "////fw=="}}'
done_testing
