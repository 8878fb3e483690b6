#!/usr/bin/env python3
"""curves_compare.py BIN ENV - 20 steps on one recorded stream of rollouts, by moe-train and by transformers + PEFT + TRL's own loss (tests/golden/trl_loss.py) + torch's AdamW:
loss, gradient norm and KL of each step, and the LoRA matrices at the end. TAP; exit 1 when anything differs by more than its case's bound.

Both compute in float32; Python does it in float64 as well, which tells whose rounding a difference is. What limits the agreement is how far a run carries rounding: AdamW divides a
gradient by its own size, and 20 to 60 updates follow one another. So matrices are compared as a whole, by the norm of what they moved, and curves by their largest value.

The fourth case has half the others' rate. At the whole one TRL in float32 came out 3.5e-3 (norms) and 1.2e-3 (matrices) from TRL in float64, growing smoothly from the thirtieth update on; no
token crossed a border of the clip before the 59th. Without the clip it was 1.3e-5 and 2.3e-5, with ratios to the step's own policy 1.2e-6 and 8.8e-6, with an epsilon of 1e-4 in AdamW 6.4e-6
and 1.4e-5, at half the rate 5.5e-7 and 8.9e-6: where the clip to an old sampler leaves few tokens, what AdamW divides by is small, and a large rate carries on what is lost there. That case
and its bound were chosen by TRL alone, before moe-train was run on it. Tokens lie as near as 1e-5 to the clip there: of 11,000 some always do.

The fifth was first run with the half of the tokens of highest entropy, and failed: it agreed to six digits in four steps, and was 0.4 apart at the end. So is TRL in float32 from TRL in float64
(0.54): which side of a quantile a token is on is a matter of rounding. It goes without, at half the rate; objective_compare.py has that mask."""
import json
import os
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from trl.trainer.utils import split_tensor_dict

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/golden")
from trl_loss import advantages, loss_and_grads  # noqa: E402

BIN, ENV = sys.argv[1], sys.argv[2]
STEPS, PROMPTS, GROUP, LENGTH, SEED = 20, 2, 4, 24, 7
LOW, HIGH = 0.2, 0.28
M32, M64 = (1 << 32) - 1, (1 << 64) - 1
LR, BETAS, EPS, CLIP = 2e-3, (0.9, 0.95), 1e-8, 0.1
# An untrained base solves nothing: the reward is of the bytes that it happens to write, so that groups differ.
GRADE = """function env.grade(task, completion)
	local sum = 0
	for i = 1, #completion do sum = sum + completion:byte(i) end
	return { bytes = sum % 5 / 4 }
end
return env
"""
# name, options of moe-train and of a GRPOConfig, options of trl_loss.py, scale of rewards, iterations, rate, and the bound
CASES = (
    ("dr_grpo, two iterations, min(1, ratio to the sampler)", "--iterations 2", None, dict(), "none", 2, LR, 1e-3),
    ("grpo, KL, ratios of sequences, two iterations", "--loss grpo --beta 0.1 --level sequence --ratio none --scale-rewards group --iterations 2", None,
     dict(loss="grpo", beta=0.1, level="sequence", ratio="none"), "group", 2, LR, 1e-3),
    ("grpo, KL, ratios of sequences to the sampler, clipped", "--loss grpo --beta 0.1 --level sequence --ratio clip --scale-rewards group", None,
     dict(loss="grpo", beta=0.1, level="sequence", ratio="clip"), "group", 1, LR, 1e-3),
    ("dapo, three iterations, ratios to the sampler, clipped", "--loss dapo --ratio clip --epsilon %g --epsilon-high %g --iterations 3" % (LOW, HIGH), None,
     dict(loss="dapo", ratio="clip", eps_low=LOW, eps_high=HIGH), "none", 3, LR / 2, 1e-3),
    ("bnpo, shuffled, two updates of two micro-batches, two iterations, an entropy bonus", "",
     dict(loss_type="bnpo", scale_rewards="none", steps_per_generation=4, gradient_accumulation_steps=2, num_iterations=2, entropy_coef=0.01,
          adam_beta2=0.95, lr_scheduler_type="constant"),
     dict(loss="bnpo", ratio="none", steps=4, accumulation=2, entropy_coef=0.01), "none", 2, LR / 2, 1e-3),
)
failures = 0


def run(*args, **kw):
    return subprocess.run([os.path.join(BIN, args[0]), "-q", *args[1:]], check=True, stdout=subprocess.PIPE, **kw).stdout


def records(path, kind):
    out = subprocess.run([BIN + "/moe-cat", "--json", "--values", path], check=True, stdout=subprocess.PIPE).stdout.decode("utf-8", "replace")
    return [r for r in map(json.loads, out.splitlines()) if r["t"] == kind]


def record():
    """The base, a fresh adapter with all experts in every pass (one plain LoRA), and its rollouts of all steps."""
    with open(ENV) as f, open("env.lua", "w") as to:
        to.writelines(f.readlines()[:-1] + [GRADE])
    run("moe-base", "--new", "tiny", "-o", "base")
    run("moe-pin", "-m", "base", "--method", "vanilla", "--seed", "3", "-o", "a0.moes")
    prompts = run("moe-prompts", "-e", "env.lua", "--split", "train", "--modes", "run_tests,stdout_marker", "-n", str(STEPS * PROMPTS), "--seed", "5")
    sampled = run("moe-rollout", "-m", "base", "-a", "a0.moes", "--group", str(GROUP), "--per-step", str(PROMPTS), "--max-new", str(LENGTH), "--seed", "5", "-j", "1", input=prompts)
    run("moe-grade", "-e", "env.lua", "-j", "1", "-o", "run.moes", input=sampled)
    run("moe-cat", "--peft", "lora0", "-m", "base", "a0.moes")
    steps = [[] for _ in range(STEPS)]
    for r in records("run.moes", "rollout"):
        steps[r["step"]].append(r)
    return steps


def mix64(h):
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & M64
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & M64
    return h ^ h >> 33


def permutation(seed, step, n):
    """lib/util/rng.c's, of the purpose "shuffle": Philox4x32-10, then Fisher and Yates."""
    h = 0xCBF29CE484222325
    for c in b"shuffle":
        h = (h ^ c) * 0x100000001B3 & M64
    h = mix64(seed + 0x9E3779B97F4A7C15 & M64) ^ mix64(h)
    perm = list(range(n))
    for i in range(n, 1, -1):
        x, key = [step & M32, step >> 32, i, 0], [h & M32, h >> 32]
        for _ in range(10):
            p0, p1 = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
            x = [p1 >> 32 ^ x[1] ^ key[0], p1 & M32, p0 >> 32 ^ x[3] ^ key[1], p0 & M32]
            key = [key[0] + 0x9E3779B9 & M32, key[1] + 0xBB67AE85 & M32]
        j = (x[1] << 32 | x[0]) * i >> 64
        perm[i - 1], perm[j] = perm[j], perm[i - 1]
    return perm


def logps(model, rows):
    """Of the completions' tokens, [n, longest], 0 beyond a row's end; padding stands to the right. And the entropies there."""
    ids = [r["prompt_ids"] + r["completion_ids"] for r in rows]
    longest, most = max(map(len, ids)), max(len(r["completion_ids"]) for r in rows)
    x = torch.tensor([i + [256] * (longest - len(i)) for i in ids])
    mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i in ids])
    full = torch.log_softmax(model(input_ids=x, attention_mask=mask, use_cache=False).logits[:, :-1], -1)
    out = []
    for v in full.gather(-1, x[:, 1:, None])[..., 0], -(full.exp() * full).sum(-1):
        parts = [v[i, len(r["prompt_ids"]) - 1:len(ids[i]) - 1] for i, r in enumerate(rows)]
        out.append(torch.stack([torch.nn.functional.pad(p, (0, most - len(p))) for p in parts]))
    return out


def reference(steps, options, scale, iterations, dtype, lr=LR):
    """Python's curves, and its LoRA matrices at the end by their name in the file."""
    base = AutoModelForCausalLM.from_pretrained("base", dtype=torch.float32, attn_implementation="eager")
    model = PeftModel.from_pretrained(base, "lora0", is_trainable=True).to(dtype).train()
    param = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    adam = torch.optim.AdamW(param.values(), lr=lr, betas=BETAS, eps=EPS, weight_decay=0.0)
    curve = []
    for k, rows in enumerate(steps):
        length = [len(r["completion_ids"]) for r in rows]
        mask = torch.tensor([[float(t < n) for t in range(max(length))] for n in length], dtype=dtype)
        sampled = torch.tensor([r["logp"] + [0.0] * (max(length) - n) for r, n in zip(rows, length)], dtype=dtype)
        adv = advantages(torch.tensor([[r["reward"]] for r in rows], dtype=dtype), GROUP, scale)
        assert adv.abs().max() > 0, "nothing to learn: moe-train would make no update"
        with torch.no_grad(), model.disable_adapter():
            ref = logps(model, rows)[0]
        with torch.no_grad():
            old = logps(model, rows)[0]
        if k == 0:  # the same tokens in the same places
            assert (old - sampled).abs().max() < 1e-4, "other log-probabilities than the sampler's"
        n_micro, accumulation = options.get("steps", 1), options.get("accumulation", 1)
        generation = dict(row=torch.tensor(permutation(SEED, k, len(rows)) if n_micro > 1 else range(len(rows))))
        losses, kls = [], []
        for i in range(iterations * n_micro):
            # TRL's own split of what it has shuffled
            pick = split_tensor_dict(generation, n_micro)[i % n_micro]["row"]
            logp, entropy = logps(model, rows)
            stored = old[pick] if iterations * n_micro > accumulation else None
            value, d_logp, d_entropy, metric = loss_and_grads(dict(options, max_completion=LENGTH), logp[pick].detach(), stored, sampled[pick], ref[pick], entropy[pick].detach(),
                                                              mask[pick], adv[pick], mask.sum())
            if i % accumulation == 0:
                adam.zero_grad()
                losses.append(0.0)
            torch.autograd.backward((logp[pick], entropy[pick]), (d_logp, d_entropy))
            losses[-1] += value
            kls += metric.get("kl", [])
            if i % accumulation == accumulation - 1:
                norm = torch.nn.utils.clip_grad_norm_(param.values(), CLIP).item()
                adam.step()
        # as moe-train's record of a step: means over its updates, the norm of the last one
        curve.append((sum(losses) / len(losses), norm, sum(kls) / len(kls) if kls else 0.0))
    return curve, {n: p.detach().double() for n, p in param.items()}


def ours(options, config, lr):
    with open("trl.json", "w") as f:
        json.dump(config, f)
    run("moe-train", "-m", "base", "-a", "a0.moes", "--baseline", "group", "--max-completion-length", str(LENGTH), "--lr", str(lr), "--max-grad-norm", str(CLIP), "--metrics",
        "metrics.moes", "-j", "1", "--seed", str(SEED), "-o", "a1.moes", *(["--trl-config", "trl.json"] if config else []), *options.split(), "run.moes", stderr=subprocess.DEVNULL)  # it warns that the rollouts are not its own: they are meant to be old
    subprocess.run(["rm", "-rf", "lora1"], check=True)
    run("moe-cat", "--peft", "lora1", "-m", "base", "a1.moes")
    curve = [(r["loss"], r["grad_norm"], r["kl"] if isinstance(r.get("kl"), float) and r["kl"] == r["kl"] else 0.0) for r in records("metrics.moes", "metrics")]
    return curve, {n: p.double() for n, p in load_file("lora1/adapter_model.safetensors").items()}


def distance(a, b, start):
    """Largest relative differences of loss, norm and KL, by the curve's largest value; and of the matrices, by how far b went."""
    out = [max(abs(x[i] - y[i]) for x, y in zip(a[0], b[0])) / (max(abs(y[i]) for y in b[0]) or 1) for i in range(3)]
    moved = {n: b[1][n] - start[n] for n in start}
    apart = {n: a[1][n] - b[1][n] for n in start}
    whole = (sum(d.square().sum() for d in apart.values()) / sum(d.square().sum() for d in moved.values())).sqrt().item()
    return out + [whole, max((apart[n].norm() / moved[n].norm()).item() for n in start)]


def case(number, name, args, config, options, scale, iterations, lr, bound, steps, start):
    global failures
    a, b, c = ours(args, config, lr), *(reference(steps, options, scale, iterations, d, lr) for d in (torch.float32, torch.float64))
    good = len(a[0]) == STEPS and set(a[1]) == set(start) == set(b[1])
    if good:
        d, own, trl = distance(a, b, start), distance(a, c, start), distance(b, c, start)
        good = all(x <= bound for x in d)  # NaN is not
        text = "loss %.1e, gradient norm %.1e, KL %.1e, matrices %.1e (the worst one %.1e)"
        print("# moe-train from TRL:            " + text % tuple(d))
        print("# moe-train from TRL in float64: " + text % tuple(own))
        print("# TRL from TRL in float64:       " + text % tuple(trl))
        print("# norms %.3g to %.3g, clipped at %g in %d of %d steps; losses %.3g to %.3g" % (
            min(x[1] for x in c[0]), max(x[1] for x in c[0]), CLIP, sum(x[1] > CLIP for x in c[0]), STEPS, min(x[0] for x in c[0]), max(x[0] for x in c[0])))
    failures += not good
    print("%sok %d - %s: %d steps within %g of TRL, PEFT and torch" % ("" if good else "not ", number, name, STEPS, bound), flush=True)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as tmp:
        os.chdir(tmp)
        steps = record()
        rows = [r for s in steps for r in s]
        assert [len(s) for s in steps] == [PROMPTS * GROUP] * STEPS
        print("# %d rollouts, %d of them stopped before %d tokens" % (len(rows), sum(r["finish"] == "stop" for r in rows), LENGTH))
        start = {n: p.double() for n, p in load_file("lora0/adapter_model.safetensors").items()}
        for i, c in enumerate(CASES):
            case(i + 1, *c, steps, start)
        os.chdir("/")
    print("1..%d" % len(CASES))
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
