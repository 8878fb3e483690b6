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
	/* of the tokens, before parameters move: log-probabilities, entropies, those above the
	 * quantile */
	double *logp0[N], *entropy0[N];
	bool *top[N];
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
			.stopped = i != 1,
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

static void free_kept(struct world *w, int i)
{
	free(w->logp0[i]);
	free(w->entropy0[i]);
	free(w->top[i]);
}

static void free_world(struct world *w)
{
	moe_trainer_free(&w->t);
	moe_rollout_step_free(&w->s);
	moe_adapter_free(&w->a);
	moe_model_free(&w->m);
	moe_pool_free(w->pool);
	for (int i = 0; i < N; i++)
		free_kept(w, i);
}

/* Log-probabilities and entropies (or NULL) of rollout i alone; without experts when ref. */
static void logp_alone(struct world *w, int i, bool ref, moe_real *logp, moe_real *entropy)
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
				 r->temperature, logp, entropy, &e),
		0);
	moe_acts_free(&acts);
}

static bool outside(const struct world *w, int i)
{
	return w->o.loss.mask_truncated && !w->s.r[i].stopped;
}

/* Tokens in the loss, of all rollouts. */
static double all_tokens(const struct world *w)
{
	double tok = 0;

	for (int k = 0; k < N; k++)
		tok += outside(w, k) ? 0 : w->s.r[k].n_completion;
	return tok;
}

static double token_weight(const struct world *w, int i)
{
	switch (w->o.loss.type) {
	case MOE_GRPO:
	case MOE_SAPO:
		return 1.0 / N / w->s.r[i].n_completion;
	case MOE_DR_GRPO:
		return 1.0 / N / 7;
	case MOE_LUSPO:
		return 1.0 / N;
	default:
		break;
	}
	return 1 / all_tokens(w);
}

static double clamp(double v, double lo, double hi)
{
	return fmin(fmax(v, lo), hi);
}

/* One token's loss without the KL, written down again: log-ratio l to the old policy (at sequences
 * their mean) now and l0 before parameters moved, sum0 of the sequence then. */
static double token_loss(
	const struct world *w, double l, double l0, double sum0, double a, double logp)
{
	double r = exp(l), tau = a > 0 ? 1 : 1.05, k = a >= 0 ? 2 : 3, lambda = a >= 0 ? 3 : 2;

	switch (w->o.loss.type) {
	case MOE_CISPO:
		return -fmin(exp(l0), 1.3) * a * logp;
	case MOE_SAPO:
		return -a * 4 / tau / (1 + exp(-tau * (r - 1)));
	case MOE_VESPO:
		return -exp(lambda + k * sum0 - lambda * exp(sum0)) * a * logp;
	default:
		return -fmin(fmin(r, 1.5) * a, clamp(r, 0.8, 1.3) * a);
	}
}

/* Loss of rollout i, before token_weight: mask times the policy's, kl times the KL's. */
static double rollout_loss(struct world *w, int i, double mask, bool kl)
{
	const struct moe_loss_opts *o = &w->o.loss;
	struct moe_rollout *r = &w->s.r[i];
	moe_real logp[64], ref[64], entropy[64];
	double sum = 0, l[64], l0[64], mean = 0, mean0 = 0, sum0 = 0;
	int n = r->n_completion;

	logp_alone(w, i, false, logp, entropy);
	logp_alone(w, i, true, ref, NULL);
	for (int k = 0; k < n; k++) {
		double old = o->ratio == MOE_RATIO_CLIP ? (double)r->logp[k] : w->logp0[i][k];

		l[k] = logp[k] - old;
		l0[k] = w->logp0[i][k] - old;
		mean += l[k] / n;
		mean0 += l0[k] / n;
		sum0 += l0[k];
		if (o->ratio == MOE_RATIO_MIN) /* vespo has the correction within its weight */
			sum0 += fmin(0, w->logp0[i][k] - (double)r->logp[k]);
	}
	for (int k = 0; k < n; k++) {
		bool seq = o->level == MOE_LEVEL_SEQUENCE;
		double d = ref[k] - logp[k], a = w->adv[i],
		       c = o->ratio == MOE_RATIO_MIN && o->type != MOE_VESPO
			? fmin(1, exp(w->logp0[i][k] - (double)r->logp[k]))
			: 1,
		       q = token_loss(w, seq ? mean : l[k], seq ? mean0 : l0[k], sum0, a, logp[k]);

		if (w->top[i][k])
			sum += mask * c * q;
		sum += kl * o->beta * (exp(d) - d - 1) * (o->kl_bias ? exp(seq ? mean : l[k]) : 1);
	}
	return sum;
}

/* Mean entropy's share of rollout i: of the tokens that are kept. */
static double entropy_share(struct world *w, int i)
{
	moe_real logp[64], entropy[64];
	double sum = 0, kept = 0;

	for (int q = 0; q < N; q++)
		for (int k = 0; k < w->s.r[q].n_completion; k++)
			kept += !outside(w, q) && w->top[q][k];
	logp_alone(w, i, false, logp, entropy);
	for (int k = 0; k < w->s.r[i].n_completion; k++)
		sum += w->top[i][k] ? entropy[k] : 0;
	return sum / kept;
}

/* The loss whose gradient expert x learns from: the reward's of the rollouts that train it (x < 0:
 * of all), and the KL's of every rollout, past the masks, unless the plan never trains it. */
static double loss_for(struct world *w, int x)
{
	double sum = 0;

	for (int i = 0; i < N; i++) {
		struct moe_rollout *r = &w->s.r[i];
		double mask = x < 0 ? 1 : w->a.plan.mask[r->decision][w->a.x.bank[x]];
		bool kl = x < 0 || moe_decision_table_trains(&w->a.plan, (int)w->a.x.bank[x]);

		if (outside(w, i))
			continue;
		if (x >= 0 && r->off == (int)w->a.x.bank[x])
			mask = 0;
		sum += token_weight(w, i) * rollout_loss(w, i, mask, kl);
		if (w->o.loss.entropy_coef != 0)
			sum -= w->o.loss.entropy_coef * mask * entropy_share(w, i);
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

static int by_size(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

/* The tokens at or above the quantile of the entropies. */
static void choose_top(struct world *w)
{
	double all[64], cut = -1, q = 1 - w->o.loss.top_entropy;
	int n = 0;

	for (int i = 0; i < N; i++)
		for (int k = 0; k < w->s.r[i].n_completion && !outside(w, i); k++)
			all[n++] = w->entropy0[i][k];
	qsort(all, (size_t)n, sizeof(*all), by_size);
	if (w->o.loss.top_entropy > 0 && w->o.loss.top_entropy < 1) {
		int at = (int)(q * (n - 1));

		cut = all[at] + (q * (n - 1) - at) * (all[at + 1] - all[at]);
	}
	for (int i = 0; i < N; i++)
		for (int k = 0; k < w->s.r[i].n_completion; k++)
			w->top[i][k] = w->entropy0[i][k] >= cut;
}

static void fix_weights(struct world *w)
{
	for (int i = 0; i < N; i++) {
		struct moe_rollout *r = &w->s.r[i];
		moe_real logp[64], entropy[64];
		size_t n = (size_t)r->n_completion;

		logp_alone(w, i, false, logp, entropy);
		free_kept(w, i);
		w->logp0[i] = moe_alloc(n, sizeof(double), NULL);
		w->entropy0[i] = moe_alloc(n, sizeof(double), NULL);
		w->top[i] = moe_alloc(n, sizeof(bool), NULL);
		for (size_t k = 0; k < n; k++) {
			/* far enough from the kinks of clip and min on either side */
			static const double off[5] = { -0.5, -0.1, 0.08, 0.6, 0.15 };

			r->logp[k] = (float)(logp[k] - off[((size_t)i + k) % 5]);
			w->logp0[i][k] = logp[k];
			w->entropy0[i][k] = entropy[k];
		}
	}
	choose_top(w);
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
	for (uint64_t k = 0; k < 16; k++) {
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

/* Options of test number k; its name in what. */
static void vary(struct moe_train_opts *o, int type, int ratio, int k, char *what, size_t size)
{
	static const char *const loss[] = { "dr_grpo", "grpo", "bnpo", "dapo", "luspo", "cispo",
		"sapo", "vespo" };
	struct moe_loss_opts *l = &o->loss;

	*o = (struct moe_train_opts){ .loss = MOE_LOSS_DEFAULTS,
		.adv = { .split = k % 4 == 1, .kept = k % 4 == 3 },
		.max_completion = 7,
		.lr = 1e-3,
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-8 };
	l->type = (enum moe_loss_type)type;
	l->ratio = (enum moe_ratio)ratio;
	l->level = k / 2 % 2 ? MOE_LEVEL_SEQUENCE : MOE_LEVEL_TOKEN;
	l->eps_high = 0.3;
	if (l->type == MOE_CISPO)
		l->eps_high = 1.3;
	l->delta = 1.5;
	l->beta = k % 2 ? 0.1 : 0;
	l->kl_bias = k % 4 == 3 || k == 5;
	l->mask_truncated = k >= 4;
	l->top_entropy = k >= 4 ? 0.55 : 1;
	l->entropy_coef = k >= 4 && k % 2 ? 0.2 : 0;
	snprintf(what, size, "%s, ratio %d, %s, beta %g%s, entropy %g of the top %g", loss[type],
		ratio, k / 2 % 2 ? "sequence" : "token", l->beta, l->kl_bias ? " w" : "",
		l->entropy_coef, l->top_entropy);
}

static void test_gradient(void **state)
{
	(void)state;
	for (int l = 0; l < MOE_LOSSES; l++)
		for (int r = 0; r < 3; r++)
			/* some of the eight variants each, so that all meet all */
			for (int v = 0; v < 3; v++) {
				static const int step[3] = { 0, 3, 5 };
				int k = (l + 3 * r + step[v]) % 8;
				struct world w;
				struct moe_err e;
				char what[128];

				make_world(&w, 1);
				vary(&w.o, l, r, k, what, sizeof(what));
				assert_int_equal(
					moe_trainer_init(&w.t, &w.m, &w.a, w.pool, &w.o, &e), 0);
				compare(&w, what);
				/* a bank that no decision trains is moved by the KL neither */
				for (int d = 0; k == 3 && d < MOE_DECISIONS; d++)
					w.a.plan.mask[d][MOE_BANK_QUARANTINE] = 0;
				if (k == 3)
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
			.loss = MOE_LOSS_DEFAULTS,
			.lr = 1e-2,
			.beta1 = 0.9,
			.beta2 = 0.95,
			.eps = 1e-8,
			.split_moments = true };
		w.o.loss.eps_high = 0.3;
		w.o.loss.beta = 0.1 * k;
		w.o.loss.entropy_coef = 0.1 * k;
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
	w.o = (struct moe_train_opts){ .loss = MOE_LOSS_DEFAULTS,
		.max_completion = 7,
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
	w.o = (struct moe_train_opts){ .loss = MOE_LOSS_DEFAULTS,
		.max_completion = 7,
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
		w[k].o = (struct moe_train_opts){ .loss = MOE_LOSS_DEFAULTS,
			.max_completion = 7,
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
	w.o = (struct moe_train_opts){ .loss = MOE_LOSS_DEFAULTS,
		.max_completion = 7,
		.lr = 1e-2,
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-8 };
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
