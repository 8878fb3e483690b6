#!/usr/bin/env python3
"""deploy_compare.py BIN BASE ADAPTER [ARM] - the deployed model outside: an arm as a PEFT directory (moe-cat --peft) and merged (moe-base --merge), both
loaded by transformers and PEFT, against each other and against moe-base --score. TAP; exit 1 when anything differs by more than 1e-3."""
import json
import os
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import torch  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

binary, base, adapter = sys.argv[1:4]
arm = sys.argv[4:5]
LIMIT = 1e-3


def run(*args, **kw):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, **kw).stdout


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
    print(f"{'' if b < LIMIT else 'not '}ok 2 - PEFT and moe-base --score: log-probabilities differ by {b:.2e} at most\n1..2")
    sys.exit(a >= LIMIT or b >= LIMIT)
