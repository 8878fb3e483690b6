#!/usr/bin/env python3
"""transformers_compare.py BIN - model directories across the border, in both directions: directories that BIN/moe-base writes load in
transformers (with their tokenizer) and give the log-probabilities that moe-base --score gives; directories that transformers writes
(families, storage, shards, rope types) give the same under moe-base --score; LoRA adapters of PEFT, too, in both directions. TAP; exit 1 when anything differs by more than 2e-5 of the
largest logit."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

BIN = sys.argv[1]
TEXTS = ["hello w\u00f6rld", "def f(x):\n    return x + 1\n", "\U0001f600 \u4f60\u597d " * 12]
SIZES = dict(vocab_size=259, hidden_size=64, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=512, rms_norm_eps=1e-6, bos_token_id=257, eos_token_id=258, initializer_range=0.2)
ROPE = {"rope_type": "default", "rope_theta": 50000.0}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 50000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
YARN = {"rope_type": "yarn", "rope_theta": 50000.0, "factor": 4.0, "original_max_position_embeddings": 128}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 50000.0, "factor": 4.0}
CASES = {
    "llama, untied, f32": (LlamaConfig(**SIZES, rope_parameters=ROPE), torch.float32, "1GB"),
    "llama, biases, llama3 rope, bf16, sharded": (LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True, rope_parameters=LLAMA3), torch.bfloat16, "100KB"),
    "mistral, f16": (MistralConfig(**SIZES, sliding_window=None, rope_parameters=ROPE), torch.float16, "1GB"),
    "qwen2, tied, yarn rope, f32, sharded": (Qwen2Config(**SIZES, tie_word_embeddings=True, rope_parameters=YARN), torch.float32, "200KB"),
    "mistral, a window of all positions, dynamic rope, f32": (MistralConfig(**SIZES, sliding_window=512, rope_parameters=DYNAMIC), torch.float32, "1GB"),
    "qwen3, head_dim 24, bf16": (Qwen3Config(**SIZES, head_dim=24, rope_parameters=ROPE), torch.bfloat16, "1GB"),
}
count = failures = 0


def result(good, name):
    global count, failures
    count += 1
    failures += not good
    print(f"{'ok' if good else 'not ok'} {count} - {name}", flush=True)


def scores(folder, tmp, adapter=None):
    """Per text the ids and their log-probabilities, by moe-base."""
    path = os.path.join(tmp, "texts.jsonl")
    with open(path, "w") as f:
        for i, t in enumerate(TEXTS):
            f.write(json.dumps({"t": "text", "id": str(i), "text": t}) + "\n")
    stream = subprocess.run([BIN + "/moe-cat", "--from-json", "-k", "texts", path], stdout=subprocess.PIPE, check=True).stdout
    out = subprocess.run([BIN + "/moe-base", "-q", "--score", "-m", folder] + (["-a", adapter] if adapter else []), input=stream, stdout=subprocess.PIPE, check=True).stdout
    text = subprocess.run([BIN + "/moe-cat", "--json", "--values"], input=out, stdout=subprocess.PIPE, check=True).stdout.decode()
    return [r for r in map(json.loads, text.splitlines()) if r["t"] == "score"]


def compare(model, folder, tmp, name, adapter=None):
    """model: float32 in transformers, of the same weights as folder."""
    worst = 0.0
    for r in scores(folder, tmp, adapter):
        ids = torch.tensor([r["ids"]])
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits[0].double()
        want = torch.log_softmax(logits, -1)[torch.arange(len(r["ids"]) - 1), ids[0, 1:]]
        worst = max(worst, ((want - torch.tensor(r["logp"], dtype=torch.float64)).abs().max() / logits.abs().max()).item())
    result(worst <= 2e-5, f"{name}: log-probabilities differ by {worst:.1e} of the largest logit")


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def ours(tmp, shape, name):
    folder = os.path.join(tmp, "ours")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([BIN + "/moe-base", "-q", "--new", shape, "-o", folder], check=True)
    tok = AutoTokenizer.from_pretrained(folder)
    same = all(tok(t, add_special_tokens=False)["input_ids"] == list(t.encode()) and tok.decode(list(t.encode())) == t for t in TEXTS)
    result(same and (tok.pad_token_id, tok.bos_token_id, tok.eos_token_id) == (256, 257, 258), f"{name}: its tokenizer loads")
    compare(load(folder), folder, tmp, name)
    return folder


def adapters(folder, tmp, name):
    """A LoRA that PEFT made, under moe-base; the same after going through an adapter stream and back to PEFT."""
    theirs, stream, back = (os.path.join(tmp, n) for n in ("lora", "lora.moes", "lora.back"))
    torch.manual_seed(9)
    model = get_peft_model(load(folder), LoraConfig(r=3, lora_alpha=5, use_rslora=True, target_modules="all-linear", rank_pattern={"mlp.up_proj": 2},
                                                    alpha_pattern={"layers.1.self_attn.q_proj": 9}, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "lora_B" in n:
                p.copy_(0.1 * torch.randn_like(p))
    model.eval()
    model.save_pretrained(theirs)
    subprocess.run([BIN + "/moe-cat", "-q", "--from-peft", theirs, "-m", folder, "-o", stream], check=True)
    compare(model, folder, tmp, f"{name}: an adapter of PEFT", stream)
    subprocess.run([BIN + "/moe-cat", "-q", "--peft", back, "-m", folder, stream], check=True)
    compare(PeftModel.from_pretrained(load(folder), os.path.join(back, "expert_00")).eval(), folder, tmp, f"{name}: our adapter in PEFT", stream)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as tmp:
        base = ours(tmp, "tiny", "moe-base --new tiny")
        tokenizer = os.path.join(tmp, "tokenizer.json")
        shutil.copy(os.path.join(base, "tokenizer.json"), tokenizer)
        for k, (name, (config, dtype, shard)) in enumerate(CASES.items()):
            torch.manual_seed(k)
            folder = os.path.join(tmp, f"theirs{k}")
            model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(dtype)
            with torch.no_grad():
                for n, p in model.named_parameters():
                    if n.endswith("bias") or "norm" in n:
                        p.add_(0.2 * torch.randn_like(p))
            model.save_pretrained(folder, max_shard_size=shard)
            assert os.path.exists(os.path.join(folder, "model.safetensors.index.json")) == (shard != "1GB")
            shutil.copy(tokenizer, folder)
            compare(load(folder), folder, tmp, name)
            if name.startswith(("llama, untied", "qwen2", "qwen3")):
                adapters(folder, tmp, name)
            # the same shape, written by us
            ours(tmp, os.path.join(folder, "config.json"), f"moe-base --new of {name}")
    print(f"1..{count}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
