#!/bin/sh
# The deployed model outside: an arm as a PEFT directory, merged into its base, and as a GGUF LoRA, in transformers, PEFT, gguf and llama.cpp. On the golden
# Llama; MOE_BASE and MOE_ADAPTER (and MOE_ARM) name others, MOE_GGUF the GGUF file of that base, which llama.cpp needs.
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need_python torch transformers peft
T=$(mktemp -d) || exit 2
trap 'rm -rf "$T"' EXIT
golden=$TOP/tests/golden
if [ ! "${MOE_ADAPTER:-}" ]; then
	"$BIN/moe-base" -q --from-gguf "$golden/gguf/llama.gguf" -o "$T/base"
	"$BIN/moe-cat" --from-peft "$golden/llama-lora" -m "$T/base" -q -o "$T/a.moes"
fi
nice "$PYTHON" "$TOP/tests/interop/deploy_compare.py" "$BIN" "${MOE_BASE:-$T/base}" "${MOE_ADAPTER:-$T/a.moes}" ${MOE_ARM:+"$MOE_ARM"}
