#!/usr/bin/env python3
"""Golden values of where experts begin: init_golden.h, which tests/unit/test_inits.c reads.

Written in numpy from the formulas of lib/moe/inits.h and lib/moe/methods/{absorb,bounded}.c; PiSSA's directions and their singular values are
PEFT's own (init_lora_weights="pissa": A = sqrt(S/s) V, B = U sqrt(S/s)). The
rotation's gradient is PyTorch's. Singular vectors have the sign that makes the largest entry of v positive. Versions: requirements.txt.
"""
import os

import numpy as np
import torch
from peft import LoraConfig, get_peft_model

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(15)
OUT, IN, P, R = 7, 6, 4, 2  # R slots a bank


def signed(u, v):
    s = np.sign(v[np.arange(len(v)), np.abs(v).argmax(1)])
    return u * s[:, None], v * s[:, None]


def svd(m):
    u, s, v = np.linalg.svd(m, full_matrices=False)
    u, v = signed(u.T, v)
    return u, s, v


def unit(m):
    return m / np.linalg.norm(m, axis=-1, keepdims=True)


def write(f, name, m):
    m = np.asarray(m, float)
    f.write("static const double %s[%d] = { %s };\n" % (name, m.size, ", ".join("%.17g" % x for x in m.ravel())))


def peft_pissa(W, scale):
    model = torch.nn.Sequential(torch.nn.Linear(IN, OUT, bias=False))
    model[0].weight.data = torch.tensor(W, dtype=torch.float32)
    peft = get_peft_model(model, LoraConfig(r=2 * R, lora_alpha=2 * R * scale, target_modules=["0"], init_lora_weights="pissa"))
    layer = peft.base_model.model[0]
    return layer.lora_A["default"].weight.detach().numpy(), layer.lora_B["default"].weight.detach().numpy()


def main():
    torch.set_num_threads(1)
    W, D = rng.standard_normal((OUT, IN)), rng.standard_normal((P, IN)) * [3, 1, 1, .5, .2, .1] + [.4, 0, -.3, 0, .1, 0]
    with open(os.path.join(HERE, "init_golden.h"), "w") as f:
        f.write("/* Made by make_init_golden.py: do not edit. */\nenum { G_OUT = %d, G_IN = %d, G_P = %d, G_R = %d };\n" % (OUT, IN, P, R))
        write(f, "g_W", W)
        write(f, "g_D", D)
        # the plain decomposition, of a wide, a tall and a rank-deficient matrix
        low = np.outer(rng.standard_normal(5), rng.standard_normal(3)) + np.outer(rng.standard_normal(5), rng.standard_normal(3))
        write(f, "g_low", low)
        write(f, "g_low_s", np.linalg.svd(low, compute_uv=False)[:2])
        u, s, v = svd(W)
        write(f, "g_u", u)
        write(f, "g_s", s)
        write(f, "g_v", v)
        # corda: C^(1/2) made whole, by its eigenvectors
        C = D.T @ D / P
        C += 1e-3 * np.trace(C) / IN * np.eye(IN)
        lam, Q = np.linalg.eigh(C)
        root = Q @ np.diag(np.sqrt(lam)) @ Q.T
        u, s, q = svd(W @ root)
        write(f, "g_corda_u", u[:2 * R])
        write(f, "g_corda_s", s[:2 * R])
        write(f, "g_corda_v", (q @ root)[:2 * R])
        # scorda: slots of the clean bank first; the seed in the first of the quarantine, or of the clean bank
        v_in = unit(D.mean(0))
        u_out = unit(W @ v_in)
        u, s, v = svd(W)
        a = unit(v - (v @ v_in)[:, None] * v_in)
        b = unit(u - (u @ u_out)[:, None] * u_out)
        for name, seed in (("g_scorda", R), ("g_scorda_rev", 0)):
            rest = iter(range(2 * R))
            pick = [None if k == seed else next(rest) for k in range(2 * R)]
            write(f, name + "_a", [v_in if i is None else a[i] for i in pick])
            write(f, name + "_b", [u_out if i is None else b[i] for i in pick])
        # PEFT's pissa at scale 2, in f32
        A, B = peft_pissa(W, 2)
        write(f, "g_peft_A", A)
        write(f, "g_peft_B", B)
        # bounded: A, B from g and X, and the gradient of sum(cA A) + sum(cB B)
        g = torch.tensor(rng.standard_normal(2 * R), requires_grad=True)
        X = torch.tensor(0.5 * rng.standard_normal((R, R)), requires_grad=True)
        V, US = torch.tensor(rng.standard_normal((2 * R, IN))), torch.tensor(rng.standard_normal((OUT, 2 * R)))
        K, I = X - X.T, torch.eye(R, dtype=torch.float64)
        rot = torch.linalg.solve(I + K, I - K)
        A, B = torch.cat([V[:R], rot @ V[R:]]), US * torch.tanh(g)
        cA, cB = torch.tensor(rng.standard_normal(A.shape)), torch.tensor(rng.standard_normal(B.shape))
        ((cA * A).sum() + (cB * B).sum()).backward()
        for name, t in (("g_b_g", g), ("g_b_X", X), ("g_b_V", V), ("g_b_US", US), ("g_b_A", A), ("g_b_B", B), ("g_b_cA", cA), ("g_b_cB", cB),
                        ("g_b_dg", g.grad), ("g_b_dX", X.grad)):
            write(f, name, t.detach().numpy())


if __name__ == "__main__":
    main()
