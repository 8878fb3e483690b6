"""What decode_torch.py and train_torch.py share: the clock, the fastest of several passes, the line of JSON, and PyTorch's own sgemm."""
import json
import resource
import time

import torch


def fastest(sec, one_pass):
    """Seconds of the fastest of the passes that begin within sec seconds."""
    best, start = 1e30, time.monotonic()
    while True:
        t = time.monotonic()
        one_pass()
        best = min(best, time.monotonic() - t)
        if time.monotonic() - start > sec:
            return best


def sgemm_gflops(n=1024):
    a = torch.ones(n, n)
    return 2 * n**3 / fastest(1, lambda: a @ a) * 1e-9


def report(engine, tokens_per_sec, **more):
    print(json.dumps({"engine": engine, "tokens_per_sec": tokens_per_sec,
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **more}))
