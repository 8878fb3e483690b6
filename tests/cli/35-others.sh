#!/bin/sh
# 35-others.sh - what others recorded is taken for what it is or refused: log-probabilities, settings of samplers, numbers, one bad row,
# empty and long texts, files of other systems; and configurations that compute something else.
. "$(dirname "$0")/lib.sh"

values() { moe-cat --json --values "$1" | sed -n "s/.*\"$2\":\(\[[^]]*\]\).*/\1/p" | head -1; }
moe-base --new tiny -q -o m
echo '{"id":"p","prompt":"hello"}' | moe-prompts --from - -q -o p.moes
printf '{"id":"%s","prompt":"p","hack":"%s","clean":"c"}\n' a h b i | moe-pairs -q - | moe-pin -q -m m --method vanilla -o a.moes 2>/dev/null

# ---- log-probabilities ----
row() { printf '{"prompt_id":"a","prompt":"xy","completion":"abc"%s}\n' "$1" | moe-rollout --from - $2 -q -f -o r.moes 2>err; }
logp() { # keys of the row, -m DIR: its logp, "none", or "refused"
	row "$1" "$2" || { echo refused && return; }
	l=$(values r.moes logp)
	echo "${l:-none}"
}
ids='"completion_ids":[97,98,99]'
equal "one for each token" "$(logp ",$ids,\"logp\":[-1,-2,0]")" '[-1.0,-2.0,0.0]'
equal "padded as the ids are" "$(logp ",$ids,\"completion_len\":2,\"logp\":[-1,-2,0]")" '[-1.0,-2.0]'
equal "cut as they are" "$(logp ",$ids,\"completion_len\":2,\"logp\":[-1,-2]")" '[-1.0,-2.0]'
equal "too many" "$(logp ",$ids,\"logp\":[-9,-8,-1,-2,-3]")" refused
contains "are counted" err '.logp. has 5 numbers for 3 tokens'
equal "too few" "$(logp ",$ids,\"logp\":[-1,-2]")" refused
equal "none" "$(logp ",$ids,\"logp\":[]")" refused
equal "one is NaN" "$(logp ",$ids,\"logp\":[-1,NaN,-2]")" none
contains "which is said" err "1 row's log-probabilities were left out .moe-rollout --teacher computes them anew.; the first: .*token 1"
equal "one is positive" "$(logp ",$ids,\"logp\":[-1,0.5,-2]")" none
equal "one is no number" "$(logp ",$ids,\"logp\":[-1,\"x\",-2]")" none
equal "an object of another kind" "$(logp ",$ids,\"logprobs\":{\"content\":[]}")" none
contains "which is said, too" err "not an array"
equal "of a text made into tokens here, as many" "$(logp ',"logp":[-1,-2,-3,-4]' '-m m')" '[-1.0,-2.0,-3.0,-4.0]'
equal "and not" "$(logp ',"logp":[-1,-2,-3]' '-m m')" none
contains "which is said as well" err 'the text made here 4 tokens'
for k in '"top_k":5' '"top_p":0.9' '"sampling_params":{"top_p":0.5}'; do
	equal "renormalised: $k" "$(logp ",$ids,\"logp\":[-1,-2,-3],$k")" none
	contains "is said" err 'over the whole vocabulary'
done
for k in '"top_k":-1' '"top_k":0' '"top_p":1.0' '"top_k":null' '"temperature":1.0'; do
	equal "not: $k" "$(logp ",$ids,\"logp\":[-1,-2,-3],$k")" '[-1.0,-2.0,-3.0]'
done
row ",$ids,\"logp\":[-1,-2,-3],\"full_logp\":[-4,-5,-6],\"top_k\":5"
equal "unless they are there over all" "$(values r.moes full_logp)" '[-4.0,-5.0,-6.0]'
row ",$ids,\"logp\":[-1,-2,-3],\"temperature\":0.5"
contains "the temperature is kept" - '"temperature":0.5' <<-X
	$(moe-cat --json r.moes)
X
row ",$ids" "--map temperature==0.7"
contains "also where only the user knows it" - '"temperature":0.7' <<-X
	$(moe-cat --json r.moes)
X
equal "a temperature below 0" "$(logp ",$ids,\"temperature\":-1")" refused
moe-rollout -m m -q -f --group 4 --max-new 6 --temperature 0.5 -o pool.moes p.moes
moe-cat --json --values pool.moes | grep '"t":"rollout"' | sed 's/"logp":\[[^]]*\]/"logp":[-1,-1,-1,-1,-1,-1]/' >wrong.jsonl
moe-rollout --from wrong.jsonl -q -f -o wrong.moes
teach() { # pool, options: the log-probabilities, sorted
	p=$1 && shift
	moe-rollout -m m -q -f --teacher "$p" --teacher-ratio 1 --group 4 --max-new 6 "$@" -o t.moes p.moes
	moe-cat --json --values t.moes | sed -n 's/.*[{,]"logp":\(\[[^]]*\]\).*/\1/p' | sort
}
moe-cat --json --values pool.moes | sed -n 's/.*[{,]"logp":\(\[[^]]*\]\).*/\1/p' | sort | sed 's/\(\.[0-9][0-9]\)[0-9]*/\1/g' >want
teach pool.moes --temperature 0.5 | sed 's/\(\.[0-9][0-9]\)[0-9]*/\1/g' >got
same "a teacher's are those of the weights" got want
teach wrong.moes --temperature 0.5 | sed 's/\(\.[0-9][0-9]\)[0-9]*/\1/g' >got
same "whatever the pool says" got want
equal "--teacher-logp: the pool's" "$(teach wrong.moes --temperature 0.5 --teacher-logp | uniq)" '[-1.0,-1.0,-1.0,-1.0,-1.0,-1.0]'
teach wrong.moes --teacher-logp >got
lacks "but not of another temperature" got '1.0,-1.0'
fails 2 "--teacher-logp is --teacher's" moe-rollout -m m --teacher-logp p.moes

# ---- as strict as --from-json ----
for v in '"gt":100000000000000000000000001' '"gt":-9223372036854775809' '"gt":1e400' '"gt":1,"gt":2' '"a\u0000b":1' '"x":{"gt":18446744073709551616}'; do
	fails 3 "a prompt with $v" moe-prompts --from - -f -o x.moes <<-X
		{"id":"q","prompt":"a",$v}
	X
	fails 3 "a rollout" moe-rollout --from - -f -o x.moes <<-X
		{"prompt_id":"q","prompt":"a","completion":"b",$v}
	X
	fails 3 "a pair" moe-pairs -f -o x.moes - <<-X
		{"id":"q","prompt":"a","hack":"b","clean":"c",$v}
	X
	fails 3 "as --from-json has it" moe-cat --from-json -k prompts -f -o x.moes <<-X
		{"id":"q","text":"a",$v}
	X
done
echo '{"a":"m","a":"n"}' >part.json
fails 3 "a partition with a key twice" moe-rollout --from - --partition part.json -f -o x.moes <<-X
	{"prompt_id":"a","prompt":"a","completion":"b"}
X
printf '\357\273\277{"a":"mode"}\r\n' >part.json
printf '\357\273\277{"prompt_id":"a","prompt":"a","completion":"b"}\r\n' >bom.jsonl
ok "a byte order mark and CRLF in rows and partition" moe-rollout --from bom.jsonl --partition part.json -q -f -o x.moes
contains "are passed over" - '"mode":"mode"' <<-X
	$(moe-cat --json x.moes)
X
sed 's/$/\r/; 1s/^/\xef\xbb\xbf/' "$TOP/examples/quarantine/env.lua" >crlf.lua
ok "in an environment" moe-prompts -e crlf.lua -n 1 -f -q -o x.moes
for f in config.json tokenizer.json; do
	sed 's/$/\r/; 1s/^/\xef\xbb\xbf/' m/$f >x && mv m/$f keep && cp x m/$f
	ok "in $f" moe-base --check -m m
	mv keep m/$f
done

# ---- one bad row ----
deep=$(head -c 200 /dev/zero | tr '\0' '[')$(head -c 200 /dev/zero | tr '\0' ']')
{
	echo '{"prompt_id":"a","prompt":"x","prompt_ids":[120],"completion":"b","completion_ids":[98],"logp":[-5.5],"reward":1}'
	echo '{"prompt_id":"a","prompt":"x","prompt_ids":[120],"completion":"","completion_ids":[],"logp":[],"reward":0}'
	echo '{"prompt_id":"a","prompt":"x","prompt_ids":[120],"completion":"","completion_ids":[],"reward":0.5}'
	echo "{\"prompt_id\":\"a\",\"prompt\":\"x\",\"prompt_ids\":[120],\"completion\":\"c\",\"completion_ids\":[99],\"logp\":[-5.5],\"reward\":0,\"unused\":$deep}"
} >good.jsonl
{ cat good.jsonl && echo '{"prompt_id":"a","prompt":"x"}' && echo 'nonsense' && echo '[1]'; } >bad.jsonl
ok "empty completions and a deep field that nobody uses" moe-rollout --from good.jsonl -f -o g.moes
equal "are four rollouts" "$(moe-cat --json g.moes | grep -c '"t":"rollout"')" 4
ok "that train" moe-train -q -m m -a a.moes --metrics x.moes -o b.moes g.moes
equal "all of them count" "$(moe-cat --json x.moes | sed -n 's/.*"num_tokens":\([^,}]*\).*/\1/p')" 6.0
equal "in the mean of their group" "$(moe-cat --json x.moes | sed -n 's/.*"reward":\([^,}]*\).*/\1/p')" 0.375
echo '{"id":"a","prompt":"x"}' | moe-prompts --from - -q -f -o q.moes
ok "and teach" moe-rollout -q -f -m m -a a.moes --teacher g.moes --teacher-ratio 1 --group 4 --max-new 2 -o t.moes q.moes
equal "the empty ones, too" "$(moe-cat --json t.moes | grep -c '"teacher":true')" 4
fails 3 "a bad row ends an import" moe-rollout --from bad.jsonl -f -o x.moes
contains "with its place" err 'bad.jsonl:5: '
ok "--skip-bad leaves it out" moe-rollout --from bad.jsonl --skip-bad -f -o x.moes
contains "counts" err 'warning: 3 rows were left out; the first: bad.jsonl:5: '
equal "and keeps the others" "$(moe-cat --json x.moes | grep -c '"t":"rollout"')" 4
fails 3 "nothing but bad rows" moe-rollout --from - --skip-bad -f -o x.moes <<-X
	{"prompt_id":"a","prompt":"x"}
X
contains "is no import" err 'none of 1 rows can be read; the first: '
fails 2 "--skip-bad is --from's in moe-prompts" moe-prompts -e "$TOP/examples/quarantine/env.lua" --skip-bad
ok "a prompt's deep field" moe-prompts --from - -f -o x.moes <<-X
	{"id":"q","prompt":"a","deep":$deep,"gt":1}
X
contains "is left out of env" err "1 field was left out of env; the first: .*.deep'"
contains "alone" - '"env":\{"gt":1\}' <<-X
	$(moe-cat --json x.moes)
X
long=$(head -c 2000 /dev/zero | tr '\0' a)
printf '{"id":"%s","prompt":"%s"}\n' a x long "$long" b y | moe-prompts --from - -q -f -o l.moes
ok "a prompt that is too long" moe-rollout -m m --group 1 --max-new 2 -f -o r.moes l.moes
contains "is left out and counted" err "1 prompt was left out; the first: prompt 'long' has 2000 tokens"
equal "two remain" "$(moe-cat --json r.moes | grep -c '"t":"rollout"')" 2
mkfifo ff
fails 3 "where a trainer follows, it ends the run" timeout 20 moe-rollout -m m -a a.moes --follow ff --per-step 3 --group 1 --max-new 2 -f -o r.moes l.moes
ok "unless told" moe-rollout -m m -a a.moes --skip-bad --per-step 2 --steps 1 --group 1 --max-new 2 -f -o r.moes l.moes
{
	printf '{"id":"%s","text":"%s"}\n' e "" f "hello" g "$long"
	echo '{"id":"w","text":"hello","weight":0}'
} >t.jsonl
sed 's/,"weight":0//' t.jsonl | moe-cat --from-json -k texts -f -o t.moes
ok "empty and long texts are scored" moe-base --score -m m --text t.moes
equal "those that have a token to predict" "$(wc -l <out | tr -d ' ')" 3
contains "the others are counted" err '1 record was left out; the first: record 1: the text has fewer than two tokens'
contains "what is cut, too" err '1 text was cut: only the first 1024 tokens of each are scored .the model.s positions.'
ok "and trained on" moe-base --pretrain -m m --steps 1 --batch 2 --heldout 0 -o n t.moes
contains "which is said as well" err '1 text was left out: fewer than two tokens'
echo '{"id":"a","text":"hello","weight":2000000}' | moe-cat --from-json -k texts -f -o t.moes
fails 3 "a weight that is too large" moe-base --pretrain -m m --steps 1 -o n2 t.moes
contains "is not said to be below 0" err 'between 0 and 1e\+06'
echo '{"id":"a","text":"hello","weight":0,"prompt_weight":0}' | moe-cat --from-json -k texts -f -o t.moes
moe-base --pretrain -m m --steps 1 --heldout 0 -o n3 t.moes 2>err
lacks "the loss of nothing is no number" err 'loss 0\.0000'

# ---- numbers of what was not measured ----
moe-rollout -m m -a a.moes -q -f --group 4 --max-new 6 --per-step 1 -o r.moes p.moes
reward() { moe-cat --json r.moes | awk '/"t":"rollout"/ { n++; sub(/\{/, "{\"reward\":" ('"$1"') ",") } { gsub(/"sha256":"[0-9a-f]*"/, "\"sha256\":null"); print }' | moe-cat --from-json -f -o "$2"; }
reward 0.5 equal.moes
reward n%2 live.moes
moe-train -q -m m -a a.moes --metrics e.moes -f -o b.moes equal.moes 2>err
moe-train -q -m m -a a.moes --metrics l.moes -f -o b.moes live.moes
moe-train -q -m m -a a.moes --metrics k.moes --beta 0.1 -f -o b.moes live.moes
for f in e l k; do moe-cat --json $f.moes | grep '"t":"metrics"' >$f.json; done
for k in entropy 'sampling/sampling_logp_difference/max' 'sampling/sampling_logp_difference/mean' 'clip_ratio/region_mean' 'update_mass/clean'; do
	contains "nothing trained: $k is not measured" e.json "\"$(echo $k | sed 's,/,\\\\?/,g')\":null"
done
contains "where something did: entropy" l.json '"entropy":[0-9]'
contains "kl is not measured without a beta" l.json '"kl":null'
contains "kl with it" k.json '"kl":[0-9]'
equal "num_tokens are those of all rollouts" "$(sed 's/.*"num_tokens":\([^,}]*\).*/\1/' e.json)" "$(sed 's/.*"num_tokens":\([^,}]*\).*/\1/' l.json)"

sed 's/"max_position_embeddings": 1024/"max_position_embeddings": 4/' m/config.json >x && cp -r m short && mv x short/config.json
moe-train -m short --any-base -a a.moes -f -o b.moes live.moes 2>err
contains "rollouts beyond the positions are counted" err "4 rollouts are longer than the model's positions"
printf '\357\273\277# criteria\r\nmin_prompts = 2\r\n' >crlf.conf
moe-report --uat crlf.conf live.moes >out 2>err
lacks "criteria with a byte order mark and CRLF are read" err 'crlf.conf'

# ---- settings ----
for t in 1e-40 1e-300 0; do ok "a temperature of $t" moe-rollout -q -f -m m --group 1 --max-new 2 --temperature $t -o r.moes p.moes; done
fails 2 "no score at such a one" moe-base --score -m m --temperature 1e-40 t.moes
cp m/config.json config.json
conf() { sed "$1" config.json >m/config.json; }
for k in '"is_causal": false' '"use_bidirectional_attention": true' '"logit_scale": 0.0625' '"attention_multiplier": 0.5' '"final_logit_softcapping": 30.0' \
	'"num_experts": 8' '"sliding_window": 16' '"partial_rotary_factor": 0.5' '"no_rope_layers": [1, 0]' '"alibi": true' '"layer_types": ["full_attention", "linear_attention"]' \
	'"rotary_pct": 0.25'; do
	conf "s/\"hidden_act\"/$k, \"hidden_act\"/"
	fails 3 "config: $k" moe-base --info -m m
	contains "is named" err "$(echo "$k" | sed 's/"\([^"]*\)".*/\1/')"
done
for k in '"is_causal": true' '"logit_scale": 1.0' '"final_logit_softcapping": null' '"num_experts": 0' '"sliding_window": null' '"no_rope_layers": []' '"partial_rotary_factor": 1.0'; do
	conf "s/\"hidden_act\"/$k, \"hidden_act\"/"
	ok "config: $k changes nothing" moe-base --info -m m
done
for k in '{"factor": 4.0}' '{"rope_type": "default", "mrope_section": [1, 2]}' '{"rope_type": "longrope", "factor": 2}' '{"type": "su", "factor": 2}' '{"rope_type": "linear"}' '{"low_freq_factor": 1.0}'; do
	conf "s/\"rope_scaling\": null/\"rope_scaling\": $k/"
	fails 3 "rope_scaling $k" moe-base --info -m m
done
for k in '{"rope_type": "default"}' '{}' '{"rope_theta": 10000.0}' '{"rope_type": "linear", "factor": 2.0}'; do
	conf "s/\"rope_scaling\": null/\"rope_scaling\": $k/"
	ok "rope_scaling $k" moe-base --info -m m
done
sed 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' config.json >untied.json
moe-base --new ./untied.json -q --tokenizer m/tokenizer.json -o u
cp config.json u/config.json
fails 3 "a tied head beside another one that is stored" moe-base --info -m u
contains "is refused by name" err 'lm_head.weight that differs'
done_testing
