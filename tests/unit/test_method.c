/* test_method.c - the method table, the three-way rule at its thresholds, the placebo's shares,
 * labels only for what cheats; hidden states of packed sequences against those of a sequence alone.
 */
#include "moe/features.h"
#include "moe/method.h"
#include "util/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/tiny.h"

#define N 40

static void scores(struct moe_judged *j, struct moe_seen *s)
{
	for (int i = 0; i < N; i++) {
		j[i] = (struct moe_judged){ .score = i / 40.0, .decision = MOE_ABSORB };
		s[i] = (struct moe_seen){ .label = i % 3 - 1 };
	}
}

static void with_thresholds(struct moe_adapter *a)
{
	struct moe_err e;

	*a = (struct moe_adapter){ 0 };
	assert_int_equal(moe_rec_set_f64(&a->settings, "lo", 0.4, &e), 0);
	assert_int_equal(moe_rec_set_f64(&a->settings, "hi", 0.6, &e), 0);
}

static void test_three_way(void **state)
{
	const struct moe_turn turn = { 1, 0, NULL };
	struct moe_judged j[N];
	struct moe_seen s[N];
	struct moe_adapter a;
	struct moe_err e;

	(void)state;
	with_thresholds(&a);
	scores(j, s);
	assert_int_equal(moe_decide_three_way(&a, s, N, &turn, j, &e), 0);
	assert_int_equal(j[15].decision, MOE_KEEP);   /* 0.375 */
	assert_int_equal(j[16].decision, MOE_ABSORB); /* 0.4: neither less than lo ... */
	assert_int_equal(j[24].decision, MOE_ABSORB); /* ... nor more than hi */
	assert_int_equal(j[25].decision, MOE_ROUTE);
	moe_rec_free(&a.settings);
	assert_int_equal(moe_decide_three_way(&a, s, N, &turn, j, &e), -1);
	assert_int_equal(e.code, MOE_DATA);
	moe_adapter_free(&a);
}

static void test_placebo(void **state)
{
	const struct moe_method *m = moe_method_find("random", NULL);
	struct moe_judged j[3][N];
	struct moe_seen s[N];
	struct moe_adapter a;
	int share[MOE_DECISIONS] = { 0 }, same = 0, moved = 0;
	struct moe_err e;

	(void)state;
	assert_non_null(m);
	with_thresholds(&a);
	for (int k = 0; k < 3; k++) {
		scores(j[k], s);
		assert_int_equal(
			m->decide(&a, s, N, &(struct moe_turn){ 7, k == 2, NULL }, j[k], &e), 0);
	}
	for (int i = 0; i < N; i++) {
		assert_int_equal(j[0][i].decision, j[1][i].decision); /* keyed by seed and step */
		moved += j[0][i].decision != j[2][i].decision;
		share[j[0][i].decision]++;
		same += j[0][i].decision == (i < 16 ? MOE_KEEP : i > 24 ? MOE_ROUTE : MOE_ABSORB);
	}
	assert_true(share[MOE_KEEP] == 16 && share[MOE_ABSORB] == 9 && share[MOE_ROUTE] == 15);
	assert_true(same < N * 3 / 4 && moved > 5);
	moe_adapter_free(&a);
}

static void test_table(void **state)
{
	const struct moe_turn turn = { 1, 0, NULL };
	struct moe_judged j[N];
	struct moe_seen s[N];
	struct moe_adapter a = { 0 };
	struct moe_decision_table p;
	struct moe_err e;
	struct moe_nulls none = { 0 };
	int cheats = 0;

	(void)state;
	for (size_t i = 0; moe_methods[i]; i++) {
		assert_ptr_equal(moe_method_find(moe_methods[i]->name, &e), moe_methods[i]);
		assert_true(moe_methods[i]->plan && moe_methods[i]->purpose);
		cheats += moe_methods[i]->cheats;
	}
	assert_int_equal(cheats, 7); /* the bounds by labels and no-loophole: no other may */
	assert_null(moe_method_find("none", &e));
	assert_int_equal(e.code, MOE_USAGE);
	scores(j, s);
	assert_int_equal(moe_method_route(moe_method_find("vanilla", &e), NULL, &a, s, N, &turn, j,
				 &none, &e),
		0);
	for (int i = 0; i < N; i++)
		assert_true(j[i].decision == MOE_ABSORB && isnan(j[i].score));
	assert_int_equal(moe_method_route(moe_method_find("oracle", &e), NULL, &a, s, N, &turn, j,
				 &none, &e),
		0);
	assert_true(j[0].decision == MOE_ABSORB && j[1].decision == MOE_KEEP &&
		j[2].decision == MOE_ROUTE);
	moe_decision_table_deployed(&p);
	assert_true(p.gate[MOE_KEEP][MOE_BANK_QUARANTINE] == 0 &&
		p.mask[MOE_KEEP][MOE_BANK_QUARANTINE] == 0);
	assert_true(
		p.gate[MOE_ROUTE][MOE_BANK_CLEAN] == 1 && p.mask[MOE_ROUTE][MOE_BANK_CLEAN] == 0);
	assert_true(
		p.mask[MOE_ABSORB][MOE_BANK_CLEAN] == 1 && p.mask[MOE_KEEP][MOE_BANK_CLEAN] == 1);
}

/* What every row promises: a text for each thing that moe-pin --list-methods prints, settings whose
 * defaults lie in their range and survive the layout, a placebo that exists. */
static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; moe_methods[i]; i++) {
		const struct moe_method *m = moe_methods[i];
		struct moe_adapter a = { 0 };
		double set[MOE_ROUTER_SETTINGS];
		struct moe_err e;

		assert_true(m->cites && m->supports && m->presence);
		assert_true(!m->placebo || moe_method_find(m->placebo, &e));
		assert_true(m->init || !m->needs_pairs);
		assert_true(
			!m->pins || (m->needs_pairs && (m->project || (m->pin_loss && m->router))));
		assert_true(moe_setting_count(m->settings) <= MOE_ROUTER_SETTINGS);
		assert_int_equal(moe_settings_default(m->settings, &a.settings, &e), 0);
		assert_int_equal(moe_method_settings(m, &a, set, &e), 0);
		for (size_t k = 0; k < moe_setting_count(m->settings); k++) {
			const struct moe_setting *s = &m->settings[k];

			assert_true(set[k] == s->def && s->help);
			assert_true(s->words || (s->def >= s->min && s->def <= s->max));
			if (s->words && !*s->words) { /* late: at its default no layout has it */
				assert_int_equal(moe_rec_has(&a.settings, s->name), MOE_V_MISSING);
				continue;
			}
			moe_rec_unset(&a.settings, s->name); /* a lost one is not guessed */
			assert_int_equal(moe_method_settings(m, &a, set, &e), -1);
			assert_int_equal(e.code, MOE_DATA);
			assert_int_equal(moe_settings_default(m->settings, &a.settings, &e), 0);
		}
		moe_adapter_free(&a);
	}
}

/* Decisions are functions of scores, seed and step; labels reach only what cheats. */
static void test_decisions(void **state)
{
	(void)state;
	for (size_t i = 0; moe_methods[i]; i++) {
		const struct moe_method *m = moe_methods[i];
		struct moe_judged j[2][N];
		struct moe_seen s[2][N];
		struct moe_adapter a = { 0 };
		struct moe_err e;
		int differ = 0;

		if (!m->decide)
			continue;
		assert_int_equal(moe_settings_default(m->settings, &a.settings, &e), 0);
		for (int k = 0; k < 2; k++) {
			scores(j[k], s[k]);
			for (int n = 0; k && n < N; n++)
				s[k][n].label = s[k][n].label == 1 ? 0 : 1;
			assert_int_equal(
				m->decide(&a, s[k], N, &(struct moe_turn){ 7, 3, NULL }, j[k], &e),
				0);
		}
		for (int n = 0; n < N; n++)
			differ += j[0][n].decision != j[1][n].decision;
		assert_true((differ > 0) == m->cheats);
		moe_adapter_free(&a);
	}
}

static void test_settings(void **state)
{
	static const struct moe_setting table[] = {
		{ "k", 1, 1, 64, NULL, "how many" },
		{ "mode", 1, 0, 0, "off|decide|soft", "which" },
		{ "late", 7, 0, 9, MOE_SETTING_LATE, "came later" },
		{ 0 },
	};
	struct moe_rec r = { 0 };
	double set[MOE_ROUTER_SETTINGS];
	char text[32];
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_settings_default(table, &r, &e), 0);
	assert_int_equal(moe_settings_read(table, &r, set, &e), 0);
	assert_true(set[0] == 1 && set[1] == 1);
	assert_int_equal(moe_settings_set(table, "mode=soft", &r, &e), 0);
	assert_int_equal(moe_settings_set(table, "k=3", &r, &e), 0);
	assert_int_equal(moe_settings_read(table, &r, set, &e), 0);
	assert_true(set[0] == 3 && set[1] == 2);
	moe_setting_text(&table[1], set[1], text);
	assert_string_equal(text, "soft");
	for (int i = 0; i < 6; i++) {
		static const char *const wrong[] = { "k=0", "k=65", "k=2x", "mode=2", "mode=of",
			"kk=2" };

		assert_int_equal(moe_settings_set(table, wrong[i], &r, &e), -1);
		assert_int_equal(e.code, MOE_USAGE);
	}
	/* one that came later is there where it is not the default */
	assert_true(set[2] == 7 && moe_rec_has(&r, "late") == MOE_V_MISSING);
	assert_int_equal(moe_settings_set(table, "late=8", &r, &e), 0);
	assert_int_equal(moe_settings_read(table, &r, set, &e), 0);
	assert_true(set[2] == 8 && moe_rec_has(&r, "late") != MOE_V_MISSING);
	assert_int_equal(moe_settings_set(table, "late=7", &r, &e), 0);
	assert_int_equal(moe_rec_has(&r, "late"), MOE_V_MISSING);
	assert_int_equal(moe_settings_set(table, "late=10", &r, &e), -1);
	assert_int_equal(moe_rec_set_str(&r, "late", "x", &e), 0);
	assert_int_equal(moe_settings_read(table, &r, set, &e), -1);
	moe_rec_unset(&r, "late");
	assert_int_equal(moe_rec_set_f64(&r, "k", 1000, &e), 0); /* out of range in a stream */
	assert_int_equal(moe_settings_read(table, &r, set, &e), -1);
	assert_int_equal(e.code, MOE_DATA);
	moe_rec_free(&r);
}

/* ---- hidden states ---- */

struct got {
	float *x[3];
	int n[3], d;
};

static int take(void *ctx, size_t seq, const struct moe_feature_rows *rows, struct moe_err *e)
{
	struct got *g = ctx;

	(void)e;
	g->n[seq] = rows->n;
	for (int t = 0; t < rows->n; t++)
		moe_features_row(rows, t, g->x[seq] + t * g->d);
	return 0;
}

static void test_features(void **state)
{
	static const struct moe_config config = TINY_CONFIG(3);
	static const int32_t prompt[2][4] = { { 1, 2, 3, 4 }, { 5, 6, 7, 8 } },
			     done[3][6] = { { 9, 8, 7, 22 }, { 22 }, { 3, 3, 4, 5, 6, 7 } };
	const struct moe_seen s[3] = { { prompt[0], done[0], 4, 4, 0, -1, NULL },
		{ prompt[0], done[1], 4, 1, 0, -1, NULL },
		{ prompt[1], done[2], 4, 6, 0, -1, NULL } };
	float buf[6 * 6 * 32];
	struct got all = { { buf, buf + 192, buf + 384 }, { -1, -1, -1 }, 32 },
		   one = { { buf + 576, buf + 768, buf + 960 }, { -1, -1, -1 }, 32 };
	struct moe_engine g = { 0 };
	struct moe_model m = { 0 };
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_model_new(&m, &config, 5, 1, &e), 0);
	g.m = &m;
	g.pool = moe_pool_new(2, &e);
	assert_int_equal(moe_features_dim(&config), 32);
	assert_int_equal(moe_features_run(&g, s, 3, take, &all, &e), 0);
	assert_true(
		all.n[0] == 3 && all.n[1] == -1 && all.n[2] == 6); /* a stop token says nothing */
	for (int i = 0; i < 3; i += 2) {
		struct got alone = { { one.x[i] }, { -1 }, 32 };

		assert_int_equal(moe_features_run(&g, &s[i], 1, take, &alone, &e), 0);
		assert_int_equal(alone.n[0], all.n[i]);
		for (int k = 0; k < 32 * all.n[i]; k++)
			assert_true(fabsf(alone.x[0][k] - all.x[i][k]) < 1e-5f);
	}
	assert_true(fabsf(all.x[0][0]) + fabsf(all.x[0][31]) > 0);
	moe_pool_free(g.pool);
	moe_model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_way),
		cmocka_unit_test(test_placebo),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_features),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
