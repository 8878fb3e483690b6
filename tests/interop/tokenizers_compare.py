#!/usr/bin/env python3
"""tokenizers_compare.py PROGRAM [N [DIR]] - our tokenizer against the `tokenizers` library on N random strings in all (default 105,000) and on the
texts of DIR (*.md, *.json, *.jsonl, *.txt, gzipped or not; cut into pieces): the ids, with and without the template, the decoded text, the text of
random ids, and bytes that are no text, which must come back; also on single characters (all of them with MOE_INTEROP_ALL=1). For each family's
structure with a vocabulary trained here, or, when MOE_TOKENIZERS names tokenizer.json files and folders of such (separated by ':'), for
each of those, N strings each. PROGRAM is tests/interop/tokenize.c, built. TAP on standard output; exit 1 when anything differs.
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
from tokenizers import Tokenizer  # noqa: E402


def run(program, folder, items):
    """items: (bytes or a list of ids, with the template?). Per item its ids and the bytes they stand for, None when refused."""
    data = []
    for t, special in items:
        raw = t if isinstance(t, bytes) else struct.pack(f"<{len(t)}i", *t)
        data.append(struct.pack("<I", len(raw) | (0x80000000 if special else 0) | (0 if raw is t else 0x40000000)) + raw)
    out = subprocess.run([program, folder], input=b"".join(data), stdout=subprocess.PIPE, check=True).stdout
    at, answers = 0, []
    for _ in items:
        (n,) = struct.unpack_from("<I", out, at)
        at += 4
        if n == 0xffffffff:
            answers.append((None, b""))
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


class Report:
    def __init__(self, name):
        self.name, self.bad, self.done = name, 0, 0

    def check(self, same, what):
        self.done += 1
        self.bad += not same
        if not same and self.bad <= 5:
            print(f"# {self.name}: {what}")


def compare_texts(r, tok, program, folder, texts):
    items = [(t.encode(), i % 2 == 0) for i, t in enumerate(texts)]
    for (raw, special), text, (ids, back) in zip(items, texts, run(program, folder, items)):
        want = tok.encode(text, add_special_tokens=special).ids
        if ids != want:
            r.check(False, f"{text!r}\n#   ours {ids}\n#   not  {want}")
        else:
            r.check(back.decode("utf-8", "replace") == tok.decode(want, skip_special_tokens=False), f"decoding {text!r} gives {back!r}")


def compare_ids(r, tok, program, folder, rng, n):
    """Random ids, also such as no token has, to text."""
    top = max(tok.get_vocab().values()) + 3
    lists = [[rng.randrange(top) for _ in range(rng.choice([1, 2, 5, 30]))] for _ in range(n)]
    for ids, (_, back) in zip(lists, run(program, folder, [(x, False) for x in lists])):
        r.check(back.decode("utf-8", "replace") == tok.decode(ids, skip_special_tokens=False), f"the text of {ids} is {back!r}")


def bytes_with_token(tok):
    """openai/gpt-2, encoder.py: printable Latin-1 stands for itself, the rest for U+0100 and following."""
    own = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    rest = [b for b in range(256) if b not in own]
    vocab = tok.get_vocab()
    return {b for b in own if chr(b) in vocab} | {b for i, b in enumerate(rest) if chr(256 + i) in vocab}


def compare_bytes(r, tok, program, folder, rng, n):
    """Bytes that are not UTF-8 come back as they were, when they have tokens; else they are refused. Valid runs are plain ASCII."""
    parts = [b"ab c", b"\r\n", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\x80", b"\xff", b"\xbf\xbf", b"\xf4\x90\x80\x80"]
    if tok.decode(tok.encode("x\r\nab c", add_special_tokens=False).ids) != "x\r\nab c":
        return  # valid runs lose or gain something: a prefix, bytes without a token
    raws = [b"x".join(rng.choice(parts) for _ in range(rng.randrange(1, 9))) for _ in range(n)]
    known = bytes_with_token(tok)
    for raw, (ids, back) in zip(raws, run(program, folder, [(b, False) for b in raws])):
        r.check(back == raw if set(raw) <= known else ids is None, f"the bytes {raw!r} come back as {back!r}")


def texts_for(tok, rng, n, real):
    """Random strings, half of them of the tokenizer's own vocabulary and added tokens, and pieces of real text."""
    added = [a.content for a in tok.get_added_tokens_decoder().values()]
    top = max(tok.get_vocab().values()) + 1
    texts = [mt.random_text(rng) for _ in range(n // 2)]
    while len(texts) < n:
        part = [tok.decode([rng.randrange(top)], skip_special_tokens=False) for _ in range(rng.randrange(1, 12))]
        if added and rng.random() < 0.5:
            one = rng.choice(added)
            part.insert(rng.randrange(len(part) + 1), rng.choice([one, one + " ", " " + one, "\n" + one[:-1], one + rng.choice(added)]))
        if rng.random() < 0.3:
            part.insert(rng.randrange(len(part) + 1), mt.random_text(rng))
        texts.append("".join(part))
    return texts + rng.sample(real, min(len(real), 20000))


def given_files():
    found = []
    for path in filter(None, os.environ.get("MOE_TOKENIZERS", "").split(":")):
        found += [path] if os.path.isfile(path) else sorted(glob.glob(os.path.join(path, "**", "*.json"), recursive=True))
    return found


def trained_here(tmp, n, real, rng):
    """(name, folder, strings, how many such there are) of each family's structure."""
    train = mt.training_text(400) + rng.sample(real, min(len(real), 4000))
    names = mt.FAMILIES + mt.OTHERS
    for name in names:
        folder = os.path.join(tmp, name)
        mt.save(name, mt.build(name, train, 3000), folder)
        yield name, folder, n // len(names), len(names)


def given(tmp, n, paths):
    for k, path in enumerate(paths):
        folder = os.path.join(tmp, str(k))
        os.mkdir(folder)
        os.symlink(os.path.abspath(path), os.path.join(folder, "tokenizer.json"))
        yield path, folder, n, len(paths)


def main():
    program, n = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 105000
    rng = random.Random(21)
    real = real_texts(sys.argv[3], rng) if len(sys.argv) > 3 else []
    paths = given_files()
    single = [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000]
    if not os.environ.get("MOE_INTEROP_ALL"):
        single = rng.sample(single, 21000)
    failed = tests = 0
    with tempfile.TemporaryDirectory() as tmp:
        for k, (name, folder, each, total) in enumerate(given(tmp, n, paths) if paths else trained_here(tmp, n, real, rng)):
            if not k:
                print(f"1..{total + 1}")
            tok = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
            tok.no_truncation()
            tok.no_padding()
            r = Report(name)
            compare_texts(r, tok, program, folder, texts_for(tok, rng, each, real) + ["a" + c + " b" for c in (single if paths else single[k::total])] + [""])
            compare_ids(r, tok, program, folder, rng, 1 + each // 10)
            compare_bytes(r, tok, program, folder, rng, 1 + each // 10)
            tests += r.done
            failed += r.bad > 0
            print(f"{'not ok' if r.bad else 'ok'} {k + 1} - {name}: {r.done} strings, {r.bad} differ", flush=True)
    print(f"{'ok' if tests >= 100000 else 'not ok'} {total + 1} - {tests} strings in all, {len(real)} pieces of real text to draw from")
    sys.exit(failed > 0 or tests < 100000)


if __name__ == "__main__":
    main()
