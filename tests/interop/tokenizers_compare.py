#!/usr/bin/env python3
"""tokenizers_compare.py PROGRAM [N [DIR]] - our tokenizer against the `tokenizers` library on N random strings in all (default 105,000) and on the
texts of DIR (*.md, *.json, *.jsonl, gzipped or not; cut into pieces), for each family's structure: the ids, with and without the template,
and the decoded text; also on single characters (all of them with MOE_INTEROP_ALL=1). PROGRAM is tests/interop/tokenize.c, built.
TAP on standard output; exit 1 when anything differs.
"""
import glob
import gzip
import os
import random
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import make_tokenizers as mt  # noqa: E402


def run(program, folder, items):
    data = b"".join(struct.pack("<I", len(t) | (0x80000000 if s else 0)) + t for t, s in items)
    out = subprocess.run([program, folder], input=data, stdout=subprocess.PIPE, check=True).stdout
    at, answers = 0, []
    for _ in items:
        (n,) = struct.unpack_from("<I", out, at)
        at += 4
        if n == 0xffffffff:
            answers.append((None, None))
            continue
        ids = list(struct.unpack_from(f"<{n}i", out, at))
        at += 4 * n
        (n,) = struct.unpack_from("<I", out, at)
        answers.append((ids, out[at + 4:at + 4 + n]))
        at += 4 + n
    assert at == len(out)
    return answers


def real_texts(folder, rng):
    texts = []
    for path in sorted(glob.glob(os.path.join(folder, "**", "*"), recursive=True)):
        if os.path.isfile(path) and path.endswith((".md", ".json", ".jsonl", ".jsonl.gz", ".txt")):
            with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
                text = f.read().decode("utf-8", "replace").replace("\\n", "\n").replace('\\"', '"')
            at = 0
            while at < len(text):
                n = rng.choice([3, 20, 100, 400, 2000])
                texts.append(text[at:at + n])
                at += n
    return texts


def compare(name, tok, program, folder, texts):
    items = [(t.encode(), i % 2 == 0) for i, t in enumerate(texts)]
    bad = 0
    for (raw, special), text, (ids, back) in zip(items, texts, run(program, folder, items)):
        want = tok.encode(text, add_special_tokens=special).ids
        if ids != want:
            bad += 1
            if bad <= 5:
                print(f"# {name}: {text!r}\n#   ours {ids}\n#   not  {want}")
        elif back.decode("utf-8", "replace") != tok.decode(want, skip_special_tokens=False):
            bad += 1
            if bad <= 5:
                print(f"# {name}: decoding {text!r} gives {back!r}")
    return bad


def main():
    program, n = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 105000
    rng = random.Random(21)
    real = real_texts(sys.argv[3], rng) if len(sys.argv) > 3 else []
    single = [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000]
    if not os.environ.get("MOE_INTEROP_ALL"):
        single = rng.sample(single, 21000)
    train = mt.training_text(400) + rng.sample(real, min(len(real), 4000))
    names = mt.FAMILIES + mt.OTHERS
    failed = tests = 0
    print(f"1..{len(names) + 1}")
    with tempfile.TemporaryDirectory() as tmp:
        for k, name in enumerate(names):
            folder = os.path.join(tmp, name)
            tok = mt.save(name, mt.build(name, train, 3000), folder)
            texts = [mt.random_text(rng) for _ in range(n // len(names))] + rng.sample(real, min(len(real), 20000))
            texts += ["a" + c + " b" for c in single[k::len(names)]] + [""]
            bad = compare(name, tok, program, folder, texts)
            tests += len(texts)
            failed += bad > 0
            print(f"{'not ok' if bad else 'ok'} {k + 1} - {name}: {len(texts)} strings, {bad} differ", flush=True)
    print(f"{'ok' if tests >= 100000 else 'not ok'} {len(names) + 1} - {tests} strings in all, {len(real)} pieces of real text to draw from")
    sys.exit(failed > 0 or tests < 100000)


if __name__ == "__main__":
    main()
