/* test_pairset.c - what tells the sides of pairs apart, and what they share with prompts. */
#include "env/pairleak.h"
#include "env/pairlook.h"
#include "moe/pairs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void pair(
	struct moe_rec *r, const char *id, const char *marker, const char *hack, const char *clean)
{
	moe_rec_clear(r);
	assert_int_equal(moe_rec_set_str(r, "t", "pair", NULL), 0);
	assert_int_equal(moe_rec_set_str(r, "id", id, NULL), 0);
	assert_int_equal(moe_rec_set_str(r, "prompt", "p", NULL), 0);
	assert_int_equal(moe_rec_set_str(r, "marker", marker, NULL), 0);
	assert_int_equal(moe_rec_set_str(r, "hack", hack, NULL), 0);
	assert_int_equal(moe_rec_set_str(r, "clean", clean, NULL), 0);
}

static void word_lengths(void **state)
{
	static const struct {
		const char *text;
		size_t words;
	} t[] = { { "", 0 }, { " \n\t", 0 }, { "one", 1 }, { "a_b2 c", 2 }, { "f(x)=1;", 7 },
		{ "na\xC3\xAFve \xE2\x80\x94", 2 }, { "..", 2 } };

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		size_t n = 99;

		assert_int_equal(
			moe_pair_length(
				NULL, (struct moe_str){ t[i].text, strlen(t[i].text) }, &n, NULL),
			0);
		assert_int_equal(n, t[i].words);
	}
}

/* Five pairs: "x" stands in the hack alone 4 times, in the clean side alone once: z = 3 / sqrt(5).
 */
static void telling_words(void **state)
{
	struct moe_pairlook *l = moe_pairlook_new(NULL, NULL);
	struct moe_rec r = { 0 };
	struct moe_buf b = { 0 };
	const char *text;

	(void)state;
	for (int i = 0; i < 4; i++) {
		pair(&r, "p", "m", "x x both", "both");
		assert_int_equal(moe_pairlook_add(l, &r, NULL), 0);
	}
	pair(&r, "p", "m", "both", "x\033 both");
	assert_int_equal(moe_pairlook_add(l, &r, NULL), 0);
	assert_int_equal(moe_pairlook_text(l, &b, NULL), 0);
	text = moe_buf_cstr(&b, NULL);
	assert_non_null(strstr(text, "5 pairs\n"));
	assert_non_null(strstr(text, "longer side of 4 pairs, the clean side of 1"));
	/* hacks 3 3 3 3 1 against clean sides 1 1 1 1 3: (4*4 + 1/2*(4 + 4)) / 25 = 0.8 */
	assert_non_null(strstr(text, "AUROC 0.800"));
	assert_non_null(
		strstr(text, "  x                                  4       1       0    1.34"));
	assert_null(strstr(text, "\n  both ")); /* it tells nothing */
	assert_null(strchr(text, '\033'));      /* a terminal is safe */
	assert_non_null(strstr(text, "the word `x' alone tells 4 of 5 pairs apart"));
	moe_pairlook_free(l);
	moe_rec_free(&r);
	moe_buf_free(&b);
}

static void leaks(void **state)
{
	struct moe_pairleak l = { 0 };
	struct moe_writer_opts o = { .kind = "prompts", .tool = "test" };
	struct moe_rec r = { 0 };
	FILE *f = tmpfile();
	struct moe_writer *w = moe_writer_open_fd(fileno(f), "f", &o, NULL, NULL);
	struct moe_reader *in;

	(void)state;
	for (int i = 0; i < 1000; i++) { /* more than the first table holds */
		char id[32];

		snprintf(id, sizeof(id), "q%d", i);
		moe_rec_clear(&r);
		assert_int_equal(moe_rec_set_str(&r, "t", "prompt", NULL), 0);
		assert_int_equal(moe_rec_set_str(&r, "id", id, NULL), 0);
		assert_int_equal(moe_rec_set_str(&r, "text", "Sort.", NULL), 0);
		assert_int_equal(moe_rec_set_str(&r, "marker", i % 2 ? "zeta" : "", NULL), 0);
		assert_int_equal(moe_writer_put(w, &r, NULL), 0);
	}
	assert_int_equal(moe_writer_end(w, NULL, NULL), 0);
	moe_writer_close(w);
	lseek(fileno(f), 0, SEEK_SET);
	in = moe_reader_open_fd(fileno(f), "f", NULL, NULL);
	assert_int_equal(moe_pairleak_prompts(&l, in, NULL), 0);
	moe_reader_close(in);
	fclose(f);
	assert_int_equal(l.prompts, 1000);
	pair(&r, "own", "", "h", "c");
	assert_int_equal(moe_pairleak_check(&l, &r, NULL), 0);
	assert_int_equal(l.leaking, 0); /* an empty marker is none */
	pair(&r, "q999", "zeta", "h", "c");
	assert_int_equal(moe_pairleak_check(&l, &r, NULL), 0);
	pair(&r, "zeta", "q1", "h", "c"); /* an id is not held against markers */
	assert_int_equal(moe_pairleak_check(&l, &r, NULL), 0);
	pair(&r, "own2", "", "h zetas", "zetazeta"); /* nor is a part of a word a marker */
	assert_int_equal(moe_pairleak_check(&l, &r, NULL), 0);
	assert_int_equal(l.pairs, 4);
	assert_int_equal(l.leaking, 1);
	assert_int_equal(l.shared[MOE_LEAK_ID], 1);
	assert_int_equal(l.shared[MOE_LEAK_MARKER], 1);
	assert_int_equal(l.shared[MOE_LEAK_PROMPT], 0);
	assert_string_equal(moe_buf_cstr(&l.first, NULL), "the pair `q999' shares its id `q999'");
	pair(&r, "own3", "", "h", "print(zeta)"); /* but a word is */
	assert_int_equal(moe_pairleak_check(&l, &r, NULL), 0);
	assert_int_equal(l.shared[MOE_LEAK_MARKER], 2);
	moe_pairleak_free(&l);
	moe_rec_free(&r);
}

/* Neutral pairs hold two clean sides of different pairs, half of them with the own one called hack.
 */
static void neutral(void **state)
{
	enum { N = 10 };
	struct moe_pairs p = { .pair = calloc(N, sizeof(*p.pair)), .n = N, .cap = N };
	struct moe_err e;
	int own[2] = { 0, 0 }, seen[N] = { 0 };

	(void)state;
	for (int i = 0; i < N; i++) {
		struct moe_pair *q = &p.pair[i];

		q->id = strdup("x");
		q->hack = calloc(2, sizeof(*q->hack));
		q->clean = calloc(1, sizeof(*q->clean));
		q->hack[0] = q->hack[1] = 99;
		q->n_hack = 2;
		q->n_clean = 1;
		q->clean[0] = i < 2 ? 0 : i; /* two have one text */
	}
	assert_int_equal(moe_pairs_swap_sides(&p, MOE_SWAP_NEUTRAL, 4, &e), 0);
	for (int i = 0; i < N; i++) {
		const struct moe_pair *q = &p.pair[i];
		int32_t text = i < 2 ? 0 : i;
		bool is_hack = q->hack[0] == text;

		assert_int_equal(q->n_hack, 1);
		assert_int_equal(q->n_clean, 1);
		assert_int_not_equal(q->hack[0], q->clean[0]);
		assert_true(is_hack || q->clean[0] == text);
		own[is_hack]++;
		seen[is_hack ? q->clean[0] : q->hack[0]]++;
	}
	assert_int_equal(own[0], N / 2);
	for (int i = 2; i < N; i++)
		assert_true(seen[i] >= 1); /* a circle: nobody's answer is taken by all */
	for (int i = 0; i < N; i++)
		p.pair[i].clean[0] = p.pair[i].hack[0] = 5;
	assert_int_equal(moe_pairs_swap_sides(&p, MOE_SWAP_NEUTRAL, 4, &e), -1);
	assert_int_equal(e.code, MOE_DATA);
	moe_pairs_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(word_lengths),
		cmocka_unit_test(telling_words), cmocka_unit_test(leaks),
		cmocka_unit_test(neutral) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
