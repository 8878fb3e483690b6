"""make_tokenizers.py - tokenizers with the exact structure of the families' files but vocabularies trained here on a made-up text.

Used by make_golden.py (small ones, committed with answers) and by tests/interop/tokenizers_compare.py (larger ones, many strings).
"""
import json
import os
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
QWEN = HEAD + r"\p{N}|" + TAIL
LLAMA3 = HEAD + r"\p{N}{1,3}|" + TAIL
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
          r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
          r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(use_regex, prefix=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=use_regex)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def structure(name):
    """(normalizer, pre-tokenizer, special tokens, other added tokens, special tokens lie in the vocabulary, ignore_merges)"""
    chatml = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    if name == "smollm2":
        return None, pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level(True)]), chatml + ["<repo_name>", "<file_sep>"], [], True, False
    if name == "llama3":
        return None, pre_tokenizers.Sequence([split(LLAMA3), byte_level(False)]), ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"], [], False, True
    if name == "qwen2":
        return normalizers.NFC(), pre_tokenizers.Sequence([split(QWEN), byte_level(False)]), chatml, [], False, False
    if name == "qwen3":
        return normalizers.NFC(), pre_tokenizers.Sequence([split(QWEN), byte_level(False)]), chatml, ["<tool_call>", "</tool_call>", "<think>", "</think>"], False, False
    if name == "tekken":
        return None, pre_tokenizers.Sequence([split(TEKKEN), byte_level(False)]), ["<s>", "</s>", "[INST]"], [], True, True
    if name == "gpt2":
        return None, byte_level(True), ["<|endoftext|>"], [], True, False
    if name == "gaps":  # the vocabulary lacks bytes, as SmolLM's does
        return None, byte_level(True), ["<|endoftext|>"], [], True, False
    # no family's: everything else that the reader accepts
    odd = [AddedToken("<strip>", lstrip=True, rstrip=True), AddedToken("word", single_word=True), AddedToken("\u00e9t\u00e9", normalized=True),
           AddedToken("a b", normalized=False), AddedToken("<st", normalized=False), AddedToken("word word", single_word=True, normalized=False)]
    steps = [split(r"\d+", "merged_with_next"), split(r"[A-Z]", "merged_with_previous"), pre_tokenizers.Digits(False), split(r"\|+", "removed"),
             split(r"[a-m]+", "contiguous"), pre_tokenizers.Split(".", "isolated"), split(r"\w+\s?", "isolated", True), byte_level(True, True)]
    return normalizers.Sequence([normalizers.NFKC()]), pre_tokenizers.Sequence(steps), ["<|x|>"], odd, False, False


FAMILIES = ["smollm2", "llama3", "qwen2", "qwen3"]
OTHERS = ["tekken", "gpt2", "gaps", "odd"]


def build(name, texts, vocab):
    norm, pre, special, others, inside, ignore = structure(name)
    tok = Tokenizer(models.BPE(ignore_merges=ignore))
    if norm:
        tok.normalizer = norm
    tok.pre_tokenizer = pre
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=vocab, show_progress=False, special_tokens=special if inside else [],
                                                       initial_alphabet=[] if name == "gaps" else pre_tokenizers.ByteLevel.alphabet()))
    tok.add_special_tokens(special)
    tok.add_tokens([t if isinstance(t, AddedToken) else AddedToken(t, normalized=False) for t in others])
    if name == "llama3":
        bos = "<|begin_of_text|>"
        tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single=bos + " $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, tok.token_to_id(bos))])])
    elif name == "odd":
        tok.post_processor = processors.TemplateProcessing(single="<|x|> $A <|x|> <|x|>", special_tokens=[("<|x|>", tok.token_to_id("<|x|>"))])
    elif name.startswith("qwen"):
        tok.post_processor = processors.ByteLevel(trim_offsets=False)
    return tok


def save(name, tok, folder):
    """smollm2 gets the merges in the form of before tokenizers 0.20."""
    os.makedirs(folder, exist_ok=True)
    j = json.loads(tok.to_str())
    if name == "smollm2":
        j["model"]["merges"] = [" ".join(m) for m in j["model"]["merges"]]
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump(j, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    return Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))


# ---- texts ----

WORDS = """the a of and to in is that it for on was with as his they be at one have this from or had by hot but some what there we can out
return def class self print import value function number string list if else while True False None lambda yield assert range len
l'été où naïve façade Straße über größer año niño corazón São não привет мир доброе утро число функция γειά κόσμε αλφα שלום עולם
مرحبا بالعالم नमस्ते दुनिया สวัสดี ชาวโลก 你好 世界 数字 函数 こんにちは カタカナ 日本語 안녕하세요 세계 한국어 việt người được""".split()
MARKS = ["\u0301", "\u0308", "\u0327", "\u0323", "\u0302", "\u20dd", "\u0345", "\u3099", "\u0334", "\u05b4", "\u064e", "\u093c"]
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🇩🇪", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🤷🏻‍♀️", "☃", "✨", "1️⃣"]
SPACES = [" ", "  ", "   ", "\n", "\r\n", "\n\n", "\t", "\r", " \n ", "\u00a0", "\u2003", "\u3000", "\u200b", "\u2028", "\u0085", "\u180e", "\x0b", "\x0c", "\ufeff"]
PUNCT = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["…", "—", "«", "»", "“", "”", "€", "±", "…", "''", "==", "!=", "->", "//", "/*", "'s", "'LL", "'ſ", "’s"]
NUMBERS = ["0", "7", "42", "123", "1234567", "3.14", "1e-5", "0x1F", "Ⅷ", "½", "٣٤", "१२", "²", "①", "１２"]
LETTERS = ["ﬁ", "ǅ", "ŉ", "K", "Å", "ﷺ", "ß", "ẞ", "İ", "ı", "ſ", "각", "가", "が", "か\u3099", "e\u0301", "é", "q\u0307\u0323", "\u1e69", "Ω"]
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<|eot_id|>", "<|begin_of_text|>", "[INST]", "<s>", "<strip>", "word", "été", "a b",
         "<|", "<|im_", "<st", "word word", "e\u0301te\u0301"]


def random_char(rng):
    kind = rng.random()
    if kind < 0.5:
        return chr(rng.randrange(0x20, 0x7f))
    if kind < 0.7:
        return chr(rng.randrange(0, 0x600))
    while True:
        c = rng.randrange(0, 0x3100) if kind < 0.9 else rng.randrange(0, 0x20000)
        if not 0xd800 <= c < 0xe000:
            return chr(c)


def random_text(rng):
    out = []
    for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 30])):
        r = rng.random()
        if r < 0.35:
            w = rng.choice(WORDS)
            out.append(rng.choice([w, w, w.upper(), w.capitalize(), w + rng.choice(MARKS)]))
        elif r < 0.6:
            out.append(rng.choice(SPACES[:3]) if rng.random() < 0.7 else rng.choice(SPACES))
        else:
            out.append(rng.choice([lambda: rng.choice(PUNCT), lambda: rng.choice(NUMBERS), lambda: rng.choice(EMOJI), lambda: rng.choice(LETTERS),
                                   lambda: rng.choice(MARKS), lambda: rng.choice(ADDED), lambda: "".join(random_char(rng) for _ in range(rng.randrange(1, 6))),
                                   lambda: rng.choice(WORDS) * rng.randrange(1, 4)])())
    return "".join(out)


def training_text(n):
    rng = random.Random(11)
    return [" ".join(rng.choice(WORDS) for _ in range(20)) + rng.choice([".", "\n", " = ", "();\n"]) + rng.choice(NUMBERS) for _ in range(n)]


def main():
    texts = training_text(400)
    for name in FAMILIES + ["odd"]:
        tok = save(name, build(name, texts, 560), os.path.join(HERE, "tok-" + name))
        rng = random.Random(12)
        with open(os.path.join(HERE, f"tok-{name}.jsonl"), "w") as f:
            for i in range(100):
                text = random_text(rng)
                f.write(json.dumps({"text": text, "ids": tok.encode(text).ids}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
