/* tokenizer.c - text to ids and back, after loading (tokenizer_load.c). The merging of a piece is
 * in bpe.c, the cutting in pretokenize.c. */
#include "formats/tokenizer/tokenizer.h"
#include "formats/json.h"
#include "formats/tokenizer/tok.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* White space as the pre-tokenizer's (pretokenize.c); letters, digits, marks and connectors, for
 * single_word. */
static bool is_space(uint32_t c)
{
	return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
		(c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
		c == 0x205f || c == 0x3000;
}

static bool is_word(uint32_t c)
{
	utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);

	return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_ND) ||
		k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_PC ||
		(c >= 0x24b6 && c <= 0x24e9) ||
		(c >= 0x1f130 && c <= 0x1f189 && k == UTF8PROC_CATEGORY_SO) || c == 0x200c ||
		c == 0x200d;
}

static size_t char_before(const char *p, size_t at, uint32_t *c)
{
	size_t k = at - 1;

	while (k && ((uint8_t)p[k] & 0xc0) == 0x80)
		k--;
	moe_utf8_get(p + k, c);
	return k;
}

struct enc {
	const struct moe_tokenizer *t;
	struct moe_bpe_work bpe;
	struct moe_cut_work cut;
	struct moe_buf norm;
};

/* Added token that begins at p[i], the longest; NULL when none does. */
static const struct moe_added *added_at(
	const struct moe_tokenizer *t, int k, const char *p, size_t n, size_t i)
{
	uint8_t b = (uint8_t)p[i];

	for (uint32_t x = t->begin[k][b]; x < t->begin[k][b + 1]; x++) {
		const struct moe_added *a = &t->added[t->first[k][x]];
		if (a->n_norm <= n - i && !memcmp(a->norm, p + i, a->n_norm))
			return a;
	}
	return NULL;
}

static bool is_single(const char *p, size_t n, size_t start, size_t stop)
{
	uint32_t c;

	if (start) {
		char_before(p, start, &c);
		if (is_word(c))
			return false;
	}
	if (stop < n) {
		moe_utf8_get(p + stop, &c);
		if (is_word(c))
			return false;
	}
	return true;
}

static int encode_plain(struct enc *c, const char *p, size_t n, struct moe_err *e)
{
	c->cut.text.len = 0;
	if (moe_buf_add(&c->cut.text, p, n, e) || moe_cutter_run(&c->t->cutter, &c->cut, e))
		return -1;
	for (size_t i = 0; i < c->cut.a.n; i++)
		if (moe_bpe_word(&c->t->bpe, &c->bpe,
			    (const char *)c->cut.text.data + c->cut.a.v[i].off, c->cut.a.v[i].len,
			    e))
			return -1;
	return 0;
}

static int encode_between(struct enc *c, int k, const char *p, size_t n, struct moe_err *e);

/* k = 0: cuts raw text at the added tokens and normalises what lies between; k = 1: the same with
 * normalised text. */
static int encode_cut(struct enc *c, int k, const char *p, size_t n, struct moe_err *e)
{
	size_t done = 0, i = 0;

	while (i < n) {
		const struct moe_added *a = added_at(c->t, k, p, n, i);
		size_t start = i, stop, prev;
		uint32_t ch;

		if (!a) {
			i++;
			continue;
		}
		stop = i + a->n_norm;
		i = stop; /* the search goes on here, whatever white space is taken along */
		if (a->single_word && !is_single(p, n, start, stop))
			continue;
		while (a->lstrip && start > done &&
			(prev = char_before(p, start, &ch), is_space(ch)))
			start = prev;
		while (a->rstrip && stop < n && (prev = moe_utf8_get(p + stop, &ch), is_space(ch)))
			stop += prev;
		if (start < done)
			start = done;
		if ((start > done && encode_between(c, k, p + done, start - done, e)) ||
			moe_bpe_put(&c->bpe, a->id, e))
			return -1;
		done = stop;
	}
	return done < n ? encode_between(c, k, p + done, n - done, e) : 0;
}

static int encode_between(struct enc *c, int k, const char *p, size_t n, struct moe_err *e)
{
	if (k == 1)
		return encode_plain(c, p, n, e);
	if (c->t->norm == MOE_NORM_NONE)
		return encode_cut(c, 1, p, n, e);
	c->norm.len = 0;
	if (moe_normalise(c->t->norm, p, n, &c->norm, e))
		return -1;
	return encode_cut(c, 1, (const char *)c->norm.data, c->norm.len, e);
}

/* Runs of valid UTF-8 take the usual way; other bytes are merged as they are, so that every text of
 * bytes survives. */
static int encode_text(struct enc *c, const char *p, size_t n, struct moe_err *e)
{
	for (size_t i = 0; i < n;) {
		size_t good = moe_utf8_prefix(p + i, n - i), badn = 0;

		if (good && encode_cut(c, 0, p + i, good, e))
			return -1;
		i += good;
		while (i + badn < n && (badn == 0 || !moe_utf8_prefix(p + i + badn, n - i - badn)))
			badn++;
		for (size_t k = i; k < i + badn; k++)
			if (c->t->bpe.byte_id[(uint8_t)p[k]] < 0)
				return moe_fail(e, MOE_DATA,
					"the text is not UTF-8, and the vocabulary has no token "
					"for the 0x%02x at its byte %zu",
					(unsigned)(uint8_t)p[k], k);
		if (badn && moe_bpe_word(&c->t->bpe, &c->bpe, p + i, badn, e))
			return -1;
		i += badn;
	}
	return 0;
}

static int put_all(struct moe_bpe_work *w, const int32_t *id, size_t n, struct moe_err *e)
{
	for (size_t i = 0; i < n; i++)
		if (moe_bpe_put(w, id[i], e))
			return -1;
	return 0;
}

int moe_tokenizer_encode(const struct moe_tokenizer *t, const char *text, size_t len,
	bool add_special, int32_t **ids, size_t *n, struct moe_err *e)
{
	struct enc c = { .t = t };
	size_t slots = 0;
	int r;

	if (t->bpe.n_merge && len >= 1024) /* short texts repeat too few words for a cache to pay */
		for (slots = 256; slots < len / 4 && slots < 16384;)
			slots *= 2;
	c.bpe.cache_slots = slots;
	c.bpe.id = *ids;
	c.bpe.n = c.bpe.cap = *n;
	r = add_special ? put_all(&c.bpe, t->prefix, t->n_prefix, e) : 0;
	if (!r)
		r = encode_text(&c, text, len, e);
	if (!r && add_special)
		r = put_all(&c.bpe, t->suffix, t->n_suffix, e);
	*ids = c.bpe.id; /* may have moved, also on failure */
	if (!r)
		*n = c.bpe.n;
	c.bpe.id = NULL;
	moe_bpe_work_free(&c.bpe);
	moe_cut_work_free(&c.cut);
	moe_buf_free(&c.norm);
	return r;
}

int moe_tokenizer_decode(const struct moe_tokenizer *t, const int32_t *ids, size_t n,
	bool skip_special, struct moe_buf *out, struct moe_err *e)
{
	for (size_t i = 0; i < n; i++) {
		const struct moe_tok_out *o;

		if (ids[i] < 0)
			return moe_fail(e, MOE_DATA, "token %zu has the id %d", i, (int)ids[i]);
		if ((size_t)ids[i] >= t->n_out)
			continue;
		o = &t->out[ids[i]];
		if (o->present && !(skip_special && o->special) &&
			moe_buf_add(out, t->bytes.data + o->off, o->len, e))
			return -1;
	}
	return 0;
}

int moe_tokenizer_vocab(const struct moe_tokenizer *t)
{
	return (int)t->n_out;
}

int32_t moe_tokenizer_id(const struct moe_tokenizer *t, const char *token)
{
	for (size_t i = 0; i < t->n_added; i++)
		if (!strcmp(t->added[i].text, token))
			return t->added[i].id;
	return moe_vocab_find(&t->bpe.vocab, token, strlen(token));
}

/* ---- the embedded byte-level tokenizer ---- */

static int bytes_added(struct moe_buf *o, struct moe_err *e)
{
	static const char *const name[] = { "<|pad|>", "<|bos|>", "<|eos|>" };

	for (int i = 0; i < 3; i++)
		if (moe_buf_addf(o, e,
			    "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}",
			    i ? "," : "", 256 + i, name[i]))
			return -1;
	return 0;
}

int moe_tokenizer_bytes_json(struct moe_buf *o, struct moe_err *e)
{
	if (moe_buf_addf(o, e,
		    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[") ||
		bytes_added(o, e) ||
		moe_buf_addf(o, e,
			"],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false},\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{"))
		return -1;
	for (int i = 0; i < 256; i++) {
		char s[4];
		size_t n = moe_utf8_put(moe_alphabet_char((uint8_t)i), s);

		if ((i && moe_buf_add(o, ",", 1, e)) || moe_json_quote(o, s, n, e) ||
			moe_buf_addf(o, e, ":%d", i))
			return -1;
	}
	return moe_buf_addf(o, e, "},\"merges\":[]}}\n");
}
