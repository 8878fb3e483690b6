/* batch.c - packs rollouts, runs the engine over them and turns token losses into gradients. What a
 * router adds is routing.c's and per_rollout.c's. */
#include "rl/batch.h"

#include "moe/pack.h"
#include "rl/fold.h"
#include "rl/order.h"
#include "rl/per_rollout.h"
#include "rl/tally.h"
#include "util/mem.h"
#include "util/ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK_TOK 1024 /* tokens of one packed pass */

struct job {
	struct moe_trainer *t;
	const struct moe_update *u;
	const struct moe_rollout_step *s;
	bool look; /* a forward pass alone, of `what` */
	enum moe_look what;
	bool everything;              /* all rollouts with tokens in the loss run */
	double bonus;                 /* entropy's coefficient in this update, 0 = none */
	double *n_kept;               /* [micro] tokens that the policy's part keeps */
	size_t *order;                /* [n] rollouts that train, by group and state */
	struct moe_seq *seq;          /* [n] in that order */
	struct moe_tally *tally;      /* [n] in that order */
	struct moe_gate_tally *gates; /* [n] in that order */
	double *load;                 /* [n, S, n_routed] sums of the router's gates, */
	double *kept;                 /* [n, S, keep] and of what it kept */
	struct moe_routing r;
	struct moe_per_rollout per; /* [n] in that order, when the router is such a one */
	size_t *cut;
	size_t n;
	double *sec; /* [threads * 2] forward, backward */
	size_t *run; /* [threads] tokens run */
};

static double now_sec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* Outer gates and masks of rollout i of the order: its decision's, or its own. [E] each. */
static void rollout_gates(const struct job *j, size_t i, moe_real *outer, moe_real *mask)
{
	const struct moe_experts *x = &j->t->a->x;
	size_t E = (size_t)x->E;

	if (j->per.n) {
		memcpy(outer, j->per.q.gate + i * E, E * sizeof(*outer));
		memcpy(mask, j->per.mask + i * E, E * sizeof(*mask));
		return;
	}
	for (size_t b = 0; b < E; b++) {
		const struct moe_rollout *r = &j->s->r[j->order[i]];

		outer[b] = (moe_real)moe_batch_gate(&j->t->a->plan, r, (int)x->bank[b]);
		mask[b] = (moe_real)moe_batch_mask(&j->t->a->plan, r, (int)x->bank[b]);
	}
}

/* Copies v [E] to the rows of a segment of to [T, E]. */
static void fill_rows(const struct moe_seg *seg, const moe_real *v, size_t E, moe_real *to)
{
	for (int row = seg->start; row < seg->start + seg->len; row++)
		memcpy(to + (size_t)row * E, v, E * sizeof(*v));
}

/* Everything that one task needs beside the engine's own memory. */
struct scratch {
	struct moe_packed p;
	moe_real *gate, *mask, *douter; /* [T, E] */
	moe_real *whole;                /* [T, E] the masks without any routing, or NULL */
	moe_real *learn;                /* [T] 0 where rewards do not teach the router */
	unsigned char *routed;          /* [T] */
	struct moe_seeds seeds;
	int32_t *scope;                                              /* [T] */
	int32_t *row, *target;                                       /* [n_tok] */
	moe_real *logp, *ref, *entropy, *dlogp, *dentropy, *sampled; /* [n_tok] */
	moe_real *dkl;           /* [n_tok] the share of dlogp that beta has */
	double *d_policy, *d_kl; /* [n_tok] both before the rollout's weight */
	int n_tok;
};

static void scratch_free(struct scratch *c)
{
	moe_packed_free(&c->p);
	moe_seeds_free(&c->seeds);
	free(c->gate);
	free(c->whole);
	free(c->learn);
	free(c->routed);
	free(c->scope);
	free(c->row);
	free(c->logp);
	free(c->d_policy);
}

/* Outer gates and masks of the packed rollouts a..b, in rows [T, E] each, and which rows the router
 * is kept out of. */
static void fill_gates(
	const struct job *j, size_t a, size_t b, const struct moe_packed *p, struct scratch *c)
{
	size_t E = (size_t)j->t->a->x.E;
	moe_real *gate = c->gate, *mask = c->mask, *learn = c->learn;
	unsigned char *routed = c->routed;
	moe_real g[MOE_EXPERTS_MAX], m[MOE_EXPERTS_MAX];

	memset(routed, 1, (size_t)p->T);
	for (int t = 0; t < p->T; t++)
		c->scope[t] = -1;
	for (size_t i = a; i < b; i++) {
		/* the prompt's segment (-1: none), then the rollout's own */
		int which[2] = { p->parent[i - a], p->own[i - a] };
		const struct moe_seg *own = &p->seg[which[1]];
		moe_real learns = !j->r.detach &&
			(!j->r.label_detaches || j->s->r[j->order[i]].decision == MOE_ABSORB);

		rollout_gates(j, i, g, m);
		for (int t = j->r.prompt_on; t < own->len; t++)
			c->scope[own->start + t] = (int32_t)(i - a); /* they compete */
		for (int k = 0; k < 2; k++) {
			/* a prompt that is shared is filled once: its rollouts have equal gates and
			 * masks, or they would not share it (pack.h, state) */
			if (which[k] < 0 || (k == 0 && i > a && which[0] == p->parent[i - a - 1]))
				continue;
			fill_rows(&p->seg[which[k]], g, E, gate);
			fill_rows(&p->seg[which[k]], m, E, mask);
			for (int t = 0; t < p->seg[which[k]].len; t++)
				learn[p->seg[which[k]].start + t] = learns;
			if (j->r.prompt_on) /* of its own rows the decision row alone */
				memset(routed + p->seg[which[k]].start, 0,
					k ? 1 : (size_t)p->seg[which[k]].len);
		}
	}
}

/* What no routing scales: the pull of the KL toward the base, and the second moments where they are
 * split. 1 but for experts that the plan never trains. */
static int fill_whole(const struct job *j, struct scratch *c, struct moe_err *e)
{
	const struct moe_trainer *t = j->t;
	const struct moe_experts *x = &t->a->x;
	size_t E = (size_t)x->E, n = (size_t)c->p.T * E;

	if (t->o.loss.beta <= 0 && !t->o.split_moments)
		return 0;
	if (!(c->whole = moe_alloc(n, sizeof(*c->whole), e)))
		return -1;
	for (size_t i = 0; i < n; i++)
		c->whole[i] = moe_decision_table_trains(&t->a->plan, (int)x->bank[i % E]);
	return 0;
}

static int scratch_make(
	struct scratch *c, const struct job *j, size_t a, size_t b, struct moe_err *e)
{
	size_t E = (size_t)j->t->a->x.E, tok = 0, k = 0;

	if (moe_pack(j->seq + a, b - a, &c->p, e))
		return -1;
	for (size_t i = a; i < b; i++)
		tok += (size_t)j->s->r[j->order[i]].n_completion;
	c->gate = moe_alloc((size_t)c->p.T * 3 * E, sizeof(*c->gate), e);
	c->learn = moe_alloc((size_t)c->p.T, sizeof(*c->learn), e);
	c->routed = moe_alloc((size_t)c->p.T, 1, e);
	c->scope = moe_alloc((size_t)c->p.T, sizeof(*c->scope), e);
	c->row = moe_alloc(2 * tok, sizeof(*c->row), e);
	c->logp = moe_alloc(7 * tok, sizeof(*c->logp), e);
	c->d_policy = moe_alloc(2 * tok, sizeof(*c->d_policy), e);
	if (!c->gate || !c->learn || !c->routed || !c->scope || !c->row || !c->logp || !c->d_policy)
		return -1;
	c->mask = c->gate + (size_t)c->p.T * E;
	c->douter = c->mask + (size_t)c->p.T * E;
	c->target = c->row + tok;
	c->ref = c->logp + tok;
	c->entropy = c->logp + 2 * tok;
	c->dlogp = c->logp + 3 * tok;
	c->dentropy = c->logp + 4 * tok;
	c->sampled = c->logp + 5 * tok;
	c->dkl = c->logp + 6 * tok;
	c->d_kl = c->d_policy + tok;
	fill_gates(j, a, b, &c->p, c);
	if (fill_whole(j, c, e))
		return -1;
	if (j->r.pass && moe_seeds_make(&c->seeds, &j->t->a->x, j->t->a->x.S, c->p.T, e))
		return -1;
	for (size_t i = 0; i < b - a; i++) {
		const struct moe_rollout *r = &j->s->r[j->order[a + i]];

		/* the last prompt token, the decision row, is the first of the rollout's own */
		for (int t = 0; t < r->n_completion; t++, k++) {
			c->row[k] = c->p.seg[c->p.own[i]].start + t;
			c->target[k] = r->completion[t];
			c->sampled[k] = (moe_real)r->logp[t];
		}
	}
	c->n_tok = (int)tok;
	return 0;
}

static int diverged(const struct moe_trainer *t, struct moe_err *e)
{
	return moe_fail(e, MOE_NUMERIC,
		"training diverged at step %lld: a log-probability is not finite",
		(long long)t->a->step);
}

/* What is kept of a rollout whose tokens lie at k: measured before the first update. */
static void keep_old(struct job *j, size_t who, const moe_real *logp)
{
	struct moe_token_store *store = j->u->store;

	if (!store || store->has[who])
		return;
	memcpy(store->old + store->at[who], logp,
		(size_t)j->s->r[who].n_completion * sizeof(*logp));
	store->has[who] = true;
}

/* The loss loses the bonus times the mean entropy of the tokens that a micro-batch keeps. */
static double bonus_per_token(const struct job *j, int micro)
{
	return j->u->share * j->bonus / (j->u->micro * fmax(j->n_kept[micro], 1));
}

/* Losses and their derivatives of the tokens of rollout i of the order, which lie at k. */
static int rollout_losses(struct job *j, size_t i, struct scratch *c, size_t k, struct moe_err *e)
{
	const struct moe_train_opts *o = &j->t->o;
	const struct moe_token_store *store = j->u->store;
	size_t who = j->order[i];
	const struct moe_rollout *r = &j->s->r[who];
	struct moe_loss_in in = { .n = (size_t)r->n_completion,
		.adv = j->u->adv[who],
		.logp = c->logp + k,
		.sampled = c->sampled + k,
		.ref = c->ref + k };
	struct moe_loss_out out = { .dpolicy = c->d_policy + k, .dkl = c->d_kl + k };
	struct moe_tally *y = &j->tally[i];
	int micro = j->u->micro_of[who];
	double w = j->u->share * moe_loss_weight(&o->loss, &j->u->counts[micro], in.n),
	       per_kept = bonus_per_token(j, micro);

	for (size_t t = 0; t < in.n; t++)
		if (!isfinite(in.logp[t]))
			return diverged(j->t, e);
	/* old: the sampler's log-probabilities, or what the policy had before its first update */
	if (o->loss.ratio == MOE_RATIO_CLIP)
		in.old = in.sampled;
	else if (store && store->has[who])
		in.old = store->old + store->at[who];
	if (store && store->keep && o->loss.top_entropy < 1)
		in.keep = store->keep + store->at[who];
	moe_rollout_loss(&o->loss, &in, &out);
	for (size_t t = 0; t < in.n; t++) {
		bool kept = !in.keep || in.keep[t];

		c->dlogp[k + t] = (moe_real)(w * (out.dpolicy[t] + out.dkl[t]));
		c->dkl[k + t] = (moe_real)(w * out.dkl[t]);
		c->dentropy[k + t] = (moe_real)(kept ? -per_kept : 0);
	}
	y->loss = w * (out.policy + o->loss.beta * out.kl);
	moe_tally_loss(y, &out);
	moe_tally_measure(y, &in, c->entropy + k);
	if (j->u->keep_old)
		keep_old(j, who, in.logp);
	return 0;
}

static int token_losses(struct job *j, size_t a, size_t b, struct scratch *c, struct moe_err *e)
{
	size_t k = 0;

	for (size_t i = a; i < b; i++) {
		if (rollout_losses(j, i, c, k, e))
			return -1;
		k += (size_t)j->s->r[j->order[i]].n_completion;
	}
	return 0;
}

/* A look: what the forward pass gave, put where it is wanted. */
static int take_look(struct job *j, size_t a, size_t b, const struct scratch *c, struct moe_err *e)
{
	size_t k = 0;

	for (size_t i = a; i < b; i++) {
		size_t who = j->order[i], n = (size_t)j->s->r[who].n_completion;

		for (size_t t = 0; t < n; t++)
			if (!isfinite(c->logp[k + t]))
				return diverged(j->t, e);
		if (j->what == MOE_LOOK_OLD)
			keep_old(j, who, c->logp + k);
		else
			memcpy(j->u->store->entropy + j->u->store->at[who], c->entropy + k,
				n * sizeof(*c->entropy));
		k += n;
	}
	return 0;
}

/* The method's losses and mask on one rollout, whose rows at which the router decides are row [n].
 */
static void route_rollout(struct job *j, size_t i, const struct moe_packed *p, size_t at,
	const struct moe_acts *acts, const int32_t *row, int n, struct scratch *c)
{
	const struct moe_trainer *t = j->t;
	size_t E = (size_t)t->a->x.E, S = (size_t)t->a->x.S;
	const struct moe_site_gates *q = &acts->gates;
	struct moe_gate_rows r = moe_routing_rows(q, &c->seeds, row, n);
	double mask[MOE_EXPERTS_MAX];
	moe_real m[MOE_EXPERTS_MAX];

	j->tally[i].n_decided = (size_t)n;
	r.decision = (int)j->s->r[j->order[i]].decision;
	if (j->r.has_losses && n > 0)
		j->tally[i].router = t->method->losses(
			t->a, &r, j->u->share / (double)(j->u->to - j->u->from));
	for (size_t s = 0; s < S; s++) {
		moe_tally_rows(q->r, (size_t)q->n, s * (size_t)q->T, row, n,
			j->load + (i * S + s) * (size_t)q->n);
		moe_tally_rows(q->kept, (size_t)q->keep, s * (size_t)q->T, row, n,
			j->kept + (i * S + s) * (size_t)q->keep);
	}
	if (!j->r.mask_differs || n == 0)
		return;
	for (size_t k = 0; k < E; k++)
		mask[k] = (double)c->mask[(size_t)row[0] * E + k];
	t->method->mask(t->a, &r, mask);
	for (size_t k = 0; k < E; k++)
		m[k] = (moe_real)mask[k];
	/* a prompt is this rollout's own where masks differ (state_of) */
	if (p->parent[at] >= 0)
		fill_rows(&p->seg[p->parent[at]], m, E, c->mask);
	fill_rows(&p->seg[p->own[at]], m, E, c->mask);
}

/* Between forward and backward: each rollout's gates to its method, and counted. */
static void route_all(
	struct job *j, size_t a, size_t b, const struct moe_acts *acts, struct scratch *c)
{
	const struct moe_experts *x = &j->t->a->x;
	const struct moe_site_gates *q = &acts->gates;
	int S = j->r.pass ? q->S : 1, at = 0;

	for (size_t i = a; i < b; i++) {
		int n = j->s->r[j->order[i]].n_completion, out = 0;
		const int32_t *row = c->row + at;
		const moe_real *gate = j->r.pass ? q->gate : c->gate;

		while (out < n && !c->routed[row[out]])
			out++; /* the decision row comes first */
		if (j->r.pass)
			route_rollout(j, i, &c->p, i - a, acts, row + out, n - out, c);
		for (int k = 0; j->per.n && k < n; k++) /* one gate for the whole rollout */
			moe_gate_tally_rows(&j->gates[i], x, 1, j->per.n, j->per.q.gate,
				j->per.q.logit, &(int32_t){ (int32_t)i }, 1);
		if (!j->per.n)
			moe_gate_tally_rows(&j->gates[i], x, S, c->p.T, gate,
				j->r.pass ? q->logit : NULL, row, n);
		for (int k = 0; k < 2; k++) {
			int seg = k ? c->p.own[i - a] : c->p.parent[i - a];

			if (seg >= 0)
				moe_gate_tally_trained(&j->gates[i], x, S, c->p.T, gate, c->mask,
					c->p.seg[seg].start, c->p.seg[seg].len);
			if (seg >= 0 && j->t->o.loss.beta > 0)
				moe_gate_tally_trained(&j->gates[i], x, S, c->p.T, gate, c->whole,
					c->p.seg[seg].start, c->p.seg[seg].len);
		}
		at += n;
	}
}

/* Sums the gradient of a rollout's own gates over its rows: for a router that decides per rollout.
 */
static void gather_douter(struct job *j, size_t a, size_t b, const struct scratch *c)
{
	size_t E = (size_t)j->t->a->x.E;

	for (size_t i = a; i < b; i++)
		for (int k = 0; k < 2; k++) {
			int s = k ? c->p.own[i - a] : c->p.parent[i - a];

			for (int t = s < 0 ? 0 : c->p.seg[s].start;
				s >= 0 && t < c->p.seg[s].start + c->p.seg[s].len; t++)
				for (size_t q = 0; q < E; q++)
					j->per.dgate[i * E + q] += c->douter[(size_t)t * E + q];
		}
}

/* The experts' forward pass and its log-probabilities; before it that of the base alone, with a
 * KL. */
static int forward(struct job *j, const struct moe_batch *batch, const struct moe_gates *g,
	struct moe_acts *acts, struct scratch *c, struct moe_err *e)
{
	const struct moe_trainer *t = j->t;
	double temp = j->s->r[0].temperature;

	acts->keep = false;
	acts->idle_parents = !j->r.on; /* only a rollout's own rows predict something */
	if (t->o.loss.beta > 0 && !j->look &&
		(moe_forward(t->m, NULL, NULL, batch, acts, e) ||
			moe_head_logp(t->m, batch, acts, c->n_tok, c->row, c->target, temp, c->ref,
				NULL, e)))
		return -1;
	acts->keep = !j->look;
	return moe_forward(t->m, &t->a->x, g, batch, acts, e) ||
			moe_head_logp(t->m, batch, acts, c->n_tok, c->row, c->target, temp, c->logp,
				c->entropy, e)
		? -1
		: 0;
}

/* Gradients of the chunk whose forward pass was just made, into part[worker] (and part2[worker]
 * where moments are split).
 *
 * Routing masks are of the reward and of the entropy's bonus. With beta, the KL's gradient goes
 * back by itself where they are not all 1, past them: a routed rollout would else pull its
 * quarantine toward the base, and no clean expert (methods.md section 12). */
static int backward(const struct job *j, int worker, struct scratch *c, const struct moe_batch *b,
	struct moe_gates *g, struct moe_err *e)
{
	struct moe_trainer *t = j->t;
	struct moe_acts *acts = &t->acts[worker];
	size_t n = t->a->x.n_param, cells = (size_t)c->p.T * (size_t)t->a->x.E;
	bool apart = t->o.loss.beta > 0 && memcmp(c->mask, c->whole, cells * sizeof(*c->mask)) != 0;
	const moe_real *bonus = j->bonus != 0 ? c->dentropy : NULL;
	double temp = j->s->r[0].temperature;
	int rc;

	g->detach = t->o.detach;
	memset(t->part[worker], 0, n * sizeof(**t->part));
	for (int k = 0; apart && k < c->n_tok; k++)
		c->dlogp[k] -= c->dkl[k];
	acts->dentropy = bonus;
	rc = moe_backward(t->m, &t->a->x, g, b, acts, c->n_tok, c->row, c->target, temp, c->dlogp,
		t->part[worker], NULL, e);
	acts->dentropy = NULL;
	g->dgate = g->dlogit = NULL; /* the seeds have had their pass */
	g->mask = c->whole;
	g->detach = false;
	if (rc == 0 && apart)
		rc = moe_backward(t->m, &t->a->x, g, b, acts, c->n_tok, c->row, c->target, temp,
			c->dkl, t->part[worker], NULL, e);
	if (rc || !t->o.split_moments)
		return rc;
	g->douter = NULL;
	memset(t->part2[worker], 0, n * sizeof(**t->part2));
	for (int k = 0; apart && k < c->n_tok; k++)
		c->dlogp[k] += c->dkl[k];
	acts->dentropy = bonus;
	rc = moe_backward(t->m, &t->a->x, g, b, acts, c->n_tok, c->row, c->target, temp, c->dlogp,
		t->part2[worker], NULL, e);
	acts->dentropy = NULL;
	return rc;
}

static int passes(
	struct job *j, size_t a, size_t b, int worker, struct scratch *c, struct moe_err *e)
{
	struct moe_trainer *t = j->t;
	struct moe_acts *acts = &t->acts[worker];
	struct moe_batch batch = { c->p.T, c->p.ids, c->p.n_seg, c->p.seg };
	struct moe_gates g = {
		.outer = c->gate, .mask = c->mask, .routed = c->routed, .scope = c->scope
	};
	double at = now_sec();
	bool per;
	int rc = forward(j, &batch, &g, acts, c, e);

	if (rc == 0)
		rc = j->look ? take_look(j, a, b, c, e) : token_losses(j, a, b, c, e);
	if (rc == 0 && !j->look)
		route_all(j, a, b, acts, c);
	g.dgate = c->seeds.dgate;
	g.dlogit = c->seeds.dlogit;
	g.learn = j->r.detach || j->r.label_detaches ? c->learn : NULL;
	g.douter = j->per.n && !j->r.detach ? c->douter : NULL;
	j->sec[2 * worker] += now_sec() - at;
	at = now_sec();
	per = g.douter != NULL;
	if (rc == 0 && !j->look)
		rc = backward(j, worker, c, &batch, &g, e);
	if (rc == 0 && !j->look && per)
		gather_douter(j, a, b, c);
	j->sec[2 * worker + 1] += now_sec() - at;
	j->run[worker] += (size_t)c->p.T;
	return rc;
}

static int task(void *ctx, size_t k, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	struct scratch c = { 0 };
	int rc = scratch_make(&c, j, j->cut[k], j->cut[k + 1], e);

	if (rc == 0)
		rc = passes(j, j->cut[k], j->cut[k + 1], worker, &c, e);
	scratch_free(&c);
	return rc;
}

/* What a task kept of its rollouts' tokens, to the other ranks. */
static void stored_pieces(struct job *j, size_t i, int from)
{
	struct moe_token_store *k = j->u->store;
	size_t who = j->order[i], n = (size_t)j->s->r[who].n_completion;

	if (j->look && j->what == MOE_LOOK_ENTROPY)
		moe_ranks_share(k->entropy + k->at[who], n * sizeof(*k->entropy), from);
	else if (j->look || (k && j->u->keep_old)) {
		moe_ranks_share(k->old + k->at[who], n * sizeof(*k->old), from);
		k->has[who] = true;
	}
}

/* What a task wrote of its rollouts, to the other ranks. */
static void pieces(void *ctx, size_t k, int from)
{
	struct job *j = ctx;
	const struct moe_experts *x = &j->t->a->x;
	size_t a = j->cut[k], n = j->cut[k + 1] - a, cells = (size_t)x->S * (size_t)x->n_routed,
	       kept = (size_t)x->S * (size_t)moe_experts_keep(x);

	moe_ranks_share(j->tally + a, n * sizeof(*j->tally), from);
	moe_ranks_share(j->gates + a, n * sizeof(*j->gates), from);
	moe_ranks_share(j->load + a * cells, n * cells * sizeof(*j->load), from);
	moe_ranks_share(j->kept + a * kept, n * kept * sizeof(*j->kept), from);
	if (j->per.n)
		moe_ranks_share(j->per.dgate + a * (size_t)x->E,
			n * (size_t)x->E * sizeof(*j->per.dgate), from);
	for (size_t i = a; i < a + n; i++)
		stored_pieces(j, i, from);
}

/* ---- one step ---- */

/* An expert is frozen in this step when no row that trains had both its gate and its mask other
 * than 0; a router, when nothing teaches it. */
static void find_frozen(const struct job *j, struct moe_train_stats *st)
{
	const struct moe_experts *x = &j->t->a->x;
	bool taught = false;

	for (int e = 0; e < x->E; e++)
		st->expert_frozen[e] = true;
	for (size_t i = 0; i < j->n; i++) {
		bool live = j->u->adv[j->order[i]] != 0 || j->t->o.loss.beta > 0 || j->bonus != 0;

		taught |= live && !j->r.detach &&
			(!j->r.label_detaches || j->s->r[j->order[i]].decision == MOE_ABSORB);
		for (int e = 0; e < x->E; e++)
			if ((live || j->r.has_losses) && j->gates[i].trained[e])
				st->expert_frozen[e] = false;
	}
	st->router_frozen = !taught && !(j->r.has_losses && j->n > 0);
	for (int b = 0; b < MOE_BANKS; b++) {
		st->frozen[b] = true;
		for (int e = 0; e < x->E; e++)
			st->frozen[b] &= x->bank[e] != (enum moe_bank)b || st->expert_frozen[e];
	}
}

/* The gates that really were, where a router made them: of this share, and added to the update's.
 */
static int sum_gates(const struct job *j, struct moe_train_stats *st, struct moe_err *e)
{
	const struct moe_experts *x = &j->t->a->x;
	size_t S = (size_t)x->n_site, n = (size_t)x->n_routed, keep = (size_t)moe_experts_keep(x);
	const struct moe_site_gates *per = j->r.pass ? NULL : &j->per.q;
	bool *use = moe_alloc(j->n, sizeof(*use), e);
	double *weight = use ? moe_alloc(j->n, sizeof(*weight), e) : NULL;

	if (!weight) {
		free(use);
		return -1;
	}
	st->router_loss = j->r.has_losses && j->n > 0 ? 0 : NAN;
	for (size_t i = 0; i < j->n; i++) {
		use[i] = j->s->r[j->order[i]].decision != MOE_ROUTE;
		j->t->load_rows += per ? j->s->r[j->order[i]].n_completion
				       : (double)j->tally[i].n_decided;
		st->router_loss += j->tally[i].router;
	}
	/* of a router that decides per rollout one row stands for all its tokens */
	for (size_t i = 0; per && i < j->n; i++)
		weight[i] = j->s->r[j->order[i]].n_completion;
	moe_tally_add(j->n, S * n, j->load, per ? per->r : NULL, weight, j->t->load);
	moe_tally_add(j->n, S * keep, j->kept, per ? per->kept : NULL, weight, j->t->load + S * n);
	free(weight);
	st->cells = (struct moe_gate_tally){ 0 };
	moe_gate_tally_add(&st->cells, x, j->gates, j->n, use);
	moe_gate_stats_of(&st->gates, x, &st->cells);
	moe_gate_tally_add(&j->t->cells, x, &st->cells, 1, &(bool){ true });
	free(use);
	return 0;
}

/* Over threads and ranks. */
static void sum_times(const struct job *j, struct moe_train_stats *st)
{
	double v[4] = { 0 };

	for (int i = 0; i < moe_pool_threads(j->t->pool); i++) {
		v[0] += j->sec[2 * i];
		v[1] += j->sec[2 * i + 1];
		v[2] += j->t->acts[i].gemm_sec;
		v[3] += (double)j->run[i];
		j->t->acts[i].gemm_sec = 0;
	}
	moe_ranks_sum(v, 4);
	st->forward_sec += v[0];
	st->backward_sec += v[1];
	st->gemm_sec += v[2];
	st->n_run += (size_t)v[3];
}

static void sum_up(const struct job *j, struct moe_train_stats *st)
{
	const struct moe_loss_opts *o = &j->t->o.loss;
	struct moe_tally all;
	double n, bonus = 0;

	moe_tally_sum(j->tally, j->n, &all);
	n = all.n ? (double)all.n : NAN; /* of no token nothing was measured */
	for (size_t i = 0; i < j->n; i++)
		bonus += j->tally[i].kept_entropy * bonus_per_token(j, j->u->micro_of[j->order[i]]);
	st->loss = all.n ? (all.loss - bonus) / j->u->share : NAN;
	st->policy_loss = o->entropy_coef != 0 || o->adaptive ? all.loss / j->u->share : NAN;
	st->entropy_coef = o->entropy_coef != 0 || o->adaptive ? j->t->entropy_coef : NAN;
	st->kl = o->beta > 0 ? all.kl / n : NAN;
	st->entropy = all.entropy / n;
	st->kept_entropy = all.kept_entropy / (all.kept ? (double)all.kept : NAN);
	moe_tally_clips(&all, o, j->u, st);
	st->n_kept = all.kept;
	st->n_train = all.n;
	st->logp_diff_mean = all.diff / n;
	st->logp_diff_max = all.n ? all.diff_max : NAN;
	st->ratio_mean = all.ratio / n;
	st->ratio_std = all.n > 1
		? sqrt(fmax(0, (all.ratio2 - all.ratio * all.ratio / n) / (n - 1)))
		: NAN;
	st->ratio_min = all.n ? all.ratio_min : NAN;
	st->ratio_max = all.n ? all.ratio_max : NAN;
	st->updated = j->n > 0;
	sum_times(j, st);
}

/* A router that decides once per rollout: its gates, before any pass. */
static int decide_per_rollout(struct job *j, struct moe_err *e)
{
	const struct moe_experts *x = &j->t->a->x;
	struct moe_seen *seen = moe_alloc(j->n, sizeof(*seen), e);
	int rc = -1;

	for (size_t i = 0; seen && i < j->n; i++) {
		const struct moe_rollout *r = &j->s->r[j->order[i]];

		seen[i] = (struct moe_seen){ .prompt = r->prompt,
			.n_prompt = r->n_prompt,
			.completion = r->completion,
			.n_completion = r->n_completion,
			.group = r->group,
			.label = -1 };
	}
	if (seen && !moe_per_rollout_make(&j->per, j->t, seen, j->n, e)) {
		j->per.n = 0; /* so that rollout_gates gives the plan's */
		for (size_t i = 0; i < j->n; i++)
			rollout_gates(j, i, j->per.outer + i * (size_t)x->E,
				j->per.mask + i * (size_t)x->E);
		j->per.n = (int)j->n;
		moe_per_rollout_gates(&j->per, j->t);
		rc = 0;
	}
	free(seen);
	return rc;
}

static int chunk_size(const struct moe_trainer *t)
{
	return t->o.chunk_tok > 0 ? t->o.chunk_tok : CHUNK_TOK;
}

/* All chunks, then what is summed over them. */
static int run_chunks(struct job *j, struct moe_train_stats *st, struct moe_err *e)
{
	struct moe_trainer *t = j->t;

	j->n = moe_order(t, j->u, &j->r, j->everything, j->order, j->seq);
	if (j->r.on && !j->r.pass && j->n && decide_per_rollout(j, e))
		return -1;
	if (moe_fold_run(t, moe_pack_cut(j->seq, j->n, chunk_size(t), j->cut),
		    &(struct moe_fold){ .task = task,
			    .pieces = pieces,
			    .ctx = j,
			    .no_gradient = j->look,
			    .second = true },
		    e))
		return -1;
	if (j->look) {
		sum_times(j, st);
		return 0;
	}
	if (j->per.n && moe_per_rollout_bwd(&j->per, t, e))
		return -1;
	sum_up(j, st);
	find_frozen(j, st);
	return j->r.on ? sum_gates(j, st, e) : 0;
}

static int one_temperature(const struct moe_rollout_step *s, struct moe_err *e)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->r[i].temperature != s->r[0].temperature)
			return moe_fail(e, MOE_DATA, "step %lld mixes sampling temperatures",
				(long long)s->step);
	return 0;
}

static int run_job(struct job *j, struct moe_train_stats *st, struct moe_err *e)
{
	const struct moe_trainer *t = j->t;
	size_t threads = (size_t)moe_pool_threads(t->pool), n = j->u->to - j->u->from,
	       S = (size_t)t->a->x.S;
	int rc = -1;

	if (one_temperature(j->s, e))
		return -1;
	moe_routing_of(t, &j->r);
	j->n_kept = moe_alloc((size_t)j->u->micro, sizeof(*j->n_kept), e);
	if (j->n_kept)
		moe_batch_kept(&t->o.loss, j->u, j->n_kept);
	j->order = moe_alloc(n, sizeof(*j->order), e);
	j->seq = moe_alloc(n, sizeof(*j->seq), e);
	j->tally = moe_alloc(n, sizeof(*j->tally), e);
	j->gates = moe_alloc(n, sizeof(*j->gates), e);
	j->load = moe_alloc(n * S * (size_t)t->a->x.n_routed, sizeof(*j->load), e);
	j->kept = moe_alloc(n * S * (size_t)moe_experts_keep(&t->a->x), sizeof(*j->kept), e);
	j->cut = moe_alloc(n + 1, sizeof(*j->cut), e);
	j->sec = moe_alloc(2 * threads, sizeof(*j->sec), e);
	j->run = moe_alloc(threads, sizeof(*j->run), e);
	if (j->n_kept && j->order && j->seq && j->tally && j->gates && j->load && j->kept &&
		j->cut && j->sec && j->run)
		rc = run_chunks(j, st, e);
	moe_per_rollout_free(&j->per);
	free(j->n_kept);
	free(j->order);
	free(j->seq);
	free(j->tally);
	free(j->gates);
	free(j->load);
	free(j->kept);
	free(j->cut);
	free(j->sec);
	free(j->run);
	return rc;
}

int moe_batch_gradient(struct moe_trainer *t, const struct moe_update *u,
	struct moe_train_stats *st, struct moe_err *e)
{
	const struct moe_loss_opts *o = &t->o.loss;
	struct job j = { .t = t, .u = u, .s = u->s };

	/* adaptive: only while the last update's entropy was at or below the target */
	if (!o->adaptive || t->entropy_last <= o->entropy_target)
		j.bonus = t->entropy_coef;
	j.everything = o->beta > 0 || o->entropy_coef != 0 || o->adaptive;
	return run_job(&j, st, e);
}

int moe_batch_look(struct moe_trainer *t, const struct moe_update *u, enum moe_look what,
	struct moe_train_stats *st, struct moe_err *e)
{
	const struct moe_loss_opts *o = &t->o.loss;
	struct job j = { .t = t, .u = u, .s = u->s, .look = true, .what = what };

	j.everything = o->beta > 0 || o->entropy_coef != 0 || o->adaptive ||
		what == MOE_LOOK_ENTROPY;
	return run_job(&j, st, e);
}
