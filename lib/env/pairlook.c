/* pairlook.c - counts lengths and words of the two sides of pairs. It judges nothing. */
#include "env/pairlook.h"
#include "util/auroc.h"
#include "util/names.h"
#include "util/text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 12 /* words shown for each side */

/* Of one word: in how many pairs it stands in the hack alone, in the clean side alone, in both. */
struct word {
	uint64_t only[2], both;
	uint64_t in[2]; /* number of the last pair whose side (0 hack, 1 clean) holds it */
};

struct moe_pairlook {
	const struct moe_tokenizer *t;
	struct moe_arena arena;
	struct moe_names names; /* words as they are shown (moe_text_escape, exact) */
	struct word *word;      /* [names.n] */
	size_t cap_word;
	double *length; /* [2 n] hack, clean, hack, ... */
	size_t n, cap_length;
	uint32_t *now; /* words of the pair being counted */
	size_t n_now, cap_now;
};

struct moe_pairlook *moe_pairlook_new(const struct moe_tokenizer *t, struct moe_err *e)
{
	struct moe_pairlook *l = calloc(1, sizeof(*l));

	if (l)
		l->t = t;
	else
		moe_fail(e, MOE_SYSTEM, "out of memory for looking at pairs");
	return l;
}

void moe_pairlook_free(struct moe_pairlook *l)
{
	if (!l)
		return;
	moe_names_free(&l->names);
	moe_arena_free(&l->arena);
	free(l->word);
	free(l->length);
	free(l->now);
	free(l);
}

/* ---- words ---- */

static bool of_word(unsigned char c)
{
	return isalnum(c) || c == '_' || c >= 0x80;
}

bool moe_pair_word(struct moe_str *rest, struct moe_str *word)
{
	size_t n = 0;

	while (rest->n && strchr(" \t\r\n\f\v", *rest->p) && *rest->p)
		rest->p++, rest->n--;
	if (!rest->n)
		return false;
	while (n < rest->n && of_word((unsigned char)rest->p[n]))
		n++;
	*word = (struct moe_str){ rest->p, n ? n : 1 };
	rest->p += word->n;
	rest->n -= word->n;
	return true;
}

int moe_pair_length(
	const struct moe_tokenizer *t, struct moe_str text, size_t *length, struct moe_err *e)
{
	struct moe_str word;
	int32_t *ids = NULL;
	int rc = 0;

	*length = 0;
	if (t)
		rc = moe_tokenizer_encode(t, text.p, text.n, false, &ids, length, e);
	else
		while (moe_pair_word(&text, &word))
			++*length;
	free(ids);
	return rc;
}

/* ---- counting ---- */

/* The word stands in that side of pair number l->n. */
static int count(struct moe_pairlook *l, int side, const char *p, size_t n, struct moe_err *e)
{
	int64_t at = moe_names_add_text(&l->names, &l->arena, p, n, e);
	struct word *w;

	if (at < 0 || moe_grow((void **)&l->now, l->n_now, &l->cap_now, sizeof(*l->now), e))
		return -1;
	if ((size_t)at >= l->cap_word) {
		size_t had = l->cap_word;

		if (moe_grow((void **)&l->word, had, &l->cap_word, sizeof(*w), e))
			return -1;
		memset(l->word + had, 0, (l->cap_word - had) * sizeof(*w));
	}
	w = &l->word[at];
	if (w->in[side] == l->n + 1)
		return 0;
	if (w->in[!side] != l->n + 1)
		l->now[l->n_now++] = (uint32_t)at;
	w->in[side] = l->n + 1;
	return 0;
}

static int words(struct moe_pairlook *l, int side, struct moe_str text, struct moe_err *e)
{
	struct moe_buf piece = { 0 };
	struct moe_str word;
	int32_t *ids = NULL;
	size_t n = 0;
	int rc = 0;

	while (!l->t && rc == 0 && moe_pair_word(&text, &word))
		rc = count(l, side, word.p, word.n, e);
	if (l->t)
		rc = moe_tokenizer_encode(l->t, text.p, text.n, false, &ids, &n, e);
	for (size_t i = 0; i < n && rc == 0; i++) {
		piece.len = 0;
		rc = moe_tokenizer_decode(l->t, ids + i, 1, false, &piece, e);
		if (rc == 0 && piece.len && !memchr(piece.data, 0, piece.len))
			rc = count(l, side, (const char *)piece.data, piece.len, e);
	}
	moe_buf_free(&piece);
	free(ids);
	return rc;
}

int moe_pairlook_add(struct moe_pairlook *l, const struct moe_rec *pair, struct moe_err *e)
{
	static const char *const key[2] = { "hack", "clean" };

	if (2 * l->n + 2 > l->cap_length &&
		moe_grow((void **)&l->length, l->cap_length, &l->cap_length, sizeof(*l->length), e))
		return -1;
	l->n_now = 0;
	for (int side = 0; side < 2; side++) {
		struct moe_str s;
		size_t length;

		if (moe_rec_str_req(pair, key[side], &s, e) ||
			moe_pair_length(l->t, s, &length, e) || words(l, side, s, e))
			return -1;
		l->length[2 * l->n + (size_t)side] = (double)length;
	}
	for (size_t i = 0; i < l->n_now; i++) {
		struct word *w = &l->word[l->now[i]];
		bool h = w->in[0] == l->n + 1, c = w->in[1] == l->n + 1;

		w->both += h && c;
		w->only[0] += h && !c;
		w->only[1] += c && !h;
	}
	l->n++;
	return 0;
}

/* ---- what was seen ---- */

/* McNemar's z of a word: (b - c) / sqrt(b + c), b pairs with it in the hack alone, c in the clean
 * side alone. */
static double telling(const struct word *w)
{
	double b = (double)w->only[0], c = (double)w->only[1];

	return b + c > 0 ? (b - c) / sqrt(b + c) : 0;
}

struct ranked {
	double z;
	size_t word;
};

static int by_z(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->z < y->z ? 1 : x->z > y->z ? -1 : (x->word > y->word) - (x->word < y->word);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Median, least and most of one side's lengths. */
static int lengths(const struct moe_pairlook *l, struct moe_buf *out, struct moe_err *e)
{
	double *v = moe_alloc(2 * l->n + 1, sizeof(*v), e), auroc = NAN;
	uint8_t *hack = moe_alloc(2 * l->n + 1, 1, e);
	size_t longer[2] = { 0, 0 };
	int rc = v && hack ? 0 : -1;

	for (int side = 0; side < 2 && rc == 0; side++) {
		for (size_t i = 0; i < l->n; i++)
			v[i] = l->length[2 * i + (size_t)side];
		qsort(v, l->n, sizeof(*v), by_value);
		rc = moe_buf_addf(out, e, "  %-6s %7.0f %7.0f %7.0f\n", side ? "clean" : "hack",
			l->n ? v[0] : 0, l->n ? v[l->n / 2] : 0, l->n ? v[l->n - 1] : 0);
	}
	for (size_t i = 0; rc == 0 && i < l->n; i++) {
		longer[0] += l->length[2 * i] > l->length[2 * i + 1];
		longer[1] += l->length[2 * i] < l->length[2 * i + 1];
		hack[2 * i] = 1;
	}
	rc = rc || moe_auroc(l->length, hack, 2 * l->n, &auroc, e) ||
			moe_buf_addf(out, e,
				"  the hack is the longer side of %zu pairs, the clean side of "
				"%zu\n"
				"  length alone, hacks against clean sides: AUROC %.3f\n",
				longer[0], longer[1], auroc)
		? -1
		: 0;
	free(v);
	free(hack);
	return rc;
}

static int word_rows(const struct moe_pairlook *l, const struct ranked *r, size_t n, int side,
	struct moe_buf *out, struct moe_err *e)
{
	for (size_t i = 0; i < n && i < ROWS; i++) {
		const struct ranked *x = side ? &r[n - 1 - i] : &r[i];
		const struct word *w = &l->word[x->word];
		char shown[128];

		if (side ? x->z >= 0 : x->z <= 0)
			break;
		if (moe_buf_addf(out, e, "  %s %7llu %7llu %7llu %7.2f\n",
			    moe_text_fit(shown, sizeof(shown), l->names.v[x->word], 28, 28),
			    (unsigned long long)w->only[0], (unsigned long long)w->only[1],
			    (unsigned long long)w->both, x->z))
			return -1;
	}
	return 0;
}

int moe_pairlook_text(const struct moe_pairlook *l, struct moe_buf *out, struct moe_err *e)
{
	const char *what = l->t ? "token" : "word";
	struct ranked *r = moe_alloc(l->names.n + 1, sizeof(*r), e);
	int rc = r ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < l->names.n; i++)
		r[i] = (struct ranked){ telling(&l->word[i]), i };
	if (rc == 0)
		qsort(r, l->names.n, sizeof(*r), by_z);
	rc = rc || moe_buf_addf(out, e, "%zu pair%s\n\n", l->n, l->n == 1 ? "" : "s") ||
			moe_buf_addf(out, e, "LENGTH in %ss    least  median    most\n", what) ||
			lengths(l, out, e) ||
			moe_buf_addf(out, e,
				"\n%s that tell the sides apart: pairs with it in one side alone, "
				"and in both\n  %-28s %7s %7s %7s %7s\n",
				l->t ? "TOKENS" : "WORDS", "", "hack", "clean", "both", "z") ||
			word_rows(l, r, l->names.n, 0, out, e) || moe_buf_addf(out, e, "\n") ||
			word_rows(l, r, l->names.n, 1, out, e)
		? -1
		: 0;
	/* one word that decides nearly all pairs */
	for (int side = 0; rc == 0 && side < 2 && l->names.n; side++) {
		size_t at = r[side ? l->names.n - 1 : 0].word;
		uint64_t right = l->word[at].only[side], wrong = l->word[at].only[!side];

		if (l->n >= 4 &&
			(double)right + 0.5 * (double)(l->n - right - wrong) >= 0.8 * (double)l->n)
			rc = moe_buf_addf(out, e,
				"\nthe %s `%s' alone tells %llu of %zu pairs apart, by standing in "
				"the %s\n",
				what, l->names.v[at], (unsigned long long)right, l->n,
				side ? "clean side" : "hack");
	}
	free(r);
	return rc;
}
