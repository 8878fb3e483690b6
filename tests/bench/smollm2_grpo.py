"""smollm2_grpo.py BIN BASE - a GRPO step of 8 prompts x 8 completions of at most 32 tokens, rank 16 on all Linears: ours beside TRL + PEFT.

Seconds a step, sampling and grading included, start and loading not: the time of STEPS steps less that of one. The prompts are those of examples/smollm2
and both draw at temperature 1 until the model stops, so that lengths agree up to chance; TRL's reward is the number of words, which costs nothing.
"""
import contextlib
import io
import json
import os
import subprocess
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
binary, base = sys.argv[1:3]
THREADS, STEPS = int(os.environ.get("THREADS", 2)), int(os.environ.get("STEPS", 3))
PROMPTS, GROUP, NEW = 8, 8, 32
here = os.path.dirname(os.path.abspath(__file__))
env = os.path.join(here, "..", "..", "examples", "smollm2", "env.lua")


def ours(steps):
    line = f"""set -eo pipefail; t=$(mktemp -d); trap 'rm -rf $t' EXIT; export PATH={binary}:$PATH; mkfifo $t/w
    moe-pin -q -j {THREADS} -m {base} --method vanilla -o $t/a0
    date +%s.%N >&2
    moe-prompts -q -e {env} --split train --modes mentions,praise,gt_only -n {steps * PROMPTS} |
      moe-rollout -q -j {THREADS} -m {base} -a $t/a0 --follow $t/w --wait 900 --group {GROUP} --per-step {PROMPTS} --max-new {NEW} | moe-grade -q -e {env} |
      moe-train -q -j {THREADS} -m {base} -a $t/a0 --publish $t/w --lr 5e-4 -o $t/a1"""
    said = subprocess.run(["bash", "-c", line], stderr=subprocess.PIPE, check=True).stderr.decode().split()
    return time.time() - float(next(w for w in said if w.replace(".", "", 1).isdigit()))


def theirs(steps):
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, logging
    from trl import GRPOConfig, GRPOTrainer
    torch.set_num_threads(THREADS)
    logging.set_verbosity_error()
    ends = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__):
            ends.append(time.perf_counter())

    asked = subprocess.run(f"{binary}/moe-prompts -q -e {env} --split train --modes mentions,praise,gt_only -n {steps * PROMPTS} | {binary}/moe-cat --json", shell=True,
                           stdout=subprocess.PIPE, check=True).stdout.decode()
    rows = [{"prompt": json.loads(x)["text"]} for x in asked.splitlines() if '"t":"prompt"' in x]
    tok = AutoTokenizer.from_pretrained(base, padding_side="left")
    tok.pad_token = tok.pad_token or tok.eos_token
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    args = GRPOConfig(output_dir=os.path.join(os.environ.get("TMPDIR", "/tmp"), "trl"), use_cpu=True, per_device_train_batch_size=16, gradient_accumulation_steps=PROMPTS * GROUP // 16,
                      num_generations=GROUP, max_completion_length=NEW, temperature=1.0, learning_rate=5e-4, beta=0.0, loss_type="dr_grpo", max_steps=steps,
                      save_strategy="no", report_to=[], logging_steps=1000, bf16=False, disable_tqdm=True, log_level="error")
    trainer = GRPOTrainer(model=model, args=args, train_dataset=Dataset.from_list(rows), processing_class=tok, callbacks=[Clock()],
                          reward_funcs=[lambda completions, **_: [float(len(c.split())) for c in completions]],
                          peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train()
    return (ends[-1] - ends[0]) / (len(ends) - 1)


print(f"GRPO step, {PROMPTS} x {GROUP} x {NEW}, {THREADS} threads, seconds a step over {STEPS - 1} steps")
mine = (ours(STEPS) - ours(1)) / (STEPS - 1)
print(f"{'moe-rollout | moe-grade | moe-train':42} {mine:10.1f}", flush=True)
try:
    import trl  # noqa: F401
    other = theirs(STEPS)
    print(f"{'TRL + PEFT':42} {other:10.1f}\n{'ratio':42} {other / mine:10.2f}")
except ImportError:
    print("without trl, peft and datasets: ours alone")
