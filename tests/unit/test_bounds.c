/* test_bounds.c - the rows that cheat: what labels decide, what the plans of SGTM, GRAFT and
 * screening say then, what a penalty takes, and what teaches Cloud's gate. */
#include "moe/layout.h"
#include "rl/batch.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct moe_config config = { .family = MOE_LLAMA,
	.V = 23,
	.D = 16,
	.L = 2,
	.H = 4,
	.K = 2,
	.hd = 4,
	.F = 20,
	.max_pos = 64,
	.theta = 10000,
	.eps = 1e-5,
	.tied = true,
	.rope_factor = 1 };

enum { N = 8, LEN = 4 };
struct world {
	struct moe_model m;
	struct moe_adapter a;
	struct moe_pool *pool;
	struct moe_trainer t;
	struct moe_train_stats st;
	struct moe_rollout r[N];
	struct moe_rollout_step s;
	int32_t ids[N][2 * LEN];
	float logp[LEN];
};

static void lay_out(struct moe_adapter *a, const struct moe_model *m, const char *method,
	const char *const set[])
{
	const struct moe_method *row = moe_method_find(method, &(struct moe_err){ 0 });
	struct moe_err e = { 0 };

	*a = (struct moe_adapter){ 0 };
	assert_non_null(row);
	assert_int_equal(moe_settings_default(row->settings, &a->settings, &e), 0);
	for (int i = 0; set && set[i]; i++)
		assert_int_equal(moe_settings_set(row->settings, set[i], &a->settings, &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "shared:1", &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "clean:2", &e), 0);
	assert_int_equal(moe_layout_expert(&a->x, "quarantine:2", &e), 0);
	assert_int_equal(moe_layout_targets(&a->x, "all", &e), 0);
	a->x.scale = 2;
	if (moe_layout_make(a, m, row, 7, &e) || (row->init && row->init(NULL, NULL, a, &e)))
		fail_msg("%s: %s", method, e.msg);
}

static void make_world(struct world *w, const char *method, const char *const set[])
{
	struct moe_err e = { 0 };

	*w = (struct world){ 0 };
	assert_int_equal(moe_model_new(&w->m, &config, 3, 1, &e), 0);
	w->pool = moe_pool_new(1, &e);
	lay_out(&w->a, &w->m, method, set);
	for (size_t i = 0; i < w->a.x.n_view; i++) {
		const struct moe_view *v = &w->a.x.view[i];

		for (size_t k = 0; v->role != MOE_ROLE_STATE && k < v->n; k++)
			w->a.x.param[v->off + k] = (moe_real)(0.2 *
				moe_rng_normal(moe_rng_key(5, "p"), v->off + k, 0));
	}
	for (int i = 0; i < LEN; i++)
		w->logp[i] = -2;
	for (int i = 0; i < N; i++) {
		for (int k = 0; k < 2 * LEN; k++)
			w->ids[i][k] = (int32_t)moe_rng_below(moe_rng_key(6, "ids"),
				(uint64_t)(k < LEN ? i / 4 : i), (uint64_t)k, 23);
		w->r[i] = (struct moe_rollout){ .prompt = w->ids[i],
			.completion = w->ids[i] + LEN,
			.n_prompt = LEN,
			.n_completion = LEN,
			.logp = w->logp,
			.temperature = 1,
			.reward = i % 3,
			.group = i / 4,
			.routed = true,
			.decision = MOE_KEEP,
			.off = -1 };
	}
	w->s = (struct moe_rollout_step){ .r = w->r, .n = N, .cap = N };
	assert_int_equal(moe_trainer_init(&w->t, &w->m, &w->a, w->pool,
				 &(struct moe_train_opts){ .max_completion = LEN,
					 .lr = 1e-2,
					 .beta1 = 0.9,
					 .beta2 = 0.95,
					 .eps = 1e-8,
					 .detach = moe_method_find(method, &e)->detaches },
				 &e),
		0);
}

static void free_world(struct world *w)
{
	moe_trainer_free(&w->t);
	moe_adapter_free(&w->a);
	moe_model_free(&w->m);
	moe_pool_free(w->pool);
}

static void decide_all(struct world *w, enum moe_decision d)
{
	for (int i = 0; i < N; i++)
		w->r[i].decision = d;
}

/* ---- labels ---- */

static void test_labels(void **state)
{
	enum { MANY = 4000 };
	static struct moe_seen s[MANY];
	static struct moe_judged j[2][MANY];
	static const char *const rows[] = { "oracle", "sgtm", "cloud", "graft", "label-penalty",
		"label-screen" };
	struct moe_model m = { .config = config, .digest = "ba5e" };
	struct moe_adapter a;
	struct moe_err e;
	int known = 0, same = 0;

	(void)state;
	for (int i = 0; i < MANY; i++)
		s[i].label = i % 3 - 1;
	for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
		const struct moe_method *row = moe_method_find(rows[r], &e);

		assert_true(row && row->cheats && row->decide);
		lay_out(&a, &m, rows[r], NULL);
		assert_int_equal(
			row->decide(&a, s, 3, &(struct moe_turn){ 1, 0, NULL }, j[0], &e), 0);
		assert_true(j[0][0].decision == MOE_ABSORB && j[0][1].decision == MOE_KEEP &&
			j[0][2].decision == MOE_ROUTE);
		moe_adapter_free(&a);
	}
	/* a tenth of the labels, others in each step */
	lay_out(&a, &m, "sgtm", (const char *const[]){ "labelled=0.1", NULL });
	for (int k = 0; k < 2; k++)
		assert_int_equal(
			moe_method_find("sgtm", &e)
				->decide(&a, s, MANY, &(struct moe_turn){ 1, k, NULL }, j[k], &e),
			0);
	for (int i = 0; i < MANY; i++) {
		known += j[0][i].decision != MOE_ABSORB;
		same += j[0][i].decision != MOE_ABSORB && j[1][i].decision != MOE_ABSORB;
		assert_true(j[0][i].decision == MOE_ABSORB ||
			j[0][i].decision == (s[i].label ? MOE_ROUTE : MOE_KEEP));
	}
	assert_true(known > 200 && known < 340 && same < 60);
	moe_adapter_free(&a);
}

/* ---- plans, written down again from the papers ---- */

static void plan_is(
	const struct moe_adapter *a, enum moe_decision d, enum moe_bank b, double gate, double mask)
{
	if (a->plan.gate[d][b] != gate || fabs(a->plan.mask[d][b] - mask) > 1e-15)
		fail_msg("%s.%s: %g/%g, not %g/%g", moe_decision_names[d], moe_bank_names[b],
			a->plan.gate[d][b], a->plan.mask[d][b], gate, mask);
}

static void test_plans(void **state)
{
	struct moe_model m = { .config = config, .digest = "ba5e" };
	struct moe_adapter a;

	(void)state;
	for (int present = 0; present < 2; present++) {
		lay_out(&a, &m, "sgtm",
			(const char *const[]){
				present ? "retain=present" : "retain=zeroed", NULL });
		plan_is(&a, MOE_ROUTE, MOE_BANK_CLEAN, 1, 0);
		plan_is(&a, MOE_ROUTE, MOE_BANK_QUARANTINE, 1, 1);
		plan_is(&a, MOE_ROUTE, MOE_BANK_SHARED, 1, 1);
		plan_is(&a, MOE_KEEP, MOE_BANK_CLEAN, 1, 1);
		plan_is(&a, MOE_KEEP, MOE_BANK_QUARANTINE, present, 0);
		for (int b = 0; b < MOE_BANKS; b++)
			plan_is(&a, MOE_ABSORB, (enum moe_bank)b, 1, 1);
		moe_adapter_free(&a);
	}
	/* bad: w_R = 1 - lambda, w_F = 1 + lambda (kappa - 1) */
	lay_out(&a, &m, "graft", (const char *const[]){ "lambda=0.25", "kappa=3", NULL });
	plan_is(&a, MOE_ROUTE, MOE_BANK_CLEAN, 1, 0.75);
	plan_is(&a, MOE_ROUTE, MOE_BANK_QUARANTINE, 1, 1.5);
	plan_is(&a, MOE_KEEP, MOE_BANK_QUARANTINE, 1, 1);
	moe_adapter_free(&a);
	lay_out(&a, &m, "graft", (const char *const[]){ "good=clean", NULL });
	plan_is(&a, MOE_KEEP, MOE_BANK_QUARANTINE, 1, 0);
	plan_is(&a, MOE_ROUTE, MOE_BANK_CLEAN, 1, 0);
	moe_adapter_free(&a);
	lay_out(&a, &m, "label-screen", NULL);
	for (int b = 0; b < MOE_BANKS; b++) {
		plan_is(&a, MOE_ROUTE, (enum moe_bank)b, 1, 0);
		plan_is(&a, MOE_KEEP, (enum moe_bank)b, 1, 1);
	}
	moe_adapter_free(&a);
}

/* ---- what teaches ---- */

/* A penalised hack of its group's best reward has an advantage below the others'. */
static void test_penalty(void **state)
{
	struct world w;
	struct moe_err e;

	(void)state;
	make_world(&w, "label-penalty", (const char *const[]){ "size=2.5", NULL });
	w.r[2].decision = MOE_ROUTE; /* reward 2 - 2.5, in a group with 0, 1, 0 */
	assert_int_equal(moe_train_gradient(&w.t, &w.s, &w.st, &e), 0);
	assert_true(fabs(w.st.adv.mean - (0 + 1 - 0.5 + 0 + 1 + 2 + 0 + 1) / 8) < 1e-12);
	free_world(&w);
}

static double router_size(const struct world *w)
{
	const struct moe_experts *x = &w->a.x;
	double sum = 0;

	for (size_t i = 0; i < x->n_view; i++)
		for (size_t k = 0; x->view[i].role == MOE_ROLE_ROUTER && k < x->view[i].n; k++)
			sum += fabs((double)w->t.grad[x->view[i].off + k]);
	return sum;
}

/* Mean G over the completions' rows: column 0 of the routed experts is the clean one. */
static double gate_of(const struct world *w)
{
	return w->t.load[0];
}

/* Where the label is known, the reward leaves the gate alone and the label teaches it; else the
 * reward does. A kept rollout raises G, a routed one lowers it. */
static void test_cloud(void **state)
{
	static const char *const none[] = { "gate_loss=0", NULL },
				 *const some[] = { "gate_loss=1", NULL };
	struct moe_err e;
	struct world w;

	(void)state;
	make_world(&w, "cloud", none);
	assert_true(w.a.x.deploy == MOE_DEPLOY_RENORM);
	for (int d = 0; d < MOE_DECISIONS; d++) {
		decide_all(&w, (enum moe_decision)d);
		assert_int_equal(moe_train_gradient(&w.t, &w.s, &w.st, &e), 0);
		assert_true((router_size(&w) > 0) == (d == MOE_ABSORB));
		assert_true(w.st.router_frozen == (d != MOE_ABSORB));
		assert_true(w.st.expert_frozen[1] == (d == MOE_ROUTE));
		assert_true(w.st.expert_frozen[2] == (d == MOE_KEEP));
	}
	free_world(&w);
	for (int d = 0; d < MOE_DECISIONS; d += 2) {
		double first = 0;

		make_world(&w, "cloud", some);
		decide_all(&w, (enum moe_decision)d);
		for (int k = 0; k < 20; k++) {
			assert_int_equal(moe_train_step(&w.t, &w.s, &w.st, &e), 0);
			first = k ? first : gate_of(&w);
		}
		assert_true(
			d == MOE_KEEP ? gate_of(&w) > first + 0.02 : gate_of(&w) < first - 0.02);
		free_world(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_penalty),
		cmocka_unit_test(test_cloud),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
