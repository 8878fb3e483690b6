#!/usr/bin/env python3
"""Golden values of nn/gate.h: PyTorch autograd, the entmax package's bisection, transformers' Switch and Mixtral losses.

Writes router_golden.h beside itself: logits z [T,E], a seed c [T,E], and for each gate its values and d(sum c*gate)/dz; for each loss
its value and gradient. float64. Versions: requirements.txt.
"""
import os

import torch
from entmax import entmax_bisect
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func as mixtral_loss
from transformers.models.switch_transformers.modeling_switch_transformers import load_balancing_loss_func, router_z_loss_func

torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
T, E, K = 7, 4, 2
ALPHAS = [1.25, 1.5, 1.75, 2.0]
gen = torch.Generator().manual_seed(3)
z0 = 1.5 * torch.randn(T, E, generator=gen)
c = torch.randn(T, E, generator=gen)
out = {"z": z0, "c": c}


def keep(name, fn):
    z = z0.clone().requires_grad_(True)
    y = fn(z)
    (y * c if y.dim() else y).sum().backward()
    out[name] = y.detach().reshape(-1)
    out["d_" + name] = z.grad


def topk(renorm):
    def fn(z):
        p = torch.softmax(z, -1)
        v, i = p.topk(K, -1)
        return torch.zeros_like(p).scatter(-1, i, v / v.sum(-1, keepdim=True) if renorm else v)

    return fn


keep("softmax", lambda z: torch.softmax(z, -1))
keep("topk", topk(False))
keep("topk_renorm", topk(True))
alpha_grad = []
for a in ALPHAS:
    keep("entmax_%d" % (a * 100), lambda z: entmax_bisect(z, a, dim=-1, n_iter=50))
    alpha = torch.tensor(a, requires_grad=True)
    (entmax_bisect(z0, alpha, dim=-1, n_iter=50) * c).sum().backward()
    alpha_grad.append(alpha.grad.reshape(1))
out["d_alpha"] = torch.cat(alpha_grad)
# Both take the softmax's probabilities; transformers casts the counts, not the probabilities, to float32.
keep("switch", lambda z: load_balancing_loss_func(torch.softmax(z, -1)[None], z.argmax(-1)[None]))
keep("mixtral", lambda z: mixtral_loss((z,), E, K))
keep("z_loss", lambda z: router_z_loss_func(z[None]))


def sequence(z):  # DeepSeek-V3 (2412.19437), equations 17 to 20, alpha = 1
    s = torch.sigmoid(z)
    f = torch.zeros_like(s).scatter(-1, s.topk(K, -1).indices, 1.0).mean(0) * E / K
    return (f * (s / s.sum(-1, keepdim=True)).mean(0)).sum()


keep("sequence", sequence)


def remoe(z):  # ReMoE (2412.14711): L1 of the gates, each expert's weighted by its share of the active ones over k / E
    y = torch.relu(z)
    f = (y > 0).double().mean(0) * E / K
    return (f * y.mean(0)).sum()


keep("relu", torch.relu)
keep("remoe", remoe)
with open(os.path.join(HERE, "router_golden.h"), "w") as f:
    f.write("/* router_golden.h - made by make_router_golden.py from PyTorch, entmax and transformers; do not edit. */\n")
    f.write("enum { GOLD_T = %d, GOLD_E = %d, GOLD_K = %d, GOLD_TE = %d, GOLD_ALPHAS = %d };\n" % (T, E, K, T * E, len(ALPHAS)))
    f.write("static const double gold_alpha[] = { %s };\n" % ", ".join(map(str, ALPHAS)))
    for name, v in out.items():
        f.write("static const double gold_%s[] = { %s };\n" % (name, ", ".join("%.17g" % x for x in v.reshape(-1).tolist())))
