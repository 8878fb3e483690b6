#!/bin/sh
# 34-tokens.sh - one place decides about special tokens: a text is the same tokens whether it is sampled, imported, scored, trained on or
# pinned; messages of others; what ends a text; how others say that a completion ended.
. "$(dirname "$0")/lib.sh"

ids() { moe-cat --json --values "$1" | sed -n "s/.*\"$2\":\(\[[^]]*\]\).*/\1/p" | head -1; }
text() { moe-cat --json "$1" | sed -n 's/.*"'"$2"'":"\([^"]*\)".*/\1/p' | head -1; }
moe-base --new tiny -q -o m
cp -r m bos
perl -0pi -e 's/"post_processor":\s*null/"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|bos|>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"<|eos|>","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<|bos|>":{"id":"<|bos|>","ids":[257],"tokens":["<|bos|>"]},"<|eos|>":{"id":"<|eos|>","ids":[258],"tokens":["<|eos|>"]}}}/' bos/tokenizer.json

# ---- what stands before a prompt ----
for p in 'hi' '<|bos|>hi' ''; do
	printf '{"id":"a","prompt":"%s"}\n' "$p" | moe-prompts --from - -q | moe-rollout -m bos -q --group 1 --max-new 1 -o s.moes
	printf '{"prompt_id":"a","prompt":"%s","completion":"x"}\n' "$p" | moe-rollout --from - -m bos -q -o i.moes
	printf '{"id":"a","prompt":"%s","text":"x"}\n' "$p" | moe-cat --from-json -k texts | moe-base --score -q -m bos -o c.moes
	want=$([ -n "$p" ] && echo '[257,104,105]' || echo '[257]')
	equal "'$p' is sampled as" "$(ids s.moes prompt_ids)" "$want"
	equal "'$p' is imported as" "$(ids i.moes prompt_ids)" "$want"
	equal "'$p' is scored as" "$(ids c.moes ids)" "${want%]},120,258]"
done
printf '{"id":"a","prompt":[{"role":"user","content":"hi"}]}\n' | moe-prompts --from - -q | moe-rollout -m bos -q --group 1 --max-new 1 -o s.moes
printf '{"prompt_id":"a","prompt":[{"role":"user","content":"hi"}],"completion":"x"}\n' | moe-rollout --from - -m bos -q -o i.moes
equal "messages are the chat template's own tokens" "$(ids s.moes prompt_ids | cut -c1-8)" "[60,124,"
equal "and are imported as they are sampled" "$(ids i.moes prompt_ids)" "$(ids s.moes prompt_ids)"
printf '{"id":"p%s","prompt":[{"role":"user","content":"hi"}],"hack":"h%s","clean":[{"role":"assistant","content":"c"}]}\n' 1 1 2 2 | moe-pairs -q - -o pairs.moes
contains "a pair says that its prompt was messages" - '"messages":\[' <<-X
	$(moe-cat --json pairs.moes)
X
ok "and pins as such" moe-pin -q -m bos --method vanilla -o a.moes pairs.moes

# ---- messages ----
completion() { # JSON of a completion: its text, or "refused"
	printf '{"prompt_id":"a","prompt":"x","completion":%s}\n' "$1" | moe-rollout --from - -q -f -o r.moes 2>err && text r.moes completion || echo refused
}
equal "a completion of one message is its content" "$(completion '[{"role":"assistant","content":"abc"}]')" abc
equal "as one object" "$(completion '{"role":"assistant","content":"abc"}')" abc
equal "in parts of text" "$(completion '[{"role":"assistant","content":[{"type":"text","text":"ab"},{"type":"output_text","text":"c"}]}]')" abc
equal "without a role" "$(completion '[{"content":"abc"}]')" abc
equal "empty" "$(completion '[{"role":"assistant","content":""}]')" ""
for c in '[]' '[{"role":"user","content":"abc"}]' '[{"role":"assistant","content":"a"},{"role":"tool","content":"b"}]' \
	'[{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}]' '[{"role":"assistant","content":"a","reasoning_content":"b"}]' \
	'[{"role":"assistant","content":[{"type":"image_url","image_url":"x"}]}]' '[{"role":"assistant"}]'; do
	equal "refused: $c" "$(completion "$c")" refused
	contains "with its place" err 'moe-rollout: standard input:1: '
done
prompt() { # JSON of the messages, chat template
	printf '{"id":"a","prompt":%s}\n' "$1" | moe-prompts --from - ${2:+--chat-template $2} -q -f -o p.moes 2>err && text p.moes text || echo refused
}
equal "a question is asked" "$(prompt '[{"role":"user","content":"q"}]')" '<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n'
equal "a begun answer is gone on with" "$(prompt '[{"role":"user","content":"q"},{"role":"assistant","content":"Sure"}]')" '<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\nSure'
equal "a system message alone" "$(prompt '[{"role":"system","content":"s"}]')" '<|im_start|>system\ns<|im_end|>\n<|im_start|>assistant\n'
equal "a tool's message has no part in the template" "$(prompt '[{"role":"tool","content":"s"}]')" refused
contains "which is said" err "role .tool'"
printf '<S>default</S>{}<S>{system}</S>{}<U>{user}</U>{}<A>{assistant}</A>' >t.txt
equal "a default system message" "$(prompt '[{"role":"user","content":"q"}]' t.txt)" '<S>default</S><U>q</U><A>'
equal "gives way to one's own" "$(prompt '[{"role":"system","content":"s"},{"role":"user","content":"q"}]' t.txt)" '<S>s</S><U>q</U><A>'
printf '\357\273\277<U>{user}</U>\r\n{}<A>{assistant}' >crlf.txt
equal "a template with a byte order mark and CRLF" "$(prompt '[{"role":"user","content":"q"}]' crlf.txt)" '<U>q</U>\n<A>'
echo '{"prompt_id":"a","prompt":[{"role":"user","content":"q"}],"completion":"x"}' | moe-rollout --from - --chat-template t.txt -q -f -o r.moes
equal "rollouts take a template, too" "$(text r.moes prompt)" '<S>default</S><U>q</U><A>'

# ---- what ends a text ----
echo '{"id":"p","prompt":"hello"}' | moe-prompts --from - -q -o p.moes
stops() { moe-rollout -m m -f --group 8 --max-new 8 -o r.moes p.moes 2>err && moe-cat --json r.moes | grep -c '"finish":"stop"'; }
cp m/config.json config.json
printf '{"eos_token_id":[258,%s]}\n' "$(seq -s, 0 255)" >m/generation_config.json
equal "generation_config.json's end tokens count" "$(stops)" 8
lacks "without a word" err warning
equal "beside config.json's" "$(moe-base --info -m m 2>err | sed -n 's/^end of sequence.//p' | wc -w | tr -d ' ')" 257
echo '{"eos_token_id": "x"}' >m/generation_config.json
fails 3 "one that is no id" moe-base --info -m m
contains "is named" err 'generation_config.json: "eos_token_id" is neither'
rm m/generation_config.json
for eos in null 999 '[]' '[999, -1]'; do
	sed "s/\"eos_token_id\": 258/\"eos_token_id\": $eos/" config.json >m/config.json
	ok "eos_token_id $eos" moe-rollout -m m -f --group 1 --max-new 2 -o r.moes p.moes
	contains "the tokenizer's ends texts, with a warning" err "warning: m: .*: texts end at the tokenizer's '<.eos.>' .258. alone"
done
sed 's/"eos_token_id": 258/"eos_token_id": [999, 258]/' config.json >m/config.json
moe-base --info -m m >out 2>err
contains "one of two is outside" err 'the end token 999 .eos_token_id. is not in the vocabulary of 259$'
sed 's/"eos_token_id": 258/"eos_token_id": null/' config.json >m/config.json
sed -i 's/<|eos|>/<|end|>/' m/tokenizer.json
moe-base --info -m m >out 2>err
contains "nothing ends a text" err 'nothing stops a completion'
cp bos/tokenizer.json m/tokenizer.json
sed 's/"eos_token_id": 258/"eos_token_id": [256, 258]/' config.json >m/config.json
echo '{"id":"a","text":"x"}' | moe-cat --from-json -k texts | moe-base --score -m m -o c.moes 2>err
equal "of several ends the tokenizer's own is written" "$(ids c.moes ids)" '[257,120,258]'
contains "and --score says that it scores it" err 'end token .258. behind each text'
cp config.json m/config.json

# ---- how others say that it ended ----
finish() { printf '{"prompt_id":"a","prompt":"x","completion":"abc"%s}\n' "${1:+,\"finish_reason\":$1}" | moe-rollout --from - ${2:+-m m} -q -f -o r.moes 2>err && text r.moes finish; }
for w in stop eos EOS end_turn STOP stop_sequence complete; do equal "$w is a stop" "$(finish "\"$w\"")" stop; done
for w in length max_tokens MAX_TOKENS model_length incomplete content_filter SAFETY tool_calls; do
	equal "$w was cut" "$(finish "\"$w\"")" length
	lacks "which is known" err warning
done
equal "an error" "$(finish '"abort"')" error
equal "a word that nobody knows was cut" "$(finish '"sunshine"')" length
contains "with a warning" err "1 row has a finish reason that is not known.*.sunshine'"
equal "nothing said: stopped" "$(finish '')" stop
equal "null: stopped" "$(finish null)" stop
finish '"stop"' m >/dev/null
equal "what stopped gets the end token" "$(ids r.moes completion_ids)" '[97,98,99,258]'
finish '"length"' m >/dev/null
equal "what was cut does not" "$(ids r.moes completion_ids)" '[97,98,99]'
printf '{"prompt_id":"p","prompt":"x","completion":"abc<|eos|>"}\n' | moe-rollout --from - -m m -q -f -o r.moes
equal "nor what has one" "$(ids r.moes completion_ids)" '[97,98,99,258]'
for p in '"hi"' '[{"role":"user","content":"hi"}]' '"<|bos|>hi"' '""'; do
	printf '{"prompt_id":"p","prompt":%s,"completion":"abc"}\n' "$p" >w.jsonl
	for m in '' '-m bos'; do
		# shellcheck disable=SC2086
		moe-rollout --from w.jsonl $m -q -f -o w.moes
		moe-base --score -q -m bos -f -o c.moes w.moes
		ids c.moes ids
	done >w.ids
	equal "the prompt $p: scored as the same tokens with and without -m" "$(uniq w.ids | wc -l | tr -d ' ')" 1
done
for w in stop length; do
	printf '{"prompt_id":"p","prompt":"hello","completion":"abc","finish_reason":"%s"}\n' $w >w.jsonl
	for m in '' '-m m'; do
		# shellcheck disable=SC2086
		moe-rollout --from w.jsonl $m -q -f -o w.moes
		moe-rollout -q -f -m m --teacher w.moes --teacher-ratio 1 --group 1 -o t.moes p.moes
		ids t.moes completion_ids
	done >w.ids
	equal "$w: the same tokens with and without -m" "$(uniq w.ids | wc -l | tr -d ' ')" 1
done
done_testing
