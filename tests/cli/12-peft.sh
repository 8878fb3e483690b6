#!/bin/sh
# moe-cat: experts to PEFT adapter directories and back.
. "$(dirname "$0")/lib.sh"
golden=$TOP/tests/golden

ok "from PEFT" moe-cat --from-peft "$golden/llama-lora" -m "$golden/llama" --bank quarantine -o a.moes
ok "a whole stream" moe-cat --check a.moes
equal "its one expert" "$(moe-cat --json a.moes | jq -c 'select(.t=="layout").experts')" '[{"bank":"quarantine","name":"quarantine","rank":4}]'
ok "to PEFT" moe-cat --peft peft -m some/base a.moes
equal "which expert" "$(jq -r '.experts[0].name + " " + .experts[0].path' peft/moe.json)" "quarantine expert_00"
equal "its settings" "$(jq -c '[.peft_type,.r,.lora_alpha,.base_model_name_or_path,(.target_modules|length)]' peft/expert_00/adapter_config.json)" '["LORA",4,8,"some/base",7]'
ok "from PEFT again" moe-cat --from-peft peft/expert_00 -m "$golden/llama" --bank quarantine -o b.moes
equal "computes the same" "$(digest a.moes)" "$(digest b.moes)"

# what follows the first arm counts too: a truncated stream is no adapter, and the end may know more labels than the header
head -c $(($(wc -c <a.moes) - 20)) a.moes >cut.moes
fails 3 "an adapter whose end is missing" moe-cat --peft peft3 cut.moes
contains "is truncated" err 'cut.moes: truncated'
moe-cat --json a.moes | sed '$s/"labels":"none"/"labels":"oracle"/' | moe-cat --from-json -o oracle.moes
ok "labels at the end" moe-cat --peft peft4 oracle.moes
equal "are passed on" "$(jq -r .labels peft4/moe.json)" oracle
ok "and come back" moe-cat --from-peft peft4/expert_00 -m "$golden/llama" -o back.moes
equal "with the expert" "$(moe-cat --json back.moes | jq -c 'select(.t == "end") | [.labels, .from]')" \
	"[\"oracle\",[\"$(sha256sum <peft4/expert_00/adapter_config.json | cut -c1-64)\",\"$(sha256sum <peft4/expert_00/adapter_model.safetensors | cut -c1-64)\"]]"
equal "in silence" "$(cat err)" ""
ok "a stranger's adapter" moe-cat --from-peft "$golden/llama-lora" -m "$golden/llama" -o c0.moes
contains "tells no labels, which is said" err 'llama-lora: does not tell which labels it has seen: taken as none'
moe-base -q --new "$golden/llama/config.json" --seed 7 -o other
ok "for another base of the same shape" moe-cat --from-peft peft/expert_00 -m other -o c0.moes
contains "there is a warning" err 'was made for another base than other'
rm c0.moes
fails 2 "needs the base" moe-cat --from-peft "$golden/llama-lora" -o c.moes
fails 3 "another base" moe-cat --from-peft "$golden/llama-lora" -m "$golden/qwen3" -o c.moes
contains "says which Linear" err "self_attn"
fails 2 "no such bank" moe-cat --from-peft "$golden/llama-lora" -m "$golden/llama" --bank dirty -o c.moes
fails 3 "not an adapter" moe-cat --peft peft2 /dev/null
fails 4 "no directory" moe-cat --from-peft nowhere -m "$golden/llama" -o c.moes
equal "nothing is left behind" "$(find . -name 'c.moes*' | wc -l)" 0

# The arm as a whole, and merged into its base.
ok "an arm is a PEFT adapter itself" moe-cat --from-peft peft -m "$golden/llama" -o whole.moes
ok "merged" moe-base --merge -m "$golden/llama" -a a.moes -o merged
contains "with its difference" err 'merged against adapter: log-probabilities of [0-9]* tokens differ by [0-9.e-]* at most'
equal "which is small" "$(sed -n 's/.*differ by \([0-9.e-]*\) at most.*/\1/p' err | awk '{ print $1 < 1e-4 }')" 1
ok "and sound" moe-base --check -m merged
fails 2 "merging needs an adapter" moe-base --merge -m "$golden/llama" -o m2
fails 2 "and does not replace a model" moe-base --merge -m "$golden/llama" -a a.moes -o merged
fails 3 "nor takes an adapter of another base" moe-base --merge -m "$golden/qwen3" -a a.moes -o m2

# The arm for llama.cpp.
ok "as a GGUF LoRA" moe-cat --gguf-lora -m "$golden/llama" -o lora.gguf a.moes
equal "which is a GGUF file" "$(head -c 4 lora.gguf)" GGUF
fails 3 "but no model" moe-base --from-gguf lora.gguf -o m3
fails 2 "needs the base, too" moe-cat --gguf-lora -o lora2.gguf a.moes
fails 3 "of its shape" moe-cat --gguf-lora -m "$golden/qwen3" -o lora2.gguf a.moes
contains "says so" err 'does not fit the base'
equal "leaves nothing behind" "$(find . -name 'lora2*' | wc -l)" 0
done_testing
