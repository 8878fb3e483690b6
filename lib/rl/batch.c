/* batch.c - packs rollouts, runs the engine over them and turns token losses into gradients. */
#include "rl/batch.h"

#include "moe/pack.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK_TOK 1024 /* tokens of one packed pass */

double moe_batch_gate(const struct moe_plan *p, const struct moe_rollout *r, int bank)
{
	return r->off == bank ? 0 : p->gate[r->decision][bank];
}

double moe_batch_mask(const struct moe_plan *p, const struct moe_rollout *r, int bank)
{
	return r->off == bank ? 0 : p->mask[r->decision][bank];
}

/* Sums over the tokens of one rollout; kept apart so that they are added in order whatever thread
 * made them. */
struct tally {
	double loss, kl, entropy, diff, diff_max;
	size_t clipped, n;
};

struct job {
	struct moe_trainer *t;
	const struct moe_rollout_step *s;
	const double *adv;
	size_t *order;       /* [n] rollouts that train, by group and state */
	struct moe_seq *seq; /* [n] in that order */
	struct tally *tally; /* [n] in that order */
	size_t *cut;
	size_t n, all_tok;
	double *sec; /* [threads * 2] forward, backward */
	size_t *run; /* [threads] tokens run */
};

static double now_sec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* Rollouts with equal states can share a prompt's pass. */
static int state_of(const struct moe_rollout *r)
{
	return (int)r->decision + MOE_DECISIONS * (r->off + 1);
}

/* Gate and mask rows of the packed batch. [T, E] each. */
static void fill_gates(const struct job *j, const size_t *order, const struct moe_packed *p,
	size_t n, moe_real *gate, moe_real *mask)
{
	const struct moe_experts *x = &j->t->a->x;
	size_t E = (size_t)x->E;

	for (size_t i = 0; i < n; i++) {
		const struct moe_rollout *r = &j->s->r[order[i]];
		int which[2] = { p->parent[i], p->own[i] };

		for (int k = 0; k < 2; k++) {
			if (which[k] < 0 || (k == 0 && i > 0 && p->parent[i] == p->parent[i - 1]))
				continue;
			for (int row = p->seg[which[k]].start;
				row < p->seg[which[k]].start + p->seg[which[k]].len; row++)
				for (size_t b = 0; b < E; b++) {
					gate[(size_t)row * E + b] = (moe_real)moe_batch_gate(
						&j->t->a->plan, r, (int)x->bank[b]);
					mask[(size_t)row * E + b] = (moe_real)moe_batch_mask(
						&j->t->a->plan, r, (int)x->bank[b]);
				}
		}
	}
}

/* Everything that one task needs beside the engine's own memory. */
struct scratch {
	struct moe_packed p;
	moe_real *gate, *mask;                  /* [T, E] */
	int32_t *row, *target;                  /* [n_tok] */
	moe_real *logp, *ref, *entropy, *dlogp; /* [n_tok] */
	int n_tok;
};

static void scratch_free(struct scratch *c)
{
	moe_packed_free(&c->p);
	free(c->gate);
	free(c->row);
	free(c->logp);
}

static int scratch_make(
	struct scratch *c, const struct job *j, size_t a, size_t b, struct moe_err *e)
{
	size_t E = (size_t)j->t->a->x.E, tok = 0, k = 0;

	if (moe_pack(j->seq + a, b - a, &c->p, e))
		return -1;
	for (size_t i = a; i < b; i++)
		tok += (size_t)j->s->r[j->order[i]].n_completion;
	c->gate = moe_alloc((size_t)c->p.T * 2 * E, sizeof(*c->gate), e);
	c->row = moe_alloc(2 * tok, sizeof(*c->row), e);
	c->logp = moe_alloc(4 * tok, sizeof(*c->logp), e);
	if (!c->gate || !c->row || !c->logp)
		return -1;
	c->mask = c->gate + (size_t)c->p.T * E;
	c->target = c->row + tok;
	c->ref = c->logp + tok;
	c->entropy = c->logp + 2 * tok;
	c->dlogp = c->logp + 3 * tok;
	fill_gates(j, j->order + a, &c->p, b - a, c->gate, c->mask);
	for (size_t i = 0; i < b - a; i++) {
		const struct moe_rollout *r = &j->s->r[j->order[a + i]];
		const struct moe_seg *prompt = &c->p.seg[c->p.parent[i]];

		for (int t = 0; t < r->n_completion; t++, k++) {
			c->row[k] = t == 0 ? prompt->start + prompt->len - 1
					   : c->p.seg[c->p.own[i]].start + t - 1;
			c->target[k] = r->completion[t];
		}
	}
	c->n_tok = (int)tok;
	return 0;
}

/* Losses and their derivatives of the tokens of rollouts a..b. */
static int token_losses(struct job *j, size_t a, size_t b, struct scratch *c, struct moe_err *e)
{
	const struct moe_train_opts *o = &j->t->o;
	size_t k = 0;

	for (size_t i = a; i < b; i++) {
		const struct moe_rollout *r = &j->s->r[j->order[i]];
		double w = moe_loss_weight(
			&o->loss, (size_t)r->n_completion, j->s->n, j->all_tok, o->max_completion);
		struct tally *y = &j->tally[i];

		for (int t = 0; t < r->n_completion; t++, k++) {
			double logp = (double)c->logp[k], old = (double)r->logp[t];
			struct moe_token_loss l = moe_token_loss(
				&o->loss, logp, old, (double)c->ref[k], j->adv[j->order[i]]);

			if (!isfinite(logp))
				return moe_fail(e, MOE_NUMERIC,
					"training diverged at step %lld: a log-probability is not "
					"finite",
					(long long)j->t->a->step);
			c->dlogp[k] = (moe_real)(w * l.dlogp);
			y->loss += w * l.loss;
			y->kl += l.kl;
			y->entropy += (double)c->entropy[k];
			y->clipped += l.clipped != 0;
			y->diff += fabs(logp - old);
			y->diff_max = fmax(y->diff_max, fabs(logp - old));
			y->n++;
		}
	}
	return 0;
}

static int passes(
	struct job *j, size_t a, size_t b, int worker, struct scratch *c, struct moe_err *e)
{
	struct moe_trainer *t = j->t;
	struct moe_acts *acts = &t->acts[worker];
	struct moe_batch batch = { c->p.T, c->p.ids, c->p.n_seg, c->p.seg };
	struct moe_gates g = { .outer = c->gate, .mask = c->mask };
	double temp = j->s->r[0].temperature, at = now_sec();
	int rc = 0;

	acts->keep = false;
	if (t->o.loss.beta > 0)
		rc = moe_forward(t->m, NULL, NULL, &batch, acts, e) ||
				moe_head_logp(t->m, &batch, acts, c->n_tok, c->row, c->target, temp,
					c->ref, NULL, e)
			? -1
			: 0;
	acts->keep = true;
	if (rc == 0)
		rc = moe_forward(t->m, &t->a->x, &g, &batch, acts, e) ||
				moe_head_logp(t->m, &batch, acts, c->n_tok, c->row, c->target, temp,
					c->logp, c->entropy, e) ||
				token_losses(j, a, b, c, e)
			? -1
			: 0;
	j->sec[2 * worker] += now_sec() - at;
	at = now_sec();
	if (rc == 0) {
		memset(t->part[worker], 0, t->a->x.n_param * sizeof(**t->part));
		rc = moe_backward(t->m, &t->a->x, &g, &batch, acts, c->n_tok, c->row, c->target,
			temp, c->dlogp, t->part[worker], NULL, e);
	}
	j->sec[2 * worker + 1] += now_sec() - at;
	j->run[worker] += (size_t)c->p.T;
	return rc;
}

static int task(void *ctx, size_t k, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	struct moe_trainer *t = j->t;
	struct scratch c = { 0 };
	int rc = scratch_make(&c, j, j->cut[k], j->cut[k + 1], e);

	if (rc == 0)
		rc = passes(j, j->cut[k], j->cut[k + 1], worker, &c, e);
	scratch_free(&c);
	if (rc == 0) {
		moe_pool_turn(t->pool, k);
		for (size_t i = 0; i < t->a->x.n_param; i++)
			t->grad[i] += t->part[worker][i];
		moe_pool_turn_end(t->pool, k);
	}
	return rc;
}

/* ---- one step ---- */

/* Rollouts that train, sorted by group (in order of appearance), then state, then as they came. */
static void sort_rollouts(struct job *j, const bool *dead)
{
	const struct moe_rollout_step *s = j->s;

	for (size_t i = 0; i < s->n; i++) {
		const struct moe_rollout *r = &s->r[i];
		bool first = true;

		for (size_t k = 0; k < i && first; k++)
			first = s->r[k].group != r->group;
		for (int state = 0; first && state < MOE_DECISIONS * (MOE_BANKS + 1); state++)
			for (size_t k = i; k < s->n; k++)
				if (s->r[k].group == r->group && state_of(&s->r[k]) == state &&
					s->r[k].n_completion > 0 &&
					(!dead[k] || j->t->o.loss.beta > 0))
					j->order[j->n++] = k;
	}
	for (size_t i = 0; i < j->n; i++) {
		const struct moe_rollout *r = &s->r[j->order[i]];

		/* the last token predicts nothing */
		j->seq[i] = (struct moe_seq){ r->prompt, r->completion, r->n_prompt,
			r->n_completion - 1, state_of(r) };
	}
}

/* A bank is frozen in this step when nothing that trains would train it. */
static void find_frozen(const struct job *j, struct moe_train_stats *st)
{
	for (int b = 0; b < MOE_BANKS; b++)
		st->frozen[b] = true;
	for (size_t i = 0; i < j->n; i++)
		for (int b = 0; b < MOE_BANKS; b++) {
			const struct moe_rollout *r = &j->s->r[j->order[i]];

			if (moe_batch_gate(&j->t->a->plan, r, b) != 0 &&
				moe_batch_mask(&j->t->a->plan, r, b) != 0 &&
				(j->adv[j->order[i]] != 0 || j->t->o.loss.beta > 0))
				st->frozen[b] = false;
		}
}

static void sum_up(const struct job *j, struct moe_train_stats *st)
{
	struct tally all = { 0 };
	double n;

	for (size_t i = 0; i < j->n; i++) {
		const struct tally *y = &j->tally[i];

		all.loss += y->loss;
		all.kl += y->kl;
		all.entropy += y->entropy;
		all.diff += y->diff;
		all.diff_max = fmax(all.diff_max, y->diff_max);
		all.clipped += y->clipped;
		all.n += y->n;
	}
	n = all.n ? (double)all.n : 1;
	st->loss = all.loss;
	st->kl = all.kl / n;
	st->entropy = all.entropy / n;
	st->clip_ratio = (double)all.clipped / n;
	st->logp_diff_mean = all.diff / n;
	st->logp_diff_max = all.diff_max;
	st->updated = j->n > 0;
	for (int i = 0; i < moe_pool_threads(j->t->pool); i++) {
		st->forward_sec += j->sec[2 * i];
		st->backward_sec += j->sec[2 * i + 1];
		st->gemm_sec += j->t->acts[i].gemm_sec;
		st->n_run += j->run[i];
		j->t->acts[i].gemm_sec = 0;
	}
}

int moe_batch_gradient(struct moe_trainer *t, const struct moe_rollout_step *s, const double *adv,
	const bool *dead, struct moe_train_stats *st, struct moe_err *e)
{
	size_t threads = (size_t)moe_pool_threads(t->pool);
	struct job j = { .t = t, .s = s, .adv = adv };
	int rc = -1;

	for (size_t i = 0; i < s->n; i++) {
		j.all_tok += (size_t)s->r[i].n_completion;
		if (s->r[i].temperature != s->r[0].temperature)
			return moe_fail(e, MOE_DATA, "step %lld mixes sampling temperatures",
				(long long)s->step);
	}
	j.order = moe_alloc(s->n, sizeof(*j.order), e);
	j.seq = moe_alloc(s->n, sizeof(*j.seq), e);
	j.tally = moe_alloc(s->n, sizeof(*j.tally), e);
	j.cut = moe_alloc(s->n + 1, sizeof(*j.cut), e);
	j.sec = moe_alloc(2 * threads, sizeof(*j.sec), e);
	j.run = moe_alloc(threads, sizeof(*j.run), e);
	if (j.order && j.seq && j.tally && j.cut && j.sec && j.run) {
		sort_rollouts(&j, dead);
		rc = moe_pool_run(t->pool,
			moe_pack_cut(
				j.seq, j.n, t->o.chunk_tok > 0 ? t->o.chunk_tok : CHUNK_TOK, j.cut),
			task, &j, e);
		if (rc == 0) {
			sum_up(&j, st);
			find_frozen(&j, st);
		}
	}
	free(j.order);
	free(j.seq);
	free(j.tally);
	free(j.cut);
	free(j.sec);
	free(j.run);
	return rc;
}
