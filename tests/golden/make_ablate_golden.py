#!/usr/bin/env python3
"""Golden values of tests/unit/test_ablate.c: numpy's eigenvectors of a trajectory's steps.

    python3 tests/golden/make_ablate_golden.py > tests/golden/ablate_golden.h

numpy as pinned in requirements.txt. A and B are closed forms that the test repeats, rounded to f32.
"""
import numpy as np

D_OUT, D_IN, R, SCALE, K = 96, 256, 5, 2.0, 2


def delta(s):
    k = np.arange(R * D_IN)
    a = np.sin(0.37 * k + s * (k % 5)).astype(np.float32).astype(np.float64).reshape(R, D_IN)
    k = np.arange(D_OUT * R)
    b = (s * np.cos(0.11 * k * (s + 1)) / (1 + k % 7)).astype(np.float32).astype(np.float64).reshape(D_OUT, R)
    return SCALE * b @ a, b


steps = [delta(s)[0] for s in range(4)]
S = sum((x - y) @ (x - y).T for y, x in zip(steps, steps[1:]))
value, vector = np.linalg.eigh(S)
U = vector[:, ::-1][:, :K]
B = delta(3)[1]
B = B - U @ (U.T @ B)
print("/* ablate_golden.h - made by make_ablate_golden.py; not edited. */")
print(f"#define GOLDEN_D_OUT {D_OUT}\n#define GOLDEN_D_IN  {D_IN}")
print(f"#define GOLDEN_SHARE {value[::-1][:K].sum() / value.sum():.12g}")
print("static const double golden_B[] = {")
flat = [f"{v:.9g}" for v in B.ravel()]
for i in range(0, len(flat), 6):
    print("\t" + ", ".join(flat[i:i + 6]) + ",")
print("};")
