/* gguf_tokenizer.c - writes tokenizer.json and tokenizer_config.json from the metadata of a GGUF
 * file. It encodes no text (formats/tokenizer does).
 *
 * A GGUF file has the vocabulary, the merges and the *name* of the pre-tokenizer; what the name
 * stands for is in llama.cpp's llama-vocab.cpp, and what the model's own tokenizer.json has there
 * in the table below. A wrong regular expression would make other ids without a word, so a name
 * that is not in the table is refused. */
#include "formats/gguf_tokenizer.h"
#include "formats/json.h"
#include "formats/tokenizer/tok.h"
#include "util/mem.h"

#include <stdlib.h>
#include <string.h>

/* llama.h, enum llama_token_type */
enum { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE };

/* The regular expressions of the models' own tokenizer.json, as JSON strings. */
#define RE_WORDS(digits)                                                                           \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits             \
	"| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define RE_LLAMA3 RE_WORDS("\\\\p{N}{1,3}")
#define RE_QWEN2  RE_WORDS("\\\\p{N}")
#define RE_TEKKEN                                                                                  \
	"[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*"            \
	"[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+|"                                                  \
	"[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"            \
	"[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*|"                                                  \
	"\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|"  \
	"\\\\s+"
#define SPLIT(re)                                                                                  \
	"{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" re                                         \
	"\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define DIGITS "{\"type\":\"Digits\",\"individual_digits\":true}"
#define BYTES(use_regex)                                                                           \
	"{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_"          \
	"regex\":" use_regex "}"
#define SEQUENCE(a, b) "{\"type\":\"Sequence\",\"pretokenizers\":[" a "," b "]}"

static const struct pre {
	const char *name, *json;
	bool nfc, ignore_merges, bos; /* bos: where the file does not say */
} pres[] = {
	{ "gpt-2", BYTES("true"), false, false, false },
	{ "smollm", SEQUENCE(DIGITS, BYTES("true")), false, false, false },
	{ "llama-bpe", SEQUENCE(SPLIT(RE_LLAMA3), BYTES("false")), false, true, true },
	{ "llama3", SEQUENCE(SPLIT(RE_LLAMA3), BYTES("false")), false, true, true },
	{ "llama-v3", SEQUENCE(SPLIT(RE_LLAMA3), BYTES("false")), false, true, true },
	{ "qwen2", SEQUENCE(SPLIT(RE_QWEN2), BYTES("false")), true, false, false },
	{ "tekken", SEQUENCE(SPLIT(RE_TEKKEN), BYTES("false")), false, true, true },
};

static bool is_text(const char *p, size_t n, const char *want)
{
	return n == strlen(want) && !memcmp(p, want, n);
}

#define SHOWN(n) ((n) > 60 ? 60 : (int)(n))

static int find_pre(const struct moe_gguf *g, const struct pre **out, struct moe_err *e)
{
	const char *p = NULL;
	size_t n = 0;
	int rc = moe_gguf_str(g, "tokenizer.ggml.model", &p, &n, e);

	if (rc < 0)
		return -1;
	if (!rc || !is_text(p, n, "gpt2"))
		return moe_fail(e, MOE_DATA,
			"%s: its tokenizer model is '%.*s'; byte-level BPE ('gpt2') is supported",
			moe_gguf_name(g), SHOWN(n), rc ? p : "");
	rc = moe_gguf_str(g, "tokenizer.ggml.pre", &p, &n, e);
	if (rc < 0)
		return -1;
	for (size_t i = 0; rc && i < sizeof(pres) / sizeof(pres[0]); i++)
		if (is_text(p, n, pres[i].name)) {
			*out = &pres[i];
			return 0;
		}
	return rc ? moe_fail(e, MOE_DATA,
			    "%s: its pre-tokenizer '%.*s' is not supported (gpt-2, smollm, "
			    "llama-bpe, qwen2 and tekken are): take tokenizer.json from the "
			    "model's own repository",
			    moe_gguf_name(g), SHOWN(n), p)
		  : moe_fail(e, MOE_DATA,
			    "%s: it does not name its pre-tokenizer (tokenizer.ggml.pre), without "
			    "which the ids of texts are not known: take a newer file of the model",
			    moe_gguf_name(g));
}

/* ---- the vocabulary ---- */

struct words {
	const struct moe_gguf *g;
	const struct moe_gguf_value *text, *type, *merges;
};

static const struct moe_gguf_value *find_tokens(const struct moe_gguf *g, struct moe_err *e)
{
	const struct moe_gguf_value *v = moe_gguf_get(g, "tokenizer.ggml.tokens");

	if (v && v->kind == MOE_GGUF_ARRAY && v->of == MOE_GGUF_STRING)
		return v;
	moe_fail(e, MOE_DATA, "%s: 'tokenizer.ggml.tokens' is missing or not an array of strings",
		moe_gguf_name(g));
	return NULL;
}

static int find_words(const struct moe_gguf *g, uint64_t vocab, struct words *w, struct moe_err *e)
{
	w->g = g;
	w->text = find_tokens(g, e);
	w->type = moe_gguf_get(g, "tokenizer.ggml.token_type");
	w->merges = moe_gguf_get(g, "tokenizer.ggml.merges");
	if (!w->text)
		return -1;
	if (!w->merges || w->merges->kind != MOE_GGUF_ARRAY || w->merges->of != MOE_GGUF_STRING)
		return moe_fail(e, MOE_DATA,
			"%s: 'tokenizer.ggml.merges' is missing or not an array of strings",
			moe_gguf_name(g));
	if (!w->type || w->type->kind != MOE_GGUF_ARRAY || w->type->n != w->text->n)
		return moe_fail(e, MOE_DATA,
			"%s: 'tokenizer.ggml.token_type' is missing or not as long as the tokens: "
			"the special tokens cannot be told from the others",
			moe_gguf_name(g));
	if (w->text->n > vocab)
		return moe_fail(e, MOE_DATA,
			"%s: %llu tokens, but the embedding has only %llu rows", moe_gguf_name(g),
			(unsigned long long)w->text->n, (unsigned long long)vocab);
	return 0;
}

static int check_token(const struct words *w, uint64_t id, const char *p, size_t n, int64_t *type,
	struct moe_err *e)
{
	if (!moe_gguf_int_at(w->type, id, type) || *type < TOKEN_NORMAL || *type > TOKEN_BYTE)
		return moe_fail(e, MOE_DATA, "%s: token %llu has no type that is known",
			moe_gguf_name(w->g), (unsigned long long)id);
	if (*type == TOKEN_BYTE)
		return moe_fail(e, MOE_DATA,
			"%s: token %llu stands for a byte, as in a SentencePiece vocabulary, which "
			"is not supported",
			moe_gguf_name(w->g), (unsigned long long)id);
	if (*type != TOKEN_UNUSED && (!n || memchr(p, 0, n)))
		return moe_fail(e, MOE_DATA, "%s: token %llu is empty or holds a NUL",
			moe_gguf_name(w->g), (unsigned long long)id);
	return 0;
}

/* Special tokens are in the vocabulary as well: the library gives tokens that are only added the
 * next free ids, which are others where there are gaps. */
static int add_vocab(const struct words *w, struct moe_buf *o, struct moe_err *e)
{
	const uint8_t *at = w->text->p;
	bool first = true;

	for (uint64_t id = 0; id < w->text->n; id++) {
		const char *p;
		size_t n;
		int64_t type;

		moe_gguf_take_str(&at, &p, &n);
		if (check_token(w, id, p, n, &type, e))
			return -1;
		if (type == TOKEN_UNUSED) /* padding of the embedding */
			continue;
		if (moe_buf_addf(o, e, first ? "\n      " : ",\n      ") ||
			moe_json_quote(o, p, n, e) ||
			moe_buf_addf(o, e, ": %llu", (unsigned long long)id))
			return -1;
		first = false;
	}
	return 0;
}

static int add_merges(const struct words *w, struct moe_buf *o, struct moe_err *e)
{
	const uint8_t *at = w->merges->p;

	for (uint64_t i = 0; i < w->merges->n; i++) {
		const char *p;
		size_t n;

		moe_gguf_take_str(&at, &p, &n);
		if (moe_buf_addf(o, e, i ? ",\n      " : "\n      ") || moe_json_quote(o, p, n, e))
			return -1;
	}
	return 0;
}

static int add_added(const struct words *w, struct moe_buf *o, struct moe_err *e)
{
	const uint8_t *at = w->text->p;
	bool first = true;

	for (uint64_t id = 0; id < w->text->n; id++) {
		const char *p;
		size_t n;
		int64_t type;

		moe_gguf_take_str(&at, &p, &n);
		if (!moe_gguf_int_at(w->type, id, &type) || type == TOKEN_NORMAL ||
			type == TOKEN_UNUSED)
			continue;
		if (moe_buf_addf(o, e, "%s\n    {\"id\": %llu, \"content\": ", first ? "" : ",",
			    (unsigned long long)id) ||
			moe_json_quote(o, p, n, e) ||
			moe_buf_addf(o, e,
				", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
				"\"normalized\": false, \"special\": %s}",
				type == TOKEN_USER ? "false" : "true"))
			return -1;
		first = false;
	}
	return 0;
}

/* The text of a token as JSON. */
static int add_token(const struct moe_gguf *g, int64_t id, struct moe_buf *o, struct moe_err *e)
{
	const struct moe_gguf_value *v = find_tokens(g, e);
	const uint8_t *at = v ? v->p : NULL;
	const char *p = NULL;
	size_t n = 0;

	if (!v)
		return -1;
	if (id < 0 || (uint64_t)id >= v->n)
		return moe_fail(
			e, MOE_DATA, "%s: there is no token %lld", moe_gguf_name(g), (long long)id);
	for (int64_t i = 0; i <= id; i++)
		moe_gguf_take_str(&at, &p, &n);
	return moe_json_quote(o, p, n, e);
}

/* ---- ids ---- */

static int get_id(
	const struct moe_gguf *g, const char *key, uint64_t vocab, int64_t *out, struct moe_err *e)
{
	const struct moe_gguf_value *tokens = moe_gguf_get(g, "tokenizer.ggml.tokens");
	uint64_t n = tokens && tokens->kind == MOE_GGUF_ARRAY && tokens->n < vocab ? tokens->n
										   : vocab;
	int rc;

	*out = -1;
	rc = moe_gguf_int(g, key, out, e);
	if (rc < 0)
		return -1;
	if (rc && (*out < 0 || (uint64_t)*out >= n))
		return moe_fail(e, MOE_DATA, "%s: '%s' is %lld; the tokens are 0 to %llu",
			moe_gguf_name(g), key, (long long)*out, (unsigned long long)n - 1);
	return 0;
}

int moe_gguf_ids(
	const struct moe_gguf *g, uint64_t vocab, struct moe_gguf_ids *out, struct moe_err *e)
{
	static const char *const ends[] = { "tokenizer.ggml.eos_token_id",
		"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id" };

	out->n_end = 0;
	if (get_id(g, "tokenizer.ggml.bos_token_id", vocab, &out->bos, e) ||
		get_id(g, "tokenizer.ggml.padding_token_id", vocab, &out->pad, e))
		return -1;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		int64_t id;
		bool known = false;

		if (get_id(g, ends[i], vocab, &id, e))
			return -1;
		for (int k = 0; k < out->n_end; k++)
			known |= out->end[k] == id;
		if (id >= 0 && !known)
			out->end[out->n_end++] = id;
	}
	return 0;
}

/* ---- tokenizer.json ---- */

static int add_special(const struct moe_gguf *g, int64_t id, struct moe_buf *o, struct moe_err *e)
{
	return moe_buf_addf(o, e, "{\"SpecialToken\": {\"id\": ") || add_token(g, id, o, e) ||
			moe_buf_addf(o, e, ", \"type_id\": 0}}")
		? -1
		: 0;
}

static int add_entry(const struct moe_gguf *g, int64_t id, struct moe_buf *o, struct moe_err *e)
{
	return add_token(g, id, o, e) || moe_buf_addf(o, e, ": {\"id\": ") ||
			add_token(g, id, o, e) ||
			moe_buf_addf(o, e, ", \"ids\": [%lld], \"tokens\": [", (long long)id) ||
			add_token(g, id, o, e) || moe_buf_addf(o, e, "]}")
		? -1
		: 0;
}

/* begin, end: -1 = none. A pair of texts is written as one after the other. */
static int add_template(
	const struct moe_gguf *g, int64_t begin, int64_t end, struct moe_buf *o, struct moe_err *e)
{
	static const char *const form[2] = { "single", "pair" };

	if (moe_buf_addf(o, e, "{\"type\": \"TemplateProcessing\""))
		return -1;
	for (int pair = 0; pair < 2; pair++) {
		if (moe_buf_addf(o, e, ", \"%s\": [", form[pair]))
			return -1;
		for (int part = 0; part <= pair; part++)
			if ((part && moe_buf_addf(o, e, ", ")) ||
				(begin >= 0 &&
					(add_special(g, begin, o, e) ||
						moe_buf_addf(o, e, ", "))) ||
				moe_buf_addf(o, e,
					"{\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}",
					"AB"[part], part) ||
				(end >= 0 &&
					(moe_buf_addf(o, e, ", ") || add_special(g, end, o, e))))
				return -1;
		if (moe_buf_addf(o, e, "]"))
			return -1;
	}
	if (moe_buf_addf(o, e, ", \"special_tokens\": {") ||
		(begin >= 0 && add_entry(g, begin, o, e)) ||
		(end >= 0 && end != begin &&
			((begin >= 0 && moe_buf_addf(o, e, ", ")) || add_entry(g, end, o, e))))
		return -1;
	return moe_buf_addf(o, e, "}}");
}

/* Whether texts begin with bos and end with eos. */
static int add_post(const struct moe_gguf *g, const struct pre *pre, uint64_t vocab,
	struct moe_buf *o, struct moe_err *e)
{
	struct moe_gguf_ids ids;
	bool bos = pre->bos, eos = false;

	if (moe_gguf_bool(g, "tokenizer.ggml.add_bos_token", &bos, e) < 0 ||
		moe_gguf_bool(g, "tokenizer.ggml.add_eos_token", &eos, e) < 0 ||
		moe_gguf_ids(g, vocab, &ids, e))
		return -1;
	bos = bos && ids.bos >= 0;
	eos = eos && ids.n_end;
	if (!bos && !eos)
		return moe_buf_addf(o, e, "%s", BYTES("true"));
	return add_template(g, bos ? ids.bos : -1, eos ? ids.end[0] : -1, o, e);
}

int moe_gguf_tokenizer_json(
	const struct moe_gguf *g, uint64_t vocab, struct moe_buf *o, struct moe_err *e)
{
	const struct pre *pre = NULL;
	struct words w;
	bool space = false;

	if (find_pre(g, &pre, e) || find_words(g, vocab, &w, e) ||
		moe_gguf_bool(g, "tokenizer.ggml.add_space_prefix", &space, e) < 0)
		return -1;
	if (space)
		return moe_fail(e, MOE_DATA,
			"%s: 'tokenizer.ggml.add_space_prefix' is not supported with byte-level "
			"BPE",
			moe_gguf_name(g));
	if (moe_buf_addf(o, e,
		    "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  "
		    "\"added_tokens\": [") ||
		add_added(&w, o, e) ||
		moe_buf_addf(o, e,
			"\n  ],\n  \"normalizer\": %s,\n  \"pre_tokenizer\": %s,\n  "
			"\"post_processor\": ",
			pre->nfc ? "{\"type\":\"NFC\"}" : "null", pre->json) ||
		add_post(g, pre, vocab, o, e) ||
		moe_buf_addf(o, e,
			",\n  \"decoder\": %s,\n  \"model\": {\n    \"type\": \"BPE\",\n    "
			"\"dropout\": null,\n    \"unk_token\": null,\n    "
			"\"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    "
			"\"fuse_unk\": false,\n    \"byte_fallback\": false,\n    "
			"\"ignore_merges\": %s,\n    \"vocab\": {",
			BYTES("true"), pre->ignore_merges ? "true" : "false") ||
		add_vocab(&w, o, e) || moe_buf_addf(o, e, "\n    },\n    \"merges\": [") ||
		add_merges(&w, o, e))
		return -1;
	return moe_buf_addf(o, e, "\n    ]\n  }\n}\n");
}

/* ---- tokenizer_config.json ---- */

static int add_role(const struct moe_gguf *g, const char *role, int64_t id, struct moe_buf *o,
	struct moe_err *e)
{
	if (id < 0)
		return 0;
	return moe_buf_addf(o, e, "  \"%s\": ", role) || add_token(g, id, o, e) ||
			moe_buf_addf(o, e, ",\n")
		? -1
		: 0;
}

int moe_gguf_tokenizer_config(const struct moe_gguf *g, const struct moe_gguf_ids *ids,
	struct moe_buf *o, struct moe_err *e)
{
	const char *chat = NULL;
	size_t n = 0;
	int rc = moe_gguf_str(g, "tokenizer.chat_template", &chat, &n, e);

	if (rc < 0 || moe_buf_addf(o, e, "{\n") || add_role(g, "bos_token", ids->bos, o, e) ||
		add_role(g, "eos_token", ids->n_end ? ids->end[0] : -1, o, e) ||
		add_role(g, "pad_token", ids->pad, o, e))
		return -1;
	if (rc &&
		(moe_buf_addf(o, e, "  \"chat_template\": ") || moe_json_quote(o, chat, n, e) ||
			moe_buf_addf(o, e, ",\n")))
		return -1;
	return moe_buf_addf(o, e,
		"  \"clean_up_tokenization_spaces\": false,\n  \"tokenizer_class\": "
		"\"PreTrainedTokenizerFast\"\n}\n");
}
