"""TRL's own functions, called on tensors without a model or a trainer: the loss of GRPOTrainer._compute_loss with its gradients, and the advantages of
GRPOTrainer._generate_and_score_completions, whose lines are taken from the installed TRL when this runs. For make_rl_golden.py and tests/interop."""
import functools
import inspect
import math
import textwrap
import types
from collections import defaultdict

import torch
from trl import GRPOTrainer
from trl.trainer import grpo_trainer


class Accelerator:
    num_processes = 1
    sync_gradients = True

    def gather(self, x):
        return x

    gather_for_metrics = gather

    def pad_across_processes(self, x, dim=0, pad_index=0):
        return x

    def reduce(self, x, reduction="sum"):
        return x


DEFAULT = dict(loss="dr_grpo", ratio="min", level="token", correction="token_truncate", c_min=0.0, c_max=1.0, eps_low=0.2, eps_high=0.2, delta=None, beta=0.0,
               kl_bias=False, tau_pos=1.0, tau_neg=1.05, k_pos=2.0, lambda_pos=3.0, k_neg=3.0, lambda_neg=2.0, off_policy=None, top_entropy=1.0, entropy_coef=0.0,
               max_completion=9, steps=1, accumulation=1)


def sampler_ratio(o, old, sampled, mask):
    """TRL's importance_sampling_ratio of its four modes."""
    d = (old - sampled) * mask
    if o["correction"].startswith("sequence"):
        d = d.sum(-1, keepdim=True)
    w = torch.exp(d)
    if o["correction"].endswith("truncate"):
        return torch.clamp(w, min=o["c_min"], max=o["c_max"])
    return w.masked_fill((w < o["c_min"]) | (w > o["c_max"]), 0.0)


def loss_and_grads(o, logp, old, sampled, ref, entropy, mask, adv, items=None):
    """old None: one detached use; items: the tokens of the generation, where this is a micro-batch of it. Returns the loss and its derivatives with respect to each token's log-probability and entropy, and TRL's metrics."""
    o = {**DEFAULT, **o}
    leaf, ent = logp.clone().requires_grad_(True), entropy.clone().requires_grad_(True)
    n, t = logp.shape
    metrics = defaultdict(lambda: defaultdict(list))
    me = types.SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (leaf, ent, None), top_entropy_quantile=o["top_entropy"], off_policy_mask_threshold=o["off_policy"],
        importance_sampling_level=o["level"], beta=o["beta"],
        args=types.SimpleNamespace(use_bias_correction_kl=o["kl_bias"], delta=o["delta"], steps_per_generation=o["steps"], sapo_temperature_pos=o["tau_pos"],
                                   sapo_temperature_neg=o["tau_neg"], vespo_k_pos=o["k_pos"], vespo_lambda_pos=o["lambda_pos"], vespo_k_neg=o["k_neg"],
                                   vespo_lambda_neg=o["lambda_neg"]),
        aux_loss_enabled=False, loss_type=o["loss"], epsilon_low=o["eps_low"], epsilon_high=o["eps_high"], use_vllm=o["ratio"] == "min",
        vllm_importance_sampling_correction=True, current_gradient_accumulation_steps=o["accumulation"], max_completion_length=o["max_completion"], accelerator=Accelerator(),
        model=types.SimpleNamespace(training=True), _metrics=metrics, entropy_coef=o["entropy_coef"], use_adaptive_entropy=False,
        _entropy_bonus_enabled=o["entropy_coef"] != 0)
    me.get_high_entropy_mask = types.MethodType(GRPOTrainer.get_high_entropy_mask, me)
    me.get_off_policy_mask, me.get_gamma_weights = GRPOTrainer.get_off_policy_mask, GRPOTrainer.get_gamma_weights
    inputs = dict(prompt_ids=torch.zeros(n, 1, dtype=torch.long), prompt_mask=torch.ones(n, 1), completion_ids=torch.zeros(n, t, dtype=torch.long),
                  completion_mask=mask, advantages=adv, ref_per_token_logps=ref, num_items_in_batch=mask.sum() if items is None else items)
    if o["ratio"] == "clip":
        inputs["old_per_token_logps"] = sampled
    elif old is not None:
        inputs["old_per_token_logps"] = old
    if o["ratio"] == "min":
        inputs["sampling_per_token_logps"] = sampled
        inputs["importance_sampling_ratio"] = sampler_ratio(o, logp if old is None else old, sampled, mask)
    value = GRPOTrainer._compute_loss(me, types.SimpleNamespace(training=True), inputs)
    value.backward()
    zero = torch.zeros_like(logp)
    return value.item(), zero if leaf.grad is None else leaf.grad, zero if ent.grad is None else ent.grad, metrics["train"]


@functools.lru_cache(maxsize=1)
def _advantage_code():
    """The lines from the rewards per function to the advantages."""
    src = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    begin = src.index("        unscorable_mask = torch.isnan(rewards_per_func)")
    line = "        advantages = torch.nan_to_num(advantages, nan=0.0)\n"
    return compile(textwrap.dedent(src[begin:src.index(line) + len(line)]), "grpo_trainer.py", "exec")


def _advantages(rewards_per_func, num_generations, scale="group", weights=None, aggregation="sum_then_normalize"):
    """rewards_per_func [n, functions], NaN = none; members of a group are neighbours."""
    k = rewards_per_func.shape[1]
    me = types.SimpleNamespace(multi_objective_aggregation=aggregation, scale_rewards=scale, reward_funcs=[None] * k,
                               reward_weights=torch.ones(k, dtype=rewards_per_func.dtype) if weights is None else torch.as_tensor(weights, dtype=rewards_per_func.dtype))
    scope = dict(self=me, rewards_per_func=rewards_per_func, num_generations=num_generations, device="cpu", torch=torch, nanstd=grpo_trainer.nanstd, math=math)
    exec(_advantage_code(), scope)
    return scope


def advantages(*args, **kw):
    return _advantages(*args, **kw)["advantages"]


def zero_std(rewards_per_func, num_generations, scale, weights):
    """TRL's frac_reward_zero_std; scale "normalise" = normalize_then_sum."""
    norm = scale == "normalise"
    scope = _advantages(rewards_per_func, num_generations, "none" if norm else scale, weights, "normalize_then_sum" if norm else "sum_then_normalize")
    return scope["is_std_zero"].double().mean().item()
