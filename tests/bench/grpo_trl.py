"""TRL's GRPOTrainer with PEFT on a model directory, for tests/bench/grpo.sh.
usage: grpo_trl.py MODEL_DIR THREADS PROMPTS GROUP NEW STEPS MICRO ENV MODES; prints one line of JSON: seconds a step, from the end of the first to that of
the last, and the mean length. Prompts are those of the environment; passes are of MICRO sequences; the reward is arbitrary and differs in a group."""
import json
import os
import subprocess
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

folder, (threads, prompts, group, new, steps, micro), env, modes = sys.argv[1], map(int, sys.argv[2:8]), sys.argv[8], sys.argv[9]
torch.set_num_threads(threads)
ends, lengths = [], []


def reward(completions, completion_ids, **_):
    lengths.extend(map(len, completion_ids))
    return [float(len(c.encode()) % 5) for c in completions]


class Clock(TrainerCallback):
    def on_step_end(self, *_, **__):
        ends.append(time.perf_counter())


asked = subprocess.run(f"moe-prompts -q -e {env} --split train --modes {modes} -n {steps * prompts} | moe-cat --json", shell=True, stdout=subprocess.PIPE,
                       check=True).stdout.decode()
rows = [{"prompt": json.loads(x)["text"]} for x in asked.splitlines() if json.loads(x)["t"] == "prompt"]
tok = AutoTokenizer.from_pretrained(folder, padding_side="left")
tok.pad_token = tok.pad_token or tok.eos_token
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
with tempfile.TemporaryDirectory() as out:
    args = GRPOConfig(output_dir=out, use_cpu=True, per_device_train_batch_size=micro, gradient_accumulation_steps=prompts * group // micro, num_generations=group,
                      max_completion_length=new, temperature=1.0, learning_rate=5e-4, beta=0.0, loss_type="dr_grpo", max_steps=steps, save_strategy="no", report_to=[], logging_steps=1000,
                      bf16=False, gradient_checkpointing=False, disable_tqdm=True)
    GRPOTrainer(model=model, args=args, train_dataset=Dataset.from_list(rows), processing_class=tok, callbacks=[Clock()],
                reward_funcs=[reward],
                peft_config=LoraConfig(r=32, lora_alpha=64, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")).train()
print(json.dumps({"sec_per_step": (ends[-1] - ends[0]) / (len(ends) - 1), "mean_tokens": sum(lengths) / len(lengths)}))
