#!/usr/bin/env python3
"""Golden values of gates, masks and ablation switches: writes gates.safetensors, which tests/unit/test_gates.c reads.

Three LoRA experts on every Linear of the Llama model in llama/, written in PyTorch straight from the definitions:
    y = W x + s B ((alive * gate) .* (A x))
and, for a mask mu that shall reach an expert's parameters alone (not what flows through it to the layers below),
    y = g(x; th) - (1-mu) g(sg(x); th) + (1-mu) sg(g(x; th)),   g = one expert's output, sg = detach:
its value is g, its derivative by th is mu dg/dth, by x all of dg/dx. "detached." has instead y = mu g(x; th) + (1-mu) sg(g(x; th)), the whole
output masked. Gates and masks differ from token to token and are exactly 0 for some; some
rank slots are dead, some scaled. Computed in float64. Run by hand; versions: requirements.txt.
"""
import os

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
LENS, RANKS, SCALE, TEMPERATURE = [11, 7], [2, 3, 4], 1.7, 0.8
MODULES = [("q", "self_attn.q_proj"), ("k", "self_attn.k_proj"), ("v", "self_attn.v_proj"), ("o", "self_attn.o_proj"), ("gate", "mlp.gate_proj"),
           ("up", "mlp.up_proj"), ("down", "mlp.down_proj")]
E, R, T = len(RANKS), sum(RANKS), sum(LENS)


class Experts(torch.nn.Module):
    def __init__(self, linear, state, cell):
        super().__init__()
        self.linear, self.state, self.cell = linear, state, cell
        n = lambda *shape: torch.nn.Parameter((0.25 * torch.randn(*shape, generator=state["rng"], dtype=torch.float64)).float().double())
        self.A, self.B = n(R, linear.in_features), n(linear.out_features, R)

    def expert(self, x, A, B, e, gate):
        s = slice(sum(RANKS[:e]), sum(RANKS[:e + 1]))
        return SCALE * (x @ A[s].T * (self.state["alive"][self.cell, s] * gate[:, e:e + 1])) @ B[:, s].T

    def forward(self, x):
        st, y = self.state, self.linear(x)
        gate, mask = st["gate"][st["rows"]], st["mask"][st["rows"]]
        for e in range(E):
            g = self.expert(x[0], self.A, self.B, e, gate)
            if st["masked"]:
                off = 1 - mask[:, e:e + 1]
                inner = x[0].detach() if st["masked"] == "parameters" else x[0]
                g = g - off * self.expert(inner, self.A, self.B, e, gate) + off * g.detach()
            y = y + g
        return y


def run(model, state, seqs, weight, masked):
    """Gradients of sum_i weight_i logp_i; the log-probabilities."""
    model.zero_grad()
    state["gate"].grad, state["masked"] = None, masked
    at, out = 0, []
    for s in seqs:
        state["rows"] = slice(at, at + s.shape[1])
        logits = model(input_ids=s, use_cache=False).logits[0, :-1] / TEMPERATURE
        out.append(torch.log_softmax(logits, -1).gather(1, s[0, 1:, None])[:, 0])
        at += s.shape[1]
    logp = torch.cat(out)
    (logp * weight).sum().backward()
    return logp.detach()


def pick(rng, values, *shape):
    return torch.tensor(values, dtype=torch.float64)[torch.randint(0, len(values), shape, generator=rng)].float().double()


def main():
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(11)
    model = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "llama"), dtype=torch.float64, attn_implementation="eager").eval()
    for p in model.parameters():
        p.requires_grad_(False)
    L = model.config.num_hidden_layers
    state = dict(rng=rng, alive=pick(rng, [1, 1, 1, 0, 0.5, -0.3], L * len(MODULES), R), gate=pick(rng, [0, 1, 1, 0.35, 1.5], T, E).requires_grad_(True),
                 mask=pick(rng, [0, 1, 1, 0.4, -0.75], T, E))
    experts = {}
    for layer in range(L):
        for i, (short, path) in enumerate(MODULES):
            parent, name = path.split(".")
            block = getattr(model.model.layers[layer], parent)
            experts["layers.%d.%s" % (layer, short)] = x = Experts(getattr(block, name), state, layer * len(MODULES) + i)
            setattr(block, name, x)
    seqs = [torch.randint(0, model.config.vocab_size, (1, n), generator=rng) for n in LENS]
    weight = torch.randn(T - len(LENS), generator=rng, dtype=torch.float64).float().double()
    out = {"ids": torch.cat([s[0] for s in seqs]).to(torch.int32), "lens": torch.tensor(LENS, dtype=torch.int32), "weight": weight.float(),
           "alive": state["alive"].float(), "gate": state["gate"].detach().float(), "mask": state["mask"].float()}
    out["logp"] = run(model, state, seqs, weight, None).float()
    out["dgate"] = state["gate"].grad.float().clone()
    for masked, prefix in ((None, "plain."), ("all", "detached."), ("parameters", "masked.")):
        run(model, state, seqs, weight, masked)
        if masked == "all":
            out["detached.dgate"] = state["gate"].grad.float().clone()
        for name, x in experts.items():
            for k in "AB":
                out[prefix + name + "." + k] = getattr(x, k).grad.float().clone()
    for name, x in experts.items():
        out["param." + name + ".A"], out["param." + name + ".B"] = x.A.detach().float(), x.B.detach().float()
    far = max((out["masked." + n + "." + k] - out["detached." + n + "." + k]).abs().max() for n in experts for k in "AB")
    print("largest difference between masking parameters and detaching outputs: %.3g" % far)
    out = {k: v.contiguous() for k, v in out.items()}
    save_file(out, os.path.join(HERE, "gates.safetensors"), metadata={"scale": str(SCALE), "temperature": str(TEMPERATURE), "ranks": "2 3 4"})


if __name__ == "__main__":
    main()
