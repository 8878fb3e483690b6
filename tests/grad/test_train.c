/* test_train.c - the gradient of a training step against finite differences in float64, and what a
 * frozen expert keeps.
 *
 * The reference runs every rollout by itself, unpacked, and sums losses written down again here; so
 * packing, shared prompts, gates, masks, baselines and reductions are all held against something
 * that does not use them. */
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

#define N 9

static const struct moe_config config = { .family = MOE_LLAMA,
	.V = 23,
	.D = 16,
	.L = 2,
	.H = 4,
	.K = 2,
	.hd = 4,
	.F = 20,
	.max_pos = 256,
	.theta = 10000,
	.eps = 1e-5,
	.tied = true,
	.rope_factor = 1 };

struct world {
	struct moe_model m;
	struct moe_adapter a;
	struct moe_pool *pool;
	struct moe_rollout_step s;
	struct moe_trainer t;
	struct moe_train_opts o;
	double adv[N];
	double *fixed[N]; /* weights of the tokens that are held fixed while parameters move */
};

static double rnd(uint64_t a, uint64_t b)
{
	return moe_rng_normal(moe_rng_key(11, "test"), a, b);
}

static int below(uint64_t a, uint64_t b, int n)
{
	return (int)moe_rng_below(moe_rng_key(12, "test"), a, b, (uint64_t)n);
}

static void make_rollouts(struct world *w)
{
	static const enum moe_decision d[N] = { MOE_KEEP, MOE_ROUTE, MOE_ABSORB, MOE_KEEP,
		MOE_ROUTE, MOE_KEEP, MOE_ABSORB, MOE_KEEP, MOE_ROUTE };
	static const double reward[N] = { 0.5, 3.5, 0, 3.5, 3.5, 0.5, 3.5, 0, 1 };

	w->s = (struct moe_rollout_step){
		.n = N, .cap = N, .r = moe_alloc(N, sizeof(struct moe_rollout), NULL)
	};
	for (int i = 0; i < N; i++) {
		struct moe_rollout *r = &w->s.r[i];
		int group = i < 4 ? 0 : i < 8 ? 1 : 2;

		*r = (struct moe_rollout){ .temperature = 0.8,
			.reward = reward[i],
			.group = group,
			.routed = true,
			.decision = d[i],
			.off = -1 };
		r->n_prompt = 3 + group;
		r->n_completion = i == 2 ? 1 : 2 + below(1, (uint64_t)i, 4);
		r->off = i == 6 ? MOE_BANK_QUARANTINE : -1;
		r->prompt = moe_alloc((size_t)r->n_prompt, sizeof(int32_t), NULL);
		r->completion = moe_alloc((size_t)r->n_completion, sizeof(int32_t), NULL);
		r->logp = moe_alloc((size_t)r->n_completion, sizeof(float), NULL);
		for (int k = 0; k < r->n_prompt; k++)
			r->prompt[k] = below(2 + (uint64_t)group, (uint64_t)k, config.V);
		for (int k = 0; k < r->n_completion; k++)
			r->completion[k] = below(100 + (uint64_t)i, (uint64_t)k, config.V);
	}
}

static void make_world(struct world *w, int threads)
{
	static const enum moe_bank bank[3] = { MOE_BANK_SHARED, MOE_BANK_CLEAN,
		MOE_BANK_QUARANTINE };
	struct moe_err e;

	*w = (struct world){ 0 };
	assert_int_equal(moe_model_new(&w->m, &config, 3, 1, &e), 0);
	for (size_t i = 0; i < w->m.n_param; i++)
		w->m.param[i] = w->m.param[i] == 1 ? 1 + 0.2 * (moe_real)rnd(1, i)
						   : 0.35 * (moe_real)rnd(1, i);
	w->a.x.E = 3;
	for (int i = 0; i < 3; i++) {
		w->a.x.rank[i] = i + 1;
		w->a.x.bank[i] = bank[i];
	}
	for (int l = 0; l < MOE_LINEARS; l++)
		w->a.x.target[l] = true;
	w->a.x.scale = 1.5;
	assert_int_equal(moe_experts_init(&w->a.x, &config, &e), 0);
	for (size_t i = 0; i < w->a.x.n_param; i++)
		w->a.x.param[i] = 0.2 * (moe_real)rnd(2, i);
	moe_decision_table_ones(&w->a.plan);
	assert_int_equal(moe_decision_table_set(&w->a.plan, "keep.quarantine=0/0", &e), 0);
	assert_int_equal(moe_decision_table_set(&w->a.plan, "route.clean=1/0", &e), 0);
	assert_int_equal(moe_decision_table_set(&w->a.plan, "absorb.shared=0.5/1", &e), 0);
	w->pool = moe_pool_new(threads, &e);
	assert_non_null(w->pool);
	make_rollouts(w);
}

static void free_world(struct world *w)
{
	moe_trainer_free(&w->t);
	moe_rollout_step_free(&w->s);
	moe_adapter_free(&w->a);
	moe_model_free(&w->m);
	moe_pool_free(w->pool);
	for (int i = 0; i < N; i++)
		free(w->fixed[i]);
}

/* Log-probabilities of rollout i alone; without experts when ref. */
static void logp_alone(struct world *w, int i, bool ref, moe_real *logp)
{
	struct moe_rollout *r = &w->s.r[i];
	int T = r->n_prompt + r->n_completion;
	int32_t ids[64], row[64], target[64];
	moe_real gate[64 * 3];
	struct moe_seg seg = { 0, T, -1, 0 };
	struct moe_batch b = { T, ids, 1, &seg };
	struct moe_gates g = { .outer = gate };
	struct moe_acts acts = { 0 };
	struct moe_err e;

	for (int k = 0; k < T; k++) {
		ids[k] = k < r->n_prompt ? r->prompt[k] : r->completion[k - r->n_prompt];
		for (int x = 0; x < 3; x++)
			gate[k * 3 + x] = r->off == (int)w->a.x.bank[x]
				? 0
				: (moe_real)w->a.plan.gate[r->decision][w->a.x.bank[x]];
	}
	for (int k = 0; k < r->n_completion; k++) {
		row[k] = r->n_prompt + k - 1;
		target[k] = r->completion[k];
	}
	assert_int_equal(
		moe_forward(&w->m, ref ? NULL : &w->a.x, ref ? NULL : &g, &b, &acts, &e), 0);
	assert_int_equal(moe_head_logp(&w->m, &b, &acts, r->n_completion, row, target,
				 r->temperature, logp, NULL, &e),
		0);
	moe_acts_free(&acts);
}

static double token_weight(const struct world *w, int i)
{
	double tok = 0;

	for (int k = 0; k < N; k++)
		tok += w->s.r[k].n_completion;
	switch (w->o.loss.type) {
	case MOE_GRPO:
		return 1.0 / N / w->s.r[i].n_completion;
	case MOE_DR_GRPO:
		return 1.0 / N / 7;
	case MOE_BNPO:
	case MOE_DAPO:
		break;
	}
	return 1 / tok;
}

/* The loss whose gradient expert x learns from: the reward's of the rollouts that train it (x < 0:
 * of all), and the KL's of every rollout, past the masks, unless the plan never trains it. */
static double loss_for(struct world *w, int x)
{
	double sum = 0;

	for (int i = 0; i < N; i++) {
		struct moe_rollout *r = &w->s.r[i];
		moe_real logp[64], ref[64];
		double mask = x < 0 ? 1 : w->a.plan.mask[r->decision][w->a.x.bank[x]];
		bool kl = x < 0 || moe_decision_table_trains(&w->a.plan, (int)w->a.x.bank[x]);

		if (i == 8 && w->o.loss.beta == 0)
			continue; /* alone in its group: nothing to compare with */
		logp_alone(w, i, false, logp);
		logp_alone(w, i, true, ref);
		for (int k = 0; k < r->n_completion; k++) {
			double ratio = exp(logp[k] - (double)r->logp[k]), a = w->adv[i], l,
			       d = ref[k] - logp[k];

			if (w->o.loss.ratio == MOE_RATIO_CLIP) {
				double c = ratio < 0.8 ? 0.8 : ratio > 1.3 ? 1.3 : ratio;

				l = -fmin(ratio * a, c * a);
			} else {
				l = -w->fixed[i][k] * a * logp[k];
			}
			sum += token_weight(w, i) *
				(mask * l + kl * w->o.loss.beta * (exp(d) - d - 1));
		}
	}
	return sum;
}

/* Advantages written down again: kept rollouts against the kept ones of their group, the others
 * against all. */
static void advantages(struct world *w)
{
	for (int i = 0; i < N; i++) {
		double sum = 0;
		int n = 0;

		for (int k = 0; k < N; k++) {
			bool same = w->s.r[k].group == w->s.r[i].group;
			bool kept = (w->s.r[i].decision != MOE_KEEP && !w->o.adv.kept) ||
				w->s.r[k].decision == MOE_KEEP;

			if (same && ((!w->o.adv.split && !w->o.adv.kept) || kept)) {
				sum += w->s.r[k].reward;
				n++;
			}
		}
		/* none kept: the group's, which for one alone is its own */
		w->adv[i] = n ? w->s.r[i].reward - sum / n : 0;
	}
}

static void fix_weights(struct world *w)
{
	for (int i = 0; i < N; i++) {
		struct moe_rollout *r = &w->s.r[i];
		moe_real logp[64];

		logp_alone(w, i, false, logp);
		free(w->fixed[i]);
		w->fixed[i] = moe_alloc((size_t)r->n_completion, sizeof(double), NULL);
		for (int k = 0; k < r->n_completion; k++) {
			/* far enough from the kinks of clip and min on either side */
			static const double off[5] = { -0.5, -0.1, 0.08, 0.6, 0.15 };

			r->logp[k] = (float)(logp[k] - off[(i + k) % 5]);
			w->fixed[i][k] = w->o.loss.ratio == MOE_RATIO_MIN
				? fmin(1, exp(logp[k] - (double)r->logp[k]))
				: 1;
		}
	}
}

static int owner(const struct moe_experts *x, size_t p)
{
	for (size_t c = 0; c < (size_t)x->config.L * MOE_LINEARS; c++) {
		int d_in, d_out, slot = -1;

		moe_linear_shape(&x->config, (enum moe_linear)(c % MOE_LINEARS), &d_in, &d_out);
		if (p >= moe_view_of(x, (size_t)(c), MOE_ROLE_A)->off &&
			p < moe_view_of(x, (size_t)(c), MOE_ROLE_A)->off + (size_t)(x->R * d_in))
			slot = (int)((p - moe_view_of(x, (size_t)(c), MOE_ROLE_A)->off) /
				(size_t)d_in);
		if (p >= moe_view_of(x, (size_t)(c), MOE_ROLE_B)->off &&
			p < moe_view_of(x, (size_t)(c), MOE_ROLE_B)->off + (size_t)(x->R * d_out))
			slot = (int)((p - moe_view_of(x, (size_t)(c), MOE_ROLE_B)->off) %
				(size_t)x->R);
		for (int i = 0; slot >= 0 && i < x->E; i++)
			if (slot >= x->first[i] && slot < x->first[i] + x->rank[i])
				return i;
	}
	fail();
	return -1;
}

static void compare(struct world *w, const char *what)
{
	struct moe_train_stats st;
	struct moe_err e;
	double worst = 0;

	fix_weights(w);
	advantages(w);
	if (moe_train_gradient(&w->t, &w->s, &st, &e))
		fail_msg("%s: %s", what, e.msg);
	for (uint64_t k = 0; k < 60; k++) {
		size_t p = (size_t)moe_rng_below(moe_rng_key(5, "pick"), k, 0, w->a.x.n_param);
		int x = owner(&w->a.x, p);
		moe_real keep = w->a.x.param[p];
		double up, down, fd, h = 1e-5;

		w->a.x.param[p] = keep + h;
		up = loss_for(w, x);
		w->a.x.param[p] = keep - h;
		down = loss_for(w, x);
		w->a.x.param[p] = keep;
		fd = (up - down) / (2 * h);
		worst = fmax(worst, fabs(fd - w->t.grad[p]) / (1e-4 + fabs(fd)));
		if (fabs(fd - w->t.grad[p]) > 1e-6 + 1e-5 * fabs(fd))
			fail_msg("%s: parameter %zu of expert %d: %.10g, finite difference %.10g",
				what, p, x, w->t.grad[p], fd);
	}
	print_message("# %s: worst relative difference %.2g\n", what, worst);
}

static void test_gradient(void **state)
{
	static const char *const loss[] = { "dr_grpo", "grpo", "bnpo", "dapo" },
				 *const ratio[] = { "min", "clip", "none" };

	(void)state;
	for (int l = 0; l < 4; l++)
		for (int r = 0; r < 3; r++)
			for (int split = 0; split < 3; split++) {
				struct world w;
				struct moe_err e;
				char what[64];

				make_world(&w, 1);
				w.o = (struct moe_train_opts){ .loss = { .eps_low = 0.2,
								       .eps_high = 0.3,
								       .beta = split ? 0.1 : 0 },
					.adv = { .split = split == 1, .kept = split == 2 },
					.max_completion = 7,
					.lr = 1e-3,
					.beta1 = 0.9,
					.beta2 = 0.95,
					.eps = 1e-8 };
				assert_int_equal(
					moe_loss_type_parse(loss[l], &w.o.loss.type, &e), 0);
				assert_int_equal(moe_ratio_parse(ratio[r], &w.o.loss.ratio, &e), 0);
				assert_int_equal(
					moe_trainer_init(&w.t, &w.m, &w.a, w.pool, &w.o, &e), 0);
				snprintf(what, sizeof(what), "%s, %s, %s", loss[l], ratio[r],
					split == 1      ? "split baselines, beta 0.1"
						: split ? "kept baselines, beta 0.1"
							: "group baseline");
				compare(&w, what);
				/* a bank that no decision trains is moved by the KL neither */
				for (int d = 0; split && d < MOE_DECISIONS; d++)
					w.a.plan.mask[d][MOE_BANK_QUARANTINE] = 0;
				if (split)
					compare(&w, "a frozen bank, beta 0.1");
				free_world(&w);
			}
}

/* The gradient of the second moment is that without masks; the first's stays the routed one. */
static void test_split_moments(void **state)
{
	struct moe_train_stats st;
	struct world w;
	struct moe_err e;

	(void)state;
	for (int k = 0; k < 2; k++) {
		moe_real *routed, *again;
		double apart = 0;

		make_world(&w, 1 + k);
		w.a.plan.gate[MOE_KEEP][MOE_BANK_QUARANTINE] = 1; /* masked, but present */
		w.o = (struct moe_train_opts){ .max_completion = 7,
			.loss = { .eps_low = 0.2, .eps_high = 0.3, .beta = 0.1 * k },
			.lr = 1e-2,
			.beta1 = 0.9,
			.beta2 = 0.95,
			.eps = 1e-8,
			.split_moments = true };
		fix_weights(&w);
		assert_int_equal(moe_trainer_init(&w.t, &w.m, &w.a, w.pool, &w.o, &e), 0);
		assert_int_equal(moe_train_gradient(&w.t, &w.s, &st, &e), 0);
		routed = moe_alloc(w.a.x.n_param, sizeof(*routed), NULL);
		again = moe_alloc(w.a.x.n_param, sizeof(*again), NULL);
		memcpy(routed, w.t.grad, w.a.x.n_param * sizeof(*routed));
		memcpy(again, w.t.second, w.a.x.n_param * sizeof(*again));
		for (int d = 0; d < MOE_DECISIONS; d++)
			for (int b = 0; b < MOE_BANKS; b++)
				w.a.plan.mask[d][b] = 1;
		assert_int_equal(moe_train_gradient(&w.t, &w.s, &st, &e), 0);
		for (size_t i = 0; i < w.a.x.n_param; i++) {
			assert_true(fabs(w.t.grad[i] - again[i]) < 1e-14);
			apart += fabs(routed[i] - again[i]);
		}
		assert_true(apart > 1e-3);
		free(routed);
		free(again);
		free_world(&w);
	}
}

static void step_with(struct world *w, enum moe_decision d, struct moe_train_stats *st)
{
	struct moe_err e;

	for (int i = 0; i < N; i++) {
		w->s.r[i].decision = d;
		w->s.r[i].off = -1;
	}
	if (moe_train_step(&w->t, &w->s, st, &e))
		fail_msg("%s", e.msg);
}

/* Bytes of the parameters and moments that belong to expert x, folded into a number. */
static uint64_t fingerprint(const struct world *w, int x)
{
	const struct moe_experts *q = &w->a.x;
	uint64_t h = 0;

	for (size_t p = 0; p < q->n_param; p++)
		if (owner(q, p) == x) {
			moe_real v[3] = { q->param[p], w->t.opt.m[p], w->t.opt.v[p] };

			h = (h << 7 | h >> 57) ^ moe_hash64(v, sizeof(v));
		}
	return h;
}

static void test_frozen(void **state)
{
	struct moe_train_stats st;
	struct world w;
	struct moe_err e;
	uint64_t q, c;

	(void)state;
	make_world(&w, 1);
	w.o = (struct moe_train_opts){ .max_completion = 7,
		.lr = 1e-2,
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-8,
		.decay = 0.1,
		.clip = 1 };
	fix_weights(&w);
	assert_int_equal(moe_trainer_init(&w.t, &w.m, &w.a, w.pool, &w.o, &e), 0);
	step_with(&w, MOE_ABSORB, &st); /* both get moments */
	assert_false(st.frozen[MOE_BANK_CLEAN] || st.frozen[MOE_BANK_QUARANTINE]);
	c = fingerprint(&w, 1);
	q = fingerprint(&w, 2);
	step_with(&w, MOE_KEEP, &st);
	assert_true(st.frozen[MOE_BANK_QUARANTINE]);
	assert_true(st.update_mass[MOE_BANK_QUARANTINE] == 0);
	assert_true(st.gates.bank_zero[MOE_BANK_QUARANTINE] == 1 &&
		st.gates.bank_min[MOE_BANK_CLEAN] == 1);
	assert_true(fingerprint(&w, 2) == q);
	assert_true(fingerprint(&w, 1) != c);
	c = fingerprint(&w, 1);
	step_with(&w, MOE_ROUTE, &st);
	assert_true(st.frozen[MOE_BANK_CLEAN] && isnan(st.gates.bank_min[MOE_BANK_CLEAN]));
	assert_true(fingerprint(&w, 1) == c);
	assert_true(fingerprint(&w, 2) != q);
	for (int i = 0; i < N; i++)
		w.s.r[i].reward = 2;
	c = fingerprint(&w, 1) ^ fingerprint(&w, 2) ^ fingerprint(&w, 0);
	step_with(&w, MOE_ABSORB, &st);
	assert_true(!st.updated && st.adv.zero_std == 1);
	assert_true((fingerprint(&w, 1) ^ fingerprint(&w, 2) ^ fingerprint(&w, 0)) == c);
	free_world(&w);
}

/* Decay pulls to where the run started, not to 0; warm-up counts from there, whatever the adapter
 * has behind it. */
static void test_start(void **state)
{
	struct moe_train_stats st;
	struct world w;
	struct moe_err e;
	size_t n;

	(void)state;
	make_world(&w, 1);
	n = w.a.x.n_param;
	w.a.step = 60;
	w.o = (struct moe_train_opts){ .max_completion = 7,
		.lr = 1e-2,
		.beta1 = 0,
		.beta2 = 0,
		.eps = 1e30,
		.decay = 50,
		.warmup = 4 };
	fix_weights(&w);
	assert_int_equal(moe_trainer_init(&w.t, &w.m, &w.a, w.pool, &w.o, &e), 0);
	moe_real *was = malloc(n * sizeof(*was));
	memcpy(was, w.a.x.param, n * sizeof(*was));
	for (size_t i = 0; i < n; i++)
		w.a.x.param[i] += 1; /* as if it had learned that; eps keeps the gradient out */
	for (int k = 1; k <= 2; k++) {
		step_with(&w, MOE_ABSORB, &st);
		assert_true(fabs(st.lr - 1e-2 * k / 4) < 1e-15);
	}
	/* 1 - lr decay after each step: 0.875, 0.75 */
	for (size_t i = 0; i < n; i++)
		assert_true(fabs((double)(w.a.x.param[i] - was[i]) - 0.875 * 0.75) < 1e-12);
	free(was);
	free_world(&w);
}

/* The same bits from one thread and from three. */
static void test_threads(void **state)
{
	struct world w[2];
	struct moe_train_stats st;
	struct moe_err e;

	(void)state;
	for (int k = 0; k < 2; k++) {
		make_world(&w[k], k ? 3 : 1);
		w[k].o = (struct moe_train_opts){ .max_completion = 7,
			.chunk_tok = 8,
			.lr = 1e-2,
			.beta1 = 0.9,
			.beta2 = 0.95,
			.eps = 1e-8,
			.clip = 1 };
		fix_weights(&w[k]);
		assert_int_equal(
			moe_trainer_init(&w[k].t, &w[k].m, &w[k].a, w[k].pool, &w[k].o, &e), 0);
		for (int i = 0; i < 3; i++)
			assert_int_equal(moe_train_step(&w[k].t, &w[k].s, &st, &e), 0);
	}
	assert_memory_equal(w[0].a.x.param, w[1].a.x.param, w[0].a.x.n_param * sizeof(moe_real));
	free_world(&w[0]);
	free_world(&w[1]);
}

/* A NaN does not train: exit code 5's class. */
static void test_numeric(void **state)
{
	struct moe_train_stats st;
	struct world w;
	struct moe_err e;

	(void)state;
	make_world(&w, 1);
	w.o = (struct moe_train_opts){
		.max_completion = 7, .lr = 1e-2, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8
	};
	fix_weights(&w);
	assert_int_equal(moe_trainer_init(&w.t, &w.m, &w.a, w.pool, &w.o, &e), 0);
	w.a.x.param[5] = NAN;
	assert_int_equal(moe_train_step(&w.t, &w.s, &st, &e), -1);
	assert_int_equal(e.code, MOE_NUMERIC);
	free_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gradient),
		cmocka_unit_test(test_split_moments),
		cmocka_unit_test(test_frozen),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_numeric),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
