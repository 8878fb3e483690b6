#!/usr/bin/env python3
"""Golden values of rows of the method table: writes methods_golden.h, which tests/unit/test_methods_golden.c reads.

transformers' DeepSeek-V2 and DeepSeek-V3 routers, PEFT's Arrow layer with its prototypes and PEFT's X-LoRA classifier, run on small inputs; LoRAMoE's localised balance
and ReMoE's gates from their definitions; gradients from PyTorch's autograd. float64, but for PEFT's prototypes, which are float32 by its design.
Run by hand; versions: requirements.txt.
"""
import os
from types import SimpleNamespace

import torch
from peft import ArrowConfig, XLoraConfig
from peft.tuners.lora.arrow import ArrowLoraLinearLayer
from peft.tuners.xlora.classifier import XLoraClassifier
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2TopkRouter
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
HERE = os.path.dirname(os.path.abspath(__file__))
T, D, E = 9, 8, 6
gen = torch.Generator().manual_seed(5)
rnd = lambda *shape: torch.randn(*shape, generator=gen).float().double()
out, enums = {}, {"GOLD_T": T, "GOLD_D": D, "GOLD_E": E}


def keep(name, x, gate, seed):
    """Gates [T, E], and the gradient of sum(seed * gate) by the input."""
    x.grad = None
    (gate * seed).sum().backward()
    out[name], out["dx_" + name] = gate.detach(), x.grad.clone()


x = rnd(T, D).requires_grad_(True)
seed, w, b = rnd(T, E), rnd(E, D), rnd(E)
out.update(x=x.detach().clone(), seed=seed, w=w, b=b)

# DeepSeek-V3: 3 groups of 2, the best 2 of them, 2 experts of these
choice = 0.2 * rnd(E)
out["choice"] = choice
v3 = DeepseekV3TopkRouter(SimpleNamespace(num_experts_per_tok=2, num_local_experts=E, hidden_size=D, routed_scaling_factor=2.5, n_group=3, topk_group=2,
                                          norm_topk_prob=True))
v3.weight.data, v3.e_score_correction_bias = w.clone(), choice
torch.Tensor.type_ = torch.Tensor.type
torch.Tensor.type = lambda self, dtype=None, **k: self if dtype == torch.float32 else torch.Tensor.type_(self, dtype, **k)  # stay in float64
def gates(router, experts, shared):
    """Weights [T, E] of a router over the experts after the shared ones, which have 1."""
    _, weights, index = router(x)
    return torch.cat([torch.ones(T, shared), torch.zeros(T, experts).scatter(1, index, weights)], 1)


keep("v3", x, gates(v3, E, 0), seed)
# the same with the first two shared, and DeepSeekMoE's softmax without renormalising, with two shared and without
SHARED = 2
enums["GOLD_SHARED"] = SHARED
few = DeepseekV3TopkRouter(SimpleNamespace(num_experts_per_tok=2, num_local_experts=E - SHARED, hidden_size=D, routed_scaling_factor=1.5, n_group=1,
                                           topk_group=1, norm_topk_prob=True))
few.weight.data, few.e_score_correction_bias = w[SHARED:].clone(), choice[SHARED:]
keep("v3_shared", x, gates(few, E - SHARED, SHARED), seed)
for name, shared in (("v2", 0), ("v2_shared", SHARED)):
    v2 = DeepseekV2TopkRouter(SimpleNamespace(num_experts_per_tok=2, num_experts=E - shared, hidden_size=D, routed_scaling_factor=1.0, topk_method="greedy",
                                              n_group=1, topk_group=1))
    v2.weight.data = w[shared:].clone()
    softmax, torch.Tensor.softmax = torch.Tensor.softmax, lambda self, dim, dtype=None: torch.softmax(self, dim)
    keep(name, x, gates(v2, E - shared, shared), seed)
    torch.Tensor.softmax = softmax
torch.Tensor.type = torch.Tensor.type_

# X-LoRA: the classifier of depth 1 on the last state
config = XLoraConfig(hidden_size=D, adapters={str(i): "" for i in range(E)}, xlora_depth=1, softmax_temperature=0.5)
head = XLoraClassifier(torch.nn.Linear(1, 1), config, E, 1, torch.device("cpu"))
head.layers[0].weight.data, head.layers[0].bias.data = w.clone(), b.clone()
keep("xlora", x, head(SimpleNamespace(hidden_states=[x[None]]), input_ids=torch.zeros(1, T))[0, :, 0], seed)

# Arrow: 4 experts of rank 2 on one Linear; its output, gates times scale B A x
N, R, K, TEMPERATURE = 4, 2, 2, 0.7
enums.update(GOLD_N=N, GOLD_R=R, GOLD_K=K)
A, B = rnd(N, R, D), rnd(N, D, R)
A[:, 0] *= 3  # a gap between the singular values
names = ["task_%d" % i for i in range(N)]
layer = ArrowLoraLinearLayer(D, SimpleNamespace(top_k=K, router_temperature=TEMPERATURE, rng_seed=1, task_adapter_names=names, gks_adapter_names=[],
                                                use_gks=False))
lora = lambda m: {n: SimpleNamespace(weight=m[i]) for i, n in enumerate(names)}
layer.build_prototypes(lora(A), lora(B))
y = layer(x[None], lora(A), lora(B), torch.nn.Identity(), {n: 1.0 for n in names})[0]
out_seed = rnd(T, D)
x.grad = None
(y * out_seed).sum().backward()
# what reaches x beside the gates: sum_e gate_e A_e' B_e' seed, which the test forms itself
out.update(arrow_A=A, arrow_B=B, arrow_proto=layer.prototypes.double(), arrow_y=y.detach(), arrow_seed=out_seed, arrow_dx=x.grad.clone(),
           arrow_svd=torch.stack([torch.linalg.svd(B[i] @ A[i])[2][0] for i in range(N)]))
enums["GOLD_ARROW_TEMPERATURE_10"] = int(10 * TEMPERATURE)

# LoRAMoE: cv_squared(Q * I) as in its code: the variance over n - 1
q = rnd(E).abs().requires_grad_(True)
coef = torch.where(torch.arange(E) < E // 2, 1.3, 0.7)
z = q * coef
loss = z.var() / z.mean() ** 2
loss.backward()
out.update(spread_q=q.detach(), spread_c=coef, spread=loss.detach(), spread_dq=q.grad)

with open(os.path.join(HERE, "methods_golden.h"), "w") as f:
    f.write("/* methods_golden.h - made by make_methods_golden.py from PyTorch, transformers and peft; do not edit. */\n")
    f.write("enum { %s };\n" % ", ".join("%s = %d" % i for i in enums.items()))
    for name, v in out.items():
        f.write("static const double gold_%s[] = { %s };\n" % (name, ", ".join("%.17g" % i for i in v.reshape(-1).tolist())))
