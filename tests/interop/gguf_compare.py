#!/usr/bin/env python3
"""gguf_compare.py BIN FILE.gguf [PART...] - `moe-base --from-gguf` on a real file against gguf, tokenizers, transformers and llama.cpp.

Parts (default all): weights  every tensor against gguf.quants.dequantize, q and k of a Llama put back
                     ids      100,000 strings against tokenizers (the file's vocabulary and merges with the pre-tokenizer of its name, built here
                              without our code) and against llama.cpp, where llama_cpp can be imported
                     logp     log-probabilities of 20,000 tokens of real text (MOE_TEXTS: a folder; English and code) against transformers
                     greedy   continuations of 200 prompts, token by token, against transformers
                     ppl      perplexity of the same texts against llama.cpp on the same weights, written as an F32 GGUF file
TAP on standard output; exit 1 when anything differs. MOE_DIR keeps the converted directory; MOE_STRINGS, MOE_TOKENS and MOE_PROMPTS make a part smaller.
Needs numpy, gguf, torch, transformers, tokenizers; llama.cpp is asked through llama_cpp (llama-cpp-python) or cyllama, whichever is there.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np  # noqa: E402
from gguf import GGUFReader, GGUFWriter, GGUFValueType  # noqa: E402
from gguf.quants import dequantize  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
N_STRINGS, N_TOKENS, N_PROMPTS = (int(os.environ.get(k, n)) for k, n in (("MOE_STRINGS", 100000), ("MOE_TOKENS", 20000), ("MOE_PROMPTS", 200)))
NEW, BLOCK = 32, 512
PARTS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
         "ffn_norm": "post_attention_layernorm", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
PRE = {"gpt-2": None, "smollm": ["digits", None]}
bad = done = 0


def ok(good, what):
    global bad, done
    done += 1
    bad += not good
    print(f"{'' if good else 'not '}ok {done} - {what}", flush=True)


def hf_name(name):
    part = name.split(".")
    return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}.get(name) or \
        f"model.layers.{part[1]}.{PARTS[part[2]]}.{part[3]}"


def weights(reader, folder, arch):
    from safetensors.numpy import load_file
    ours = load_file(os.path.join(folder, "model.safetensors"))
    heads = int(reader.fields[f"{arch}.attention.head_count"].contents())
    kv = int(reader.fields[f"{arch}.attention.head_count_kv"].contents())
    wrong = []
    for t in reader.tensors:
        if t.name == "rope_freqs.weight":
            continue
        want = dequantize(t.data, t.tensor_type).astype(np.float32).reshape([int(n) for n in reversed(t.shape)])
        if arch == "llama" and (".attn_q." in t.name or ".attn_k." in t.name):
            h = heads if ".attn_q." in t.name else kv
            want = want.reshape(h, want.shape[0] // h // 2, 2, *want.shape[1:]).swapaxes(1, 2).reshape(want.shape)
        got = ours.pop(hf_name(t.name)).astype(np.float32)
        if got.shape != want.shape or got.tobytes() != np.ascontiguousarray(want).tobytes():
            wrong.append(t.name)
    ok(not wrong and not ours, f"{len(reader.tensors)} tensors bit for bit {wrong or ''}{list(ours) or ''}")


def reference_tokenizer(reader):
    """From the metadata, independent of our code."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    get = lambda k: reader.fields[f"tokenizer.ggml.{k}"].contents()  # noqa: E731
    pre, tokens, types = get("pre"), get("tokens"), get("token_type")
    tok = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ", 1)) for m in get("merges")], ignore_merges=pre == "llama-bpe"))
    words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    byte = lambda re: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=re)  # noqa: E731
    split = lambda n: pre_tokenizers.Split(Regex(words % n), "isolated")  # noqa: E731
    tok.pre_tokenizer = {"gpt-2": lambda: byte(True),
                         "smollm": lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte(True)]),
                         "qwen2": lambda: pre_tokenizers.Sequence([split(""), byte(False)]),
                         "llama-bpe": lambda: pre_tokenizers.Sequence([split("{1,3}"), byte(False)])}[pre]()
    if pre == "qwen2":
        tok.normalizer = normalizers.NFC()
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t, k in zip(tokens, types) if k == 3])
    tok.add_tokens([AddedToken(t, normalized=False, special=False) for t, k in zip(tokens, types) if k == 4])
    return tok


def ids(reader, path, folder, program):
    import tokenizers_compare as tc
    rng = random.Random(16)
    tok = reference_tokenizer(reader)
    real = tc.real_texts(os.environ["MOE_TEXTS"], rng) if "MOE_TEXTS" in os.environ else []
    strings = tc.texts_for(tok, rng, N_STRINGS, real)
    ours = [x[0] for x in tc.run(program, folder, [(s.encode(), False) for s in strings])]
    wrong = [s for s, x in zip(strings, ours) if tok.encode(s, add_special_tokens=False).ids != x]
    ok(not wrong, f"the ids of {len(strings)} strings are those of tokenizers; {len(wrong)} others {wrong[:3]}")
    try:
        from llama_cpp import Llama
    except ImportError:
        return print("# llama_cpp cannot be imported: not compared with llama.cpp")
    llama = Llama(path, vocab_only=True, verbose=False)
    other = [(s, x) for s, x in zip(strings, ours) if s and llama.tokenize(s.encode(), add_bos=False, special=True) != x]
    for s, x in other[:5]:
        print(f"# {s!r}\n#   ours {x}\n#   llama.cpp {llama.tokenize(s.encode(), add_bos=False, special=True)}")
    print(f"# llama.cpp itself: {len(strings) - len(other)} of {len(strings)} strings the same")


def texts(folder):
    """20,000 tokens in blocks, half of English and half of code."""
    from tokenizers import Tokenizer
    tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    top = os.environ.get("MOE_TEXTS") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    kinds = {"English": (".md", ".txt"), "code": (".c", ".h", ".py", ".sh")}
    out = []
    for kind, ends in kinds.items():
        got = []
        for base, _, names in sorted(os.walk(top)):
            for name in sorted(names):
                if name.endswith(ends) and len(got) < N_TOKENS // 2:
                    with open(os.path.join(base, name), encoding="utf-8", errors="ignore") as f:
                        got += tok.encode(f.read(), add_special_tokens=False).ids
        out += [got[i:i + BLOCK] for i in range(0, N_TOKENS // 2, BLOCK)]
        print(f"# {kind}: {min(len(got), N_TOKENS // 2)} tokens")
    out[-1] = out[-1][:N_TOKENS // 2 % BLOCK or BLOCK]
    return [b for b in out if len(b) > 1]


def lines_of(binary, stream):
    out = subprocess.run([f"{binary}/moe-cat", "--json", "--values"], input=stream, stdout=subprocess.PIPE, check=True).stdout.decode()
    return [json.loads(line) for line in out.splitlines()]


def score(binary, folder, blocks, tmp):
    """Log-probabilities of all but the first token of each block, as a recorded rollout whose prompt is that token."""
    path = os.path.join(tmp, "blocks.moes")
    rows = "".join(json.dumps({"prompt_id": f"b{i}", "prompt_ids": b[:1], "completion_ids": b[1:], "prompt": "", "completion": ""}) + "\n" for i, b in enumerate(blocks))
    subprocess.run([f"{binary}/moe-rollout", "-q", "--from", "-", "-o", path], input=rows.encode(), check=True)
    out = subprocess.run([f"{binary}/moe-base", "--score", "-q", "-m", folder, path], stdout=subprocess.PIPE, check=True).stdout
    return [np.array(r["logp"], dtype=np.float64) for r in lines_of(binary, out) if "logp" in r]


def logp(binary, folder, tmp):
    import torch
    from transformers import AutoModelForCausalLM
    blocks = texts(folder)
    ours = score(binary, folder, blocks, tmp)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    worst, total, n = 0.0, 0.0, 0
    with torch.no_grad():
        for b, x in zip(blocks, ours):
            want = torch.log_softmax(model(torch.tensor([b])).logits[0, :-1].double(), -1)[range(len(b) - 1), b[1:]].numpy()
            assert len(want) == len(x)
            worst = max(worst, float(np.abs(want - x).max()))
            total, n = total + float(np.abs(want - x).sum()), n + len(x)
    ok(worst < 2e-3, f"log-probabilities of {n} tokens: largest difference from transformers {worst:.2e}, mean {total / n:.2e}")
    return blocks, ours


def greedy(binary, folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    tok = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rng = random.Random(3)
    things = "a river,the moon,bread,chess,a bicycle,Paris,an engine,rain,a poem,numbers,music,the sea,a garden,glass,a dream,winter,gold,a city,a cat,time".split(",")
    asks = ["Tell me about {}.", "Write a sentence with {}.", "What is {}?", "Why do people like {}?", "Name three facts on {}.", "Explain {} to a child.",
            "Write a Python function about {}.", "Translate '{}' into French.", "Is {} old?", "How is {} made?"]
    prompts = [a.format(t) for a in asks for t in things]
    rng.shuffle(prompts)
    prompts = [f"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n{p}<|im_end|>\n<|im_start|>assistant\n" for p in prompts[:N_PROMPTS]]
    same, first = 0, None
    asked = [tok(p, return_tensors="pt", add_special_tokens=False).input_ids for p in prompts]
    want = {}
    for n in sorted({x.shape[1] for x in asked}):  # prompts of one length together: no padding, so the same as one by one
        members = [i for i, x in enumerate(asked) if x.shape[1] == n]
        x = torch.cat([asked[i] for i in members])
        y = model.generate(input_ids=x, attention_mask=torch.ones_like(x), max_new_tokens=NEW, do_sample=False, pad_token_id=tok.eos_token_id)[:, n:].tolist()
        want.update(zip(members, y))

    def answer(x):  # a stop may or may not be counted, and a batch is filled with it
        return x[:x.index(tok.eos_token_id)] if tok.eos_token_id in x else x

    for i, (p, ours) in enumerate(zip(prompts, generate(binary, folder, prompts))):
        if answer(ours) == answer(want[i]):
            same += 1
        elif first is None:
            first = (p, answer(ours), answer(want[i]))
    ok(same == len(prompts), f"{same} of {len(prompts)} greedy continuations are those of transformers, token by token {first or ''}")


def generate(binary, folder, prompts):
    rows = "".join(json.dumps({"id": f"p{i}", "prompt": p}) + "\n" for i, p in enumerate(prompts))
    made = subprocess.run([f"{binary}/moe-prompts", "-q", "--from", "-"], input=rows.encode(), stdout=subprocess.PIPE, check=True).stdout
    roll = subprocess.run([f"{binary}/moe-rollout", "-q", "-m", folder, "--group", "1", "--temperature", "0", "--max-new", str(NEW)], input=made, stdout=subprocess.PIPE,
                          check=True).stdout
    return [r["completion_ids"] for r in lines_of(binary, roll) if r["t"] == "rollout"]


def f32_file(reader, path):
    """The same model with every tensor as the floats that it stands for."""
    arch = reader.fields["general.architecture"].contents()
    w = GGUFWriter(path, arch)
    for k, f in reader.fields.items():
        if k.startswith("GGUF.") or k in ("general.architecture", "general.file_type"):
            continue
        kind, value = f.types[0], f.contents()
        if isinstance(value, list) and not value:
            continue
        w.add_key_value(k, value, kind, f.types[1] if kind == GGUFValueType.ARRAY else None)
    for t in reader.tensors:
        w.add_tensor(t.name, np.ascontiguousarray(dequantize(t.data, t.tensor_type).astype(np.float32).reshape([int(n) for n in reversed(t.shape)])))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def llama_logits(path, vocabulary):
    """A function of a block of tokens: the logits behind each, by llama.cpp in F32 with an F32 cache; None without llama.cpp."""
    try:
        from llama_cpp import Llama
        llama = Llama(path, n_ctx=BLOCK, n_batch=BLOCK, logits_all=True, verbose=False, n_threads=2, type_k=0, type_v=0)

        def logits(block):
            llama.reset()
            llama.eval(block)
            return np.array(llama.scores[:len(block)], dtype=np.float64)
        return logits
    except ImportError:
        pass
    try:
        from cyllama.llama import llama_cpp as lc
    except ImportError:
        return None
    lc.disable_logging()

    class Model(lc.LlamaModel):
        n_vocab = vocabulary  # which the context of cyllama 0.2 asks for and its model lacks

    model = Model(path_model=path, params=lc.LlamaModelParams())
    p = lc.LlamaContextParams()
    p.n_ctx, p.n_batch, p.n_ubatch, p.n_threads, p.n_threads_batch, p.type_k, p.type_v = BLOCK, BLOCK, BLOCK, 2, 2, 0, 0
    context = lc.LlamaContext(model=model, params=p)

    def logits(block):
        context.kv_cache_clear()
        batch = lc.LlamaBatch(n_tokens=BLOCK, embd=0, n_seq_max=1)
        for i, token in enumerate(block):
            batch.add(token, i, [0], True)
        context.decode(batch)
        return np.array([context.get_logits_ith(i) for i in range(len(block))], dtype=np.float64)
    logits.keep = model
    return logits


def ppl(reader, binary, folder, tmp, known):
    path = os.environ.get("MOE_GGUF_F32") or os.path.join(tmp, "f32.gguf")
    if not os.path.exists(path):
        f32_file(reader, path)
    logits = llama_logits(path, len(reader.fields["tokenizer.ggml.tokens"].data))
    if not logits:
        return print("# neither llama_cpp nor cyllama can be imported: perplexity not compared")
    blocks, ours = known or (None, None)
    if blocks is None:
        blocks = texts(folder)
        ours = score(binary, folder, blocks, tmp)
    worst, sums, n = 0.0, [0.0, 0.0], 0
    for b, x in zip(blocks, ours):
        z = logits(b)[:len(b) - 1]
        z = z - z.max(1, keepdims=True)
        want = z[range(len(b) - 1), b[1:]] - np.log(np.exp(z).sum(1))
        worst = max(worst, float(np.abs(want - x).max()))
        sums = [sums[0] + float(x.sum()), sums[1] + float(want.sum())]
        n += len(x)
    a, b = np.exp(-sums[0] / n), np.exp(-sums[1] / n)
    ok(abs(a / b - 1) < 1e-3, f"perplexity of {n} tokens {a:.5f}, llama.cpp on the same weights {b:.5f}; largest difference of a log-probability {worst:.2e}")


def main():
    binary, path = sys.argv[1], sys.argv[2]
    parts = sys.argv[3:] or ["weights", "ids", "logp", "greedy", "ppl"]
    reader = GGUFReader(path)
    arch = reader.fields["general.architecture"].contents()
    known = None
    with tempfile.TemporaryDirectory() as tmp:
        folder = os.environ.get("MOE_DIR") or os.path.join(tmp, "model")
        if not os.path.exists(os.path.join(folder, "config.json")):
            subprocess.run([f"{binary}/moe-base", "-q", "--from-gguf", path, "-o", folder], check=True)
        if "weights" in parts:
            weights(reader, folder, arch)
        if "ids" in parts:
            ids(reader, path, folder, os.path.join(binary, "tests", "interop_tokenize"))
        if "logp" in parts:
            known = logp(binary, folder, tmp)
        if "greedy" in parts:
            greedy(binary, folder)
        if "ppl" in parts:
            ppl(reader, binary, folder, tmp, known)
    print(f"1..{done}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
