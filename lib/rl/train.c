/* train.c - the order of a training step; what a batch costs and gives is batch.c, what a token
 * loses is loss.c. */
#include "rl/train.h"

#include "model/regions.h"
#include "moe/features.h"
#include "moe/method.h"
#include "moe/nll.h"
#include "rl/batch.h"
#include "rl/routing.h"
#include "tensor/vec.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int init_optimiser(struct moe_trainer *t, struct moe_err *e)
{
	struct moe_region *r;
	int owners, rc;
	size_t n;

	if (moe_experts_regions(
		    &t->a->x, moe_method_setting(t->a, "lr_ratio", 1), &r, &n, &owners, e))
		return -1;
	rc = moe_adamw_init(&t->opt, t->a->x.n_param, r, n, owners, e);
	free(r);
	t->opt.beta1 = t->o.beta1;
	t->opt.beta2 = t->o.beta2;
	t->opt.eps = t->o.eps;
	t->opt.wd = t->o.decay;
	return rc;
}

int moe_trainer_init(struct moe_trainer *t, const struct moe_model *m, struct moe_adapter *a,
	struct moe_pool *pool, const struct moe_train_opts *o, struct moe_err *e)
{
	int threads = moe_pool_threads(pool);
	size_t n = a->x.n_param;

	*t = (struct moe_trainer){ .m = m, .a = a, .pool = pool, .o = *o };
	t->grad = moe_alloc(n, sizeof(*t->grad), e);
	t->part = moe_alloc((size_t)threads, sizeof(*t->part), e);
	t->acts = moe_alloc((size_t)threads, sizeof(*t->acts), e);
	t->entropy_coef = o->loss.entropy_coef;
	t->entropy_last = INFINITY;
	t->method = moe_method_find(a->method, &(struct moe_err){ 0 });
	t->load = moe_alloc(
		(size_t)a->x.n_site * ((size_t)a->x.n_routed + (size_t)moe_experts_keep(&a->x)),
		sizeof(*t->load), e);
	if (!t->grad || !t->part || !t->acts || !t->load || init_optimiser(t, e))
		goto fail;
	if (o->split_moments &&
		(!(t->second = moe_alloc(n, sizeof(*t->second), e)) ||
			!(t->part2 = moe_alloc((size_t)threads, sizeof(*t->part2), e))))
		goto fail;
	t->opt.second = t->second;
	if (o->decay > 0) {
		if (!(t->start = moe_alloc(n, sizeof(*t->start), e)))
			goto fail;
		memcpy(t->start, a->x.param, n * sizeof(*t->start));
	}
	for (int i = 0; i < threads; i++) {
		t->part[i] = moe_alloc(n, sizeof(**t->part), e);
		if (!t->part[i] ||
			(t->part2 && !(t->part2[i] = moe_alloc(n, sizeof(**t->part2), e))))
			goto fail;
		t->acts[i].exact = o->exact;
		t->acts[i].recompute = o->recompute;
	}
	return 0;
fail:
	moe_trainer_free(t);
	return -1;
}

void moe_trainer_free(struct moe_trainer *t)
{
	int threads = t->pool ? moe_pool_threads(t->pool) : 0;

	for (int i = 0; i < threads; i++) {
		if (t->acts)
			moe_acts_free(&t->acts[i]);
		if (t->part)
			free(t->part[i]);
		if (t->part2)
			free(t->part2[i]);
	}
	free(t->acts);
	free(t->part);
	free(t->part2);
	free(t->grad);
	free(t->second);
	free(t->start);
	free(t->load);
	free(t->adv);
	moe_past_free(&t->past);
	moe_rec_free(&t->score);
	moe_adamw_free(&t->opt);
	*t = (struct moe_trainer){ 0 };
}

/* ---- what can be told before any pass ---- */

static void lengths(const struct moe_rollout_step *s, struct moe_train_stats *st)
{
	double ended = 0, tok = 0;

	st->len_min = st->term_min = INFINITY;
	for (size_t i = 0; i < s->n; i++) {
		double k = s->r[i].n_completion;

		st->n_tok += (size_t)s->r[i].n_completion;
		st->len_min = fmin(st->len_min, k);
		st->len_max = fmax(st->len_max, k);
		st->clipped_len += !s->r[i].stopped;
		if (s->r[i].stopped) {
			ended++;
			tok += k;
			st->term_min = fmin(st->term_min, k);
			st->term_max = fmax(st->term_max, k);
		}
		st->share[s->r[i].decision] += 1;
		st->any_decision |= s->r[i].routed;
	}
	st->len_mean = (double)st->n_tok / (double)s->n;
	st->clipped_len /= (double)s->n;
	st->term_mean = ended > 0 ? tok / ended : NAN;
	if (ended == 0)
		st->term_min = st->term_max = NAN;
	for (int d = 0; d < MOE_DECISIONS; d++)
		st->share[d] /= (double)s->n;
}

/* Forward presence: is an expert still in the forward pass on what was not routed to the
 * quarantine? Without a router the decision says it for every rollout, trained or not. */
static int presence(const struct moe_trainer *t, const struct moe_rollout_step *s,
	struct moe_train_stats *st, struct moe_err *e)
{
	const struct moe_experts *x = &t->a->x;
	struct moe_gate_tally *y = moe_alloc(s->n, sizeof(*y), e);
	int32_t *row = moe_alloc(st->len_max > 0 ? (size_t)st->len_max : 1, sizeof(*row), e);
	bool *use = moe_alloc(s->n, sizeof(*use), e);
	struct moe_gate_tally all = { 0 };

	for (int i = 0; i < x->E; i++)
		st->bank[x->bank[i]] = true;
	for (size_t i = 0; y && row && use && i < s->n; i++) {
		moe_real gate[MOE_EXPERTS_MAX];

		for (int k = 0; k < x->E; k++)
			gate[k] = (moe_real)moe_batch_gate(&t->a->plan, &s->r[i], (int)x->bank[k]);
		/* one row's gate holds for all of the completion: row[] is all 0 */
		moe_gate_tally_rows(&y[i], x, 1, 1, gate, NULL, row, s->r[i].n_completion);
		use[i] = s->r[i].decision != MOE_ROUTE;
	}
	if (y && row && use) {
		moe_gate_tally_add(&all, x, y, s->n, use);
		moe_gate_stats_of(&st->gates, x, &all);
	}
	free(row);
	free(use);
	free(y);
	return st->gates.E ? 0 : -1;
}

/* What the method multiplies rewards or advantages with, out [n]; 1 without such a method. */
static int factors(const struct moe_trainer *t, const struct moe_rollout_step *s,
	const int64_t *group, double *out, struct moe_err *e)
{
	double *score = moe_alloc(s->n, sizeof(*score), e);
	int rc = score ? 0 : -1;

	for (size_t i = 0; i < s->n; i++)
		out[i] = 1;
	for (size_t i = 0; rc == 0 && t->method && t->method->factors && i < s->n; i++) {
		score[i] = s->r[i].score;
		if (isnan(score[i]))
			rc = moe_fail(e, MOE_DATA,
				"step %lld: rollout %zu has no score, and the method '%s' needs "
				"one: moe-route is missing before moe-train",
				(long long)s->step, i, t->a->method);
	}
	if (rc == 0 && t->method && t->method->factors)
		rc = t->method->factors(t->a, score, group, s->n, out, e);
	free(score);
	return rc;
}

static int advantages(const struct moe_trainer *t, const struct moe_rollout_step *s, double *adv,
	bool *dead, struct moe_train_stats *st, struct moe_err *e)
{
	double *reward = moe_alloc(s->n, sizeof(*reward), e);
	int64_t *group = moe_alloc(s->n, sizeof(*group), e);
	bool *keep = moe_alloc(s->n, sizeof(*keep), e);
	double *factor = moe_alloc(s->n, sizeof(*factor), e);
	struct moe_reward_opts sum = t->o.reward;
	bool late = moe_method_setting(t->a, "of", 0) > 0; /* advantages, not rewards */
	int rc = -1;

	if (reward && group && keep && factor && moe_reward_of(&t->o.reward, s, reward, e) == 0) {
		for (size_t i = 0; i < s->n; i++) {
			if (t->method && t->method->worth)
				reward[i] = t->method->worth(
					t->a, reward[i], s->r[i].score, s->r[i].decision);
			group[i] = s->r[i].group;
			keep[i] = s->r[i].decision == MOE_KEEP;
		}
		rc = factors(t, s, group, factor, e);
		for (size_t i = 0; rc == 0 && !late && i < s->n; i++)
			reward[i] *= factor[i];
		if (rc == 0)
			rc = moe_advantages(
				s->n, reward, group, keep, &t->o.adv, adv, dead, &st->adv, e);
		for (size_t i = 0; rc == 0 && late && i < s->n; i++)
			adv[i] *= factor[i];
		/* people get the weighted sum, not that of what was normalised */
		sum.normalise = false;
		sum.weighted = true;
		if (rc == 0 && t->o.reward.normalise && !moe_reward_of(&sum, s, reward, e))
			moe_reward_mean(s->n, reward, &st->adv);
	}
	free(reward);
	free(group);
	free(keep);
	free(factor);
	return rc;
}

/* ---- what the gradient tells ---- */

static int gradient_stats(
	const struct moe_trainer *t, struct moe_train_stats *st, struct moe_err *e)
{
	const struct moe_experts *x = &t->a->x;
	double bank[MOE_BANKS] = { 0 }, norm[MOE_EXPERTS_MAX], all = 0, sum = 0, experts = 0;

	for (int i = 0; i < x->E; i++) {
		double n2 = moe_experts_norm2(x, t->grad, i);

		norm[i] = sqrt(n2);
		experts += norm[i];
		bank[x->bank[i]] += n2;
		all += n2;
	}
	for (int b = 0; b < MOE_BANKS; b++)
		sum += sqrt(bank[b]);
	for (int b = 0; b < MOE_BANKS; b++)
		st->update_mass[b] = sum > 0 ? sqrt(bank[b]) / sum : NAN;
	for (int i = 0; i < x->E; i++)
		st->expert_mass[i] = experts > 0 ? norm[i] / experts : NAN;
	if (x->router) {
		double n2 = moe_experts_norm2(x, t->grad, x->E);

		st->router_norm = sqrt(n2);
		all += n2;
	}
	st->grad_norm = sqrt(all);
	return isfinite(all) ? 0
			     : moe_fail(e, MOE_NUMERIC,
				       "training diverged at step %lld: the gradient is not finite",
				       (long long)t->a->step);
}

/* ---- a step: advantages, then its updates ---- */

/* What all updates of a step share. */
struct step {
	const struct moe_rollout_step *s;
	double *adv; /* [n] the trainer's */
	bool *dead;  /* [n] */
	struct moe_token_store store;
	bool stored; /* store is in use */
	int iterations, updates, micro;
	size_t *pick;                   /* [n] */
	int *micro_of;                  /* [n] */
	struct moe_loss_counts *counts; /* [micro] of the share at hand */
};

static int at_least_1(int n)
{
	return n > 1 ? n : 1;
}

static void step_free(struct step *g)
{
	free(g->dead);
	free(g->pick);
	free(g->micro_of);
	free(g->counts);
	moe_token_store_free(&g->store);
}

/* Where part k of so many begins. */
static size_t cut_at(size_t n, int k, int of)
{
	return n * (size_t)k / (size_t)of;
}

static int by_index(const void *x, const void *y)
{
	size_t a = *(const size_t *)x, b = *(const size_t *)y;

	return (a > b) - (a < b);
}

/* Shares out the rollouts: by chance where there is more than one micro-batch, and in each as they
 * came. */
static int deal(struct step *g, const struct moe_trainer *t, struct moe_err *e)
{
	size_t n = g->s->n;
	uint32_t *perm = moe_alloc(n, sizeof(*perm), e);

	g->pick = moe_alloc(n, sizeof(*g->pick), e);
	g->micro_of = moe_alloc(n, sizeof(*g->micro_of), e);
	g->counts = moe_alloc((size_t)g->micro, sizeof(*g->counts), e);
	if (!perm || !g->pick || !g->micro_of || !g->counts) {
		free(perm);
		return -1;
	}
	moe_rng_permute(moe_rng_key(t->a->train_seed, "shuffle"), (uint64_t)g->s->step, n, perm);
	for (size_t i = 0; i < n; i++)
		g->pick[i] = g->updates * g->micro > 1 ? perm[i] : i;
	for (int k = 0; k < g->updates; k++) {
		size_t from = cut_at(n, k, g->updates), len = cut_at(n, k + 1, g->updates) - from;

		for (int m = 0; m < g->micro; m++) {
			size_t a = from + cut_at(len, m, g->micro),
			       b = from + cut_at(len, m + 1, g->micro);

			qsort(g->pick + a, b - a, sizeof(*g->pick), by_index);
			for (size_t i = a; i < b; i++)
				g->micro_of[g->pick[i]] = m;
		}
	}
	free(perm);
	return 0;
}

/* Everything that can be told before the first pass. */
static int step_begin(struct step *g, struct moe_trainer *t, const struct moe_rollout_step *s,
	struct moe_train_stats *st, struct moe_err *e)
{
	*g = (struct step){ .s = s,
		.iterations = at_least_1(t->o.iterations),
		.updates = at_least_1(t->o.updates),
		.micro = at_least_1(t->o.micro) };
	*st = (struct moe_train_stats){ .lr = NAN, .grad_norm = NAN, .router_norm = NAN };
	free(t->adv);
	st->advantage = t->adv = g->adv = moe_alloc(s->n, sizeof(*g->adv), e);
	g->dead = moe_alloc(s->n, sizeof(*g->dead), e);
	if (!g->adv || !g->dead || !s->n)
		return -1;
	if ((size_t)g->updates * (size_t)g->micro > s->n)
		return moe_fail(e, MOE_DATA,
			"step %lld has %zu rollouts, which %d updates of %d micro-batches cannot "
			"share",
			(long long)s->step, s->n, g->updates, g->micro);
	lengths(s, st);
	if (t->o.max_completion == 0)
		t->o.max_completion = st->len_max > 0 ? (size_t)st->len_max : 1;
	g->stored = g->iterations > 1 || g->updates > 1 || t->o.loss.top_entropy < 1;
	if (g->stored && moe_token_store_make(&g->store, s, e))
		return -1;
	return deal(g, t, e) || presence(t, s, st, e) || advantages(t, s, g->adv, g->dead, st, e) ||
			moe_reward_stats_of(s, &st->rewards, e)
		? -1
		: 0;
}

/* Share k of so many. */
static struct moe_update share_of(struct step *g, const struct moe_trainer *t, int k, int of)
{
	double items = 0;
	struct moe_update u = { .s = g->s,
		.pick = g->pick,
		.from = cut_at(g->s->n, k, of),
		.to = cut_at(g->s->n, k + 1, of),
		.micro = g->micro,
		.micro_of = g->micro_of,
		.counts = g->counts,
		.adv = g->adv,
		.dead = g->dead,
		.store = g->stored ? &g->store : NULL,
		.keep_old = g->iterations > 1,
		.share = 1 / (double)at_least_1(t->o.accumulate) };

	for (size_t i = 0; i < g->s->n; i++)
		items += (double)moe_batch_tokens(&t->o.loss, &g->s->r[i]) / of;
	for (int m = 0; m < g->micro; m++)
		g->counts[m] = (struct moe_loss_counts){ .items = items,
			.max_completion = t->o.max_completion };
	for (size_t i = u.from; i < u.to; i++) {
		struct moe_loss_counts *c = &g->counts[g->micro_of[g->pick[i]]];

		c->n++;
		c->local += (double)moe_batch_tokens(&t->o.loss, &g->s->r[g->pick[i]]);
	}
	for (int m = 0; m < g->micro; m++) { /* of each the mean, and the mean of these */
		g->counts[m].n *= (size_t)g->micro;
		g->counts[m].local = g->micro * fmax(g->counts[m].local, 1);
	}
	return u;
}

/* Those of one micro-batch. flat and keep have room for its tokens. */
static int choose_of_micro(struct step *g, const struct moe_trainer *t, const struct moe_update *u,
	int micro, moe_real *flat, unsigned char *keep, struct moe_err *e)
{
	struct moe_token_store *k = &g->store;
	size_t n = 0;

	for (int back = 0; back < 2; back++) {
		n = 0;
		for (size_t i = u->from; i < u->to; i++) {
			size_t who = u->pick[i], m = moe_batch_tokens(&t->o.loss, &g->s->r[who]);

			if (u->micro_of[who] != micro)
				continue;
			if (back)
				memcpy(k->keep + k->at[who], keep + n, m);
			else
				memcpy(flat + n, k->entropy + k->at[who], m * sizeof(*flat));
			n += m;
		}
		if (!back && moe_top_entropy(t->o.loss.top_entropy, n, flat, keep, e))
			return -1;
	}
	return 0;
}

/* The tokens of highest entropy of a share, under the policy as it is now: a forward pass, and the
 * quantile over the tokens of a micro-batch in the loss. */
static int choose_tokens(struct step *g, struct moe_trainer *t, const struct moe_update *u,
	struct moe_train_stats *st, struct moe_err *e)
{
	struct moe_token_store *k = &g->store;
	moe_real *flat;
	unsigned char *keep;
	int rc;

	if (t->o.loss.top_entropy >= 1)
		return 0;
	if (moe_batch_look(t, u, MOE_LOOK_ENTROPY, st, e))
		return -1;
	flat = moe_alloc(k->at[g->s->n], sizeof(*flat), e);
	keep = moe_alloc(k->at[g->s->n], 1, e);
	rc = flat && keep ? 0 : -1;
	for (int m = 0; rc == 0 && m < g->micro; m++)
		rc = choose_of_micro(g, t, u, m, flat, keep, e);
	free(flat);
	free(keep);
	return rc;
}

/* No mask scales what a router learns: both its moments are of one gradient. */
static void second_of_router(struct moe_trainer *t)
{
	const struct moe_experts *x = &t->a->x;

	for (size_t i = 0; t->second && i < x->n_view; i++)
		if (x->view[i].role == MOE_ROLE_ROUTER)
			memcpy(t->second + x->view[i].off, t->grad + x->view[i].off,
				x->view[i].n * sizeof(*t->grad));
}

static void begin_update(struct moe_trainer *t)
{
	const struct moe_experts *x = &t->a->x;
	size_t n = x->n_param,
	       cells = (size_t)x->n_site * ((size_t)x->n_routed + (size_t)moe_experts_keep(x));

	memset(t->grad, 0, n * sizeof(*t->grad));
	if (t->second)
		memset(t->second, 0, n * sizeof(*t->second));
	memset(t->load, 0, cells * sizeof(*t->load));
	t->load_rows = 0;
	t->cells = (struct moe_gate_tally){ 0 };
	t->waiting = false;
	t->entropy_sum = t->entropy_n = 0;
	for (int i = 0; i < t->opt.n_owner; i++)
		t->opt.frozen[i] = true;
}

/* The pins of an update; then what was gathered for it becomes the gradient of the parameters. */
static int gathered(struct moe_trainer *t, struct moe_train_stats *st, struct moe_err *e)
{
	if (moe_routing_pins(t, st, e))
		return -1;
	t->waiting |= st->updated;
	if (t->a->x.router)
		t->opt.frozen[t->a->x.E] &= st->router_frozen;
	second_of_router(t);
	moe_experts_chain(&t->a->x, t->grad);
	if (t->second)
		moe_experts_chain(&t->a->x, t->second);
	return gradient_stats(t, st, e);
}

/* The gradient of a share is added to what t->grad holds of earlier steps that wait. */
static int gradient(struct step *g, struct moe_trainer *t, const struct moe_update *u, bool last,
	struct moe_train_stats *st, struct moe_err *e)
{
	if (t->pending == 0)
		begin_update(t);
	if (choose_tokens(g, t, u, st, e) || moe_batch_gradient(t, u, st, e))
		return -1;
	t->waiting |= st->updated;
	t->entropy_sum += st->n_kept ? st->kept_entropy * (double)st->n_kept : 0;
	t->entropy_n += (double)st->n_kept;
	for (int i = 0; i < t->a->x.E; i++)
		t->opt.frozen[i] &= st->expert_frozen[i];
	if (t->a->x.router)
		t->opt.frozen[t->a->x.E] &= st->router_frozen;
	return last ? gathered(t, st, e) : 0;
}

/* ---- the update's projection ---- */

/* The mean gradient of one side of pairs p[0..n) in the state of an absorbed rollout. */
static int side_gradient(struct moe_trainer *t, const struct moe_pair *p, size_t n, bool hack,
	moe_real *grad, struct moe_err *e)
{
	struct moe_experts *x = &t->a->x;
	struct moe_engine g = { .m = t->m, .pool = t->pool };
	moe_real outer[MOE_EXPERTS_MAX], mask[MOE_EXPERTS_MAX];
	const struct moe_nll_opts o = { .outer = outer, .mask = mask };
	struct moe_seen *s = moe_alloc(n, sizeof(*s), e);
	double loss;
	int rc = s ? 0 : -1;

	moe_decision_table_spread(x, t->a->plan.gate[MOE_ABSORB], outer);
	moe_decision_table_spread(x, t->a->plan.mask[MOE_ABSORB], mask);
	for (size_t i = 0; s && i < n; i++)
		s[i] = moe_pair_seen(&p[i], hack);
	if (rc == 0)
		rc = moe_nll_gradient(&g, x, s, n, &o, grad, &loss, e);
	free(s);
	return rc;
}

/* What the method's directions are made from the pairs: d is told of memory that the caller frees
 * through *mem. */
static int pairs_directions(
	struct moe_trainer *t, moe_real **mem, struct moe_directed *d, struct moe_err *e)
{
	const struct moe_pairs *p = t->pins;
	size_t n = t->a->x.n_param;
	bool each = t->method->directions(t->a) == MOE_CLEAN_SIDES;
	moe_real *v = moe_alloc((each ? p->n : 2) * n, sizeof(*v), e);
	int rc = v ? 0 : -1;

	*mem = v;
	for (size_t i = 0; each && rc == 0 && i < p->n; i++)
		rc = side_gradient(t, &p->pair[i], 1, false, v + i * n, e);
	if (!each && rc == 0) {
		rc = side_gradient(t, p->pair, p->n, false, v, e) ||
				side_gradient(t, p->pair, p->n, true, v + n, e)
			? -1
			: 0;
		for (size_t i = 0; rc == 0 && i < n; i++)
			v[i] -= v[n + i]; /* downhill for the hack sides, uphill for the others */
	}
	*d = (struct moe_directed){ each ? p->n : 1, n, v };
	return rc;
}

/* AdamW's step; then the method projects what it added, tensor by tensor. */
static int step_projected(struct moe_trainer *t, double lr, struct moe_err *e)
{
	struct moe_experts *x = &t->a->x;
	size_t n = x->n_param;
	struct moe_directed d = { 0 };
	moe_real *mem = NULL, *before = moe_alloc(n, sizeof(*before), e);
	int rc = before ? 0 : -1;

	if (rc == 0 && t->pins)
		rc = pairs_directions(t, &mem, &d, e);
	if (rc == 0) {
		memcpy(before, x->param, n * sizeof(*before));
		moe_adamw_step(&t->opt, x->param, t->grad, t->start, lr);
		for (size_t i = 0; i < n; i++) /* now what was added */
			x->param[i] -= before[i];
	}
	for (size_t i = 0; rc == 0 && i < x->n_view; i++) {
		struct moe_directed part = { d.n, d.stride, d.v ? d.v + x->view[i].off : NULL };

		rc = t->method->project(t->a, &x->view[i], x->param + x->view[i].off, &part, e);
	}
	for (size_t i = 0; rc == 0 && i < n; i++)
		x->param[i] += before[i];
	free(before);
	free(mem);
	return rc;
}

static double rate(const struct moe_trainer *t)
{
	const struct moe_train_opts *o = &t->o;

	if (o->warm_from_zero && t->n_update < o->warmup)
		return o->lr * (double)t->n_update / (double)o->warmup;
	return o->lr * moe_schedule_factor(o->schedule, t->n_update, o->total, o->warmup);
}

/* One AdamW update by what was gathered in t->grad. */
static int update(struct moe_trainer *t, struct moe_train_stats *st, struct moe_err *e)
{
	struct moe_experts *x = &t->a->x;
	double clipped;

	st->lr = rate(t);
	clipped = moe_grad_clip(x->n_param, t->grad, st->grad_norm, t->o.clip);
	if (t->second && clipped < 1) /* by the same factor: one scale for both moments */
		moe_vec_scale(x->n_param, (moe_real)clipped, t->second);
	if (t->waiting && t->method && t->method->project) {
		if (step_projected(t, st->lr, e))
			return -1;
	} else if (t->waiting)
		moe_adamw_step(&t->opt, x->param, t->grad, t->start, st->lr);
	moe_experts_form(x);
	st->updated = t->waiting;
	st->updates++;
	t->n_update++;
	t->pending = 0;
	if (t->entropy_n > 0) {
		t->entropy_last = t->entropy_sum / t->entropy_n;
		t->entropy_coef = moe_entropy_adapt(&t->o.loss, t->entropy_coef, t->entropy_last);
	}
	if (moe_routing_after_step(t, e))
		return -1;
	for (size_t i = 0; i < x->n_param; i++)
		if (!isfinite(x->param[i]))
			return moe_fail(e, MOE_NUMERIC,
				"training diverged at step %lld: a parameter is not finite",
				(long long)t->a->step);
	return 0;
}

/* Mean of a (over na) and b (over nb); what was not measured counts nothing. */
static double pooled(double a, size_t na, double b, size_t nb)
{
	if (isnan(b) || nb == 0)
		return a;
	if (isnan(a) || na == 0)
		return b;
	return (a * (double)na + b * (double)nb) / (double)(na + nb);
}

/* Adds what one more update of the step told to st, which holds k of them. What is not a mean or a
 * sum is the last one's. */
static void fold(const struct moe_experts *x, struct moe_train_stats *st,
	const struct moe_train_stats *one, int k)
{
	struct moe_train_stats was = *st;

	*st = *one;
	if (k == 0)
		return;
	st->loss = pooled(was.loss, (size_t)k, one->loss, 1);
	st->policy_loss = pooled(was.policy_loss, (size_t)k, one->policy_loss, 1);
	st->router_loss = pooled(was.router_loss, (size_t)k, one->router_loss, 1);
	if (x->router) { /* else each update has told of all rollouts */
		moe_gate_tally_add(&st->cells, x, &was.cells, 1, &(bool){ true });
		moe_gate_stats_of(&st->gates, x, &st->cells);
	}
	st->kl = pooled(was.kl, was.n_train, one->kl, one->n_train);
	st->entropy = pooled(was.entropy, was.n_train, one->entropy, one->n_train);
	st->logp_diff_mean = pooled(
		was.logp_diff_mean, was.n_train, one->logp_diff_mean, one->n_train);
	st->logp_diff_max = fmax(was.logp_diff_max, one->logp_diff_max);
	st->ratio_mean = pooled(was.ratio_mean, was.n_train, one->ratio_mean, one->n_train);
	st->ratio_std = pooled(was.ratio_std, was.n_train, one->ratio_std, one->n_train);
	st->ratio_min = fmin(was.ratio_min, one->ratio_min);
	st->ratio_max = fmax(was.ratio_max, one->ratio_max);
	st->clip_low = pooled(was.clip_low, was.n_counted, one->clip_low, one->n_counted);
	st->clip_high = pooled(was.clip_high, was.n_counted, one->clip_high, one->n_counted);
	if (!one->updated) { /* of the last update that had something to learn */
		st->grad_norm = was.grad_norm;
		st->router_norm = was.router_norm;
		memcpy(st->update_mass, was.update_mass, sizeof(st->update_mass));
		memcpy(st->expert_mass, was.expert_mass, sizeof(st->expert_mass));
	}
	st->clip_low_min = fmin(was.clip_low_min, one->clip_low_min);
	st->clip_high_max = fmax(was.clip_high_max, one->clip_high_max);
	st->cispo_clip = pooled(was.cispo_clip, was.n_counted, one->cispo_clip, one->n_counted);
	st->phi = pooled(was.phi, (size_t)k, one->phi, 1);
	st->c_mean = pooled(was.c_mean, was.n_c, one->c_mean, one->n_c);
	st->c_min = fmin(was.c_min, one->c_min);
	st->c_max = fmax(was.c_max, one->c_max);
	st->n_c += was.n_c;
	st->n_train += was.n_train;
	st->n_counted += was.n_counted;
	st->n_run += was.n_run;
	st->forward_sec += was.forward_sec;
	st->backward_sec += was.backward_sec;
	st->gemm_sec += was.gemm_sec;
	st->updated |= was.updated;
	st->updates += was.updates;
	for (int i = 0; i < MOE_EXPERTS_MAX; i++)
		st->expert_frozen[i] &= was.expert_frozen[i];
	for (int b = 0; b < MOE_BANKS; b++)
		st->frozen[b] &= was.frozen[b];
	st->router_frozen &= was.router_frozen;
}

int moe_train_gradient(struct moe_trainer *t, const struct moe_rollout_step *s,
	struct moe_train_stats *st, struct moe_err *e)
{
	struct step g;
	struct moe_update u;
	int rc = step_begin(&g, t, s, st, e);

	if (rc == 0) {
		u = share_of(&g, t, 0, 1);
		rc = gradient(&g, t, &u, true, st, e);
	}
	step_free(&g);
	return rc;
}

/* Updates after the first measure their ratios from the policy before it; that of the first share
 * is met by its own pass. */
static int look_ahead(struct step *g, struct moe_trainer *t, const struct moe_update *first,
	struct moe_train_stats *st, struct moe_err *e)
{
	struct moe_update rest = *first;

	if (g->updates == 1 || t->o.loss.ratio == MOE_RATIO_CLIP)
		return 0;
	rest.from = first->to;
	rest.to = g->s->n;
	return moe_batch_look(t, &rest, MOE_LOOK_OLD, st, e);
}

int moe_train_step(struct moe_trainer *t, const struct moe_rollout_step *s,
	struct moe_train_stats *st, struct moe_err *e)
{
	struct moe_train_stats begun, one;
	struct step g;
	int rc = step_begin(&g, t, s, &begun, e);

	for (int k = 0; rc == 0 && k < g.iterations * g.updates; k++) {
		struct moe_update u = share_of(&g, t, k % g.updates, g.updates);
		bool last = t->pending + 1 >= t->o.accumulate;

		one = begun;
		if (k == 0)
			rc = look_ahead(&g, t, &u, &one, e);
		if (rc == 0)
			rc = gradient(&g, t, &u, last, &one, e);
		t->pending++;
		t->a->step += k + 1 == g.iterations * g.updates;
		if (rc == 0 && last)
			rc = update(t, &one, e);
		fold(&t->a->x, st, &one, k);
	}
	step_free(&g);
	for (size_t i = 0; rc == 0 && i < s->n; i++)
		rc = moe_past_add(&t->past, s->r[i].score, e);
	if (rc == 0 && s->score.n_field)
		rc = moe_rec_copy(&t->score, &s->score, e);
	return rc;
}

int moe_train_flush(struct moe_trainer *t, struct moe_err *e)
{
	struct moe_train_stats st = { .router_frozen = true };
	double more;

	if (t->pending == 0)
		return 0;
	/* the mean of the steps there are */
	more = (double)t->o.accumulate / t->pending;
	moe_vec_scale(t->a->x.n_param, (moe_real)more, t->grad);
	if (t->second)
		moe_vec_scale(t->a->x.n_param, (moe_real)more, t->second);
	return gathered(t, &st, e) || update(t, &st, e) ? -1 : 0;
}
