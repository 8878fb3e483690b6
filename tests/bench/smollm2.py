"""smollm2.py BIN BASE GGUF F32 - see smollm2.sh."""
import json
import os
import subprocess
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

binary, base, quantised, f32 = sys.argv[1:5]
THREADS, ROUNDS, BLOCK, BLOCKS, NEW = int(os.environ.get("THREADS", 2)), int(os.environ.get("ROUNDS", 3)), 512, 8, 64
torch.set_num_threads(THREADS)
tok = AutoTokenizer.from_pretrained(base)
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
text = "The ship left the harbour before sunrise, and nobody on the pier waved. " * 400
ids = tok.encode(text, add_special_tokens=False)
blocks = [ids[i * BLOCK:(i + 1) * BLOCK] for i in range(BLOCKS)]
prompt = "<|im_start|>user\nTell me a long story about a river.<|im_end|>\n<|im_start|>assistant\n"


def run(args, data):
    start = time.perf_counter()
    out = subprocess.run(args, input=data, stdout=subprocess.PIPE, check=True).stdout
    return time.perf_counter() - start, out


def stream(tool, rows):
    return subprocess.run([f"{binary}/{tool}", "-q", "--from", "-"], input="".join(json.dumps(r) + "\n" for r in rows).encode(), stdout=subprocess.PIPE, check=True).stdout


scored = stream("moe-rollout", [{"prompt_id": str(i), "prompt_ids": b[:1], "completion_ids": b[1:], "prompt": "", "completion": ""} for i, b in enumerate(blocks)])
one = stream("moe-rollout", [{"prompt_id": "x", "prompt_ids": blocks[0][:1], "completion_ids": blocks[0][1:3], "prompt": "", "completion": ""}])


def score_ours():
    """Without start and loading, which a short run measures."""
    args = [f"{binary}/moe-base", "--score", "-q", "-j", str(THREADS), "-m", base]
    return BLOCK * BLOCKS / (run(args, scored)[0] - run(args, one)[0])


def score_torch():
    start = time.perf_counter()
    with torch.no_grad():
        for b in blocks:
            torch.log_softmax(model(torch.tensor([b])).logits[0], -1)
    return BLOCK * BLOCKS / (time.perf_counter() - start)


def generate_ours(batch):
    prompts = stream("moe-prompts", [{"id": "p", "prompt": prompt}])
    args = [f"{binary}/moe-rollout", "-q", "-j", str(THREADS), "-m", base, "--group", str(batch), "--max-new"]
    long, out = run(args + [str(NEW)], prompts)
    short, out1 = run(args + ["1"], prompts)
    count = lambda o: subprocess.run([f"{binary}/moe-cat", "--json", "--values"], input=o, stdout=subprocess.PIPE, check=True).stdout.decode()  # noqa: E731
    n = sum(len(json.loads(x)["completion_ids"]) for x in count(out).splitlines() if '"completion_ids"' in x)
    return (n - batch) / (long - short)


def generate_torch(batch):
    x = tok([prompt] * batch, return_tensors="pt", add_special_tokens=False)
    times = []
    for new in (1, NEW):
        start = time.perf_counter()
        with torch.no_grad():
            model.generate(**x, do_sample=True, min_new_tokens=new, max_new_tokens=new, pad_token_id=0)
        times.append(time.perf_counter() - start)
    return batch * (NEW - 1) / (times[1] - times[0])


def llama_of(path):
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    return Llama(path, n_ctx=BLOCK + NEW, n_batch=BLOCK, n_threads=THREADS, n_threads_batch=THREADS, logits_all=False, verbose=False) if path else None


def llama_score(llama):
    start = time.perf_counter()
    for b in blocks:
        llama.reset()
        llama.eval(b)
    return BLOCK * BLOCKS / (time.perf_counter() - start)


def llama_generate(llama):
    llama.reset()
    llama.eval(tok.encode(prompt, add_special_tokens=False))
    start = time.perf_counter()
    for _ in range(NEW):
        llama.eval([llama.sample(temp=1.0)])
    return NEW / (time.perf_counter() - start)


def limits():
    """Multiply-adds of a 1024^3 product, and bytes that a sum reads, a second, on these threads: what no row can pass."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    big = torch.ones(1 << 28)
    flop = byte = 0.0
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        flop = max(flop, 2 * 1024**3 / (time.perf_counter() - start))
        start = time.perf_counter()
        big.sum()
        byte = max(byte, 4 * big.numel() / (time.perf_counter() - start))
    return flop / 1e9, byte / 1e9


weights = sum(p.numel() for p in model.parameters())  # tied: the head's product uses the embedding's
rows, of = {}, {}  # of: rows of weights that one reading serves, bytes of that reading
rows["prefill/score, moe-base"], of["prefill/score, moe-base"] = score_ours, (BLOCK, 4 * weights)
rows["prefill/score, transformers f32"], of["prefill/score, transformers f32"] = score_torch, (BLOCK, 4 * weights)
for batch in (1, 16, 128):
    for name, f in (("moe-rollout", generate_ours), ("transformers f32", generate_torch)):
        rows[f"decode batch {batch}, {name}"], of[f"decode batch {batch}, {name}"] = (lambda batch=batch, f=f: f(batch)), (batch, 4 * weights)
for name, path in (("F32", f32), ("as stored", quantised)):
    llama = llama_of(path)
    if llama:
        rows[f"prefill, llama.cpp {name}"], of[f"prefill, llama.cpp {name}"] = (lambda llama=llama: llama_score(llama)), (BLOCK, os.path.getsize(path))
        rows[f"decode batch 1, llama.cpp {name}"], of[f"decode batch 1, llama.cpp {name}"] = (lambda llama=llama: llama_generate(llama)), (1, os.path.getsize(path))
best = dict.fromkeys(rows, 0.0)
for _ in range(ROUNDS):
    for name, f in rows.items():
        best[name] = max(best[name], f())
flop, byte = limits()
print(f"SmolLM2-135M-Instruct, {THREADS} threads, best of {ROUNDS}; the machine: {flop:.0f} GFLOP/s (1024^3), {byte:.1f} GB/s read")
print(f"{'':42} {'tokens/s':>10} {'GFLOP/s':>8} {'share':>6} {'GB/s':>6} {'share':>6}")
for name, v in best.items():
    g, b = 2e-9 * weights * v, 1e-9 * of[name][1] * v / of[name][0]
    print(f"{name:42} {v:10.1f} {g:8.1f} {g / flop:6.2f} {b:6.2f} {b / byte:6.2f}")
