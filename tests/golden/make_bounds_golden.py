#!/usr/bin/env python3
"""Golden values of what labels do: writes bounds.safetensors, which tests/unit/test_bounds.c reads.

A clean and a quarantine LoRA expert on every Linear of the Llama model in llama/, and three sequences: labelled as no hack, as a hack, and not at
all. Written from the papers, in PyTorch and float64, one pass per sequence, without masks:
    SGTM (2512.05648, table 1)   no hack: the quarantine's parameters are 0 in the forward pass. Hack: after the backward pass the gradient of the
                                 clean parameters is 0. Not labelled: neither
    Cloud (2410.04332, 4.3)      MoE = E G + Q (1-G), G = sigmoid(x w + b) of the first layer's normed input. No hack: E sg(G) + sg(Q (1-G));
                                 hack: sg(E G) + Q sg(1-G). Beside the weighted log-probabilities, 0.5 times the mean over the labelled sequences
                                 (of three) of the mean cross-entropy of G with 1 (no hack) or 0 (hack)
Run by hand; versions: requirements.txt.
"""
import os

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
LENS, RANK, SCALE, TEMPERATURE, GATE_LOSS = [7, 9, 6], 2, 1.3, 0.9, 0.5
NO_HACK, HACK, NONE = range(3)
MODULES = [("q", "self_attn.q_proj"), ("k", "self_attn.k_proj"), ("v", "self_attn.v_proj"), ("o", "self_attn.o_proj"), ("gate", "mlp.gate_proj"),
           ("up", "mlp.up_proj"), ("down", "mlp.down_proj")]


class Experts(torch.nn.Module):
    def __init__(self, linear, state):
        super().__init__()
        self.linear, self.state = linear, state
        n = lambda *shape: torch.nn.Parameter((0.3 * torch.randn(*shape, generator=state["rng"], dtype=torch.float64)).float().double())
        self.A, self.B = n(2 * RANK, linear.in_features), n(linear.out_features, 2 * RANK)

    def forward(self, x):
        st, y = self.state, self.linear(x)
        clean = SCALE * (x @ self.A[:RANK].T) @ self.B[:, :RANK].T
        quarantine = SCALE * (x @ self.A[RANK:].T) @ self.B[:, RANK:].T
        if st["method"] == "sgtm":
            return y + clean + (0 if st["label"] == NO_HACK else quarantine)
        G = st["G"]
        if st["label"] == NO_HACK:
            return y + clean * G.detach() + (quarantine * (1 - G)).detach()
        if st["label"] == HACK:
            return y + (clean * G).detach() + quarantine * (1 - G).detach()
        return y + clean * G + quarantine * (1 - G)


def run(model, state, experts, seqs, weight, method):
    state["method"] = method
    params = {"%s.%s" % (name, k): getattr(x, k) for name, x in experts.items() for k in "AB"}
    params.update({"router.0.weight": state["w"], "router.0.bias": state["b"]} if method == "cloud" else {})
    total, logps, at = {name: torch.zeros_like(p) for name, p in params.items()}, [], 0
    for label, s in enumerate(seqs):
        for p in params.values():
            p.grad = None
        state["label"] = label
        logits = model(input_ids=s, use_cache=False).logits[0, :-1] / TEMPERATURE
        logp = torch.log_softmax(logits, -1).gather(1, s[0, 1:, None])[:, 0]
        loss = (logp * weight[at:at + len(logp)]).sum()
        at += len(logp)
        if method == "cloud" and label != NONE:
            target = torch.full_like(state["z"], float(label == NO_HACK))
            loss = loss + GATE_LOSS / 3 * torch.nn.functional.binary_cross_entropy_with_logits(state["z"], target)
        loss.backward()
        for name, p in params.items():
            g = torch.zeros_like(p) if p.grad is None else p.grad.clone()
            if method == "sgtm" and label == HACK:
                (g[:RANK] if name.endswith(".A") else g[:, :RANK]).zero_()
            total[name] += g
        logps.append(logp.detach())
    return torch.cat(logps), total


def main():
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(15)
    model = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "llama"), dtype=torch.float64, attn_implementation="eager").eval()
    for p in model.parameters():
        p.requires_grad_(False)
    D = model.config.hidden_size
    param = lambda *shape: torch.nn.Parameter((0.5 * torch.randn(*shape, generator=rng, dtype=torch.float64)).float().double())
    state = {"rng": rng, "w": param(1, D), "b": param(1, 1)}

    def gate(module, args, out):
        state["z"] = out @ state["w"].T + state["b"]
        state["G"] = torch.sigmoid(state["z"])

    model.model.layers[0].input_layernorm.register_forward_hook(gate)
    experts = {}
    for layer in range(model.config.num_hidden_layers):
        for short, path in MODULES:
            parent, name = path.split(".")
            block = getattr(model.model.layers[layer], parent)
            experts["layers.%d.%s" % (layer, short)] = x = Experts(getattr(block, name), state)
            setattr(block, name, x)
    seqs = [torch.randint(0, model.config.vocab_size, (1, n), generator=rng) for n in LENS]
    weight = torch.randn(sum(LENS) - len(LENS), generator=rng, dtype=torch.float64).float().double()
    out = {"ids": torch.cat([s[0] for s in seqs]).to(torch.int32), "lens": torch.tensor(LENS, dtype=torch.int32), "weight": weight.float(),
           "param.router.0.weight": state["w"].detach().float(), "param.router.0.bias": state["b"].detach().float()}
    for name, x in experts.items():
        out["param." + name + ".A"], out["param." + name + ".B"] = x.A.detach().float(), x.B.detach().float()
    for method in ("sgtm", "cloud"):
        logp, grad = run(model, state, experts, seqs, weight, method)
        out[method + ".logp"] = logp.float()
        out.update({"%s.%s" % (method, k): v.float() for k, v in grad.items()})
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(HERE, "bounds.safetensors"),
              metadata={"scale": str(SCALE), "temperature": str(TEMPERATURE), "gate_loss": str(GATE_LOSS)})


if __name__ == "__main__":
    main()
