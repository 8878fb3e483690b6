#!/usr/bin/env python3
"""Golden values of X-LoRA's two passes through a whole model: writes xlora.safetensors, which tests/unit/test_xlora.c reads.

PEFT's X-LoRA on the Llama model in llama/: two LoRA adapters on every Linear, a classifier of one Linear on the last state of the pass without
them, a softmax at temperature 0.5; the adapters train too. Log-probabilities of two sequences, each run by itself, and the gradient of their weighted
sum by all adapters and by the classifier. float32, as PEFT loads adapters. Run by hand; versions: requirements.txt.
"""
import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import LoraConfig, XLoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
LENS, RANK, SCALE, TEMPERATURE = [9, 7], 2, 1.5, 0.5
MODULES = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj", "gate": "mlp.gate_proj",
           "up": "mlp.up_proj", "down": "mlp.down_proj"}


def base():
    return AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "llama"), dtype=torch.float32, attn_implementation="eager")


def adapter(path, rng):
    """A LoRA adapter of chance in a folder of its own, as X-LoRA reads it."""
    m = get_peft_model(base(), LoraConfig(r=RANK, lora_alpha=SCALE * RANK, target_modules=[p.split(".")[1] for p in MODULES.values()]))
    for n, p in m.named_parameters():
        if "lora_" in n:
            p.data = 0.3 * torch.randn(p.shape, generator=rng)
    m.save_pretrained(path)


def main():
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(15)
    with tempfile.TemporaryDirectory() as tmp:
        for i in range(2):
            adapter(os.path.join(tmp, str(i)), rng)
        plain = base()
        plain.config.use_cache = False
        model = get_peft_model(plain, XLoraConfig(hidden_size=plain.config.hidden_size, xlora_depth=1, softmax_temperature=TEMPERATURE,
                                                  use_trainable_adapters=True, adapters={str(i): os.path.join(tmp, str(i)) for i in range(2)}))
    head = model.base_model.internal_xlora_classifier.layers[0]
    head.weight.data = torch.randn(head.weight.shape, generator=rng)
    head.bias.data = torch.randn(head.bias.shape, generator=rng)
    seqs = [torch.randint(0, plain.config.vocab_size, (1, n), generator=rng) for n in LENS]
    weight = torch.randn(sum(LENS) - len(LENS), generator=rng)
    logps, at = [], 0
    for s in seqs:
        logits = model(input_ids=s, use_cache=False).logits[0, :-1]
        logps.append(torch.log_softmax(logits, -1).gather(1, s[0, 1:, None])[:, 0])
        at += s.shape[1] - 1
    (torch.cat(logps) * weight).sum().backward()
    out = {"ids": torch.cat([s[0] for s in seqs]).to(torch.int32), "lens": torch.tensor(LENS, dtype=torch.int32), "weight": weight,
           "logp": torch.cat(logps).detach(), "param.router.0.weight": head.weight.detach(), "param.router.0.bias": head.bias.detach(),
           "grad.router.0.weight": head.weight.grad, "grad.router.0.bias": head.bias.grad}
    params = dict(model.named_parameters())
    for layer in range(plain.config.num_hidden_layers):
        for short, path in MODULES.items():
            one = lambda half, i: [p for n, p in params.items() if "layers.%d.%s." % (layer, path) in n and n.endswith("lora_%s.%d.weight" % (half, i))][0]
            for half, dim in (("A", 0), ("B", 1)):
                name = "layers.%d.%s.%s" % (layer, short, half)
                out["param." + name] = torch.cat([one(half, i).detach() for i in range(2)], dim)
                out["grad." + name] = torch.cat([one(half, i).grad for i in range(2)], dim)
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(HERE, "xlora.safetensors"), metadata={"scale": str(SCALE), "logit_scale": str(1 / TEMPERATURE)})


if __name__ == "__main__":
    main()
