/* train.c - the order of a training step; what a batch costs and gives is batch.c, what a token
 * loses is loss.c. */
#include "rl/train.h"

#include "model/regions.h"
#include "moe/method.h"
#include "rl/batch.h"
#include "rl/routing.h"
#include "util/mem.h"

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
	t->first_step = a->step;
	t->method = moe_method_find(a->method, &(struct moe_err){ 0 });
	t->load = moe_alloc(
		(size_t)a->x.n_site * ((size_t)a->x.n_routed + (size_t)moe_experts_keep(&a->x)),
		sizeof(*t->load), e);
	if (!t->grad || !t->part || !t->acts || !t->load || init_optimiser(t, e))
		goto fail;
	if (o->decay > 0) {
		if (!(t->start = moe_alloc(n, sizeof(*t->start), e)))
			goto fail;
		memcpy(t->start, a->x.param, n * sizeof(*t->start));
	}
	for (int i = 0; i < threads; i++) {
		t->part[i] = moe_alloc(n, sizeof(**t->part), e);
		if (!t->part[i])
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
	}
	free(t->acts);
	free(t->part);
	free(t->grad);
	free(t->start);
	free(t->load);
	moe_adamw_free(&t->opt);
	*t = (struct moe_trainer){ 0 };
}

/* ---- what can be told before any pass ---- */

static void lengths(const struct moe_rollout_step *s, struct moe_train_stats *st)
{
	st->len_min = INFINITY;
	for (size_t i = 0; i < s->n; i++) {
		double k = s->r[i].n_completion;

		st->n_tok += (size_t)s->r[i].n_completion;
		st->len_min = fmin(st->len_min, k);
		st->len_max = fmax(st->len_max, k);
		st->clipped_len += !s->r[i].stopped;
		st->share[s->r[i].decision] += 1;
		st->any_decision |= s->r[i].routed;
	}
	st->len_mean = (double)st->n_tok / (double)s->n;
	st->clipped_len /= (double)s->n;
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
	if (y && row && use)
		moe_gate_stats_of(&st->gates, x, y, s->n, use);
	free(row);
	free(use);
	free(y);
	return st->gates.E ? 0 : -1;
}

static int advantages(const struct moe_trainer *t, const struct moe_rollout_step *s, double *adv,
	bool *dead, struct moe_train_stats *st, struct moe_err *e)
{
	double *reward = moe_alloc(s->n, sizeof(*reward), e);
	int64_t *group = moe_alloc(s->n, sizeof(*group), e);
	bool *keep = moe_alloc(s->n, sizeof(*keep), e);
	int rc = -1;

	if (reward && group && keep) {
		for (size_t i = 0; i < s->n; i++) {
			reward[i] = s->r[i].reward;
			group[i] = s->r[i].group;
			keep[i] = s->r[i].decision == MOE_KEEP;
		}
		rc = moe_advantages(s->n, reward, group, keep, &t->o.adv, adv, dead, &st->adv, e);
	}
	free(reward);
	free(group);
	free(keep);
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

int moe_train_gradient(struct moe_trainer *t, const struct moe_rollout_step *s,
	struct moe_train_stats *st, struct moe_err *e)
{
	double *adv = moe_alloc(s->n, sizeof(*adv), e);
	bool *dead = moe_alloc(s->n, sizeof(*dead), e);
	int rc = -1;

	*st = (struct moe_train_stats){ 0 };
	memset(t->grad, 0, t->a->x.n_param * sizeof(*t->grad));
	if (adv && dead && s->n) {
		lengths(s, st);
		if (t->o.max_completion == 0)
			t->o.max_completion = st->len_max > 0 ? (size_t)st->len_max : 1;
		rc = presence(t, s, st, e) || advantages(t, s, adv, dead, st, e) ? -1 : 0;
	}
	if (rc == 0)
		rc = moe_batch_gradient(t, s, adv, dead, st, e) || moe_routing_pins(t, st, e) ? -1
											      : 0;
	if (rc == 0)
		rc = gradient_stats(t, st, e);
	free(adv);
	free(dead);
	return rc;
}

int moe_train_step(struct moe_trainer *t, const struct moe_rollout_step *s,
	struct moe_train_stats *st, struct moe_err *e)
{
	struct moe_experts *x = &t->a->x;

	if (moe_train_gradient(t, s, st, e))
		return -1;
	for (int i = 0; i < x->E; i++)
		t->opt.frozen[i] = st->expert_frozen[i];
	if (x->router)
		t->opt.frozen[x->E] = st->router_frozen;
	st->lr = t->o.lr *
		moe_schedule_factor(MOE_CONSTANT, (uint64_t)(t->a->step - t->first_step), 0,
			(uint64_t)t->o.warmup);
	moe_grad_clip(x->n_param, t->grad, st->grad_norm, t->o.clip);
	if (st->updated)
		moe_adamw_step(&t->opt, x->param, t->grad, t->start, st->lr);
	t->a->step++;
	if (moe_routing_after_step(t, st, e))
		return -1;
	for (size_t i = 0; i < x->n_param; i++)
		if (!isfinite(x->param[i]))
			return moe_fail(e, MOE_NUMERIC,
				"training diverged at step %lld: a parameter is not finite",
				(long long)t->a->step);
	return 0;
}
