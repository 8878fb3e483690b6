/* test_update.c - what an update of several steps, or a step of several updates, tells and keeps:
 * loads of a router, pins, shares, old policies, rates, metrics; and the row that entropies come
 * from. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/list.h"
#include "nn/loss.h"

#include "tests/unit/tiny.h"

enum { N = TINY_N };
static const char *const experts[] = { "clean:2", "quarantine:2", NULL };

static struct moe_train_opts opts(void)
{
	return (struct moe_train_opts){ .loss = MOE_LOSS_DEFAULTS,
		.max_completion = TINY_LEN,
		.lr = 1e-3,
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-8 };
}

static void make(struct tiny *w, const char *method, struct moe_train_opts o)
{
	tiny_make(w, method, NULL, experts, 2, &o);
	for (size_t i = 0; i < w->a.x.n_param; i++)
		w->a.x.param[i] += (moe_real)(0.2 * moe_rng_normal(moe_rng_key(5, "p"), i, 0));
}

/* The rollouts from..to as a step. */
static struct moe_rollout_step part(struct tiny *w, int64_t step, int from, int to)
{
	return (struct moe_rollout_step){
		.step = step, .r = w->r + from, .n = (size_t)(to - from), .cap = N
	};
}

static size_t loads(const struct tiny *w)
{
	const struct moe_experts *x = &w->a.x;

	return (size_t)x->n_site * ((size_t)x->n_routed + (size_t)moe_experts_keep(x));
}

/* The mean gates in the lineage. */
static void lineage_load(const struct tiny *w, double load[MOE_EXPERTS_MAX])
{
	size_t n = 0;

	assert_int_equal(moe_rec_f64s(&w->a.lineage, "load", load, MOE_EXPERTS_MAX, &n, NULL), 0);
	assert_int_equal(n, (size_t)w->a.x.E);
}

static void same_loads(const struct tiny *a, const struct tiny *b)
{
	double x[MOE_EXPERTS_MAX], y[MOE_EXPERTS_MAX];

	for (size_t i = 0; i < loads(a); i++)
		assert_true(fabs(a->t.load[i] - b->t.load[i]) < 1e-6);
	lineage_load(a, x);
	lineage_load(b, y);
	for (int k = 0; k < a->a.x.E; k++)
		assert_true(x[k] > 0 && fabs(x[k] - y[k]) < 1e-6);
}

/* An update of two steps has the loads of both, whichever comes last, and of the one there is when
 * the other teaches nothing or the input ends before it. */
static void test_accumulated_loads(void **state)
{
	struct moe_train_opts two = opts();
	struct moe_rollout_step s;
	struct tiny one, sum;
	struct moe_err e;

	(void)state;
	two.accumulate = 2;
	for (int dead = 0; dead < 2; dead++) {
		make(&one, "topk", opts());
		make(&sum, "topk", two);
		for (int i = N / 2; dead && i < N; i++)
			one.r[i].reward = sum.r[i].reward = 1;
		s = part(&one, 0, 0, N);
		assert_int_equal(moe_train_step(&one.t, &s, &one.st, &e), 0);
		for (int k = 0; k < 2; k++) {
			s = part(&sum, k, k * N / 2, (k + 1) * N / 2);
			assert_int_equal(moe_train_step(&sum.t, &s, &sum.st, &e), 0);
			assert_int_equal(sum.st.updates, k);
		}
		same_loads(&one, &sum);
		tiny_free(&one);
		tiny_free(&sum);
	}
	make(&one, "topk", opts());
	make(&sum, "topk", two);
	s = part(&one, 0, 0, N / 2);
	assert_int_equal(moe_train_step(&one.t, &s, &one.st, &e), 0);
	s = part(&sum, 0, 0, N / 2);
	assert_int_equal(moe_train_step(&sum.t, &s, &sum.st, &e), 0);
	assert_int_equal(moe_train_flush(&sum.t, &e), 0);
	same_loads(&one, &sum);
	tiny_free(&one);
	tiny_free(&sum);
}

/* The last update is taught by the pins too, however few steps it is of. */
static void test_flushed_pins(void **state)
{
	struct moe_train_opts o = opts();
	struct moe_rollout_step s;
	struct tiny one, sum;
	struct moe_err e;

	(void)state;
	o.clip = 0;
	make(&one, "topk", o);
	o.accumulate = 3;
	make(&sum, "topk", o);
	one.t.pins = &one.pins;
	sum.t.pins = &sum.pins;
	s = part(&one, 0, 0, N);
	assert_int_equal(moe_train_step(&one.t, &s, &one.st, &e), 0);
	assert_true(one.st.n_pin == N / 2);
	s = part(&sum, 0, 0, N);
	assert_int_equal(moe_train_step(&sum.t, &s, &sum.st, &e), 0);
	assert_int_equal(moe_train_flush(&sum.t, &e), 0);
	for (size_t i = 0; i < one.a.x.n_param; i++)
		assert_true(fabs((double)(one.t.grad[i] - sum.t.grad[i])) <
			1e-6 + 1e-4 * fabs((double)one.t.grad[i]));
	tiny_free(&one);
	tiny_free(&sum);
}

/* A step of two updates tells of the gates of both, and of the gradient of the one that had any. */
static void test_metrics_of_updates(void **state)
{
	struct moe_train_opts o = opts();
	struct tiny one, two;
	struct moe_err e;

	(void)state;
	make(&one, "topk", o);
	o.updates = 2;
	o.lr = 0; /* so that both updates meet the same gates */
	make(&two, "topk", o);
	assert_int_equal(moe_train_step(&one.t, &one.s, &one.st, &e), 0);
	assert_int_equal(moe_train_step(&two.t, &two.s, &two.st, &e), 0);
	assert_int_equal(two.st.updates, 2);
	for (int k = 0; k < one.a.x.E; k++) {
		assert_true(fabs(one.st.gates.mean[k] - two.st.gates.mean[k]) < 1e-6);
		assert_true(one.st.gates.min[k] == two.st.gates.min[k]);
	}
	for (int i = N / 2; i < N; i++)
		two.r[i].reward = 1;
	two.s.step = 1;
	assert_int_equal(moe_train_step(&two.t, &two.s, &two.st, &e), 0);
	assert_true(two.st.updated && two.st.grad_norm > 0 && two.st.update_mass[1] > 0);
	tiny_free(&one);
	tiny_free(&two);
}

/* ---- shares and micro-batches ---- */

/* Rollouts of different lengths, all of which ended by themselves. */
static void lengths(struct tiny *w)
{
	for (int i = 0; i < N; i++) {
		w->r[i].n_completion = 2 + i % 3;
		w->r[i].stopped = true;
	}
}

/* The gradient of the rollouts of part k of so many alone, in the order in which a step is dealt
 * out: the others were cut by length and stay out of the loss, but not out of the baseline. */
static void gradient_of_part(
	const char *method, struct moe_train_opts o, int64_t step, int k, int of, double *g)
{
	uint32_t perm[N];
	struct moe_err e;
	struct tiny w;

	o.loss.mask_truncated = true;
	o.updates = o.micro = 1;
	make(&w, method, o);
	lengths(&w);
	w.s.step = step;
	moe_rng_permute(moe_rng_key(w.a.train_seed, "shuffle"), (uint64_t)w.s.step, N, perm);
	for (int i = 0; i < N; i++)
		w.r[perm[i]].stopped = i >= N * k / of && i < N * (k + 1) / of;
	assert_int_equal(moe_train_gradient(&w.t, &w.s, &w.st, &e), 0);
	for (size_t i = 0; i < w.a.x.n_param; i++)
		g[i] += (double)w.t.grad[i];
	tiny_free(&w);
}

static void same_gradient(const struct tiny *w, const double *want, double scale)
{
	double apart = 0, size = 0;

	for (size_t i = 0; i < w->a.x.n_param; i++) {
		apart += pow((double)w->t.grad[i] - scale * want[i], 2);
		size += pow(scale * want[i], 2);
	}
	assert_true(size > 0 && sqrt(apart / size) < 1e-5);
}

/* Each micro-batch has its own tokens, quantile of entropies and mean entropy; the update has their
 * mean. */
static void test_micro_batches(void **state)
{
	static const enum moe_loss_type type[] = { MOE_BNPO, MOE_GRPO, MOE_DR_GRPO };

	(void)state;
	for (int i = 0; i < 6; i++) {
		struct moe_train_opts o = opts();
		struct moe_err e;
		struct tiny w;
		double *g;

		o.loss.type = type[i % 3];
		o.loss.ratio = MOE_RATIO_NONE;
		o.loss.top_entropy = i / 3 ? 0.5 : 1;
		o.loss.entropy_coef = i / 3 ? 0.1 : 0;
		o.micro = 2;
		make(&w, "vanilla", o);
		lengths(&w);
		assert_int_equal(moe_train_gradient(&w.t, &w.s, &w.st, &e), 0);
		g = calloc(w.a.x.n_param, sizeof(*g));
		for (int k = 0; k < 2; k++) {
			/* dr_grpo and grpo divide by all N rollouts, those cut by length too: by
			 * twice the micro-batch's, which the constant makes up for */
			o.max_completion = type[i % 3] == MOE_DR_GRPO ? TINY_LEN / 2 : TINY_LEN;
			gradient_of_part("vanilla", o, 0, k, 2, g);
		}
		if (type[i % 3] != MOE_GRPO)
			same_gradient(&w, g, 0.5);
		else if (i / 3 == 0) /* grpo has no such constant, and the bonus no such divisor */
			same_gradient(&w, g, 1);
		free(g);
		tiny_free(&w);
	}
}

/* A step is shuffled before it is cut, by seed and step: its second update is of the second half.
 * bnpo divides by that one's tokens, dapo by those of the whole step over its updates. */
static void test_shuffled_shares(void **state)
{
	(void)state;
	for (int dapo = 0; dapo < 2; dapo++) {
		struct moe_train_opts o = opts();
		uint32_t perm[N];
		double *g, half = 0, all = 0;
		struct moe_err e;
		struct tiny w;

		o.loss.type = dapo ? MOE_DAPO : MOE_BNPO;
		o.loss.ratio = MOE_RATIO_NONE;
		o.updates = 2;
		o.lr = o.clip = 0;
		make(&w, "vanilla", o);
		lengths(&w);
		w.s.step = 5;
		assert_int_equal(moe_train_step(&w.t, &w.s, &w.st, &e), 0);
		g = calloc(w.a.x.n_param, sizeof(*g));
		gradient_of_part("vanilla", o, 5, 1, 2, g);
		moe_rng_permute(moe_rng_key(w.a.train_seed, "shuffle"), 5, N, perm);
		for (int i = 0; i < N; i++) {
			all += w.r[perm[i]].n_completion;
			half += i < N / 2 ? 0 : w.r[perm[i]].n_completion;
		}
		assert_true(half != all / 2);
		same_gradient(&w, g, dapo ? half / (all / 2) : 1);
		free(g);
		tiny_free(&w);
	}
}

/* Log-probabilities of the completions under the adapter as it is, all gates 1. */
static void policy_logp(struct tiny *w, float out[N][TINY_LEN])
{
	for (int i = 0; i < N; i++) {
		const struct moe_seg seg = { 0, 2 * TINY_LEN, -1, 0 };
		const struct moe_batch b = { 2 * TINY_LEN, w->ids[i], 1, &seg };
		struct moe_acts acts = { 0 };
		int32_t row[TINY_LEN], target[TINY_LEN];
		moe_real logp[TINY_LEN];
		struct moe_err e;

		for (int t = 0; t < TINY_LEN; t++) {
			row[t] = TINY_LEN - 1 + t;
			target[t] = w->ids[i][TINY_LEN + t];
		}
		assert_int_equal(moe_forward(&w->m, &w->a.x, NULL, &b, &acts, &e), 0);
		assert_int_equal(
			moe_head_logp(&w->m, &b, &acts, TINY_LEN, row, target, 1, logp, NULL, &e),
			0);
		for (int t = 0; t < TINY_LEN; t++)
			out[i][t] = (float)logp[t];
		moe_acts_free(&acts);
	}
}

/* The policy that w is measured from is the one before the step's first update, in each of its
 * iterations and shares: where that one sampled, `none' is `clip'. */
static void test_old_policy(void **state)
{
	(void)state;
	for (int updates = 1; updates < 3; updates++) {
		float logp[N][TINY_LEN];
		struct moe_train_opts o = opts();
		struct tiny kept, clip;
		struct moe_err e;
		double apart = 0, moved = 0;

		o.iterations = 3;
		o.updates = updates;
		o.lr = 0.1;
		o.loss.ratio = MOE_RATIO_NONE;
		make(&kept, "vanilla", o);
		o.loss.ratio = MOE_RATIO_CLIP;
		make(&clip, "vanilla", o);
		policy_logp(&clip, logp);
		for (int i = 0; i < N; i++)
			clip.r[i].logp = logp[i];
		assert_int_equal(moe_train_step(&kept.t, &kept.s, &kept.st, &e), 0);
		assert_int_equal(moe_train_step(&clip.t, &clip.s, &clip.st, &e), 0);
		assert_true(clip.st.clip_low + clip.st.clip_high > 0);
		assert_true(fabs(clip.st.clip_low - kept.st.clip_low) < 1e-9);
		assert_true(fabs(clip.st.clip_high - kept.st.clip_high) < 1e-9);
		for (size_t i = 0; i < kept.a.x.n_param; i++) {
			apart += pow((double)(kept.t.grad[i] - clip.t.grad[i]), 2);
			moved += pow((double)clip.t.grad[i], 2);
		}
		assert_true(moved > 0 && sqrt(apart / moved) < 1e-3);
		tiny_free(&kept);
		tiny_free(&clip);
	}
}

/* The bonus alone raises the entropy. */
static void test_entropy_bonus(void **state)
{
	struct moe_train_opts o = opts();
	double before = 0;
	struct moe_err e;
	struct tiny w;

	(void)state;
	o.loss.entropy_coef = 1;
	o.lr = 0.02;
	make(&w, "vanilla", o);
	for (int i = 0; i < N; i++)
		w.r[i].reward = 1;
	for (int k = 0; k < 5; k++) {
		assert_int_equal(moe_train_step(&w.t, &w.s, &w.st, &e), 0);
		before = k ? before : w.st.entropy;
	}
	assert_true(w.st.entropy > before + 1e-3);
	tiny_free(&w);
}

/* A clipped gradient is one of another scale, which AdamW's first step does not heed: both moments
 * have it. */
static void test_clipped_moments(void **state)
{
	struct moe_train_opts o = opts();
	struct tiny free_, cut;
	struct moe_err e;

	(void)state;
	o.split_moments = true;
	o.eps = 1e-30;
	make(&free_, "vanilla", o);
	assert_int_equal(moe_train_step(&free_.t, &free_.s, &free_.st, &e), 0);
	o.clip = free_.st.grad_norm / 10;
	make(&cut, "vanilla", o);
	assert_int_equal(moe_train_step(&cut.t, &cut.s, &cut.st, &e), 0);
	for (size_t i = 0; i < cut.a.x.n_param; i++)
		assert_true(fabs((double)(cut.a.x.param[i] - free_.a.x.param[i])) < 1e-5);
	tiny_free(&free_);
	tiny_free(&cut);
}

/* Presence is of the rollouts that were not routed. */
static void test_presence(void **state)
{
	struct moe_err e;
	struct tiny w;

	(void)state;
	make(&w, "vanilla", opts());
	w.a.plan.gate[MOE_ROUTE][MOE_BANK_CLEAN] = 0.25;
	w.a.plan.gate[MOE_KEEP][MOE_BANK_CLEAN] = 0.5;
	w.r[0].decision = MOE_ROUTE;
	w.r[3].decision = MOE_KEEP;
	assert_int_equal(moe_train_gradient(&w.t, &w.s, &w.st, &e), 0);
	assert_true(w.st.gates.bank_min[MOE_BANK_CLEAN] == 0.5);
	assert_true(w.st.gates.bank_min[MOE_BANK_QUARANTINE] == 1);
	tiny_free(&w);
}

/* Rates of a warm-up that begins at 0, and shares of the gradient's norm, which sum to 1. */
static void test_rate_and_mass(void **state)
{
	static const double want[] = { 0, 0.5, 1, 1 };
	struct moe_train_opts o = opts();
	struct moe_err e;
	struct tiny w;

	(void)state;
	o.warmup = 2;
	o.warm_from_zero = true;
	make(&w, "vanilla", o);
	for (int k = 0; k < 4; k++) {
		assert_int_equal(moe_train_step(&w.t, &w.s, &w.st, &e), 0);
		assert_true(fabs(w.st.lr - want[k] * o.lr) < 1e-15);
		assert_true(fabs(w.st.update_mass[MOE_BANK_CLEAN] +
				    w.st.update_mass[MOE_BANK_QUARANTINE] - 1) < 1e-9);
	}
	tiny_free(&w);
}

/* Of a row at a temperature: the softmax, its entropy and the log of its sum, written out. */
static void test_softmax_row(void **state)
{
	moe_real z[5] = { 1, -2, (moe_real)0.5, 3, 0 }, p[5], scratch[5];
	double sum = 0, entropy = 0, got;

	(void)state;
	for (int i = 0; i < 5; i++)
		sum += exp(0.4 * (double)z[i]);
	for (int i = 0; i < 5; i++) {
		double q = exp(0.4 * (double)z[i]) / sum;

		entropy -= q * log(q);
	}
	memcpy(p, z, sizeof(p));
	assert_true(fabs(moe_softmax_row(5, p, 0.4, &got) - log(sum)) < 1e-5);
	assert_true(fabs(got - entropy) < 1e-5);
	assert_true(fabs((double)p[3] - exp(1.2) / sum) < 1e-6);
	assert_true(fabs(moe_logsumexp(5, z, 0.4, scratch) - log(sum)) < 1e-5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accumulated_loads),
		cmocka_unit_test(test_flushed_pins),
		cmocka_unit_test(test_metrics_of_updates),
		cmocka_unit_test(test_micro_batches),
		cmocka_unit_test(test_shuffled_shares),
		cmocka_unit_test(test_old_policy),
		cmocka_unit_test(test_entropy_bonus),
		cmocka_unit_test(test_clipped_moments),
		cmocka_unit_test(test_presence),
		cmocka_unit_test(test_rate_and_mass),
		cmocka_unit_test(test_softmax_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
