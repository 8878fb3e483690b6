"""transformers' generate on the same model directory, batch and lengths, for tests/bench/decode.sh.
usage: decode_torch.py MODEL_DIR THREADS BATCH PROMPT_LEN NEW SECONDS; prints one line of JSON as decode_bench does.
Sampling at temperature 1 from the whole vocabulary with a KV cache; min_new_tokens keeps it from stopping early."""
import json
import resource
import sys
import time

import torch
from transformers import AutoModelForCausalLM

folder, threads, batch, length, new, sec = sys.argv[1], *map(int, sys.argv[2:6]), float(sys.argv[6])
torch.set_num_threads(threads)
torch.manual_seed(1)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
group = min(batch, 16)
ids = torch.randint(0, model.config.vocab_size, (batch // group, length)).repeat_interleave(group, 0)
best, start = 1e30, time.monotonic()
while True:
    t = time.monotonic()
    with torch.inference_mode():
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                             max_new_tokens=new, min_new_tokens=new, pad_token_id=0)
    best = min(best, time.monotonic() - t)
    assert out.shape == (batch, length + new)
    if time.monotonic() - start > sec:
        break
print(json.dumps({"engine": "transformers", "threads": threads, "batch": batch, "tokens_per_sec": batch * new / best,
                  "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
