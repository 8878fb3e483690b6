"""transformers' generate on the same model directory, prompts and lengths, for tests/bench/decode.sh.
usage: decode_torch.py MODEL_DIR DTYPE THREADS BATCH GROUP PROMPT_LEN NEW SECONDS; prints one line of JSON as decode_bench does.
DTYPE: float32, or auto (as stored). A prompt's GROUP completions come from num_return_sequences. Sampling at temperature 1 from the
whole vocabulary with a KV cache; min_new_tokens keeps it from stopping early."""
import sys

import torch
from transformers import AutoModelForCausalLM

from torch_side import fastest, report

folder, dtype, (threads, batch, group, length, new), sec = sys.argv[1], sys.argv[2], map(int, sys.argv[3:8]), float(sys.argv[8])
torch.set_num_threads(threads)
torch.manual_seed(1)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()
ids = torch.randint(0, model.config.vocab_size, (batch // group, length))


def generate():
    with torch.inference_mode():
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), num_return_sequences=group, do_sample=True, temperature=1.0,
                             top_k=0, top_p=1.0, max_new_tokens=new, min_new_tokens=new, pad_token_id=0)
    assert out.shape == (batch, length + new)


report("transformers", batch * new / fastest(sec, generate))
