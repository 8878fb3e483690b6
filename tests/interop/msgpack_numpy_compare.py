"""Arrays of every dtype through `moe-cat --from-json | moe-cat --numpy` and msgpack_numpy: the same type, shape and bytes must come out.
TAP on standard output. usage: msgpack_numpy_compare.py MOE_CAT"""

import base64
import io
import json
import subprocess
import sys

import msgpack
import msgpack_numpy
import numpy as np

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "|i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
    "U8": "|u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "|b1", "BF16": None,
}
SHAPES = [(), (1,), (7,), (2, 3), (3, 1, 4), (0,), (2, 0, 3)]
rng = np.random.default_rng(1)


def draw(dtype, shape):
    """The bytes of a tensor, and the array that they must become."""
    if dtype == "BOOL":
        a = rng.integers(0, 2, shape).astype("|b1")
        return a.tobytes(), a
    if dtype == "BF16":
        raw = np.asarray(rng.integers(0, 65536, shape), "<u2")  # NaN, infinities and subnormals among them
        return raw.tobytes(), (raw.astype("<u4") << 16).view("<f4") if shape else (raw.astype("<u4") << 16).reshape(1).view("<f4").reshape(())
    kind = np.dtype(DTYPES[dtype])
    raw = rng.integers(0, 256, int(np.prod(shape)) * kind.itemsize).astype("u1").tobytes()
    return raw, np.frombuffer(raw, kind).reshape(shape)


def tensor(dtype, shape, raw):
    return {"dtype": dtype, "shape": list(shape), "data": {"$bin": base64.b64encode(raw).decode()}}


def stream(lines):
    text = "".join(json.dumps(x) + "\n" for x in lines).encode()
    made = subprocess.run([sys.argv[1], "--from-json", "-k", "x"], input=text, stdout=subprocess.PIPE, check=True).stdout
    plain = subprocess.run([sys.argv[1], "--numpy"], input=made, stdout=subprocess.PIPE, check=True).stdout
    return list(msgpack.Unpacker(io.BytesIO(plain), object_hook=msgpack_numpy.decode, raw=False, strict_map_key=False))


def same(got, want):
    return isinstance(got, np.ndarray) and got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes()


failed = done = 0


def check(name, good):
    global failed, done
    done += 1
    failed += not good
    print("ok" if good else "not ok", done, "-", name)


for dtype in DTYPES:
    drawn = [draw(dtype, s) for s in SHAPES]
    made = [tensor(dtype, s, raw) for s, (raw, _) in zip(SHAPES, drawn)]
    got = stream([{"t": "r", "top": m, "map": {"in": m, "n": 1}, "list": [m, {"deep": m}]} for m in made])
    good = len(got) == len(SHAPES) and all(
        same(g["top"], a) and same(g["map"]["in"], a) and g["map"]["n"] == 1 and same(g["list"][0], a) and same(g["list"][1]["deep"], a)
        for g, (_, a) in zip(got, drawn))
    check(f"{dtype}: {len(SHAPES)} shapes, also inside of maps and arrays", good)
    a = draw(dtype, (5, 4))
    cut = len(a[0]) // 10 * 4
    chunks = [{"t": "tensor", "name": "w", "dtype": dtype, "shape": [5, 4], "offset": at, "data": {"$bin": base64.b64encode(part).decode()}, "note": "kept"}
              for at, part in ((0, a[0][:cut]), (cut, a[0][cut:]))]
    got = stream(chunks)
    check(f"{dtype}: a tensor in two chunks", len(got) == 1 and got[0]["name"] == "w" and got[0]["note"] == "kept" and same(got[0]["value"], a[1]))
print(f"1..{done}")
sys.exit(failed > 0)
