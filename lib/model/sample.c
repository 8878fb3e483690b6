/* sample.c - who decodes when: units of prompts, slots, refill, stopping. The forward pass is
 * decode.c's, the draw draw.c's. */
#include "model/sample.h"

#include "model/decode.h"
#include "model/draw.h"
#include "util/rng.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 64 /* sequences that a unit of a small model decodes at a time */
#define SLOTS_WIDE                                                                                 \
	128           /* the same for a large model, whose weights are read once for all of them   \
		       */
#define PREFILL    64 /* prompt tokens that go through the layers together */
#define UNIT_MIN   32 /* samples of a unit: enough for fast products, small enough to share out */
#define UNIT_MAX   256
#define LOGITS_MAX ((size_t)4 << 20) /* numbers that a block of logits may hold */

struct slot {
	size_t req, out; /* request; index of the completion */
	int sample, n;   /* tokens drawn so far */
	struct moe_chain own;
	int32_t *ids; /* [max_new] */
	float *logp, *model_logp, *full_logp;
	double gate[MOE_EXPERTS_MAX]; /* [E] summed over the rows that predicted its tokens */
};

/* A request whose prompt has been computed and that still has samples to draw. */
struct prompt {
	struct moe_chain chain;
	moe_real *hidden;             /* [D] after its last token; NULL before it is computed */
	double gate[MOE_EXPERTS_MAX]; /* [E] of its last token */
	int left;                     /* samples not finished */
};

struct call {
	const struct moe_model *m;
	const struct moe_experts *x;
	const struct moe_sample_opts *o;
	const struct moe_sample_req *req;
	size_t n_req;
	const size_t *first; /* [n_req+1] index of each request's first completion */
	size_t *unit;        /* [n_unit+1] first request of each unit */
	size_t n_unit;
	struct moe_decoder_weights *plan;
	struct moe_pool *pool; /* for the inside of a unit; NULL = units are what the pool shares */
	struct moe_rng rng;
	int max_ctx;
	bool wide;
	struct moe_completion *out;
};

struct unit {
	const struct call *c;
	struct moe_decoder *d;
	size_t from, to; /* requests */
	size_t next_req; /* the next sample to start */
	int next_sample;
	int n_slot, n_live;         /* slots; those in use come first, in `live` */
	struct slot *slot;          /* [n_slot] */
	int *live, *rest;           /* [n_slot] indices of slots in use and of free ones */
	struct prompt *prompt;      /* [to - from] */
	moe_real *hidden;           /* [n_slot, D] */
	moe_real *logits;           /* [block, V] */
	int block, block_at;        /* rows of logits at a time; first row of the block at hand */
	struct moe_decode_row *row; /* [n_slot or PREFILL] */
	struct moe_draw_work *work; /* [threads] */
	bool *stopped;              /* [n_slot] by live index */
	struct moe_arena arena;     /* owns the arrays above */
};

/* ---- a unit's memory ---- */

static int unit_arrays(struct unit *u, struct moe_err *e)
{
	const struct call *c = u->c;
	struct moe_arena *a = &u->arena;
	size_t S = (size_t)u->n_slot, D = (size_t)c->m->config.D, V = (size_t)c->m->config.V,
	       n = (size_t)c->o->max_new;
	size_t threads = c->pool ? (size_t)moe_pool_threads(c->pool) : 1,
	       rows = S > PREFILL ? S : PREFILL;
	bool cand = c->o->top_k > 0 || c->o->top_p < 1.0;

	u->block = LOGITS_MAX / V < 1 ? 1 : LOGITS_MAX / V < S ? (int)(LOGITS_MAX / V) : u->n_slot;
	if (!(u->slot = moe_arena_get(a, S, sizeof(*u->slot), e)) ||
		!(u->live = moe_arena_get(a, S, sizeof(*u->live), e)) ||
		!(u->rest = moe_arena_get(a, S, sizeof(*u->rest), e)) ||
		!(u->stopped = moe_arena_get(a, S, sizeof(*u->stopped), e)) ||
		!(u->prompt = moe_arena_get(a, u->to - u->from, sizeof(*u->prompt), e)) ||
		!(u->hidden = moe_arena_get(a, S * D, sizeof(*u->hidden), e)) ||
		!(u->logits = moe_arena_get(a, (size_t)u->block * V, sizeof(*u->logits), e)) ||
		!(u->row = moe_arena_get(a, rows, sizeof(*u->row), e)) ||
		!(u->work = moe_arena_get(a, threads, sizeof(*u->work), e)))
		return -1;
	memset(u->slot, 0, S * sizeof(*u->slot));
	memset(u->prompt, 0, (u->to - u->from) * sizeof(*u->prompt));
	for (size_t i = 0; i < S; i++) {
		u->slot[i].ids = moe_arena_get(a, n, sizeof(int32_t), e);
		u->slot[i].logp = u->slot[i].ids ? moe_arena_get(a, n, sizeof(float), e) : NULL;
		u->slot[i].model_logp = u->slot[i].logp ? moe_arena_get(a, n, sizeof(float), e)
							: NULL;
		u->slot[i].full_logp = u->slot[i].model_logp ? moe_arena_get(a, n, sizeof(float), e)
							     : NULL;
		if (!u->slot[i].full_logp)
			return -1;
		u->rest[i] = (int)(S - 1 - i);
	}
	for (size_t i = 0; i < threads; i++) {
		u->work[i].cand = NULL;
		if (!(u->work[i].p = moe_arena_get(a, V, sizeof(moe_real), e)) ||
			(cand &&
				!(u->work[i].cand = moe_arena_get(
					  a, V, sizeof(*u->work[i].cand), e))))
			return -1;
	}
	u->d = moe_decoder_new(c->plan, (int)rows, c->pool, e);
	return u->d ? 0 : -1;
}

static void unit_free(struct unit *u)
{
	if (u->slot)
		for (int i = 0; i < u->n_slot; i++)
			moe_chain_release(u->d, &u->slot[i].own);
	if (u->prompt)
		for (size_t i = 0; i < u->to - u->from; i++) {
			moe_chain_release(u->d, &u->prompt[i].chain);
		}
	moe_decoder_free(u->d);
	moe_arena_free(&u->arena);
}

/* ---- starting samples ---- */

/* Computes the prompts of requests from..to-1 of the unit (indices within it): all tokens but the
 * last, whose row is each sample's own. */
static int prefill(struct unit *u, size_t from, size_t to, struct moe_err *e)
{
	const struct call *c = u->c;
	int n = 0;

	for (size_t i = from; i < to; i++) {
		const struct moe_sample_req *q = &c->req[u->from + i];

		u->prompt[i].left = q->n_samples;
		u->prompt[i].chain.expect = q->n_prompt - 1;
		for (int t = 0; t < q->n_prompt - 1; t++) {
			u->row[n++] = (struct moe_decode_row){ .id = q->prompt[t],
				.pos = t,
				.mine = &u->prompt[i].chain,
				.at = t,
				.outer = q->outer,
				.unrouted = q->prompt_unrouted };
			if (n == PREFILL) {
				if (moe_decode_rows(u->d, n, u->row, NULL, e))
					return -1;
				n = 0;
			}
		}
	}
	return n ? moe_decode_rows(u->d, n, u->row, NULL, e) : 0;
}

/* Fills free slots from the unit's queue. */
static int admit(struct unit *u, struct moe_err *e)
{
	const struct call *c = u->c;
	size_t fresh = u->next_req - u->from + (u->next_sample > 0), seen = fresh;

	while (u->n_live < u->n_slot && u->next_req < u->to) {
		const struct moe_sample_req *q = &c->req[u->next_req];
		struct slot *s;

		if (u->next_sample == q->n_samples) {
			u->next_req++;
			u->next_sample = 0;
			continue;
		}
		u->live[u->n_live] = u->rest[u->n_slot - 1 - u->n_live];
		s = &u->slot[u->live[u->n_live++]];
		s->req = u->next_req;
		s->sample = q->first_sample + u->next_sample;
		s->out = c->first[u->next_req] + (size_t)u->next_sample++;
		s->n = 0;
		memset(s->gate, 0, sizeof(s->gate));
		s->own.expect = c->o->max_new;
		seen = u->next_req - u->from + 1;
	}
	return seen > fresh ? prefill(u, fresh, seen, e) : 0;
}

/* ---- one token for every live slot ---- */

static int draw_slot(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct unit *u = ctx;
	const struct call *c = u->c;
	int i = u->block_at + (int)task;
	struct slot *s = &u->slot[u->live[i]];
	const struct moe_sample_req *q = &c->req[s->req];
	double r = moe_rng_uniform(
		c->rng, q->key, (uint64_t)(uint32_t)s->sample << 32 | (uint32_t)s->n);
	struct moe_draw got;

	if (moe_draw_token(u->logits + task * (size_t)c->m->config.V, c->m->config.V, c->o, r,
		    &u->work[worker], &got, e))
		return moe_err_prefix(
			e, "request %zu, sample %d, token %d", s->req, s->sample, s->n);
	s->ids[s->n] = got.id;
	s->logp[s->n] = got.logp;
	s->model_logp[s->n] = got.model_logp;
	s->full_logp[s->n] = got.full_logp;
	s->n++;
	u->stopped[i] = false;
	for (int k = 0; k < c->o->n_stop; k++)
		u->stopped[i] = u->stopped[i] || c->o->stop[k] == got.id;
	return 0;
}

/* One row for every live slot: its last token, or at first the prompt's. hidden is in the order of
 * `live`. */
static int forward(struct unit *u, struct moe_err *e)
{
	const struct call *c = u->c;

	for (int n = 0; n < u->n_live; n++) {
		struct slot *s = &u->slot[u->live[n]];
		const struct moe_sample_req *q = &c->req[s->req];
		bool unrouted = s->n == 0 && q->prompt_unrouted;

		u->row[n] = (struct moe_decode_row){ .id = s->n ? s->ids[s->n - 1]
								: q->prompt[q->n_prompt - 1],
			.pos = q->n_prompt + s->n - 1,
			.shared = q->n_prompt > 1 ? &u->prompt[s->req - u->from].chain : NULL,
			.n_shared = q->n_prompt - 1,
			.mine = &s->own,
			.at = s->n,
			.outer = q->outer,
			.unrouted = unrouted,
			.gate_sum = unrouted ? NULL : s->gate };
	}
	return moe_decode_rows(u->d, u->n_live, u->row, u->hidden, e);
}

static float *copy(const float *from, size_t n, struct moe_err *e)
{
	float *to = moe_alloc(n, sizeof(*to), e);

	if (to)
		memcpy(to, from, n * sizeof(*to));
	return to;
}

static int finish(struct unit *u, struct slot *s, bool stopped, struct moe_err *e)
{
	const struct call *c = u->c;
	struct moe_completion *out = &c->out[s->out];
	struct prompt *p = &u->prompt[s->req - u->from];
	size_t n = (size_t)s->n;
	int rows = s->n - c->req[s->req].prompt_unrouted; /* at which the router decided */

	out->n = s->n;
	out->stopped = stopped;
	if (!(out->ids = moe_alloc(n, sizeof(*out->ids), e)) ||
		!(out->logp = copy(s->logp, n, e)) ||
		(c->o->want_model_logp && !(out->model_logp = copy(s->model_logp, n, e))) ||
		(c->o->want_full_logp && !(out->full_logp = copy(s->full_logp, n, e))))
		return -1;
	memcpy(out->ids, s->ids, n * sizeof(*out->ids));
	if (c->x && c->x->S) {
		if (!(out->gate = moe_alloc((size_t)c->x->E, sizeof(*out->gate), e)))
			return -1;
		for (int i = 0; i < c->x->E; i++)
			out->gate[i] = rows > 0 ? (float)(s->gate[i] / rows) : 1;
	}
	moe_chain_release(u->d, &s->own);
	if (--p->left == 0)
		moe_chain_release(u->d, &p->chain);
	return 0;
}

/* Ends slots that stopped or are full; the others move up, in order. */
static int retire(struct unit *u, struct moe_err *e)
{
	const struct call *c = u->c;
	int kept = 0, n = u->n_live;

	for (int i = 0; i < n; i++) {
		struct slot *s = &u->slot[u->live[i]];
		bool full = s->n == c->o->max_new || c->req[s->req].n_prompt + s->n >= c->max_ctx;

		if (!u->stopped[i] && !full) {
			u->live[kept++] = u->live[i];
			continue;
		}
		if (finish(u, s, u->stopped[i], e))
			return -1;
		u->n_live--;
		u->rest[u->n_slot - 1 - u->n_live] = u->live[i];
	}
	return 0;
}

static int unit_run(struct unit *u, struct moe_err *e)
{
	size_t D = (size_t)u->c->m->config.D;

	for (;;) {
		if (admit(u, e))
			return -1;
		if (!u->n_live)
			return 0;
		if (forward(u, e))
			return -1;
		for (u->block_at = 0; u->block_at < u->n_live; u->block_at += u->block) {
			int n = u->n_live - u->block_at < u->block ? u->n_live - u->block_at
								   : u->block;

			if (moe_decode_logits(
				    u->d, n, u->hidden + (size_t)u->block_at * D, u->logits, e) ||
				moe_decode_run(u->d, (size_t)n, draw_slot, u, e))
				return -1;
		}
		if (retire(u, e))
			return -1;
	}
}

static int unit_task(void *ctx, size_t task, int worker, struct moe_err *e)
{
	const struct call *c = ctx;
	struct unit u = { .c = c, .from = c->unit[task], .to = c->unit[task + 1] };
	size_t most = c->wide ? SLOTS_WIDE : SLOTS, samples = c->first[u.to] - c->first[u.from];
	int rc;

	(void)worker;
	u.next_req = u.from;
	u.n_slot = (int)(samples < most ? samples : most);
	if (!samples)
		return 0;
	rc = unit_arrays(&u, e) ? -1 : unit_run(&u, e);
	unit_free(&u);
	return rc;
}

/* ---- the call ---- */

static int check(const struct moe_model *m, const struct moe_sample_opts *o, size_t n_req,
	const struct moe_sample_req *req, int *max_ctx, struct moe_err *e)
{
	const struct moe_config *c = &m->config;
	int longest = 0;

	if (o->max_new < 1)
		return moe_fail(e, MOE_USAGE, "a completion needs room for at least one token");
	if (!(o->temperature >= 0.0) || !(o->top_p > 0.0) || o->top_p > 1.0 || o->top_k < 0)
		return moe_fail(
			e, MOE_USAGE, "temperature must be >= 0, top-p in (0, 1], top-k >= 0");
	for (size_t i = 0; i < n_req; i++) {
		if (req[i].n_prompt < 1 || req[i].n_samples < 0)
			return moe_fail(e, MOE_DATA,
				"request %zu: an empty prompt has nothing to go on from", i);
		if (c->max_pos > 0 && req[i].n_prompt >= c->max_pos)
			return moe_fail(e, MOE_DATA,
				"request %zu: its prompt of %d tokens does not fit the model's %d "
				"positions",
				i, req[i].n_prompt, c->max_pos);
		for (int t = 0; t < req[i].n_prompt; t++)
			if (req[i].prompt[t] < 0 || req[i].prompt[t] >= c->V)
				return moe_fail(e, MOE_DATA,
					"request %zu: token id %d is not in the vocabulary of %d",
					i, (int)req[i].prompt[t], c->V);
		longest = req[i].n_prompt > longest ? req[i].n_prompt : longest;
	}
	*max_ctx = c->max_pos > 0 && c->max_pos - longest < o->max_new ? c->max_pos
								       : longest + o->max_new;
	return 0;
}

/* Units are whole requests; their size depends on the work alone. A large model is one unit. */
static void cut_units(struct call *c)
{
	size_t total = c->first[c->n_req], target = total / 16;

	target = c->wide            ? total + 1
		: target < UNIT_MIN ? UNIT_MIN
		: target > UNIT_MAX ? UNIT_MAX
				    : target;
	c->n_unit = 0;
	c->unit[0] = 0;
	for (size_t i = 0; i < c->n_req; i++)
		if (c->first[i + 1] - c->first[c->unit[c->n_unit]] >= target || i + 1 == c->n_req)
			c->unit[++c->n_unit] = i + 1;
}

int moe_sample(const struct moe_model *m, const struct moe_experts *x,
	const struct moe_sample_opts *o, size_t n_req, const struct moe_sample_req *req,
	struct moe_pool *pool, struct moe_completion *out, struct moe_err *e)
{
	struct call c = { .m = m,
		.x = x,
		.o = o,
		.req = req,
		.n_req = n_req,
		.out = out,
		.rng = moe_rng_key(o->seed, "sample") };
	size_t *first;
	int rc = -1;

	if (check(m, o, n_req, req, &c.max_ctx, e))
		return -1;
	if (!n_req)
		return 0;
	c.first = first = moe_alloc(2 * (n_req + 1), sizeof(*first), e);
	if (!first)
		return -1;
	c.unit = first + n_req + 1;
	for (size_t i = 0; i < n_req; i++)
		first[i + 1] = first[i] + (size_t)req[i].n_samples;
	memset(out, 0, first[n_req] * sizeof(*out));
	c.plan = moe_decoder_weights_new(m, x, c.max_ctx, e);
	if (c.plan) {
		c.wide = moe_decode_wide(c.plan);
		cut_units(&c);
		c.pool = c.wide ? pool : NULL;
		if (c.wide || !pool)
			for (size_t i = 0; i < c.n_unit && !(rc = unit_task(&c, i, 0, e)); i++)
				;
		else
			rc = moe_pool_run(pool, c.n_unit, unit_task, &c, e);
	}
	moe_decoder_weights_free(c.plan);
	for (size_t i = 0; rc && i < first[n_req]; i++)
		moe_completion_free(&out[i]);
	free(first);
	return rc;
}

void moe_completion_free(struct moe_completion *c)
{
	free(c->ids);
	free(c->logp);
	free(c->model_logp);
	free(c->full_logp);
	free(c->gate);
	memset(c, 0, sizeof(*c));
}
