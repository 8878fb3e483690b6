"""PyTorch's forward and backward of the same model directory and sequences, for tests/bench/train.sh.
usage: train_torch.py MODEL_DIR full|experts THREADS PROMPTS GROUP PROMPT_LEN NEW PASS_SEQS SECONDS; prints one line of JSON as engine_bench does.
experts = PEFT's LoRA of rank 32 on all linears. Sequences have equal lengths, so batches of PASS_SEQS need no padding. With completions (NEW > 0)
logits and log-probabilities exist for these alone, as in TRL (logits_to_keep); each completion carries its prompt with it.
PyTorch's products are MKL's. On AMD it takes its own Zen kernels by itself; variables that force others (MKL_DEBUG_CPU_TYPE, MKL_ENABLE_INSTRUCTIONS, MKL_CBWR,
a fake Intel) were tried and gained nothing, so none is set. Column sgemm of the table tells whether that holds on the CPU at hand."""
import sys

import torch
from transformers import AutoModelForCausalLM

from torch_side import fastest, report, sgemm_gflops

folder, mode, (threads, prompts, group, length, new, seqs), sec = sys.argv[1], sys.argv[2], map(int, sys.argv[3:9]), float(sys.argv[9])
torch.set_num_threads(threads)
torch.manual_seed(1)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").train()
if mode == "experts":
    from peft import LoraConfig, get_peft_model
    model = get_peft_model(model, LoraConfig(r=32, lora_alpha=64, lora_dropout=0.0, target_modules="all-linear"))
vocab = model.config.vocab_size
ids = torch.cat([torch.randint(0, vocab, (prompts, length)).repeat_interleave(group, 0), torch.randint(0, vocab, (prompts * group, new))], 1)


def step():
    for b in ids.split(seqs):
        if new:
            logits = model(input_ids=b, logits_to_keep=new + 1, use_cache=False).logits[:, :-1]
            logp = torch.gather(logits.log_softmax(-1), 2, b[:, -new:, None])
            (-logp.sum() / ids[:, -new:].numel()).backward()
        else:
            model(input_ids=b, labels=b, use_cache=False).loss.backward()
    model.zero_grad(set_to_none=False)


trained = prompts * group * (new or length)
peak = sgemm_gflops()
report("torch " + torch.__version__, trained / fastest(sec, step), sgemm_gflops=peak)
