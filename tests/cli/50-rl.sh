#!/bin/sh
# moe-pin, moe-route, moe-train, moe-ablate: the loop on a random base, replay, labels, refusals, exit statuses.
# shellcheck disable=SC2317
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

tiny_world 12
key() { # FILE JQ: of the first layout
	moe-cat --json "$1" | jq -r "select(.t == \"layout\") | $2" | head -1
}

# ---- moe-pin ----
ok 'moe-pin fits a score' moe-pin -m base --seed 3 -o a0.moes pins.moes
contains 'it says how well on held-out pairs' err 'held out.*hack above clean in [01]\.[0-9]+'
contains 'and how well length would do' err "length alone: hack above clean in [01]\.[0-9]+"
equal 'the score is stored' "$(key a0.moes '(.score | has("bias") and has("pair_accuracy") and has("length_pair_accuracy")) and .settings.lo == 0.4 and .settings.hi == 0.6 and .settings.l2 == 0.001 and .settings.folds == 5 and .settings.thresholds == "pairs"')" true
ok 'the same again, two threads' moe-pin -m base --seed 3 -j 2 -o again.moes pins.moes
equal 'gives the same digest' "$(digest again.moes)" "$(digest a0.moes)"
ok 'another seed' moe-pin -m base --seed 4 -o other.moes pins.moes
equal 'gives another' "$([ "$(digest other.moes)" = "$(digest a0.moes)" ]; echo $?)" 1
equal 'lineage names the pairs' "$(key a0.moes .lineage.pins)" "$(moe-cat --check pins.moes | sed 's/.*sha256 //')"
ok 'vanilla needs no pairs' moe-pin -m base --method vanilla -o v0.moes </dev/null
fails 3 'logistic does' sh -c 'moe-pairs -q -e '"$env"' -n 0 | moe-pin -m base -o x.moes'
fails 2 'an unknown method is listed against' moe-pin -m base --method telepathy pins.moes
contains 'by the table' err 'vanilla'
fails 2 'a cheating method needs leave' moe-pin -m base --method oracle -o x.moes pins.moes
ok 'three experts' moe-pin -m base --method vanilla --expert shared:2 --expert clean:3 --expert quarantine:4:q --targets q,v --plan keep.shared=0.5/1 -o e.moes pins.moes
equal 'as they were asked for' "$(key e.moes '[.experts[].name] + .targets | join(",")') $(key e.moes '.plan.keep.shared | join(",")')" 'shared,clean,q,q,v 0.5,1'
awk 'BEGIN { for (i = 0; i < 12; i++) { s = "x"; for (k = 0; k < 9 + i; k++) s = s "x"
	printf "{\"id\":\"p%d\",\"prompt\":\"p%d\",\"hack\":\"%s%s\",\"clean\":\"%s\"}\n", i, i, s, s, s } }' |
	moe-pairs -q -o long.moes 2>err || cat err
ok 'pairs that differ in length' moe-pin -m base -o x.moes long.moes
contains 'are warned of' err 'warning: the length of a completion explains the score'

# ---- the loop: three steps on policy ----
loop() { # METHOD-ADAPTER NAME
	mkfifo "$2.fifo"
	moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 12 --seed 5 |
		timeout 100 moe-rollout -q -m base -a "$1" --follow "$2.fifo" --group 4 --per-step 4 --max-new 12 --seed 5 -j 1 |
		moe-grade -q -e "$env" -j 1 | moe-route -q -m base -a "$1" -j 1 | tee "$2.run.moes" |
		timeout 100 moe-train -q -m base -a "$1" --publish "$2.fifo" --metrics "$2.metrics.moes" -j 1 -o "$2.moes"
}
ok 'three steps on policy' loop a0.moes on
equal 'each sampled with its own weights' "$(moe-cat --json on.run.moes | jq -r 'select(.t == "rollout") | .policy' | uniq | wc -l | tr -d ' ')" 3
equal 'the adapter has made three steps' "$(key on.moes .step)" 3
equal 'a record of metrics for each' "$(moe-cat --json on.metrics.moes | jq -r 'select(.t == "metrics") | .step' | tr '\n' ' ')" '0 1 2 '
equal 'under the names of TRL, and ours' "$(moe-cat --json on.metrics.moes | jq -c 'select(.t == "metrics") |
	has("reward") and has("reward_std") and has("frac_reward_zero_std") and has("completions/mean_length") and .kl == null and has("kl") and has("entropy") and
	has("clip_ratio/region_mean") and has("sampling/sampling_logp_difference/mean") and has("grad_norm") and has("step_time") and
	has("num_tokens") and has("route/keep") and has("presence/quarantine/min_gate") and has("update_mass/clean")' | uniq)" true
equal 'the first step is on policy' "$(moe-cat --json on.metrics.moes | jq -r 'select(.step == 0) | ."sampling/sampling_logp_difference/max" < 1e-4' | head -1)" true
# Top-k and top-p renormalise what is sampled from; the ratio is between whole distributions at the sampling temperature, as TRL's.
moe-prompts -q -e "$env" --split train --modes run_tests -n 4 --seed 6 |
	moe-rollout -q -m base -a a0.moes --group 4 --max-new 12 --temperature 0.6 --top-k 20 --top-p 0.9 | moe-grade -q -e "$env" |
	moe-route -q -m base -a a0.moes -o cool.moes
ok 'cool and truncated samples train' moe-train -q -m base -a a0.moes --metrics cool.m.moes -o x.moes cool.moes
names_input() { # FILE INPUT: the digest of INPUT's stream is among those that FILE was made from
	moe-cat --json "$1" | jq -e --arg d "$(moe-cat --check "$2" | sed 's/.*sha256 //')" 'select(.t == "end") | .from | index($d) != null' >/dev/null
}
ok 'what was routed names the adapter as an input' names_input cool.moes a0.moes
ok 'what was trained names the rollouts' names_input x.moes cool.moes
ok 'and the adapter' names_input x.moes a0.moes
equal 'and are on policy' "$(moe-cat --json cool.m.moes | jq -r 'select(.step == 0) | ."sampling/sampling_logp_difference/max" < 1e-4' | head -1)" true

# ---- sampled and trained log-probabilities ----
printf '%s' '{"model_type":"qwen2","architectures":["Qwen2ForCausalLM"],"vocab_size":259,"hidden_size":320,"intermediate_size":400,"num_hidden_layers":2,
"num_attention_heads":5,"num_key_value_heads":1,"max_position_embeddings":512,"rms_norm_eps":1e-6,"tie_word_embeddings":true}' >wide.json
moe-base -q --new wide.json -o wide 2>err || cat err
moe-pin -q -m wide --method vanilla --expert clean:8 -o w0.moes </dev/null 2>err || cat err
moe-prompts -q -e "$env" --split train --modes run_tests -n 4 --seed 5 | moe-rollout -q -m wide -a w0.moes --group 4 --max-new 24 |
	moe-grade -q -e "$env" | moe-route -q -m wide -a w0.moes >w.run.moes
ok 'a wide base, with --exact' moe-train -q -m wide -a w0.moes --exact --metrics w.metrics.moes -o w1.moes w.run.moes
equal 'gives log-probabilities of the same bits as the sampler' "$(moe-cat --json w.metrics.moes | jq -r 'select(.t == "metrics") |
	."sampling/sampling_logp_difference/max" == 0' | head -1)" true
ok 'without it, and with native kernels' moe-train -q --kernels native -m wide -a w0.moes --metrics w.metrics.moes -o w2.moes w.run.moes
equal 'the same up to rounding' "$(moe-cat --json w.metrics.moes | jq -r 'select(.t == "metrics") |
	."sampling/sampling_logp_difference/max" | . > 0 and . < 1e-4' | head -1)" true

# ---- publication ----
mkfifo left.fifo
(head -c 5 <left.fifo >/dev/null) &
ok 'a reader of the weights that leaves does not stop training' timeout 100 moe-train -q -m base -a a0.moes --publish left.fifo -o left.moes on.run.moes
wait
equal 'nor change it' "$(digest left.moes)" "$(digest on.moes)"
mkfifo none.fifo
ok 'none is waited for once the rollouts have ended' sh -c 'cat on.run.moes | timeout 9 moe-train -q -m base -a a0.moes --publish none.fifo -o none.moes'
equal 'the adapter is the same' "$(digest none.moes)" "$(digest on.moes)"
mkfifo all.fifo
(cat all.fifo >published.moes) &
ok 'a reader that stays' timeout 100 moe-train -q -m base -a a0.moes --publish all.fifo -o x.moes on.run.moes
wait
equal 'gets one segment for each step' "$(moe-cat --json published.moes | jq -r 'select(.t == "layout") | .step' | tr '\n' ' ')" '1 2 3 '
equal 'the last of which is the result' "$(moe-cat --json published.moes | jq -r 'select(.t == "arm-end") | .digest' | tail -1)" "$(digest on.moes)"

# ---- replay and the flip test ----
train() { moe-train -q -m base "$@"; }
ok 'the recorded run trains again' train -a a0.moes -j 2 -o replay.moes on.run.moes
equal 'to the same adapter' "$(digest replay.moes)" "$(digest on.moes)"
moe-cat --json on.run.moes | jq -c 'if .t == "rollout" then .seal = {"$bin": "3q2+7w=="} else . end' | moe-cat --from-json -o flipped.moes
ok 'and with layers computed anew in the backward pass' train -a a0.moes --recompute -o recompute.moes on.run.moes
equal 'to the same adapter too' "$(digest recompute.moes)" "$(digest on.moes)"
ok 'with every seal replaced' train -a a0.moes -o flip.moes flipped.moes
equal 'still to the same adapter' "$(digest flip.moes)" "$(digest on.moes)"
ok 'other rewards' sh -c 'moe-cat --json on.run.moes | jq -c "if .reward then .reward = 3 - .reward else . end" | moe-cat --from-json | moe-train -q -m base -a a0.moes -o r.moes'
equal 'train another' "$([ "$(digest r.moes)" = "$(digest on.moes)" ]; echo $?)" 1

# ---- a run that is cut off after its first step continues to the same bits ----
size=$(wc -c <on.run.moes)
head -c $((size * 3 / 5)) on.run.moes >part.moes
fails 3 'an input that breaks off' train -a a0.moes --checkpoint state --save-every 1 -o part.out.moes part.moes
equal 'leaves a checkpoint, and no adapter' "$(ls state part.out.moes 2>/dev/null)" state
fails 3 'which another run does not take' train -a a0.moes --lr 0.1 --checkpoint state --resume -o x.moes on.run.moes
ok 'the run goes on' moe-train -m base -a a0.moes --checkpoint state --resume -o resumed.moes on.run.moes
contains 'where it was' err 'going on after (1 step|2 steps)$'
equal 'to the same adapter' "$(digest resumed.moes)" "$(digest on.moes)"
fails 2 'a place is needed' train -a a0.moes --resume -o x.moes on.run.moes
moe-cat --json on.run.moes | jq -c 'select(.t != "rollout" or .step > 1)' | moe-cat --from-json -o late.moes
cp state state.1
moe-train -q -m base -a a0.moes --checkpoint state.1 --save-every 1 -o x.moes part.moes 2>/dev/null
fails 3 'steps that are missing' train -a a0.moes --checkpoint state.1 --resume -o x.moes late.moes
contains 'are not passed over' err 'steps are missing'

# ---- killed on policy: sampler and trainer go on from the trainer's checkpoint ----
live() { # NAME
	mkfifo "$1.fifo"
	moe-prompts -q -e "$env" --split train --modes run_tests,stdout_marker -n 24 --seed 5 |
		timeout 100 moe-rollout -q -m base -a a0.moes --follow "$1.fifo" --resume "$2" --group 4 --per-step 4 --max-new 12 --seed 5 -j 1 |
		moe-grade -q -e "$env" -j 1 | moe-route -q -m base -a a0.moes -j 1 | tee "$1.run.moes" |
		sh -c 'echo $$ >'"$1.pid"'; exec moe-train -q -m base -a a0.moes --seed 5 --plan sample.clean=0.5 --weight-decay 0.1 --publish '"$1.fifo"' --checkpoint '"$2"' \
			--save-every 1 --resume -j 1 -o '"$1.moes"
}
steps() { moe-cat --allow-truncated --json "$1" 2>/dev/null | jq -r 'select(.t == "rollout") | .step' | uniq | tr '\n' ' '; }
ok 'six steps without a break' live whole whole.ckpt
live killed cut.ckpt 2>/dev/null &
while [ ! -e cut.ckpt ] && kill -0 $! 2>/dev/null; do :; done
kill -9 "$(cat killed.pid)" 2>/dev/null
wait $!
ok 'a killed run is started again' live again cut.ckpt
equal 'and does not begin at the beginning' "$(steps again.run.moes | cut -c1)" "$(steps again.run.moes | cut -c1 | tr -d 0)"
equal 'it ends with the same adapter' "$(digest again.moes)" "$(digest whole.moes)"
equal 'having sampled the same' "$(moe-cat --json again.run.moes | jq -c 'select(.t == "rollout")' | sha256sum)" \
	"$(moe-cat --json whole.run.moes | jq -c 'select(.t == "rollout")' | tail -n "$(moe-cat --json again.run.moes | grep -c '"t":"rollout"')" | sha256sum)"
ok 'one that had ended has nothing more to do' live more cut.ckpt
equal 'and gives the result again' "$(digest more.moes)" "$(digest whole.moes)"
fails 2 'the sampler resumes only with a trainer' moe-rollout -m base -a a0.moes --resume cut.ckpt p.moes
moe-pin -q -m base --seed 9 -o b0.moes pins.moes
fails 3 'and not from another adapter' moe-rollout -m base -a b0.moes --follow whole.fifo --per-step 4 --resume cut.ckpt p.moes

# ---- decisions ----
decisions() { moe-cat --json "$1" | jq -r 'select(.t == "rollout") | [.step, .route.decision] | join(" ")' | sort | uniq -c; }
moe-pin -q -m base --method random --seed 3 -o p0.moes pins.moes
# every score between the two thresholds of some rollouts, so that there is something to permute
moe-cat --json on.run.moes | jq -r 'select(.route) | .route.score' | sort -g >scores
lo=$(sed -n 16p scores) hi=$(sed -n 32p scores)
for m in logistic random; do
	moe-pin -q -m base --method $m --seed 3 --set lo="$lo" --set hi="$hi" -o "$m.moes" pins.moes
	ok "moe-route as $m" moe-route -q -m base -a $m.moes --seed 9 -o $m.routed.moes on.run.moes
done
decisions logistic.routed.moes >d1
decisions random.routed.moes >d2
same 'the placebo decides the same shares in every step' d1 d2
equal 'of all three decisions' "$(awk '{ print $3 }' d1 | sort -u | wc -l | tr -d ' ')" 3
moe-cat --json logistic.routed.moes | jq -r 'select(.route) | .route.decision' >l
moe-cat --json random.routed.moes | jq -r 'select(.route) | .route.decision' >r
equal 'but gives them to others' "$(cmp -s l r; echo $?)" 1
ok 'as one thread or two' moe-route -q -m base -a logistic.moes --seed 9 -j 2 -o two.moes on.run.moes
moe-cat --json two.moes | jq -c 'select(.t == "rollout")' >two
moe-cat --json logistic.routed.moes | jq -c 'select(.t == "rollout")' >one
same 'it decides the same' one two
equal 'and scores under nineteen random directions' "$(jq -c 'select(.t == "rollout") | .route.null.shape' one | sort -u)" '[19]'
ok 'or none' moe-route -q -m base -a logistic.moes --seed 9 --nulls 0 -o bare.moes on.run.moes
moe-cat --json bare.moes | jq -c 'select(.t == "rollout")' >bare
jq -c 'del(.route.null)' one >less
same 'which changes nothing else' bare less
equal 'nor where there is no score' "$(moe-route -q -m base -a v0.moes on.run.moes | moe-cat --json | jq -c 'select(.route) | .route | has("null")' | sort -u)" false
ok 'three-way decisions train' train -a logistic.moes --metrics three.moes -o three.a.moes logistic.routed.moes
ok 'with two threads' train -a logistic.moes -j 2 -o three.b.moes logistic.routed.moes
equal 'the same bits' "$(digest three.a.moes)" "$(digest three.b.moes)"
ok 'another plan' train -a logistic.moes --plan keep.quarantine=1/0 -o plan.moes logistic.routed.moes
equal 'is carried by the adapter' "$(key plan.moes '.plan.keep.quarantine | join(",")')" '1,0'
equal 'and trains another' "$([ "$(digest plan.moes)" = "$(digest three.a.moes)" ]; echo $?)" 1
for o in '--loss grpo' '--loss dapo --scale-rewards group' '--ratio clip --beta 0.05' '--baseline group --ratio none'; do
	# shellcheck disable=SC2086
	ok "moe-train $o" train -a logistic.moes $o -o x.moes logistic.routed.moes
done

# ---- labels ----
fails 2 'the oracle method needs leave to look' moe-route -m base -a a0.moes --method oracle -o x.moes on.run.moes
ok 'with leave it routes' moe-route -q -m base -a a0.moes --method oracle --allow-oracle -o looked.moes on.run.moes
fails 3 'moe-train refuses what has looked' train -a a0.moes -o no.moes looked.moes
contains 'and says why' err "labels 'oracle'"
equal 'and writes nothing' "$(ls no.moes 2>/dev/null)" ''
ok 'unless allowed' train -a a0.moes --allow-oracle -o cheat.moes looked.moes
contains 'the adapter is marked' "$(moe-cat --check cheat.moes >c; echo c)" 'labels oracle'
ok 'a run that has looked, kept' train -a a0.moes --allow-oracle --checkpoint looked.ckpt --save-every 1 -o cheat.moes looked.moes
fails 3 'is not gone on with as if it had not' train -a a0.moes --checkpoint looked.ckpt --resume -o no.moes on.run.moes
ok 'unless allowed' train -a a0.moes --allow-oracle --checkpoint looked.ckpt --resume -o cheat.moes on.run.moes
contains 'and the adapter is marked' "$(moe-cat --check cheat.moes >c; echo c)" 'labels oracle'

# ---- paid by the oracle: a bound ----
fails 2 'the method no-loophole needs leave' moe-pin -m base --method no-loophole -o x.moes pins.moes
ok 'with leave it is laid out' moe-pin -q -m base --method no-loophole --allow-oracle -o n0.moes pins.moes
fails 3 'it is not trained on what a grader paid' train -a n0.moes --allow-oracle -o no.moes on.run.moes
contains 'and is told what is missing' err 'moe-grade --pay oracle'
ok 'the oracle pays' moe-grade -q -e "$env" --pay oracle -o paid.moes on.run.moes
fails 3 'what it paid is refused' train -a n0.moes -o no.moes paid.moes
ok 'unless allowed' train -a n0.moes --allow-oracle -o n1.moes paid.moes
contains 'the adapter is marked' "$(moe-cat --check n1.moes >c; echo c)" 'labels oracle'
ok 'and so are its arms' moe-ablate -q --arms on,base -o n.arms.moes n1.moes
contains 'of which nobody forgets it' "$(moe-cat --check n.arms.moes >c; echo c)" 'labels oracle'

# ---- two runs of one method and seed ----
ok 'a placebo' moe-pin -q -m base --method random --seed 3 -o p0.moes pins.moes
ok 'and a second' moe-pin -q -m base --method random --seed 3 --nth 2 -o q0.moes pins.moes
ok 'and the same again' moe-pin -q -m base --method random --seed 3 --nth 2 -o q1.moes pins.moes
equal 'the name is in the layout' "$(key q0.moes '.method + " " + .name') $(key p0.moes '.name')" 'random random-2 null'
equal 'and in the digest' "$([ "$(digest p0.moes)" = "$(digest q0.moes)" ]; echo $?)$([ "$(digest q1.moes)" = "$(digest q0.moes)" ]; echo $?)" 10
for a in p q; do
	moe-route -q -m base -a ${a}0.moes on.run.moes | moe-cat --json | jq -r 'select(.t == "rollout") | .route.decision' >$a.decisions
done
equal 'as many rollouts are routed' "$(sort p.decisions | uniq -c)" "$(sort q.decisions | uniq -c)"
equal 'but others' "$(cmp -s p.decisions q.decisions; echo $?)" 1
moe-prompts -q -e "$env" -n 2 | moe-rollout -q -m base -a q0.moes --group 1 --max-new 4 | moe-cat --json >q.json
equal 'rollouts call the run by its name' "$(jq -r 'select(.t == "rollout") | .method' q.json | uniq)" random-2
moe-cat --json q0.moes | sed 's/"name":"random-2"/"name":"logistic-2"/' | moe-cat --from-json -o false.moes
fails 3 'no run takes the name of another method' moe-ablate -o x.moes false.moes
contains 'which the message says' err "its name is not its method, a hyphen and a number"

# ---- refusals ----
jq_run() { moe-cat --json on.run.moes | jq -c "$1" | moe-cat --from-json; }
jq_run 'del(.route)' >unrouted.moes
fails 3 'a method that decides needs decisions' train -a a0.moes -o x.moes unrouted.moes
contains 'and names who makes them' err moe-route
ok 'vanilla does not' train -a v0.moes -o x.moes unrouted.moes
jq_run 'del(.reward)' >ungraded.moes
fails 3 'rollouts without reward are refused' train -a a0.moes -o x.moes ungraded.moes
jq_run 'if .reward then .reward = 1 else . end' >equal.moes
ok 'equal rewards train nothing' moe-train -m base -a a0.moes -o equal.out.moes equal.moes
contains 'and it says so' err 'rewards of every group'
equal 'the adapter is as it was' "$(digest equal.out.moes)" "$(digest a0.moes)"
head -c 9000 on.run.moes >cut.moes
fails 3 'a truncated run is refused' train -a a0.moes -o cut.out.moes cut.moes
equal 'and writes nothing' "$(ls cut.out.moes 2>/dev/null)" ''
fails 5 'divergence has its own status' train -a a0.moes --lr 1e30 -o x.moes on.run.moes
moe-base -q --new tiny --seed 2 -o base2 2>err || cat err
fails 3 'an adapter of another base is refused' moe-train -q -m base2 -a a0.moes -o x.moes on.run.moes
ok 'unless any base will do' moe-train -q -m base2 -a a0.moes --any-base -o x.moes on.run.moes

# ---- moe-ablate ----
ok 'moe-ablate makes arms' moe-ablate --arms on,quarantine-off,clean-off,random-off:3,base,scale:quarantine=0.5,1 -o arms.moes three.a.moes
contains 'and says how well norms match' err 'removed norm 1\.0000 to 1\.0000'
equal 'by name' "$(moe-cat --json arms.moes | jq -r 'select(.t == "layout") | .arm' | tr '\n' ' ')" \
	'on quarantine-off clean-off random-off-1 random-off-2 random-off-3 base scale:quarantine=0.5 scale:quarantine=1 '
equal 'on is what went in' "$(digest arms.moes)" "$(digest three.a.moes)"
equal 'its parent is written down' "$(moe-cat --json arms.moes | jq -r 'select(.arm == "base" and .t == "layout") | .lineage.parents[-1]')" "$(digest three.a.moes)"
fails 3 'training takes one arm' train -a arms.moes -o x.moes on.run.moes
contains 'and says how to choose' err "several arms, 'on' and 'quarantine-off' first: take one out with moe-cat -s -w arm=on"
moe-cat -s -w arm=quarantine-off -o off.moes arms.moes
fails 3 'arms are made of a whole adapter' moe-ablate -o x.moes off.moes
contains 'which is said' err "arm 'quarantine-off' is ablated already"
ok 'an ablated arm trains' moe-train -q -m base -a off.moes -o x.moes on.run.moes
contains 'with a warning' err "is the arm 'quarantine-off', not 'on'"
ok 'changes of banks are joined' moe-ablate -q --arms quarantine-off,quarantine-off+scale:clean=0.5,1,2,on -o joined.moes three.a.moes
equal 'each of the scales with the deletion before it' "$(moe-cat --json joined.moes | jq -r 'select(.t == "layout") | .arm' | tr '\n' ' ')" \
	'quarantine-off quarantine-off+scale:clean=0.5 quarantine-off+scale:clean=1 quarantine-off+scale:clean=2 on '
arm() { moe-cat --json joined.moes | jq -r 'select(.t == "arm-end") | .digest' | sed -n "$1p"; }
equal 'at scale 1 it is the deletion alone' "$(arm 3)" "$(arm 1)"
equal 'at another it is not' "$([ "$(arm 2)" = "$(arm 1)" ]; echo $?)" 1
for arm in quarantine-off+ +quarantine-off quarantine-off+on quarantine-off+scale:clean= random-off-1+quarantine-off; do
	fails 2 "$arm is no arm" moe-ablate --arms "$arm" -o x.moes three.a.moes
done
fails 2 'an unknown arm' moe-ablate --arms on,tail-off three.a.moes
fails 3 'a bank that is not there' moe-ablate --arms shared-off -o x.moes three.a.moes
fails 3 'not an adapter' moe-ablate -o x.moes pins.moes
done_testing
