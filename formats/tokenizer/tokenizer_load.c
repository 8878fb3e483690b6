/* tokenizer_load.c - reads tokenizer.json into the tables of tok.h. It encodes nothing. Component
 * types that are not implemented are refused by name: a tokenizer that is nearly right trains a
 * model on the wrong text without a word. */
#include "formats/file.h"
#include "formats/json.h"
#include "formats/tokenizer/tok.h"
#include "formats/tokenizer/tokenizer.h"
#include "util/mem.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES ((size_t)256 << 20)
#define NESTING_MAX    4
#define CUT(a)         (a).n > 60 ? 60 : (int)(a).n, (a).p ? (a).p : ""

void moe_tokenizer_free(struct moe_tokenizer *t)
{
	if (!t)
		return;
	moe_bpe_free(&t->bpe);
	moe_cutter_free(&t->cutter);
	for (size_t i = 0; i < t->n_added; i++) {
		if (t->added[i].norm != t->added[i].text)
			free(t->added[i].norm);
		free(t->added[i].text);
	}
	free(t->added);
	free(t->first[0]);
	free(t->first[1]);
	moe_buf_free(&t->bytes);
	free(t->out);
	free(t->prefix);
	free(t->suffix);
	free(t);
}

static struct moe_str type_of(const struct moe_json *j)
{
	return moe_json_str(moe_json_get(j, "type"));
}

static bool absent(const struct moe_json *j)
{
	return moe_json_kind(j) == MOE_J_NULL;
}

static bool is_true(const struct moe_json *j, const char *key, bool def)
{
	bool v = def;

	moe_json_bool(moe_json_get(j, key), &v);
	return v;
}

/* ---- model ---- */

static int read_vocab(struct moe_tokenizer *t, const struct moe_json *j, struct moe_err *e)
{
	const void *cursor = NULL;
	const struct moe_json *value;
	const char *key;

	if (moe_json_kind(j) != MOE_J_OBJECT)
		return moe_fail(e, MOE_DATA, "\"model.vocab\" is not an object");
	while (moe_json_next(j, &cursor, &key, &value)) {
		int64_t id;

		if (!moe_json_int(value, &id) || id < 0 || id >= t->max_id)
			return moe_fail(e, MOE_DATA, "token '%.60s' has no usable id", key);
		if (moe_utf8_prefix(key, strlen(key)) != strlen(key))
			return moe_fail(
				e, MOE_DATA, "the token of id %lld is not UTF-8", (long long)id);
		if (moe_vocab_add(&t->bpe.vocab, key, strlen(key), (int32_t)id, e))
			return -1;
	}
	moe_bpe_bytes(&t->bpe);
	return 0;
}

/* The token that stands for bytes without one. It matters only where there are such bytes. */
static int read_unknown(struct moe_tokenizer *t, const struct moe_json *m, struct moe_err *e)
{
	struct moe_str unk = moe_json_str(moe_json_get(m, "unk_token"));

	if (!unk.p || t->bpe.all_bytes)
		return 0;
	t->bpe.unk_id = moe_vocab_find(&t->bpe.vocab, unk.p, unk.n);
	t->bpe.fuse_unk = is_true(m, "fuse_unk", false);
	return t->bpe.unk_id >= 0
		? 0
		: moe_fail(e, MOE_DATA, "\"model.unk_token\" '%.*s' is not in the vocabulary",
			  CUT(unk));
}

/* "a b" (before tokenizers 0.20) or ["a", "b"]. */
static int read_merge(
	struct moe_tokenizer *t, const struct moe_json *j, size_t i, struct moe_err *e)
{
	struct moe_str l, r = { NULL, 0 };
	const char *sp;

	if (moe_json_kind(j) == MOE_J_ARRAY && moe_json_len(j) == 2) {
		l = moe_json_str(moe_json_at(j, 0));
		r = moe_json_str(moe_json_at(j, 1));
	} else {
		l = moe_json_str(j);
		sp = l.p ? memchr(l.p, ' ', l.n) : NULL;
		if (sp) {
			r.p = sp + 1;
			r.n = l.n - (size_t)(sp - l.p) - 1;
			l.n = (size_t)(sp - l.p);
			if (memchr(r.p, ' ', r.n))
				r.p = NULL;
		}
	}
	if (!l.p || !r.p)
		return moe_fail(e, MOE_DATA, "merge %zu is neither \"a b\" nor [\"a\", \"b\"]", i);
	return moe_bpe_add_merge(&t->bpe, l.p, l.n, r.p, r.n, (uint32_t)i, e);
}

static int check_model(const struct moe_json *m, struct moe_err *e)
{
	static const char *const must_be_empty[] = { "continuing_subword_prefix",
		"end_of_word_suffix" };
	struct moe_str type = type_of(m);
	double dropout = 0;

	/* files of before tokenizers 0.10 do not name the type */
	if (moe_json_kind(m) != MOE_J_OBJECT || (type.p && !moe_str_eq(type, "BPE")))
		return moe_fail(
			e, MOE_DATA, "model type \"%.*s\" is not supported (BPE is)", CUT(type));
	for (size_t i = 0; i < 2; i++)
		if (moe_json_str(moe_json_get(m, must_be_empty[i])).n)
			return moe_fail(
				e, MOE_DATA, "\"model.%s\" is not supported", must_be_empty[i]);
	if (is_true(m, "byte_fallback", false))
		return moe_fail(e, MOE_DATA,
			"\"model.byte_fallback\" (a SentencePiece vocabulary) is not supported: "
			"byte-level BPE is");
	if (moe_json_f64(moe_json_get(m, "dropout"), &dropout) && dropout > 0)
		return moe_fail(e, MOE_DATA, "\"model.dropout\" is not supported");
	return 0;
}

static int read_model(struct moe_tokenizer *t, const struct moe_json *m, struct moe_err *e)
{
	const struct moe_json *merges = moe_json_get(m, "merges");
	size_t n = moe_json_len(merges);

	if (check_model(m, e) || read_vocab(t, moe_json_get(m, "vocab"), e) ||
		read_unknown(t, m, e))
		return -1;
	if (moe_json_kind(merges) != MOE_J_ARRAY || n > UINT32_MAX)
		return moe_fail(e, MOE_DATA, "\"model.merges\" is not an array");
	for (size_t i = 0; i < n; i++)
		if (read_merge(t, moe_json_at(merges, i), i, e))
			return -1;
	t->bpe.ignore_merges = is_true(m, "ignore_merges", false);
	return 0;
}

/* ---- normaliser and pre-tokenizer ---- */

static int read_normalizer(
	struct moe_tokenizer *t, const struct moe_json *j, int depth, struct moe_err *e)
{
	static const char *const names[] = { [MOE_NORM_NFC] = "NFC",
		[MOE_NORM_NFD] = "NFD",
		[MOE_NORM_NFKC] = "NFKC",
		[MOE_NORM_NFKD] = "NFKD" };
	const struct moe_json *list = moe_json_get(j, "normalizers");
	struct moe_str type = type_of(j);

	if (absent(j))
		return 0;
	if (moe_str_eq(type, "Sequence") && depth < NESTING_MAX) {
		for (size_t i = 0; i < moe_json_len(list); i++)
			if (read_normalizer(t, moe_json_at(list, i), depth + 1, e))
				return -1;
		return 0;
	}
	for (size_t i = 1; i < sizeof(names) / sizeof(names[0]); i++)
		if (moe_str_eq(type, names[i])) {
			if (t->norm != MOE_NORM_NONE)
				return moe_fail(
					e, MOE_DATA, "more than one normalizer is not supported");
			t->norm = (enum moe_norm)i;
			return 0;
		}
	return moe_fail(e, MOE_DATA,
		"normalizer type \"%.*s\" is not supported (NFC, NFD, NFKC, NFKD, Sequence are)",
		CUT(type));
}

static int read_split(struct moe_tokenizer *t, const struct moe_json *j, struct moe_err *e)
{
	static const char *const names[] = { "Removed", "Isolated", "MergedWithPrevious",
		"MergedWithNext", "Contiguous" };
	const struct moe_json *p = moe_json_get(j, "pattern");
	struct moe_str how = moe_json_str(moe_json_get(j, "behavior")),
		       re = moe_json_str(moe_json_get(p, "Regex")),
		       plain = moe_json_str(moe_json_get(p, "String"));
	size_t h = 0;

	while (h < 5 && !moe_str_eq(how, names[h]))
		h++;
	if (h == 5)
		return moe_fail(e, MOE_DATA, "Split behavior \"%.*s\" is not supported", CUT(how));
	if (!re.p == !plain.p || (plain.p && !plain.n))
		return moe_fail(e, MOE_DATA,
			"the pattern of a Split is neither {\"Regex\": ...} nor {\"String\": ...}");
	return moe_cutter_add(&t->cutter, re.p ? re.p : plain.p, re.p ? re.n : plain.n, !re.p,
		(enum moe_cut_how)h, is_true(j, "invert", false), e);
}

static int read_byte_level(struct moe_tokenizer *t, const struct moe_json *j, struct moe_err *e)
{
	bool re = is_true(j, "use_regex", true);

	if (moe_cutter_add(&t->cutter, re ? moe_gpt2_pattern : NULL,
		    re ? strlen(moe_gpt2_pattern) : 0, false, MOE_CUT_ISOLATED, false, e))
		return -1;
	t->cutter.step[t->cutter.n - 1].prefix_space = is_true(j, "add_prefix_space", true);
	t->cutter.byte_level = true;
	return 0;
}

static const char digits[] = "[\\p{N}\\x{11de0}-\\x{11de9}]";

static int read_pretok(
	struct moe_tokenizer *t, const struct moe_json *j, int depth, struct moe_err *e)
{
	const struct moe_json *list = moe_json_get(j, "pretokenizers");
	struct moe_str type = type_of(j);

	if (absent(j))
		return 0;
	if (moe_str_eq(type, "Sequence") && depth < NESTING_MAX) {
		for (size_t i = 0; i < moe_json_len(list); i++)
			if (read_pretok(t, moe_json_at(list, i), depth + 1, e))
				return -1;
		return 0;
	}
	if (t->cutter.byte_level)
		return moe_fail(e, MOE_DATA,
			"pre-tokenizer \"%.*s\" after ByteLevel is not supported", CUT(type));
	if (moe_str_eq(type, "ByteLevel"))
		return read_byte_level(t, j, e);
	if (moe_str_eq(type, "Split"))
		return read_split(t, j, e);
	if (moe_str_eq(type, "Digits")) /* not a regular expression in the reference: it knows the
					   digits of Unicode 17 */
		return moe_cutter_add(&t->cutter, digits, sizeof(digits) - 1, false,
			is_true(j, "individual_digits", false) ? MOE_CUT_ISOLATED
							       : MOE_CUT_CONTIGUOUS,
			false, e);
	return moe_fail(e, MOE_DATA,
		"pre-tokenizer type \"%.*s\" is not supported (ByteLevel, Split, Digits, Sequence "
		"are)",
		CUT(type));
}

static int read_decoder(const struct moe_json *j, struct moe_err *e)
{
	const struct moe_json *list = moe_json_get(j, "decoders");

	if (moe_str_eq(type_of(j), "Sequence") && moe_json_len(list) == 1)
		j = moe_json_at(list, 0);
	if (moe_str_eq(type_of(j), "ByteLevel"))
		return 0;
	return moe_fail(e, MOE_DATA, "decoder type \"%.*s\" is not supported (ByteLevel is)",
		CUT(type_of(j)));
}

/* ---- post-processor ---- */

static int template_ids(const struct moe_tokenizer *t, const struct moe_json *special,
	const struct moe_json *piece, int32_t **ids, size_t *n, struct moe_err *e)
{
	struct moe_str name = moe_json_str(moe_json_get(piece, "id"));
	const struct moe_json *list = NULL, *value;
	const void *cursor = NULL;
	const char *key;
	int32_t *q;

	while (name.p && moe_json_next(special, &cursor, &key, &value))
		if (moe_str_eq(name, key))
			list = moe_json_get(value, "ids");
	q = realloc(*ids, (*n + moe_json_len(list) + 1) * sizeof(*q));
	if (!q)
		return moe_fail(e, MOE_SYSTEM, "out of memory in the tokenizer");
	*ids = q;
	for (size_t i = 0; i < moe_json_len(list); i++) {
		int64_t id;
		if (!moe_json_int(moe_json_at(list, i), &id) || id < 0 || id >= t->max_id)
			return moe_fail(e, MOE_DATA, "the template's token '%.*s' has no usable id",
				CUT(name));
		q[(*n)++] = (int32_t)id;
	}
	return list
		? 0
		: moe_fail(e, MOE_DATA,
			  "the template's token '%.*s' is not among its special_tokens", CUT(name));
}

static int read_template(struct moe_tokenizer *t, const struct moe_json *j, struct moe_err *e)
{
	const struct moe_json *single = moe_json_get(j, "single"),
			      *special = moe_json_get(j, "special_tokens");
	bool seen = false;

	for (size_t i = 0; i < moe_json_len(single); i++) {
		const struct moe_json *x = moe_json_at(single, i),
				      *s = moe_json_get(x, "SpecialToken");

		if (s &&
			(seen ? template_ids(t, special, s, &t->suffix, &t->n_suffix, e)
			      : template_ids(t, special, s, &t->prefix, &t->n_prefix, e)))
			return -1;
		if (!s && seen)
			return moe_fail(e, MOE_DATA,
				"a template that holds the text twice is not supported");
		seen |= !s;
	}
	return seen ? 0
		    : moe_fail(e, MOE_DATA,
			      "the template of the post-processor has no place for the text");
}

static int read_post(
	struct moe_tokenizer *t, const struct moe_json *j, int depth, struct moe_err *e)
{
	const struct moe_json *list = moe_json_get(j, "processors");
	struct moe_str type = type_of(j);

	if (absent(j) ||
		moe_str_eq(type,
			"ByteLevel")) /* ByteLevel changes offsets only, which we do not have */
		return 0;
	if (moe_str_eq(type, "Sequence") && depth < NESTING_MAX) {
		for (size_t i = 0; i < moe_json_len(list); i++)
			if (read_post(t, moe_json_at(list, i), depth + 1, e))
				return -1;
		return 0;
	}
	if (!moe_str_eq(type, "TemplateProcessing"))
		return moe_fail(e, MOE_DATA,
			"post-processor type \"%.*s\" is not supported (TemplateProcessing, "
			"ByteLevel, Sequence are)",
			CUT(type));
	if (t->prefix || t->suffix)
		return moe_fail(e, MOE_DATA, "more than one TemplateProcessing is not supported");
	return read_template(t, j, e);
}

/* ---- added tokens ---- */

static int read_added_one(struct moe_tokenizer *t, const struct moe_json *j, struct moe_err *e)
{
	struct moe_added *a = &t->added[t->n_added];
	struct moe_str s = moe_json_str(moe_json_get(j, "content"));
	struct moe_buf norm = { 0 };
	int64_t id;
	int32_t own;

	if (!s.p || !s.n || !moe_json_int(moe_json_get(j, "id"), &id) || id < 0 ||
		id >= t->max_id || moe_utf8_prefix(s.p, s.n) != s.n)
		return moe_fail(e, MOE_DATA, "an added token has no usable id and content");
	own = moe_vocab_find(&t->bpe.vocab, s.p, s.n);
	if (own >= 0 && own != id)
		return moe_fail(e, MOE_DATA,
			"the added token '%.*s' has the id %lld, in the vocabulary it is %d",
			CUT(s), (long long)id, (int)own);
	a->text = a->norm = moe_str_dup(s, e);
	if (!a->text)
		return -1;
	t->n_added++; /* from here on it is freed with the tokenizer */
	a->n = a->n_norm = s.n;
	a->id = (int32_t)id;
	a->single_word = is_true(j, "single_word", false);
	a->lstrip = is_true(j, "lstrip", false);
	a->rstrip = is_true(j, "rstrip", false);
	a->special = is_true(j, "special", false);
	a->normalized = is_true(j, "normalized", !a->special);
	if (!a->normalized || t->norm == MOE_NORM_NONE)
		return 0;
	if (moe_normalise(t->norm, s.p, s.n, &norm, e) || !moe_buf_cstr(&norm, e)) {
		moe_buf_free(&norm);
		return -1;
	}
	a->norm = (char *)norm.data;
	a->n_norm = norm.len;
	return 0;
}

/* Lists of added tokens by first byte, longest first; k = 1: those looked for in normalised text.
 * Few: insertion is good enough. */
static int index_added(struct moe_tokenizer *t, int k, struct moe_err *e)
{
	uint32_t n = 0;

	t->first[k] = moe_alloc(t->n_added + 1, sizeof(**t->first), e);
	if (!t->first[k])
		return -1;
	for (int b = 0; b < 256; b++) {
		t->begin[k][b] = n;
		for (uint32_t i = 0; i < t->n_added; i++) {
			const struct moe_added *a = &t->added[i];
			uint32_t at = n;

			if (a->normalized != (k == 1) || (uint8_t)a->norm[0] != b)
				continue;
			while (at > t->begin[k][b] &&
				t->added[t->first[k][at - 1]].n_norm < a->n_norm) {
				t->first[k][at] = t->first[k][at - 1];
				at--;
			}
			t->first[k][at] = i;
			n++;
		}
	}
	t->begin[k][256] = n;
	return 0;
}

static int read_added(struct moe_tokenizer *t, const struct moe_json *j, struct moe_err *e)
{
	size_t n = moe_json_len(j);

	if (!absent(j) && moe_json_kind(j) != MOE_J_ARRAY)
		return moe_fail(e, MOE_DATA, "\"added_tokens\" is not an array");
	if (n > 65536)
		return moe_fail(e, MOE_DATA, "more than 65536 added tokens");
	t->added = moe_alloc(n + 1, sizeof(*t->added), e);
	if (!t->added)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (read_added_one(t, moe_json_at(j, i), e))
			return -1;
	return index_added(t, 0, e) || index_added(t, 1, e) ? -1 : 0;
}

/* The bytes of every id, once. Added tokens go through the decoder as the others do. */
static int make_output(struct moe_tokenizer *t, struct moe_err *e)
{
	const struct moe_vocab *v = &t->bpe.vocab;

	t->n_out = v->n;
	for (size_t i = 0; i < t->n_added; i++)
		if ((size_t)t->added[i].id >= t->n_out)
			t->n_out = (size_t)t->added[i].id + 1;
	t->out = moe_alloc(t->n_out + 1, sizeof(*t->out), e);
	if (!t->out)
		return -1;
	for (size_t i = 0; i < v->n + t->n_added; i++) {
		const struct moe_added *a = i < v->n ? NULL : &t->added[i - v->n];
		struct moe_tok_out *o = &t->out[a ? (size_t)a->id : i];

		if (!a && !v->tok[i].present)
			continue;
		o->present = true;
		o->special |= a && a->special;
		o->off = (uint32_t)t->bytes.len;
		if (moe_alphabet_decode(a ? a->text : (const char *)v->text.data + v->tok[i].off,
			    a ? a->n : v->tok[i].len, &t->bytes, e))
			return -1;
		o->len = (uint32_t)(t->bytes.len - o->off);
	}
	return t->bytes.len > UINT32_MAX ? moe_fail(e, MOE_DATA, "the vocabulary is too large") : 0;
}

static int check_template(
	const struct moe_tokenizer *t, const int32_t *ids, size_t n, struct moe_err *e)
{
	for (size_t i = 0; i < n; i++)
		if ((size_t)ids[i] >= t->n_out || !t->out[ids[i]].present)
			return moe_fail(e, MOE_DATA,
				"the template of the post-processor has the id %d, which no token "
				"has",
				(int)ids[i]);
	return 0;
}

static int read_all(struct moe_tokenizer *t, const struct moe_json *root, struct moe_err *e)
{
	size_t tokens = moe_json_len(moe_json_path(root, "model.vocab")) +
		moe_json_len(moe_json_get(root, "added_tokens"));

	if (moe_json_kind(root) != MOE_J_OBJECT)
		return moe_fail(e, MOE_DATA, "not a JSON object");
	t->max_id = tokens < MOE_TOK_MAX_ID / MOE_TOK_GAP - 4096
		? (int64_t)((tokens + 4096) * MOE_TOK_GAP)
		: MOE_TOK_MAX_ID;
	if (read_model(t, moe_json_get(root, "model"), e) ||
		read_normalizer(t, moe_json_get(root, "normalizer"), 0, e) ||
		read_pretok(t, moe_json_get(root, "pre_tokenizer"), 0, e) ||
		read_decoder(moe_json_get(root, "decoder"), e) ||
		read_post(t, moe_json_get(root, "post_processor"), 0, e) ||
		read_added(t, moe_json_get(root, "added_tokens"), e))
		return -1;
	if (!t->cutter.byte_level)
		return moe_fail(e, MOE_DATA,
			"the pre-tokenizer has no ByteLevel: byte-level BPE alone is supported");
	return make_output(t, e) || check_template(t, t->prefix, t->n_prefix, e) ||
			check_template(t, t->suffix, t->n_suffix, e)
		? -1
		: 0;
}

struct moe_tokenizer *moe_tokenizer_parse(
	const char *p, size_t n, const char *name, struct moe_err *e)
{
	struct moe_json_doc *d = moe_json_parse(p, n, name, e);
	struct moe_tokenizer *t = d ? moe_alloc(1, sizeof(*t), e) : NULL;

	if (t && read_all(t, moe_json_root(d), e)) {
		moe_err_prefix(e, "%s", name);
		moe_tokenizer_free(t);
		t = NULL;
	}
	moe_json_free(d);
	return t;
}

struct moe_tokenizer *moe_tokenizer_open(const char *dir, struct moe_err *e)
{
	char *path = moe_path_join(dir, "tokenizer.json", e);
	struct moe_tokenizer *t = NULL;
	struct moe_buf b = { 0 };

	if (path && !moe_file_read(path, &b, FILE_MAX_BYTES, e))
		t = moe_tokenizer_parse((const char *)b.data, b.len, path, e);
	moe_buf_free(&b);
	free(path);
	return t;
}
