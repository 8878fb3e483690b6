/* per_rollout.c - pooled states to gates per rollout and back. The passes of the experts are
 * batch.c's. */
#include "rl/per_rollout.h"

#include "moe/features.h"

#include <stdlib.h>
#include <string.h>

/* out [n, d]: the mean over a completion's tokens of the base's states; 0 where it has none. */
static int pool_states(const struct moe_trainer *t, const struct moe_seen *seen, size_t n,
	moe_real *out, struct moe_err *e)
{
	struct moe_engine g = { .m = t->m, .pool = t->pool };
	size_t d = (size_t)moe_features_dim(&t->m->config);
	float *x = moe_alloc(n * d, sizeof(*x), e);
	int rc = x ? moe_features_pooled(&g, seen, n, x, e) : -1;

	for (size_t i = 0; rc == 0 && i < n * d; i++)
		out[i] = (moe_real)x[i];
	free(x);
	return rc;
}

/* Rollouts take the place of tokens: one site, a row each, and no pass in between. */
int moe_per_rollout_make(struct moe_per_rollout *p, const struct moe_trainer *t,
	const struct moe_seen *seen, size_t n, struct moe_err *e)
{
	const struct moe_experts *x = &t->a->x;
	size_t E = (size_t)x->E, R = (size_t)x->n_routed, sz = sizeof(moe_real);
	struct moe_site_gates *q = &p->q;

	memset(p, 0, sizeof(*p));
	*q = (struct moe_site_gates){ .S = 1, .T = (int)n, .E = x->E, .n = x->n_routed };
	q->keep = moe_experts_keep(x);
	q->logit = moe_arena_get(&p->arena, n * R, sz, e);
	q->r = moe_arena_get(&p->arena, n * R, sz, e);
	q->kept = moe_arena_get(&p->arena, n * (size_t)q->keep + 1, sz, e);
	q->gate = moe_arena_get(&p->arena, n * E, sz, e);
	p->x = moe_arena_get(&p->arena, n * (size_t)x->site[0].d, sz, e);
	p->outer = moe_arena_get(&p->arena, n * E, sz, e);
	p->mask = moe_arena_get(&p->arena, n * E, sz, e);
	p->dgate = moe_arena_get(&p->arena, n * E, sz, e);
	if (!q->logit || !q->r || !q->kept || !q->gate || !p->x || !p->outer || !p->mask ||
		!p->dgate || pool_states(t, seen, n, p->x, e)) {
		moe_per_rollout_free(p);
		return -1;
	}
	for (size_t i = 0; i < n * E; i++)
		p->outer[i] = p->mask[i] = 1;
	memset(p->dgate, 0, n * E * sz);
	p->n = (int)n;
	return 0;
}

void moe_per_rollout_gates(struct moe_per_rollout *p, const struct moe_trainer *t)
{
	struct moe_gates g = { .outer = p->outer };
	struct moe_seeds none = { 0 };
	size_t E = (size_t)t->a->x.E;

	/* gate [n, E] from the pooled states [n, d]; then, gates being known, the method's masks */
	moe_site_fwd(&t->a->x, &g, 0, p->x, t->a->x.site[0].d, &p->q);
	for (int i = 0; i < p->n && t->method->mask; i++) {
		struct moe_gate_rows r = moe_routing_rows(&p->q, &none, &(int32_t){ i }, 1);
		double mask[MOE_EXPERTS_MAX];

		for (size_t k = 0; k < E; k++)
			mask[k] = (double)p->mask[(size_t)i * E + k];
		t->method->mask(t->a, &r, mask);
		for (size_t k = 0; k < E; k++)
			p->mask[(size_t)i * E + k] = (moe_real)mask[k];
	}
}

int moe_per_rollout_bwd(struct moe_per_rollout *p, struct moe_trainer *t, struct moe_err *e)
{
	struct moe_gates g = { .outer = p->outer };
	moe_real *work = moe_alloc(2 * (size_t)p->n * (size_t)t->a->x.n_routed, sizeof(*work), e);

	if (!work)
		return -1;
	/* dgate [n, E], which the passes of the rollouts have summed up, to the router's tensors.
	 * The states are the frozen base's: no gradient goes on to them */
	moe_site_bwd(
		&t->a->x, &g, 0, p->x, t->a->x.site[0].d, &p->q, p->dgate, t->grad, NULL, 0, work);
	free(work);
	return 0;
}

void moe_per_rollout_free(struct moe_per_rollout *p)
{
	moe_arena_free(&p->arena);
	memset(p, 0, sizeof(*p));
}

int moe_per_rollout_pins(struct moe_trainer *t, const struct moe_pair *const *pair, size_t n_pair,
	double weight, double *loss, struct moe_err *e)
{
	struct moe_seen *seen = moe_alloc(2 * n_pair, sizeof(*seen), e);
	struct moe_per_rollout p = { 0 };
	struct moe_seeds d = { 0 };
	struct moe_gates g = { 0 };
	moe_real *work = moe_alloc(4 * n_pair * (size_t)t->a->x.n_routed, sizeof(*work), e);
	int rc = seen && work ? 0 : -1;

	/* rows 2 i and 2 i + 1: the hack side and the clean side of pair i */
	for (size_t i = 0; rc == 0 && i < 2 * n_pair; i++)
		seen[i] = moe_pair_seen(pair[i / 2], i % 2 == 0);
	if (rc == 0)
		rc = moe_per_rollout_make(&p, t, seen, 2 * n_pair, e) ||
				moe_seeds_make(&d, &t->a->x, 1, (int)(2 * n_pair), e)
			? -1
			: 0;
	if (rc == 0) {
		moe_site_fwd(&t->a->x, &g, 0, p.x, t->a->x.site[0].d, &p.q);
		for (size_t i = 0; i < 2 * n_pair; i++) {
			struct moe_gate_rows r = moe_routing_rows(
				&p.q, &d, &(int32_t){ (int32_t)i }, 1);

			loss[i] = t->method->pin_loss(t->a, &r, i % 2 == 0, weight);
		}
		/* the pins seed gates and logits; experts are not in this pass at all */
		g.dgate = d.dgate;
		g.dlogit = d.dlogit;
		moe_site_bwd(&t->a->x, &g, 0, p.x, t->a->x.site[0].d, &p.q, p.dgate, t->grad, NULL,
			0, work);
	}
	moe_seeds_free(&d);
	moe_per_rollout_free(&p);
	free(seen);
	free(work);
	return rc;
}
