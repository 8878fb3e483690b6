#!/bin/sh
# 20 steps of moe-train against TRL's loss, PEFT's LoRA and torch's AdamW on the same recorded rollouts. MOE_PYTHON names a Python that has torch, transformers, peft, trl and
# safetensors.
# shellcheck source=tests/interop/lib.sh
. "$(dirname "$0")/lib.sh"
need_python torch transformers peft trl safetensors
exec nice "$PYTHON" "$TOP/tests/interop/curves_compare.py" "$BIN" "$TOP/examples/quarantine/env.lua"
