"""moe-cat --metrics of a made stream, read back: usage: metrics_compare.py MOE-CAT. TAP on standard output."""
import csv
import io
import json
import math
import os
import subprocess
import sys
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

cat = sys.argv[1]
rows = [{"step": i, "time": 0.5 * i, "reward": math.sin(i) * 10 ** (i % 7 - 3), "kl": math.nan if i % 3 else 0.1 * i,
         "rewards/passed/mean": -i / 7} for i in range(300)]
n = 0


def check(ok, name):
    global n
    n += 1
    print(f"{'ok' if ok else 'not ok'} {n} - {name}")


def run(*args, data=None):
    return subprocess.run([cat, "-q", *args], input=data, stdout=subprocess.PIPE, check=True).stdout


with tempfile.TemporaryDirectory() as d:
    path = os.path.join(d, "m.moes")
    run("--from-json", "-k", "metrics", "-o", path, data="".join(json.dumps(r) + "\n" for r in rows).encode())
    events = os.path.join(d, "events.out.tfevents.0")
    run("--metrics", "tensorboard", "-o", events, path)
    first = next(iter(RawEventFileLoader(events).Load()))
    check(b"brain.Event:2" in first, "TensorBoard reads the version, whose checksums it verifies")
    a = EventAccumulator(d)
    a.Reload()
    check(sorted(a.Tags()["scalars"]) == ["kl", "reward", "rewards/passed/mean"], "and finds the metrics")
    got = a.Scalars("reward")
    check(len(got) == 300 and all(abs(g.value - r["reward"]) <= 1e-6 * abs(r["reward"]) and g.step == r["step"] and g.wall_time == r["time"]
                                  for g, r in zip(got, rows)), "with their steps, times and values")
    check([g.step for g in a.Scalars("kl")] == list(range(0, 300, 3)), "what was not measured has no point")

    table = list(csv.DictReader(io.StringIO(run("--metrics", "csv", path).decode())))
    check(len(table) == 300 and all(float(t["reward"]) == r["reward"] and int(t["step"]) == r["step"] for t, r in zip(table, rows)),
          "the table has the numbers to the bit")
    check(all(math.isnan(float(t["kl"])) == (i % 3 != 0) for i, t in enumerate(table)), "and NaN where nothing was measured")
    lines = [json.loads(s) for s in run("--metrics", "wandb", path).decode().splitlines()]
    check(all(s["_step"] == r["step"] and s["_runtime"] == r["time"] and s["reward"] == r["reward"] for s, r in zip(lines, rows)),
          "so have the lines for Weights & Biases")
    check(all((s["kl"] == "NaN") == (i % 3 != 0) for i, s in enumerate(lines)), "in which NaN is a text")
    try:
        os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
        import wandb
        w = wandb.init(project="moe", dir=d)
        for s in lines:
            w.log(s, step=s["_step"], commit=True)
        last = {k: w.summary.get(k) for k in ("reward", "kl", "rewards/passed/mean")}
        w.finish()
        check(last == {k: lines[-1][k] for k in last}, "W&B's own client takes them, offline, to the last line")
    except ImportError:
        check(True, "W&B's own client takes them # SKIP no wandb")
print(f"1..{n}")
