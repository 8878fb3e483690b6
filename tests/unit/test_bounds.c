/* test_bounds.c - the rows that cheat: what labels decide, what the plans of SGTM, GRAFT and
 * screening say then, what a penalty takes, and what teaches Cloud's gate. */
#include "model/load.h"
#include "rl/batch.h"
#include "util/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/st_golden.h"
#include "tests/unit/tiny.h"

enum { N = TINY_N, LEN = TINY_LEN };
static const struct moe_config config = TINY_CONFIG(2);
static const char *const experts[] = { "shared:1", "clean:2", "quarantine:2", NULL };

static void init(struct moe_adapter *a, const char *method)
{
	const struct moe_method *row = moe_method_find(method, &(struct moe_err){ 0 });
	struct moe_err e = { 0 };

	if (row->init && row->init(NULL, NULL, a, &e))
		fail_msg("%s: %s", method, e.msg);
}

static void lay_out(struct moe_adapter *a, const struct moe_model *m, const char *method,
	const char *const set[])
{
	*a = (struct moe_adapter){ 0 };
	tiny_layout(a, m, method, set, experts);
	init(a, method);
}

/* Groups of four, all kept, with rewards 0, 1, 2, 0, ... */
static void make_world(struct tiny *w, const char *method, const char *const set[])
{
	struct moe_err e = { 0 };

	tiny_make(w, method, set, experts, 4,
		&(struct moe_train_opts){ .loss = MOE_LOSS_DEFAULTS,
			.max_completion = LEN,
			.lr = 1e-2,
			.beta1 = 0.9,
			.beta2 = 0.95,
			.eps = 1e-8,
			.detach = moe_method_find(method, &e)->detaches });
	init(&w->a, method);
	for (size_t i = 0; i < w->a.x.n_view; i++) {
		const struct moe_view *v = &w->a.x.view[i];

		for (size_t k = 0; v->role != MOE_ROLE_STATE && k < v->n; k++)
			w->a.x.param[v->off + k] = (moe_real)(0.2 *
				moe_rng_normal(moe_rng_key(5, "p"), v->off + k, 0));
	}
	for (int i = 0; i < N; i++) {
		w->r[i].reward = i % 3;
		w->r[i].routed = true;
		w->r[i].decision = MOE_KEEP;
	}
}

static void decide_all(struct tiny *w, enum moe_decision d)
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
	struct tiny w;
	struct moe_err e;

	(void)state;
	make_world(&w, "label-penalty", (const char *const[]){ "size=2.5", NULL });
	w.r[2].decision = MOE_ROUTE; /* reward 2 - 2.5, in a group with 0, 1, 0 */
	assert_int_equal(moe_train_gradient(&w.t, &w.s, &w.st, &e), 0);
	assert_true(fabs(w.st.adv.mean - (0 + 1 - 0.5 + 0 + 1 + 2 + 0 + 1) / 8) < 1e-12);
	tiny_free(&w);
}

static double router_size(const struct tiny *w)
{
	const struct moe_experts *x = &w->a.x;
	double sum = 0;

	for (size_t i = 0; i < x->n_view; i++)
		for (size_t k = 0; x->view[i].role == MOE_ROLE_ROUTER && k < x->view[i].n; k++)
			sum += fabs((double)w->t.grad[x->view[i].off + k]);
	return sum;
}

/* Mean G over the completions' rows: column 0 of the routed experts is the clean one. */
static double gate_of(const struct tiny *w)
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
	struct tiny w;

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
	tiny_free(&w);
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
		tiny_free(&w);
	}
}

/* ---- against PyTorch (tests/golden/make_bounds_golden.py) ---- */

enum { G_T = 22, G_SEQ = 3 };

/* Gates, masks and what the router may learn of each sequence's rows, by the adapter's plan. */
static void rows_by_plan(const struct moe_adapter *a, const struct moe_method *row,
	const struct moe_seg *seg, moe_real *gate, moe_real *mask, moe_real *learn)
{
	static const enum moe_decision of[G_SEQ] = { MOE_KEEP, MOE_ROUTE, MOE_ABSORB };

	for (int s = 0; s < G_SEQ; s++)
		for (int t = seg[s].start; t < seg[s].start + seg[s].len; t++) {
			for (int k = 0; k < 2; k++) {
				gate[t * 2 + k] = (moe_real)a->plan.gate[of[s]][a->x.bank[k]];
				mask[t * 2 + k] = (moe_real)a->plan.mask[of[s]][a->x.bank[k]];
			}
			learn[t] = !row->label_detaches || of[s] == MOE_ABSORB;
		}
}

/* The gate loss of the three sequences: seeds for the backward pass. */
static void gate_losses(const struct moe_adapter *a, const struct moe_method *row,
	const struct moe_acts *acts, const struct moe_seg *seg, moe_real *seeds)
{
	for (int s = 0; s < G_SEQ && row->losses; s++) {
		int32_t rows[G_T];
		struct moe_gate_rows r = { .S = acts->gates.S,
			.T = acts->gates.T,
			.E = acts->gates.n,
			.n = seg[s].len,
			.row = rows,
			.gate = acts->gates.r,
			.logit = acts->gates.logit,
			.dlogit = seeds,
			.decision = s == 0 ? MOE_KEEP
				: s == 1   ? MOE_ROUTE
					   : MOE_ABSORB };

		for (int i = 0; i < seg[s].len; i++)
			rows[i] = seg[s].start + i;
		row->losses(a, &r, 1.0 / G_SEQ);
	}
}

static void against_torch(const char *method, const char *const set[])
{
	const struct moe_method *row = moe_method_find(method, &(struct moe_err){ 0 });
	moe_real gate[2 * G_T], mask[2 * G_T], learn[G_T], seeds[2 * G_T] = { 0 }, logp[G_T];
	struct moe_gates g = { .outer = gate, .mask = mask, .detach = row->detaches };
	int32_t ids[G_T], row_of[G_T], target[G_T];
	struct moe_seg seg[G_SEQ];
	struct moe_batch b = { G_T, ids, G_SEQ, seg };
	struct moe_adapter a = { 0 };
	struct moe_acts acts = { .keep = true };
	struct moe_model m;
	struct moe_err e = { 0 };
	struct moe_st *st = moe_st_open(DIR "bounds.safetensors", &e);
	float *weight, *want;
	moe_real *dx;
	double far = 0;
	char name[80];
	int n = 0;

	assert_non_null(st);
	assert_int_equal(moe_model_load(&m, DIR "llama", &e), 0);
	tiny_layout(&a, &m, method, set, &experts[1]);
	a.x.scale = atof(moe_st_meta(st, "scale"));
	init(&a, method);
	golden_params(st, &a.x);
	memcpy(ids, moe_st_find(st, "ids")->data, sizeof(ids));
	for (int s = 0, at = 0; s < G_SEQ; s++) {
		int32_t len = ((const int32_t *)moe_st_find(st, "lens")->data)[s];

		seg[s] = (struct moe_seg){ at, len, -1, 0 };
		for (int k = 0; k + 1 < len; k++) {
			row_of[n] = at + k;
			target[n++] = ids[at + k + 1];
		}
		at += len;
	}
	rows_by_plan(&a, row, seg, gate, mask, learn);
	if (moe_forward(&m, &a.x, &g, &b, &acts, &e) ||
		moe_head_logp(&m, &b, &acts, n, row_of, target,
			atof(moe_st_meta(st, "temperature")), logp, NULL, &e))
		fail_msg("%s", e.msg);
	snprintf(name, sizeof(name), "%s.logp", method);
	want = golden(st, name, (size_t)n);
	far = apart(name, logp, want, (size_t)n);
	free(want);
	gate_losses(&a, row, &acts, seg, seeds);
	g.dlogit = seeds;
	g.learn = learn;
	weight = golden(st, "weight", (size_t)n);
	dx = calloc(a.x.n_param, sizeof(*dx));
	assert_int_equal(moe_backward(&m, &a.x, &g, &b, &acts, n, row_of, target,
				 atof(moe_st_meta(st, "temperature")), weight, dx, NULL, &e),
		0);
	far = fmax(far, golden_grads(st, method, &a.x, dx));
	print_message("# %s: largest relative difference from PyTorch %.2g\n", method, far);
	free(dx);
	free(weight);
	moe_acts_free(&acts);
	moe_adapter_free(&a);
	moe_model_free(&m);
	moe_st_close(st);
}

static void test_against_torch(void **state)
{
	(void)state;
	against_torch("sgtm", NULL);
	against_torch("cloud", (const char *const[]){ "placement=token", "gate_loss=0.5", NULL });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_penalty),
		cmocka_unit_test(test_cloud),
		cmocka_unit_test(test_against_torch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
