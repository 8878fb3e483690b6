#!/bin/sh
# moe-rollout: arms with common random numbers, shares of a group, steps that follow a trainer, recorded rollouts, imports.
. "$(dirname "$0")/lib.sh"

ENV=$TOP/examples/quarantine/env.lua
records() { moe-cat --json "$1" | grep '"t":"rollout"' | grep -v '"t":"header"'; }
count() { grep -cE -e "$2" "$1"; }
# completions by prompt and sample, without what names the arm
texts() { grep -o '"completion":.*"finish":"[a-z]*"' "$1"; }
arm() { grep "\"arm\":\"$2\"" "$1"; }

moe-base --new tiny --seed 3 -q -o base || exit 1
moe-prompts -e "$ENV" -n 8 -o p.moes
moe-pairs -e "$ENV" -n 12 -q -o pins.moes
moe-pin -m base --method vanilla -q -o a0.moes pins.moes

# an adapter with something in it: trained on rewards that only say which sample it was
ok "a step" moe-rollout -m base -a a0.moes -g 4 --max-new 12 -o r0.moes p.moes
moe-cat --json r0.moes | sed 's/"sample":\([0-9]*\)/"reward":\1.0,&/' | moe-cat --from-json -k rollouts -o graded.moes
ok "trains an adapter" moe-train -m base -a a0.moes --lr 0.05 -q -o a1.moes graded.moes
records r0.moes >r0
equal "prompts times group" "$(count r0 .)" 32
equal "ids are unique" "$(grep -o '"id":"[^"]*"' r0 | sort -u | wc -l | tr -d ' ')" 32
equal "one step record" "$(moe-cat --json r0.moes | grep -c '"t":"step","n":32')" 1

# threads
moe-rollout -m base -a a1.moes -g 5 --max-new 40 -j 1 p.moes >j1.moes
moe-rollout -m base -a a1.moes -g 5 --max-new 40 -j 3 p.moes >j3.moes
same "threads do not matter, to the byte" j1.moes j3.moes

# arms
cat a1.moes a1.moes >twice.moes
moe-rollout -m base -a twice.moes -g 2 --max-new 20 p.moes >twice
records twice >two
texts two >t
awk 'NR <= 16' t >t1
awk 'NR > 16' t >t2
same "equal arms give equal completions" t1 t2
moe-ablate --arms on,quarantine-off,base -q -o arms.moes a1.moes
moe-rollout -m base -a arms.moes -g 4 --max-new 20 p.moes >arms
records arms >arms.txt
moe-rollout -m base -g 4 --max-new 20 p.moes >none
records none >none.txt
arm arms.txt on | texts /dev/stdin >on
arm arms.txt base | texts /dev/stdin >base.arm
arm arms.txt quarantine-off | texts /dev/stdin >off.arm
texts none.txt >none.arm
same "everything off is the base model" base.arm none.arm
equal "the trained arm is not" "$(cmp -s on base.arm; echo $?)" 1
moe-rollout -m base -a a1.moes --scale quarantine=0 -g 4 --max-new 20 p.moes >s
records s >s.txt
texts s.txt >s.arm
same "scale 0 deletes a bank" s.arm off.arm
equal "and the arm says so" "$(count s.txt '"arm":"scale:quarantine=0"')" 32
fails 3 "a bank that is not there" moe-rollout -m base -a a1.moes --scale shared=1 p.moes
fails 2 "a scale that is none" moe-rollout -m base -a a1.moes --scale quarantine=x p.moes

# a share of the group sampled with a bank off draws what the arm without it draws
moe-rollout -m base -a a1.moes -g 4 --off-share quarantine=0.5 --max-new 20 p.moes >half
records half >half.txt
equal "half of the group" "$(count half.txt '"sampled_off":"quarantine"')" 16
grep -E '"sample":[23],' half.txt | texts /dev/stdin >h
arm arms.txt quarantine-off | grep -E '"sample":[23],' | texts /dev/stdin >o
same "with the bank off" h o
grep -E '"sample":[01],' half.txt | texts /dev/stdin >h
arm arms.txt on | grep -E '"sample":[01],' | texts /dev/stdin >o
same "and half with it" h o

# greedy, truncation, stops
moe-rollout -m base -a a1.moes -g 3 --temperature 0 --max-new 20 p.moes >g
records g | texts /dev/stdin | sort -u >g.txt
equal "greedy samples of a prompt agree" "$(($(count g.txt .) <= 8))" 1
moe-rollout -m base -g 3 --temperature 0.7 --top-k 5 --top-p 0.9 --max-new 6 p.moes >k
records k >k.txt
equal "both log-probabilities where they differ" "$(count k.txt '"model_logp":')" 24
equal "the temperature is told" "$(count k.txt '"temperature":0.7')" 24
lacks "and not otherwise" r0 '"model_logp"'
moe-rollout -m base -g 3 --max-new 5 p.moes >len
records len >len.txt
contains "length" len.txt '"finish":"length"'
fails 2 "a stop token that is none" moe-rollout -m base --stop no-such-token p.moes
ok "a stop token by name" moe-rollout -m base --stop '<|pad|>' --max-new 5 p.moes

# steps and a trainer; cat plays the trainer
moe-prompts -e "$ENV" -n 24 -o p24.moes
mkfifo w
policies() { records "$1" | sed 's/.*"policy":"\([0-9a-f]*\)".*"step":\([0-9]*\).*/\2 \1/' | sort -u; }
d0=$(digest a0.moes)
d1=$(digest a1.moes)
(cat a1.moes a0.moes; sleep 1) >w &
ok "following" moe-rollout -m base -a a0.moes --follow w --per-step 8 -g 2 --max-new 4 -o f.moes p24.moes
equal "each step has its own weights" "$(policies f.moes | tr '\n' ' ')" "0 $d0 1 $d1 2 $d0 "
wait
(cat a1.moes a1.moes; sleep 1) >w &
ok "lag 1" moe-rollout -m base -a a0.moes --follow w --lag 1 --per-step 8 -g 2 --max-new 4 -o f.moes p24.moes
equal "one step behind" "$(policies f.moes | tr '\n' ' ')" "0 $d0 1 $d0 2 $d1 "
wait
(cat a1.moes) >w &
fails 3 "a trainer that leaves" moe-rollout -m base -a a0.moes --follow w --per-step 8 -g 2 --max-new 4 -o f.moes p24.moes
contains "is named" err 'step 2: .*the trainer left'
wait
(head -c 5000 a1.moes) >w &
fails 3 "a trainer that dies while it publishes" moe-rollout -m base -a a0.moes --follow w --per-step 8 -g 2 --max-new 4 -o f.moes p24.moes
contains "is truncation" err truncated
wait
fails 3 "nobody comes" moe-rollout -m base -a a0.moes --follow w --wait 1 --per-step 8 -g 2 --max-new 4 -o f.moes p24.moes
ok "one step needs no trainer" moe-rollout -m base -a a0.moes --follow w --per-step 8 --steps 1 -g 2 --max-new 4 -o f.moes p24.moes
moe-cat --json p24.moes | sed '$s/"labels":"[a-z]*"/"labels":"oracle"/' | moe-cat --from-json -o tainted.moes
moe-rollout -q -m base -a a0.moes --per-step 8 --steps 1 -g 2 --max-new 4 -o f.moes tainted.moes
equal "prompts that are left over tell their taint and digest all the same" "$(moe-cat --json f.moes | jq -c 'select(.t == "end") | [.labels, (.from | index("'"$(moe-cat --check tainted.moes | sed 's/.*sha256 //')"'") != null)]')" '["oracle",true]'
fails 3 "and whether they are whole" sh -c 'head -c 2000 p24.moes | moe-rollout -q -m base -a a0.moes --per-step 1 --steps 1 -g 2 --max-new 4 -o f.moes'
fails 2 "--follow without --per-step" moe-rollout -m base -a a0.moes --follow w p24.moes
fails 4 "a FIFO that is not there" moe-rollout -m base -a a0.moes --follow no --per-step 8 p24.moes

# a teacher's rollouts
moe-rollout -m base -a a1.moes --teacher r0.moes --teacher-ratio 0.5 -g 4 --max-new 20 p.moes >t.moes
records t.moes >t.txt
equal "replace half of each group" "$(count t.txt '"teacher":true')" 16
grep '"teacher":true' t.txt | texts /dev/stdin | sort >mine
texts r0 | sort >pool
equal "as they were recorded" "$(sort -u pool mine | wc -l)" "$(sort -u pool | wc -l)"
grep '"teacher":true' t.txt >teach
equal "with the policy that they came from" "$(count teach "\"policy\":\"$d0\"")" 16
moe-rollout -m base -a a1.moes --per-step 4 --teacher r0.moes --teacher-until 1 -g 4 --max-new 8 p.moes >t.moes
records t.moes | grep '"teacher":true' >t.txt
equal "until a step" "$(count t.txt '"step":0')/$(count t.txt '"step":1')" 4/0
moe-cat --json r0.moes | sed 's/"logp":{"data":{[^}]*},[^}]*},//' | moe-cat --from-json -k rollouts -o bare.moes
moe-rollout -m base -a a0.moes --teacher bare.moes --teacher-ratio 1 -g 4 --max-new 8 p.moes >t.moes
records t.moes | sed 's/"teacher":true,//' | grep -o '"id".*' | sed 's/"sample":.*//; s/#[^"]*//' | sort >t.txt
grep -o '"id".*' r0 | sed 's/"sample":.*//; s/#[^"]*//' | sort >r.txt
same "missing log-probabilities are those of the weights in use" t.txt r.txt
moe-cat --json half | sed 's/"logp":{"data":{[^}]*},[^}]*},//' | moe-cat --from-json -k rollouts -o bare.moes
moe-rollout -m base -a a1.moes --teacher bare.moes --teacher-ratio 1 -g 4 --max-new 8 p.moes >t.moes
records t.moes | sed 's/"teacher":true,//' | grep -o '"id".*' | sed 's/"sample":.*//; s/#[^"]*//' | sort >t.txt
grep -o '"id".*' half.txt | sed 's/"sample":.*//; s/#[^"]*//' | sort >r.txt
same "and of the gates that were on" t.txt r.txt

# the adapter's own digest is there to be read
moe-cat a1.moes >a1.txt
contains "moe-cat shows an adapter's digest" a1.txt "^    digest +str +\"$(moe-cat --json a1.moes | jq -r 'select(.t=="arm-end").digest')\" 1\$"
# misfits
moe-base --new tiny --seed 4 -q -o other
fails 3 "an adapter of another base" moe-rollout -m other -a a1.moes --max-new 2 p.moes
contains "with what would take it" err '--any-base$'
fails 4 "a FIFO that was not made" moe-rollout -m base -a a1.moes --follow no.fifo --per-step 1 p.moes
contains "with what makes it" err '^moe-rollout: no\.fifo: .*mkfifo.*: No such file'
ok "unless it is allowed" moe-rollout -m other -a a1.moes --any-base --max-new 2 p.moes
fails 3 "prompts that end in the middle" sh -c 'head -c 900 p.moes | moe-rollout -m base --max-new 2'
printf '{"t":"prompt","id":"long","text":"%02000d","mode":"","env":{}}\n' 7 | moe-cat --from-json -k prompts -o long.moes
fails 3 "a prompt longer than the model" moe-rollout -m base --max-new 2 long.moes
contains "is named" err "prompt 'long' has 2000 tokens"
fails 3 "not prompts" moe-rollout -m base --max-new 2 r0.moes
fails 2 "no model" moe-rollout p.moes
fails 4 "a file that is not there" moe-rollout -m base no.moes
equal "is missed before a header is written" "$(wc -c <out | tr -d ' ')" 0

# rollouts that others recorded
cat >pool.jsonl <<'EOF'
{"problem_id": 4, "sample_id": 0, "prompt": "say", "completion": "a b", "reward": 3.5, "hacked": true, "gt_pass": false, "logp_mean": NaN}
{"problem_id": 4, "sample_id": 1, "prompt": "say", "completion": "c", "reward": 0.5, "hacked": false, "gt_pass": true, "logp_mean": NaN}
EOF
ok "JSON Lines with bare NaN" moe-rollout --from pool.jsonl -m base -q -o i.moes
records i.moes >i.txt
equal "two rollouts" "$(count i.txt .)" 2
contains "with tokens of the model" i.txt '"completion_ids":'
lacks "flags of others are sealed" i.txt 'hacked'
tar czf pool.tgz pool.jsonl
cat pool.tgz | moe-rollout --from - -m base -q >i2.moes
records i2.moes >i2.txt
same "the same from an archive on a pipe" i.txt i2.txt
fails 2 "--from samples nothing" moe-rollout --from pool.jsonl -a a1.moes
fails 2 "--map belongs to --from" moe-rollout -m base --map x=y p.moes
done_testing
