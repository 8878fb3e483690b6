#!/bin/sh
# A real GGUF file (MOE_GGUF) through moe-base --from-gguf, against gguf, tokenizers, transformers and, where it can be imported, llama_cpp: weights,
# ids, log-probabilities, greedy continuations, perplexity. MOE_PARTS names some of these; MOE_TEXTS may name a folder of English and code.
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need_python gguf torch transformers tokenizers safetensors
if [ ! -f "${MOE_GGUF:-}" ]; then
	echo "1..1"
	echo "ok 1 - 40-gguf # SKIP no file (set MOE_GGUF)"
	exit 0
fi
# shellcheck disable=SC2086
exec nice "$PYTHON" "$TOP/tests/interop/gguf_compare.py" "$BIN" "$MOE_GGUF" ${MOE_PARTS:-}
