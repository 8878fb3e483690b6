#!/usr/bin/env python3
"""make_gguf_golden.py - makes the GGUF files and their values that tests/unit/test_gguf.c reads (gguf/).

Run by hand; its outputs are committed, so `make check` needs no Python. Made with gguf 0.19.0 and safetensors 0.8.0 (requirements.txt).
  quants.gguf, quants.safetensors   blocks of random bits of every type, and what gguf.quants.dequantize makes of them
  NAME.gguf                         the models beside this file as llama.cpp's convert_hf_to_gguf.py lays them out: names, permuted q and k, rope_freqs
  bias.gguf, bias.safetensors       a Llama with biases everywhere, whose q and k biases are permuted too
  tok-NAME.gguf                     the tokenizers beside this file as metadata, without tensors
"""
import json
import math
import os

import numpy as np
from gguf import GGMLQuantizationType as T, GGUFWriter, TokenType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from safetensors.numpy import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "gguf")
TYPES = [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q4_K, T.Q5_K, T.Q6_K]
# Where in a block the 16-bit floats are: random bits there would be NaN now and then.
HALVES = {T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
PARTS = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}


def write(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def quants():
    rng = np.random.default_rng(16)
    w, want = GGUFWriter(os.path.join(OUT, "quants.gguf"), "llama"), {}
    for t in TYPES:
        elements, size = GGML_QUANT_SIZES[t]
        rows, cols = 3, 256
        raw = rng.integers(0, 256, (rows * cols // elements, size), dtype=np.uint8)
        for at in HALVES.get(t, []):  # subnormal, small, ordinary and large scales of both signs
            f = rng.standard_normal(len(raw)) * 10.0 ** rng.integers(-7, 3, len(raw))
            raw[:, at:at + 2] = f.astype(np.float16).view(np.uint8).reshape(-1, 2)
        if t == T.F32:
            raw = (rng.standard_normal((len(raw), 1)) * 10.0 ** rng.integers(-40, 30, (len(raw), 1))).astype(np.float32).view(np.uint8)
        if t == T.F16:
            raw = (rng.standard_normal((len(raw), 1)) * 10.0 ** rng.integers(-7, 4, (len(raw), 1))).astype(np.float16).view(np.uint8)
        if t == T.BF16:
            raw = (rng.standard_normal((len(raw), 1)) * 10.0 ** rng.integers(-38, 30, (len(raw), 1))).astype(np.float32).view(np.uint8)[:, 2:]
        raw = np.ascontiguousarray(raw).reshape(rows, -1)
        w.add_tensor(t.name, raw, raw_dtype=t) if t not in (T.F32, T.F16) else w.add_tensor(t.name, raw.view(np.float32 if t == T.F32 else np.float16))
        want[t.name] = np.ascontiguousarray(dequantize(raw.view(np.float32) if t == T.F32 else raw.view(np.float16) if t == T.F16 else raw, t).astype(np.float32).reshape(rows, cols))
    write(w)
    save_file(want, os.path.join(OUT, "quants.safetensors"))


def permute(x, heads):
    """convert_hf_to_gguf.py, LlamaModel.permute."""
    return x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def tensors(w, weights, config):
    """weights: name -> (array, type or None)."""
    for name, (x, t) in weights.items():
        parts = name.split(".")
        if name == "model.embed_tokens.weight":
            to = "token_embd.weight"
        elif name == "model.norm.weight":
            to = "output_norm.weight"
        elif name == "lm_head.weight":
            to = "output.weight"
        else:
            to = f"blk.{parts[2]}.{PARTS['.'.join(parts[3:-1])]}.{parts[-1]}"
            heads = config["num_attention_heads"] if "q_proj" in name else config["num_key_value_heads"]
            if config["model_type"] == "llama" and ("q_proj" in name or "k_proj" in name):
                x = permute(x, heads)
        x = np.ascontiguousarray(x)
        w.add_tensor(to, x.view(np.uint8) if t == T.BF16 else x, raw_dtype=t if t == T.BF16 else None)


def shape(w, c):
    w.add_block_count(c["num_hidden_layers"])
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_vocab_size(c["vocab_size"])
    hd = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    if c["model_type"] == "llama":
        w.add_rope_dimension_count(hd)
    if c["model_type"] == "qwen3":
        w.add_key_length(hd)
        w.add_value_length(hd)
    return hd


def rope(w, c, hd):
    r = c.get("rope_parameters") or {"rope_theta": c["rope_theta"], "rope_type": "default"}
    w.add_rope_freq_base(r["rope_theta"])
    if r["rope_type"] in ("linear", "yarn"):
        from gguf.constants import RopeScalingType
        w.add_rope_scaling_type(RopeScalingType.LINEAR if r["rope_type"] == "linear" else RopeScalingType.YARN)
        w.add_rope_scaling_factor(r["factor"])
    if "original_max_position_embeddings" in r:
        w.add_rope_scaling_orig_ctx_len(r["original_max_position_embeddings"])
    if r["rope_type"] == "llama3":  # convert_hf_to_gguf.py, LlamaModel.generate_extra_tensors
        n, low, high, factors = r["original_max_position_embeddings"], r["low_freq_factor"], r["high_freq_factor"], []
        for i in range(0, hd, 2):
            wave = 2 * math.pi * r["rope_theta"] ** (i / hd)
            smooth = (n / wave - low) / (high - low)
            factors.append(1 if wave < n / high else r["factor"] if wave > n / low else 1 / ((1 - smooth) / r["factor"] + smooth))
        w.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))


def small_vocab(w, n):
    """Letters: the vocabularies of the models beside this file have no meaning."""
    text = ["<unk>", "<s>", "</s>", "<eot>"] + [chr(97 + i) if i < 26 else chr(39 + i) if i < 31 else "ab" if i == 31 else f"[PAD{i}]" for i in range(n - 4)]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(text)
    w.add_token_types([TokenType.CONTROL] * 4 + [TokenType.NORMAL] * 32 + [TokenType.UNUSED] * (n - 36))
    w.add_token_merges(["a b"])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_eot_token_id(3)
    w.add_chat_template("{{ 'a chat \"template\" \u00fc\n' }}")


def raw_bf16(folder, name):
    """numpy has no bfloat16: the bits, from the file itself."""
    index = json.load(open(os.path.join(folder, "model.safetensors.index.json")))["weight_map"]
    with open(os.path.join(folder, index[name]), "rb") as f:
        n = int.from_bytes(f.read(8), "little")
        entry = json.loads(f.read(n))[name]
        a, b = entry["data_offsets"]
        f.seek(8 + n + a)
        return np.frombuffer(f.read(b - a), np.uint16).reshape(entry["shape"])


def model(name, folder, config_file, dtype=None):
    folder = os.path.join(HERE, folder)
    c = json.load(open(os.path.join(HERE, config_file)))
    w = GGUFWriter(os.path.join(OUT, name + ".gguf"), c["model_type"])
    hd = shape(w, c)
    rope(w, c, hd)
    small_vocab(w, c["vocab_size"])
    if dtype:
        index = json.load(open(os.path.join(folder, "model.safetensors.index.json")))["weight_map"]
        weights = {k: (raw_bf16(folder, k) if dtype == T.BF16 else raw_bf16(folder, k).view(np.float16), dtype) for k in sorted(index)}
    else:
        weights = {k: (v, None) for k, v in sorted(load_file(os.path.join(folder, "model.safetensors")).items())}
    tensors(w, weights, c)
    write(w)


def bias():
    rng = np.random.default_rng(17)
    c = {"model_type": "llama", "num_hidden_layers": 1, "max_position_embeddings": 32, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2,
         "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "vocab_size": 40, "rope_theta": 10000.0}
    d, f, kv = 16, 24, 8
    sizes = {"self_attn.q_proj": (d, d), "self_attn.k_proj": (kv, d), "self_attn.v_proj": (kv, d), "self_attn.o_proj": (d, d),
             "mlp.gate_proj": (f, d), "mlp.up_proj": (f, d), "mlp.down_proj": (d, f)}
    x = {"model.embed_tokens.weight": (40, d), "model.norm.weight": (d,), "model.layers.0.input_layernorm.weight": (d,),
         "model.layers.0.post_attention_layernorm.weight": (d,)}
    for k, s in sizes.items():
        x[f"model.layers.0.{k}.weight"], x[f"model.layers.0.{k}.bias"] = s, s[:1]
    x = {k: rng.standard_normal(s).astype(np.float32) for k, s in sorted(x.items())}
    w = GGUFWriter(os.path.join(OUT, "bias.gguf"), "llama")
    rope(w, c, shape(w, c))
    small_vocab(w, 40)
    tensors(w, {k: (v, None) for k, v in x.items()}, c)
    write(w)
    save_file(x, os.path.join(OUT, "bias.safetensors"))


def tokenizer(name, pre):
    j = json.load(open(os.path.join(HERE, f"tok-{name}", "tokenizer.json")))
    vocab = {i: t for t, i in j["model"]["vocab"].items()}
    added = {a["id"]: a for a in j["added_tokens"]}
    n = max([*vocab, *added]) + 1
    w = GGUFWriter(os.path.join(OUT, f"tok-{name}.gguf"), "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list([added[i]["content"] if i in added else vocab.get(i, f"[PAD{i}]") for i in range(n)])
    w.add_token_types([(TokenType.CONTROL if added[i]["special"] else TokenType.USER_DEFINED) if i in added else
                       TokenType.NORMAL if i in vocab else TokenType.UNUSED for i in range(n)])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in j["model"]["merges"]])
    post = j.get("post_processor") or {}
    for p in post.get("processors", [post]):
        if p.get("type") == "TemplateProcessing":
            w.add_bos_token_id(next(iter(p["special_tokens"].values()))["ids"][0])
    write(w)


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    quants()
    model("llama", "llama", "llama/config.json")
    model("llama-linear", "llama", "rope/linear.json")
    model("llama-rope3", "llama", "rope/llama3.json")
    model("llama-yarn", "llama", "rope/yarn.json")
    model("llama-bf16", "llama-bf16", "llama-bf16/config.json", T.BF16)
    model("qwen2", "qwen2", "qwen2/config.json")
    model("qwen3", "qwen3", "qwen3/config.json")
    model("qwen3-f16", "qwen3-f16", "qwen3-f16/config.json", T.F16)
    bias()
    for name, pre in (("smollm2", "smollm"), ("llama3", "llama-bpe"), ("qwen2", "qwen2"), ("qwen3", "qwen2")):
        tokenizer(name, pre)
