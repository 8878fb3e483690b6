/* bpe.c - vocabulary tables and byte pair merging of one piece. Not the cutting into pieces, not
 * added tokens, no files. */
#include "formats/tokenizer/tok.h"
#include "util/mem.h"
#include "util/rng.h"

#include <stdlib.h>
#include <string.h>

static int oom(struct moe_err *e)
{
	return moe_fail(e, MOE_SYSTEM, "out of memory in the tokenizer");
}

/* ---- vocabulary ---- */

void moe_vocab_free(struct moe_vocab *v)
{
	moe_buf_free(&v->text);
	free(v->tok);
	free(v->slot);
	memset(v, 0, sizeof(*v));
}

/* The slot of a text: where it is, or the empty one where it would go. */
static size_t vocab_slot(const struct moe_vocab *v, const char *p, size_t n)
{
	size_t mask = v->n_slot - 1, i = (size_t)moe_hash64(p, n) & mask;

	for (; v->slot[i]; i = (i + 1) & mask) {
		const struct moe_vocab_tok *t = &v->tok[v->slot[i] - 1];
		if (t->len == n && (!n || !memcmp(v->text.data + t->off, p, n)))
			break;
	}
	return i;
}

static int vocab_grow(struct moe_vocab *v, struct moe_err *e)
{
	size_t n = v->n_slot ? 2 * v->n_slot : 1024;
	uint32_t *old = v->slot;

	if (2 * (v->used + 1) <= v->n_slot)
		return 0;
	v->slot = calloc(n, sizeof(*v->slot));
	if (!v->slot) {
		v->slot = old;
		return oom(e);
	}
	free(old);
	v->n_slot = n;
	for (size_t id = 0; id < v->n; id++)
		if (v->tok[id].present)
			v->slot[vocab_slot(v, (const char *)v->text.data + v->tok[id].off,
				v->tok[id].len)] = (uint32_t)id + 1;
	return 0;
}

static int vocab_room(struct moe_vocab *v, size_t n, struct moe_err *e)
{
	size_t cap = v->cap ? v->cap : 1024;
	void *q;

	if (n > v->cap) {
		while (cap < n)
			cap *= 2;
		q = realloc(v->tok, cap * sizeof(*v->tok));
		if (!q)
			return oom(e);
		v->tok = q;
		v->cap = cap;
	}
	if (n > v->n) {
		memset(v->tok + v->n, 0, (n - v->n) * sizeof(*v->tok));
		v->n = n;
	}
	return 0;
}

int moe_vocab_add(struct moe_vocab *v, const char *p, size_t n, int32_t id, struct moe_err *e)
{
	size_t i;

	if (id < 0 || id >= MOE_TOK_MAX_ID)
		return moe_fail(e, MOE_DATA, "token '%.*s' has the id %d, out of range",
			n > 60 ? 60 : (int)n, p, (int)id);
	if (v->text.len > UINT32_MAX - n - 1)
		return moe_fail(e, MOE_DATA, "the vocabulary is too large");
	if (vocab_grow(v, e) || vocab_room(v, (size_t)id + 1, e))
		return -1;
	i = vocab_slot(v, p, n);
	if (v->slot[i])
		return moe_fail(
			e, MOE_DATA, "token '%.*s' is there twice", n > 60 ? 60 : (int)n, p);
	if (v->tok[id].present)
		return moe_fail(e, MOE_DATA, "token '%.*s' has the id %d of another token",
			n > 60 ? 60 : (int)n, p, (int)id);
	v->tok[id].off = (uint32_t)v->text.len;
	v->tok[id].len = (uint32_t)n;
	v->tok[id].present = true;
	v->slot[i] = (uint32_t)id + 1;
	v->used++;
	return moe_buf_add(&v->text, p, n, e) || moe_buf_add(&v->text, "", 1, e) ? -1 : 0;
}

int32_t moe_vocab_find(const struct moe_vocab *v, const char *p, size_t n)
{
	return v->n_slot ? (int32_t)v->slot[vocab_slot(v, p, n)] - 1 : -1;
}

/* ---- merges ---- */

void moe_bpe_free(struct moe_bpe *b)
{
	moe_vocab_free(&b->vocab);
	free(b->merge);
	memset(b, 0, sizeof(*b));
}

static size_t merge_slot(const struct moe_bpe *b, uint64_t pair)
{
	size_t mask = b->n_slot - 1;
	uint64_t h = pair * 0x9e3779b97f4a7c15u;
	size_t i = (size_t)(h ^ h >> 29) & mask;

	while (b->merge[i].id >= 0 && b->merge[i].pair != pair)
		i = (i + 1) & mask;
	return i;
}

static int merge_grow(struct moe_bpe *b, struct moe_err *e)
{
	size_t n = b->n_slot ? 2 * b->n_slot : 1024, old_n = b->n_slot;
	struct moe_bpe_merge *old = b->merge;

	if (2 * (b->n_merge + 1) <= b->n_slot)
		return 0;
	b->merge = moe_alloc(n, sizeof(*b->merge), e);
	if (!b->merge) {
		b->merge = old;
		return -1;
	}
	b->n_slot = n;
	for (size_t i = 0; i < n; i++)
		b->merge[i].id = -1;
	for (size_t i = 0; i < old_n; i++)
		if (old[i].id >= 0)
			b->merge[merge_slot(b, old[i].pair)] = old[i];
	free(old);
	return 0;
}

static const struct moe_bpe_merge *find_merge(const struct moe_bpe *b, int32_t l, int32_t r)
{
	const struct moe_bpe_merge *m;

	if (!b->n_slot)
		return NULL;
	m = &b->merge[merge_slot(b, (uint64_t)(uint32_t)l << 32 | (uint32_t)r)];
	return m->id >= 0 ? m : NULL;
}

int moe_bpe_add_merge(struct moe_bpe *b, const char *l, size_t nl, const char *r, size_t nr,
	uint32_t rank, struct moe_err *e)
{
	int32_t il = moe_vocab_find(&b->vocab, l, nl), ir = moe_vocab_find(&b->vocab, r, nr), id;
	struct moe_buf both = { 0 };
	struct moe_bpe_merge *m;
	uint64_t pair;

	if (moe_buf_add(&both, l, nl, e) || moe_buf_add(&both, r, nr, e)) {
		moe_buf_free(&both);
		return -1;
	}
	id = moe_vocab_find(&b->vocab, (const char *)both.data, both.len);
	moe_buf_free(&both);
	if (il < 0 || ir < 0 || id < 0)
		return moe_fail(e, MOE_DATA,
			"merge %u ('%.*s' '%.*s'): %s is not in the vocabulary", rank,
			nl > 60 ? 60 : (int)nl, l, nr > 60 ? 60 : (int)nr, r,
			il < 0           ? "the left part"
				: ir < 0 ? "the right part"
					 : "the result");
	if (merge_grow(b, e))
		return -1;
	pair = (uint64_t)(uint32_t)il << 32 | (uint32_t)ir;
	m = &b->merge[merge_slot(b, pair)];
	b->n_merge += m->id < 0;
	*m = (struct moe_bpe_merge){ pair, rank, id };
	return 0;
}

void moe_bpe_bytes(struct moe_bpe *b)
{
	b->all_bytes = true;
	b->unk_id = -1;
	for (int i = 0; i < 256; i++) {
		char s[4];
		size_t n = moe_utf8_put(moe_alphabet_char((uint8_t)i), s);
		b->byte_id[i] = moe_vocab_find(&b->vocab, s, n);
		if (b->byte_id[i] < 0)
			b->all_bytes = false;
	}
}

/* ---- one piece ---- */

struct moe_bpe_sym {
	int32_t id, prev, next; /* -1 = none; id -1 = merged away */
};
struct moe_bpe_cand {
	uint32_t rank, pos;
	int32_t id;
};
#define CACHE_BYTES 24
#define CACHE_IDS   12
struct moe_bpe_cached {
	uint8_t len, n; /* len 0 = empty */
	char text[CACHE_BYTES];
	int32_t id[CACHE_IDS];
};

void moe_bpe_work_free(struct moe_bpe_work *w)
{
	free(w->sym);
	free(w->heap);
	free(w->cache);
	free(w->id);
	moe_buf_free(&w->text);
	memset(w, 0, sizeof(*w));
}

int moe_bpe_put(struct moe_bpe_work *w, int32_t id, struct moe_err *e)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 256;
		int32_t *q = realloc(w->id, cap * sizeof(*q));
		if (!q)
			return oom(e);
		w->id = q;
		w->cap = cap;
	}
	w->id[w->n++] = id;
	return 0;
}

static bool before(const struct moe_bpe_cand *a, const struct moe_bpe_cand *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->pos < b->pos;
}

/* Room was made by piece_room: a piece of n symbols has at most n - 1 first candidates and each of
 * n - 1 merges adds two. */
static void heap_push(struct moe_bpe_work *w, struct moe_bpe_cand c)
{
	size_t i = w->n_heap++;

	while (i && before(&c, &w->heap[(i - 1) / 2])) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = c;
}

static struct moe_bpe_cand heap_pop(struct moe_bpe_work *w)
{
	struct moe_bpe_cand top = w->heap[0], last = w->heap[--w->n_heap];
	size_t i = 0, k;

	while ((k = 2 * i + 1) < w->n_heap) {
		if (k + 1 < w->n_heap && before(&w->heap[k + 1], &w->heap[k]))
			k++;
		if (!before(&w->heap[k], &last))
			break;
		w->heap[i] = w->heap[k];
		i = k;
	}
	w->heap[i] = last;
	return top;
}

static void consider(const struct moe_bpe *b, struct moe_bpe_work *w, int32_t pos)
{
	const struct moe_bpe_merge *m;
	int32_t next = pos < 0 ? -1 : w->sym[pos].next;

	if (next < 0)
		return;
	m = find_merge(b, w->sym[pos].id, w->sym[next].id);
	if (m)
		heap_push(w, (struct moe_bpe_cand){ m->rank, (uint32_t)pos, m->id });
}

static int piece_room(struct moe_bpe_work *w, size_t n, struct moe_err *e)
{
	size_t cap = n < 256 ? 256 : 2 * n;

	if (n > INT32_MAX / 4)
		return moe_fail(e, MOE_DATA, "a piece of %zu bytes is too long to be tokenized", n);
	if (n <= w->cap_sym)
		return 0;
	free(w->sym);
	free(w->heap);
	w->cap_sym = 0;
	w->sym = calloc(cap, sizeof(*w->sym));
	w->heap = calloc(3 * cap, sizeof(*w->heap));
	if (!w->sym || !w->heap)
		return oom(e);
	w->cap_sym = cap;
	return 0;
}

/* One symbol for each byte. As in the reference, a byte without a token is the unknown token,
 * several in a row one or each, and without an unknown token it is left out, and its neighbours may
 * merge. */
static int load_piece(
	const struct moe_bpe *b, struct moe_bpe_work *w, const char *p, size_t n, struct moe_err *e)
{
	bool unknown = false;
	size_t m = 0;

	if (piece_room(w, n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		int32_t id = b->byte_id[(uint8_t)p[i]];
		bool skip = id < 0 && (b->unk_id < 0 || (unknown && b->fuse_unk));

		unknown = id < 0;
		if (skip)
			continue;
		w->sym[m] = (struct moe_bpe_sym){ id < 0 ? b->unk_id : id, (int32_t)m - 1,
			(int32_t)m + 1 };
		m++;
	}
	if (m)
		w->sym[m - 1].next = -1;
	w->n_sym = m;
	return 0;
}

/* As the reference does, an old candidate still counts when the pair now at its place would become
 * the same token. */
static int merge_piece(const struct moe_bpe *b, struct moe_bpe_work *w, struct moe_err *e)
{
	w->n_heap = 0;
	for (size_t i = 0; i + 1 < w->n_sym; i++)
		consider(b, w, (int32_t)i);
	while (w->n_heap) {
		struct moe_bpe_cand c = heap_pop(w);
		struct moe_bpe_sym *s = &w->sym[c.pos];
		const struct moe_bpe_merge *m;
		int32_t r = s->next;

		if (s->id < 0 || r < 0)
			continue;
		m = find_merge(b, s->id, w->sym[r].id);
		if (!m || m->id != c.id)
			continue;
		s->id = c.id;
		s->next = w->sym[r].next;
		w->sym[r].id = -1;
		if (s->next >= 0)
			w->sym[s->next].prev = (int32_t)c.pos;
		consider(b, w, s->prev);
		consider(b, w, (int32_t)c.pos);
	}
	for (int32_t i = w->n_sym ? 0 : -1; i >= 0; i = w->sym[i].next)
		if (moe_bpe_put(w, w->sym[i].id, e))
			return -1;
	return 0;
}

static int whole_piece(const struct moe_bpe *b, struct moe_bpe_work *w, const char *p, size_t n,
	int32_t *id, struct moe_err *e)
{
	w->text.len = 0;
	*id = -1;
	if (n > 4096) /* no token is as long */
		return 0;
	if (moe_alphabet_encode(p, n, &w->text, e))
		return -1;
	*id = moe_vocab_find(&b->vocab, (const char *)w->text.data, w->text.len);
	return 0;
}

static struct moe_bpe_cached *cache_slot(struct moe_bpe_work *w, const char *p, size_t n)
{
	if (!w->cache_slots || n > CACHE_BYTES)
		return NULL;
	if (!w->cache)
		w->cache = calloc(w->cache_slots, sizeof(*w->cache));
	return w->cache ? &w->cache[(size_t)moe_hash64(p, n) & (w->cache_slots - 1)] : NULL;
}

int moe_bpe_word(
	const struct moe_bpe *b, struct moe_bpe_work *w, const char *p, size_t n, struct moe_err *e)
{
	struct moe_bpe_cached *c;
	size_t start = w->n;
	int32_t id;

	if (!n)
		return 0;
	c = cache_slot(w, p, n);
	if (c && c->len == n && !memcmp(c->text, p, n)) {
		for (int i = 0; i < c->n; i++)
			if (moe_bpe_put(w, c->id[i], e))
				return -1;
		return 0;
	}
	if (b->ignore_merges) {
		if (whole_piece(b, w, p, n, &id, e))
			return -1;
		if (id >= 0)
			return moe_bpe_put(w, id, e);
	}
	if (load_piece(b, w, p, n, e) || merge_piece(b, w, e))
		return -1;
	if (c && w->n > start &&
		w->n - start <=
			CACHE_IDS) { /* a piece without a token may leave no block of ids at all */
		c->len = (uint8_t)n;
		c->n = (uint8_t)(w->n - start);
		memcpy(c->text, p, n);
		memcpy(c->id, w->id + start, (w->n - start) * sizeof(*c->id));
	}
	return 0;
}
