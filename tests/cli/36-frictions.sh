#!/bin/sh
# 36-frictions.sh - small things that new users ran into: TRL's names of options, the default learning rate, copies of a pair, two runs on
# one file, what an interrupted run leaves, metrics of a resumed one, lines on a terminal, names of files in Lua's errors.
. "$(dirname "$0")/lib.sh"

moe-base --new tiny -q -o m
echo '{"id":"p","prompt":"hello"}' | moe-prompts --from - -q -o p.moes
printf '{"id":"%s","prompt":"p","hack":"%s","clean":"c"}\n' a h b i | moe-pairs -q - -o pairs.moes
moe-pin -q -m m --method vanilla -o a.moes pairs.moes

# ---- TRL's names ----
ok "TRL's names are taken" moe-rollout -q --model m --num-generations 3 --max_completion_length=2 -f -o r.moes p.moes
equal "for ours" "$(moe-cat --json r.moes | grep -c '"t":"rollout"')" 3
contains "and stand in the header as ours" - '"--base"|"--group"' <<-X
	$(moe-cat --json r.moes)
X
for o in '--learning-rate 1' '--learning_rate=1' '--loss-type grpo' '--warmup-steps 1' '--max_grad_norm 1'; do
	# shellcheck disable=SC2086
	fails 2 "moe-train takes $o" moe-train $o
	contains "and misses what else is needed" err 'are needed'
done
fails 2 "those of another program" moe-train --num-generations 4
contains "are suggested" err 'unknown option --num-generations: it is --group of moe-rollout'
fails 2 "a value is still checked" moe-rollout --num_generations=0
contains "under our name" err -- '--group: "0" is not between'
ok "what only looks like an option is none" moe-rollout -q -m m -g 1 --max-new 1 -f -o --model_name p.moes
ok "but a name" test -s ./--model_name

# ---- the learning rate ----
graded() { # model, adapter, file
	moe-rollout -q -m "$1" -a "$2" --group 4 --max-new 4 --per-step 1 p.moes | moe-cat --json |
		awk '/"t":"rollout"/ { n++; sub(/\{/, "{\"reward\":" n % 2 ",") } { gsub(/"sha256":"[0-9a-f]*"/, "\"sha256\":null"); print }' | moe-cat --from-json -f -o "$3"
}
graded m a.moes g.moes
rate() { moe-cat --json x.moes | sed -n 's/.*"learning_rate":\([^,}]*\).*/\1/p'; }
moe-train -m m -a a.moes --metrics x.moes -f -o b.moes g.moes 2>err
equal "of a small model" "$(rate)" 0.002
lacks "is not talked about" err 'learning rate'
sed 's/"hidden_size": 96/"hidden_size": 512/' m/config.json >wide.json
moe-base --new ./wide.json -q --tokenizer m/tokenizer.json -o w
moe-pin -q -m w --method vanilla -o wa.moes pairs.moes
graded w wa.moes wg.moes
moe-train -m w -a wa.moes --metrics x.moes -f -o b.moes wg.moes 2>err
equal "of a wide one falls" "$(rate)" 0.00025
contains "which is said" err 'learning rate 0.00025, chosen for a model of width 512 .--lr.'
moe-train -m w -a wa.moes --metrics x.moes --lr 0.01 -f -o b.moes wg.moes 2>err
equal "unless it is given" "$(rate)" 0.01
lacks "then it needs no words" err 'learning rate'

# ---- copies of a pair ----
printf '{"id":"%s","prompt":"p","hack":"h","clean":"c"}\n' 1 2 3 4 5 6 7 8 | moe-pairs - -f -o x.moes 2>err
contains "eight copies of one pair" err '7 of 8 pairs are copies of others'
printf '{"id":"%s","prompt":"p","hack":"h%s","clean":"c"}\n' 1 1 2 2 | moe-pairs - -f -o x.moes 2>err
lacks "pairs that differ" err copies

# ---- two runs on one file ----
mkfifo in
moe-train -q -m m -a a.moes --checkpoint ck --save-every 1 -f -o one.moes in &
pid=$!
sleep 1
fails 2 "two trainings with one checkpoint" moe-train -q -m m -a a.moes --checkpoint ./ck --save-every 1 -f -o two.moes g.moes
contains "are noticed" err 'ck: another run that is under way has it as its checkpoint'
fails 2 "with one output" moe-train -q -m m -a a.moes -f -o one.moes g.moes
contains "too" err 'one.moes: another run that is under way has it as its output'
ok "with files of their own they do not meet" moe-train -q -m m -a a.moes --checkpoint ck2 --save-every 1 -f -o two.moes g.moes
cat g.moes >in
wait $pid
equal "the first ends well" $? 0
ok "after it another may" moe-train -q -m m -a a.moes --checkpoint ck --save-every 1 -f -o one.moes g.moes

# ---- an interrupted run ----
stopped() { # options: what a run says that is interrupted after its first step
	rm -f one.moes
	moe-train -m m -a a.moes -f -o one.moes "$@" in 2>err &
	pid=$!
	exec 5>in
	cat g.moes >&5
	i=0
	while [ $i -lt 100 ] && ! grep -q '"step"' "$T/metrics.json" 2>/dev/null; do
		sleep 0.1
		moe-cat --allow-truncated --json live.moes >metrics.json 2>/dev/null
		i=$((i + 1))
	done
	sleep 0.5
	kill -TERM $pid
	exec 5>&-
	wait $pid 2>/dev/null
	rm -f metrics.json live.moes
}
stopped --metrics live.moes
contains "an interrupted run says that nothing holds it" err 'stopped after 1 step, and no checkpoint holds them .--checkpoint FILE --save-every N.'
stopped --metrics live.moes --checkpoint ck3 --save-every 1
contains "or what does" err 'stopped after 1 step; ck3 holds the first 1: --resume goes on from there'

# ---- metrics of a resumed run ----
moe-rollout -q -m m -a a.moes --group 4 --max-new 4 --per-step 1 p.moes | moe-cat --json |
	awk '/"t":"(rollout|step)"/ { n++; sub(/"step":0/, "\"step\":1"); sub(/\{/, "{\"reward\":" n % 2 ",") } { gsub(/"sha256":"[0-9a-f]*"/, "\"sha256\":null"); print }' | moe-cat --from-json -f -o g1.moes
moe-cat -s g.moes g1.moes >both.moes
train() { moe-train -q -m m -a a.moes --checkpoint ck4 --save-every 1 --metrics all.moes -f -o x.moes "$@" 2>/dev/null; }
train g.moes
ok "a resumed run" train --resume both.moes
equal "keeps the metrics of the steps before" "$(moe-cat --json all.moes | sed -n 's/.*"t":"metrics".*"step":\([0-9]*\),.*/\1/p' | tr '\n' ' ')" "0 1 "
equal "and counts their tokens" "$(moe-cat --json all.moes | sed -n 's/.*"num_tokens":\([^,}]*\).*/\1/p' | sort -g | uniq | wc -l | tr -d ' ')" 2

# ---- words ----
printf 'local e = {}\nerror("broken")\nreturn e\n' >my.lua
fails 3 "an environment that fails" moe-prompts -e my.lua -n 1
contains "is named with its line" err 'my.lua:2: broken'
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
	script -qec "moe-base --generate -q -m m --max-new 1 'a
b'" /dev/null </dev/null >tty.out
	equal "a terminal gets lines" "$(head -1 tty.out | tr -d '\r')" a
else
	skip "terminals" "script(1) is missing or gets no terminal"
fi
equal "a file gets one for each completion" "$(moe-base --generate -q -m m --max-new 1 'a
b' | cut -c1-4)" 'a\nb'
done_testing
