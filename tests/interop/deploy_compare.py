#!/usr/bin/env python3
"""deploy_compare.py BIN BASE ADAPTER [ARM] - the deployed model outside: an arm as a PEFT directory (moe-cat --peft) and merged (moe-base --merge), both
loaded by transformers and PEFT, against each other and against moe-base --score; and as a GGUF LoRA (moe-cat --gguf-lora), read by the gguf package and,
where MOE_GGUF names the base's GGUF file and llama_cpp can be imported, by llama.cpp on those weights in F32. TAP; exit 1 when anything differs by more
than 1e-3."""
import json
import os
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np  # noqa: E402
import torch  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

binary, base, adapter = sys.argv[1:4]
arm = sys.argv[4:5]
LIMIT = 1e-3


def run(*args, **kw):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, **kw).stdout


NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def tensors_differ(tmp, file, config):
    """How many of PEFT's tensors are not in the file, q and k of a Llama permuted as convert_hf_to_gguf.py does it."""
    from gguf import GGUFReader
    from safetensors.numpy import load_file
    peft, reader = load_file(f"{tmp}/peft/adapter_model.safetensors"), GGUFReader(file)
    got = {t.name: np.array(t.data) for t in reader.tensors}
    wrong = len(got) != len(peft)
    for name, w in peft.items():
        layer, part, side = name.split(".")[4], ".".join(name.split(".")[5:7]), name.split(".")[7][-1].lower()
        if side == "b" and NAMES[part] in ("attn_q", "attn_k") and config.model_type in ("llama", "mistral"):
            heads = config.num_attention_heads if NAMES[part] == "attn_q" else config.num_key_value_heads
            w = w.reshape(heads, 2, w.shape[0] // heads // 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
        wrong += not np.array_equal(got.get(f"blk.{layer}.{NAMES[part]}.weight.lora_{side}"), w)
    alpha = reader.fields["adapter.lora.alpha"].contents()
    with open(f"{tmp}/peft/adapter_config.json") as f:
        wrong += alpha != json.load(f)["lora_alpha"] or reader.fields["general.type"].contents() != "adapter" or reader.fields["adapter.type"].contents() != "lora"
    return wrong


def gguf_lora(tmp, one, ids, want):
    """(any wrong, tests)"""
    try:
        from gguf import GGUFReader
    except ImportError:
        print("# gguf cannot be imported: the GGUF LoRA is not looked at")
        return False, 0
    file = f"{tmp}/lora.gguf"
    run(f"{binary}/moe-cat", "-q", "--gguf-lora", "-m", base, "-o", file, one)
    wrong = tensors_differ(tmp, file, plain.config)
    print(f"{'' if not wrong else 'not '}ok 3 - the GGUF LoRA holds PEFT's tensors ({wrong} differ)", flush=True)
    try:
        from llama_cpp import Llama
    except ImportError:
        print("# llama_cpp cannot be imported: the GGUF LoRA was not loaded in llama.cpp")
        return wrong, 1
    if not os.environ.get("MOE_GGUF"):
        print("# MOE_GGUF names no file of the base: the GGUF LoRA was not loaded in llama.cpp")
        return wrong, 1
    from gguf_compare import f32_file
    f32_file(GGUFReader(os.environ["MOE_GGUF"]), f"{tmp}/f32.gguf")
    llama = Llama(f"{tmp}/f32.gguf", lora_path=file, n_ctx=ids.shape[1], n_batch=ids.shape[1], logits_all=True, verbose=False, n_threads=2, type_k=0, type_v=0)
    worst = 0.0
    for x, w in zip(ids.tolist(), want.numpy()):
        llama.reset()
        llama.eval(x)
        z = np.array(llama.scores[:len(x) - 1], dtype=np.float64)
        z -= z.max(1, keepdims=True)
        worst = max(worst, float(np.abs(z[range(len(x) - 1), x[1:]] - np.log(np.exp(z).sum(1)) - w).max()))
    print(f"{'' if worst < LIMIT else 'not '}ok 4 - PEFT and llama.cpp with the GGUF LoRA: log-probabilities differ by {worst:.2e} at most")
    return wrong or worst >= LIMIT, 2


with tempfile.TemporaryDirectory() as tmp, torch.no_grad():
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(0, plain.config.vocab_size, (4, min(48, plain.config.max_position_embeddings)), generator=g)
    one = adapter
    if arm:  # the arm alone, for moe-cat
        one = os.path.join(tmp, "arm.moes")
        run(f"{binary}/moe-ablate", "-q", "--arms", arm[0], "-o", one, adapter)
    run(f"{binary}/moe-cat", "-q", "--peft", f"{tmp}/peft", "-m", base, one)
    said = subprocess.run([f"{binary}/moe-base", "--merge", "-m", base, "-a", one, "-o", f"{tmp}/merged"], check=True, stderr=subprocess.PIPE).stderr.decode()
    print("# " + said.strip())
    merged = AutoModelForCausalLM.from_pretrained(f"{tmp}/merged", dtype=torch.float32)(ids).logits
    with_peft = PeftModel.from_pretrained(plain, f"{tmp}/peft")(ids).logits
    rows = "".join(json.dumps({"prompt_id": str(i), "prompt_ids": x[:1], "completion_ids": x[1:], "prompt": "", "completion": ""}) + "\n" for i, x in enumerate(ids.tolist()))
    roll = run(f"{binary}/moe-rollout", "-q", "--from", "-", input=rows.encode())
    scored = run(f"{binary}/moe-base", "--score", "-q", "-m", base, "-a", one, input=roll)
    ours = [json.loads(x)["logp"] for x in run(f"{binary}/moe-cat", "--json", "--values", input=scored).decode().splitlines() if '"logp"' in x]
    want = torch.log_softmax(with_peft.double(), -1)[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
    a = float((merged - with_peft).abs().max())
    b = float((torch.tensor(ours, dtype=torch.double) - want).abs().max())
    moved = float((with_peft - AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)(ids).logits).abs().max())
    print(f"{'' if a < LIMIT else 'not '}ok 1 - merged in transformers and the arm in PEFT: logits differ by {a:.2e} at most (the adapter moves them by {moved:.2e})")
    print(f"{'' if b < LIMIT else 'not '}ok 2 - PEFT and moe-base --score: log-probabilities differ by {b:.2e} at most", flush=True)
    bad, n = gguf_lora(tmp, one, ids, want)
    print(f"1..{2 + n}")
    sys.exit(a >= LIMIT or b >= LIMIT or bad)
