#!/usr/bin/env python3
"""make_golden.py - makes the reference values that tests/unit/test_golden.c and test_tokenizer_golden.c read.

Run by hand (make golden-update); its outputs are committed, so `make check` needs no Python. Made with, see requirements.txt:
    torch 2.15.0  transformers 5.23.0  peft 0.21.2  tokenizers 0.23.3  safetensors 0.8.x
Everything is float32 on one thread with fixed seeds. Layout of the outputs: README.md beside this file.
"""
import json
import os
import shutil
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = dict(vocab_size=48, hidden_size=16, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, attention_dropout=0.0)
FAMILIES = {
    "llama": LlamaConfig(**SIZES, tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
    "qwen3": Qwen3Config(**SIZES, head_dim=6, tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
}
ROPES = {
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5},
    "llama3": {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 16},
    "yarn": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16},
}
LENS = [11, 7]
LORA_R, LORA_ALPHA = 4, 8
ADAMW = dict(lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
STEPS = 20


def randomise(model, seed):
    """Weights large enough that every part of the model matters."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            n = torch.randn(p.shape, generator=g)
            p.copy_(1 + 0.2 * n if "norm" in name else 0.25 * n if p.dim() == 2 else 0.1 * n)


def batch(seed):
    g = torch.Generator().manual_seed(seed)
    return [torch.randint(0, SIZES["vocab_size"], (1, n), generator=g) for n in LENS]


def logits(model, seqs):
    """[T, V] of the packed sequences, each computed alone."""
    return torch.cat([model(input_ids=s, use_cache=False).logits[0] for s in seqs])


def loss(model, seqs):
    """Mean negative log-likelihood of all next tokens."""
    nll = [torch.nn.functional.cross_entropy(model(input_ids=s, use_cache=False).logits[0, :-1], s[0, 1:], reduction="sum") for s in seqs]
    return sum(nll) / sum(n - 1 for n in LENS)


def gradients(model, seqs):
    model.zero_grad()
    value = loss(model, seqs)
    value.backward()
    return value.detach()


def curve(model, seqs):
    """STEPS of AdamW with clipping at norm 1; the loss before each step, and after the last."""
    params = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, foreach=False, **ADAMW)
    out = []
    for _ in range(STEPS):
        out.append(gradients(model, seqs))
        torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=False)
        opt.step()
    out.append(loss(model, seqs).detach())
    return torch.stack(out)


def strip(name):
    """PEFT's names in files do not carry the adapter's."""
    return name.replace(".default", "")


def lora(model, seqs, out, folder):
    peft = get_peft_model(model, LoraConfig(r=LORA_R, lora_alpha=LORA_ALPHA, lora_dropout=0.0, bias="none", target_modules="all-linear",
                                            task_type="CAUSAL_LM"))
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in peft.named_parameters():
            if "lora_" in name:
                p.copy_(0.2 * torch.randn(p.shape, generator=g))
                out["lora.param." + strip(name)] = p.detach().clone()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
        peft.save_pretrained(folder)
        os.remove(os.path.join(folder, "README.md"))
        path = os.path.join(folder, "adapter_config.json")
        with open(path) as f:
            c = json.load(f)
        c["base_model_name_or_path"] = "tests/golden/llama"
        c["target_modules"].sort()
        with open(path, "w") as f:
            json.dump(c, f, indent=2)
            f.write("\n")
    out["lora.logits"] = logits(peft, seqs).detach()
    out["lora.loss"] = gradients(peft, seqs)
    for name, p in peft.named_parameters():
        if p.requires_grad:
            out["lora.grad." + strip(name)] = p.grad.clone()
        else:
            assert p.grad is None
    out["lora.curve"] = curve(peft, seqs)


def plain(tensors):
    return {k: v.detach().clone().contiguous() for k, v in tensors.items()}


def family(name, config):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    randomise(model, 1)
    model.save_pretrained(folder)
    seqs, out = batch(2), {}
    out["ids"] = torch.cat([s[0] for s in seqs]).to(torch.int32)
    out["lens"] = torch.tensor(LENS, dtype=torch.int32)
    out["logits"] = logits(model, seqs)
    out["loss"] = gradients(model, seqs)
    for n, p in model.named_parameters():
        out["grad." + n] = p.grad.clone()
    trained = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    out["curve"] = curve(trained, seqs)
    for n, p in trained.named_parameters():
        out["trained." + n] = p.detach().clone()
    lora(model, seqs, out, folder + "-lora" if name == "llama" else None)
    meta = {"steps": str(STEPS), "r": str(LORA_R), "alpha": str(LORA_ALPHA), **{k: str(v) for k, v in ADAMW.items() if k != "betas"},
            "beta1": str(ADAMW["betas"][0]), "beta2": str(ADAMW["betas"][1]), "clip": "1.0"}
    save_file(plain(out), folder + ".safetensors", metadata=meta)
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)


def version_4(folder):
    """Rewrites config.json as transformers 4 wrote it."""
    path = os.path.join(folder, "config.json")
    with open(path) as f:
        c = json.load(f)
    rope = c.pop("rope_parameters")
    c["rope_theta"] = rope["rope_theta"]
    c["rope_scaling"] = None
    c["torch_dtype"] = c.pop("dtype")
    c["transformers_version"] = "4.51.0"
    c.pop("layer_types", None)
    with open(path, "w") as f:
        json.dump(c, f, indent=2)
        f.write("\n")


def stored_as(name, dtype, label, out):
    """The same model in 16 bits and several files; the reference computes in float32 from what is stored."""
    folder = os.path.join(HERE, f"{name}-{label}")
    shutil.rmtree(folder, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, name), dtype=dtype)
    model.save_pretrained(folder, max_shard_size="6KB")
    assert os.path.exists(os.path.join(folder, "model.safetensors.index.json"))
    again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    out[f"logits.{label}"] = logits(again, batch(2)).detach()
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)


def ropes(out):
    os.makedirs(os.path.join(HERE, "rope"), exist_ok=True)
    g = torch.Generator().manual_seed(5)
    seq = torch.randint(0, SIZES["vocab_size"], (1, 40), generator=g)
    out["rope.ids"] = seq[0].to(torch.int32)
    for label, rope in ROPES.items():
        config = LlamaConfig(**SIZES, tie_word_embeddings=False, rope_parameters=dict(rope), architectures=["LlamaForCausalLM"])
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
        model.load_state_dict(load_file(os.path.join(HERE, "llama", "model.safetensors")))
        out[f"logits.rope.{label}"] = logits(model, [seq]).detach()
        config.save_pretrained(os.path.join(HERE, "rope"))
        os.replace(os.path.join(HERE, "rope", "config.json"), os.path.join(HERE, "rope", label + ".json"))


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name, config in FAMILIES.items():
        family(name, config)
    version_4(os.path.join(HERE, "qwen2"))
    out = {}
    stored_as("llama", torch.bfloat16, "bf16", out)
    stored_as("qwen3", torch.float16, "f16", out)
    ropes(out)
    save_file(plain(out), os.path.join(HERE, "variants.safetensors"))
    if "--models-only" not in sys.argv:
        import make_tokenizers
        make_tokenizers.main()


if __name__ == "__main__":
    main()
