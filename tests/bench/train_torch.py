"""PyTorch's forward and backward of the same shape and batch, for tests/bench/train.sh.
usage: train_torch.py PRESET full|experts THREADS SEQ_LEN N_SEQ TASKS SECONDS; prints one line of JSON as engine_bench does.
The sequences have equal lengths, so PyTorch's [TASKS * N_SEQ, SEQ_LEN] batch is the engine's, which packs it into TASKS runs; experts = PEFT's LoRA of rank 32 on all linears."""
import json
import resource
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

preset, mode, threads, seq, n, tasks, sec = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7]), float(sys.argv[7])
shapes = {"tiny": (259, 96, 3, 4, 4, 256), "30m": (259, 512, 10, 8, 4, 1536), "smollm2-135m": (49152, 576, 30, 9, 3, 1536)}
v, d, layers, heads, kv, f = shapes[preset]
torch.set_num_threads(threads)
torch.manual_seed(1)
model = LlamaForCausalLM(LlamaConfig(vocab_size=v, hidden_size=d, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
                                     intermediate_size=f, tie_word_embeddings=True, max_position_embeddings=2048), ).train()
if mode == "experts":
    from peft import LoraConfig, get_peft_model
    model = get_peft_model(model, LoraConfig(r=32, lora_alpha=64, lora_dropout=0.0, target_modules="all-linear"))
ids = torch.randint(0, v, (n * tasks, seq))
best, start = 1e30, time.monotonic()
while True:
    t = time.monotonic()
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    model.zero_grad(set_to_none=False)
    best = min(best, time.monotonic() - t)
    if time.monotonic() - start > sec:
        break
a = torch.ones(1024, 1024)
peak = 1e30
for _ in range(5):
    t = time.monotonic()
    a @ a
    peak = min(peak, time.monotonic() - t)
print(json.dumps({"engine": "torch " + torch.__version__, "shape": preset, "mode": mode, "threads": threads, "tokens_per_sec": n * seq * tasks / best,
                  "sgemm_peak_gflops": 2 * 1024**3 / peak * 1e-9, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                  "blas": "mkldnn" if torch.backends.mkldnn.is_available() else "none", "mkl": torch.backends.mkl.is_available()}))
