#!/usr/bin/env python3
"""chat_compare.py BIN [N] - the known chat forms against transformers' apply_chat_template on N conversations each (default 300).

The templates: those of MOE_CHAT_TEMPLATES, a folder with NAME.jinja (NAME a known form, or one that begins with it and a '+'), and here ChatML with and
without a default system message. Half of the prompts end with a message of the user (add_generation_prompt), half with one of the assistant
(continue_final_message). What transformers refuses must be refused. TAP on standard output; exit 1 when anything differs.
With --golden FILE: writes conversations and texts of the same for tests/unit/test_chat.c instead.
"""
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
from tokenizers import Tokenizer, models  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

CHATML = ("{% for message in messages %}DEFAULT{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
DEFAULT = "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nSYSTEM<|im_end|>\n' }}{% endif %}"
TOKENS = {"llama3": ("<|begin_of_text|>", "<|eot_id|>"), "mistral": ("<s>", "</s>")}
PARTS = ["Hello", "hi ", "  two  blanks", "\n\nlines\n", "tab\t", "caf\u00e9 \u00fc", "\u4f60\u597d", "\U0001f600", "\u00a0nbsp\u2003", "{user}", "{{ x }}", "<think>\nhm\n</think>\n\nyes",
         "<think></think>", "no </think> twice </think>\nend", "<think>a<think>b</think>c", "<tool_response>", "</tool_response>", "'quoted' \"text\"", "[INST]", "", "x" * 40,
         "\x1f\x85", "\u3000wide", "<|im_end|>", "\\n"]


def templates():
    out = {"chatml": CHATML.replace("DEFAULT", ""), "smollm2": CHATML.replace("DEFAULT", DEFAULT.replace("SYSTEM", "You are a helpful AI assistant named SmolLM, trained by Hugging Face")),
           "qwen2": CHATML.replace("DEFAULT", DEFAULT.replace("SYSTEM", "You are a helpful assistant.")), "chatml+own": CHATML.replace("DEFAULT", DEFAULT.replace("SYSTEM", "Be brief \u00fc."))}
    for path in sorted(glob.glob(os.path.join(os.environ.get("MOE_CHAT_TEMPLATES", ""), "*.jinja"))):
        with open(path, encoding="utf-8") as f:
            out[os.path.basename(path)[:-6]] = f.read()
    return out


def text(rng):
    return "".join(rng.choice(PARTS) for _ in range(rng.choice([1, 1, 2, 3])))


def conversation(rng):
    turns = [{"role": "user" if i % 2 == 0 else "assistant", "content": text(rng)} for i in range(rng.choice([1, 1, 2, 2, 3, 4, 5]))]
    if rng.random() < 0.1:  # out of turn
        rng.shuffle(turns)
    if rng.random() < 0.4:
        turns.insert(0, {"role": "system", "content": text(rng)})
    if rng.random() < 0.1:
        turns.insert(rng.randrange(len(turns) + 1), {"role": "system", "content": text(rng)})
    return turns


def expected(tok, messages):
    """None: refused."""
    last = messages[-1]["role"] == "assistant"
    try:
        return tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=not last, continue_final_message=last, date_string="26 Jul 2024")
    except Exception as e:  # noqa: BLE001
        if "CONTINUE_FINAL_MESSAGE_TAG" in str(e) or "could not find" in str(e) or "does not appear" in str(e):
            return False  # transformers cannot say
        return None


def ours(binary, folder, messages):
    rows = "".join(json.dumps({"prompt_id": str(i), "prompt": m}) + "\n" for i, m in enumerate(messages)).encode()
    made = subprocess.run([f"{binary}/moe-prompts", "-q", "--skip-bad", "--from", "-", "--chat-template", folder], input=rows, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if made.returncode:
        return made.stderr.decode()
    lines = subprocess.run([f"{binary}/moe-cat", "--json"], input=made.stdout, stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
    found = {}
    for line in lines:
        j = json.loads(line)
        if "text" in j and "id" in j:
            found[j["id"]] = j["text"]
    return [found.get(str(i)) for i in range(len(messages))]


def main():
    golden = sys.argv[3] if sys.argv[2:3] == ["--golden"] else None
    n = 12 if golden else int(sys.argv[2]) if len(sys.argv) > 2 else 300
    bad = k = 0
    rows = []
    for name, template in templates().items():
        form = name.split("+")[0]
        bos, eos = next((v for key, v in TOKENS.items() if form.startswith(key)), (None, "<|im_end|>"))
        tok = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token=bos, eos_token=eos, chat_template=template)
        rng = random.Random(name)
        messages = [conversation(rng) for _ in range(n)]
        want = [expected(tok, m) for m in messages]
        if golden:
            rows += [json.dumps({"form": form, "messages": m, "text": w}) for m, w in zip(messages, want) if w is not False] if name == form else []
            continue
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
                json.dump({"chat_template": template, "bos_token": bos, "eos_token": eos}, f)
            got = ours(sys.argv[1], folder, messages)
        k += 1
        if isinstance(got, str):
            bad += 1
            print(f"not ok {k} - {name}: {got.strip()}")
            continue
        wrong = [(m, w, g) for m, w, g in zip(messages, want, got) if w is not False and w != g]
        bad += bool(wrong)
        counted = sum(w is not False for w in want)
        print(f"{'not ' if wrong else ''}ok {k} - {name}: {counted - len(wrong)} of {counted} conversations the same, {sum(w is None for w in want)} refused by both")
        for m, w, g in wrong[:3]:
            print(f"# {json.dumps(m)}\n#   transformers {w!r}\n#   ours         {g!r}")
    if golden:
        with open(golden, "w", encoding="utf-8") as f:
            f.write("\n".join(rows) + "\n")
    else:
        print(f"1..{k}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
