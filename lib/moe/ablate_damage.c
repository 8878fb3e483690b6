/* ablate_damage.c - how far an arm is from the adapter that it is made of, and random ablations
 * that are as far as the quarantine's deletion. It opens no seal and knows no reward. */
#include "moe/ablate_priv.h"

#include "util/elementary.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_TOK                                                                                  \
	1024           /* tokens of one packed pass; fixed, so that bits do not depend on threads  \
			*/
#define TOLERANCE 0.01 /* of the logarithm of what is matched */
#define TRIES     12
#define ALPHA_MAX 8.0

struct moe_damage {
	const struct moe_engine *g;
	const struct moe_adapter *a;
	struct moe_seq *seq; /* [n] those with a completion */
	size_t n, *cut, n_chunk;
	size_t *row;   /* [n_chunk + 1] first row of each chunk in `on` */
	moe_real *on;  /* [rows, D] the model's last states at the rows that predict a completion
			  token */
	double target; /* KL(on || quarantine-off) */
};

void moe_damage_free(struct moe_damage *d)
{
	if (!d)
		return;
	free(d->seq);
	free(d->cut);
	free(d->row);
	free(d->on);
	free(d);
}

/* One pass of an arm over all texts. */
struct run {
	const struct moe_damage *d;
	const struct moe_adapter *arm;
	struct moe_acts *acts; /* [threads] */
	moe_real gate[MOE_EXPERTS_MAX];
	bool prompt_on; /* the router is kept out of prompts */
	moe_real *keep; /* [rows, D] the states go here, or NULL: */
	double *kl;     /* [n_chunk] sum over the chunk's rows of KL(on || arm) */
};

/* The outer gates [T, E] while sampling; routed [T] is 0 at prompts' rows where the router is kept
 * out. */
static void set_gates(const struct run *r, const struct moe_packed *p, size_t n, moe_real *outer,
	unsigned char *routed)
{
	size_t E = (size_t)r->arm->x.E;

	for (int t = 0; t < p->T; t++) {
		memcpy(outer + (size_t)t * E, r->gate, E * sizeof(*outer));
		routed[t] = !r->prompt_on;
	}
	for (size_t i = 0; i < n; i++) /* behind the prompt's last token stands the completion */
		memset(routed + p->seg[p->own[i]].start + 1, 1, (size_t)p->seg[p->own[i]].len - 1);
}

/* States at the rows before each completion token, one sequence after the other: h [rows, D]. */
static void gather(
	const struct moe_acts *a, const struct moe_packed *p, size_t n, size_t D, moe_real *h)
{
	for (size_t i = 0; i < n; i++) {
		const struct moe_seg *s = &p->seg[p->own[i]];

		memcpy(h, a->out + (size_t)s->start * D, (size_t)(s->len - 1) * D * sizeof(*h));
		h += (size_t)(s->len - 1) * D;
	}
}

static int measure(struct run *r, size_t task, const moe_real *h, struct moe_err *e)
{
	const struct moe_damage *d = r->d;
	size_t rows = d->row[task + 1] - d->row[task], D = (size_t)d->g->m->config.D;
	double *kl = moe_alloc(rows, sizeof(*kl), e);
	int rc = kl ? moe_head_kl(d->g->m, (int)rows, d->on + d->row[task] * D, h, kl, e) : -1;

	for (size_t i = 0; rc == 0 && i < rows; i++)
		r->kl[task] += kl[i];
	free(kl);
	return rc;
}

static int chunk(void *ctx, size_t task, int worker, struct moe_err *e)
{
	struct run *r = ctx;
	const struct moe_damage *d = r->d;
	const struct moe_experts *x = &r->arm->x;
	size_t a = d->cut[task], n = d->cut[task + 1] - a, D = (size_t)d->g->m->config.D;
	size_t rows = d->row[task + 1] - d->row[task];
	struct moe_packed p;
	struct moe_batch batch;
	struct moe_gates g = { 0 };
	moe_real *outer, *h;
	unsigned char *routed;
	int rc;

	if (moe_pack(d->seq + a, n, &p, e))
		return -1;
	batch = (struct moe_batch){ p.T, p.ids, p.n_seg, p.seg };
	outer = moe_alloc((size_t)p.T * (size_t)x->E, sizeof(*outer), e);
	routed = moe_alloc((size_t)p.T, 1, e);
	h = moe_alloc(rows * D, sizeof(*h), e);
	rc = outer && routed && h ? 0 : -1;
	if (rc == 0) {
		set_gates(r, &p, n, outer, routed);
		g.outer = outer;
		g.routed = routed;
		rc = moe_forward(d->g->m, x, &g, &batch, &r->acts[worker], e);
	}
	if (rc == 0) {
		gather(&r->acts[worker], &p, n, D, h);
		if (r->keep)
			memcpy(r->keep + d->row[task] * D, h, rows * D * sizeof(*h));
		else
			rc = measure(r, task, h, e);
	}
	free(outer);
	free(routed);
	free(h);
	moe_packed_free(&p);
	return rc;
}

/* keep [rows, D], or NULL: *kl. */
static int run(const struct moe_damage *d, const struct moe_adapter *arm, moe_real *keep,
	double *kl, struct moe_err *e)
{
	int threads = moe_pool_threads(d->g->pool), rc = -1;
	struct run r = { .d = d, .arm = arm, .keep = keep };

	moe_decision_table_spread(&arm->x, arm->plan.sample, r.gate);
	r.prompt_on = arm->x.S > 0 && moe_method_setting(arm, "pon", 0) > 0;
	r.acts = moe_alloc((size_t)threads, sizeof(*r.acts), e);
	r.kl = moe_alloc(d->n_chunk, sizeof(*r.kl), e);
	if (r.acts && r.kl) {
		rc = moe_pool_run(d->g->pool, d->n_chunk, chunk, &r, e);
		for (int i = 0; i < threads; i++)
			moe_acts_free(&r.acts[i]);
	}
	if (rc == 0 && kl) {
		*kl = 0;
		for (size_t i = 0; i < d->n_chunk; i++)
			*kl += r.kl[i];
		*kl = fmax(*kl / (double)d->row[d->n_chunk], 0);
		if (!isfinite(*kl))
			rc = moe_fail(e, MOE_NUMERIC,
				"arm '%s': its distance from on is not finite", arm->arm);
	}
	free(r.acts);
	free(r.kl);
	return rc;
}

int moe_damage_of(
	const struct moe_damage *d, const struct moe_adapter *arm, double *kl, struct moe_err *e)
{
	return run(d, arm, NULL, kl, e);
}

struct moe_damage *moe_damage_new(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seq *seq, size_t n_seq, struct moe_err *e)
{
	struct moe_damage *d = moe_alloc(1, sizeof(*d), e);
	struct moe_adapter off = { 0 };
	size_t D = (size_t)g->m->config.D;
	int rc = 0;

	if (!d)
		return NULL;
	d->g = g;
	d->a = a;
	d->seq = moe_alloc(n_seq, sizeof(*d->seq), e);
	d->cut = moe_alloc(n_seq + 1, sizeof(*d->cut), e);
	d->row = moe_alloc(n_seq + 1, sizeof(*d->row), e);
	if (!d->seq || !d->cut || !d->row)
		goto fail;
	for (size_t i = 0; i < n_seq; i++)
		if (seq[i].n_prompt > 0 && seq[i].n_completion > 0)
			d->seq[d->n++] = seq[i];
	d->n_chunk = moe_pack_cut(d->seq, d->n, CHUNK_TOK, d->cut);
	for (size_t c = 0; c < d->n_chunk; c++) {
		d->row[c + 1] = d->row[c];
		for (size_t i = d->cut[c]; i < d->cut[c + 1]; i++)
			d->row[c + 1] += (size_t)d->seq[i].n_completion;
	}
	if (!d->n_chunk || !d->row[d->n_chunk]) {
		moe_fail(e, MOE_DATA, "the texts hold no completion to compare arms on");
		goto fail;
	}
	d->on = moe_alloc(d->row[d->n_chunk] * D, sizeof(*d->on), e);
	rc = d->on ? run(d, a, d->on, NULL, e) : -1;
	if (rc == 0) {
		rc = moe_ablate_make(&off, a, "quarantine-off", 0, NULL, e) ||
				run(d, &off, NULL, &d->target, e)
			? -1
			: 0;
		moe_adapter_free(&off);
	}
	if (rc == 0)
		return d;
fail:
	moe_damage_free(d);
	return NULL;
}

/* ---- a random ablation, scaled until it is as far ---- */

/* The arm at this alpha: the slots of the draw times 1 - alpha. */
static int at_alpha(struct moe_adapter *to, const struct moe_damage *d,
	const struct moe_ablate_draw *draw, double alpha, double *kl, struct moe_err *e)
{
	moe_real left = (moe_real)(1 - alpha);

	for (size_t i = 0; i < draw->cells; i++)
		to->x.alive[i] = draw->best[i] > 0 ? d->a->x.alive[i] * left : d->a->x.alive[i];
	return moe_damage_of(d, to, kl, e);
}

/* The alpha at which KL is the target: a secant through the logarithms of alpha and KL, which is
 * about quadratic in alpha at first, kept between what was seen below and above. Far out KL need
 * not grow any more: the nearest that was seen is taken. */
static int search(struct moe_adapter *to, const struct moe_damage *d,
	const struct moe_ablate_draw *draw, double *alpha, double *kl, struct moe_err *e)
{
	double below = 0, above = INFINITY, slope = 2, last_a = 0, last_f = 0, best = INFINITY;
	double a = draw->norm > 0 ? fmin(draw->target / draw->norm, ALPHA_MAX) : 1;

	for (int i = 0; i < TRIES && best > TOLERANCE; i++) {
		double now, f, next;

		if (at_alpha(to, d, draw, a, &now, e))
			return -1;
		f = moe_log(fmax(now, 1e-300) / d->target);
		if (fabs(f) < best) {
			best = fabs(f);
			*alpha = a;
			*kl = now;
		}
		if (a >= ALPHA_MAX && f < 0)
			break;
		if (i > 0 && a != last_a && f != last_f)
			slope = (f - last_f) / moe_log(a / last_a);
		if (f < 0)
			below = fmax(below, a);
		else
			above = fmin(above, a);
		last_a = a;
		last_f = f;
		next = slope > 0.1 ? a * moe_exp(-f / slope) : -1;
		if (!(next > below && next < above))
			next = isinf(above) ? 2 * below
				: below > 0 ? sqrt(below * above)
					    : above / 2;
		a = fmin(next, ALPHA_MAX);
	}
	return at_alpha(to, d, draw, *alpha, kl, e);
}

int moe_ablate_damage(struct moe_adapter *to, const struct moe_damage *d, uint64_t seed, uint64_t k,
	struct moe_err *e)
{
	struct moe_ablate_draw draw = { 0 };
	double alpha = 0, kl = 0;
	int rc = moe_ablate_draw_slots(&to->x, seed, k, &draw, e);

	if (rc == 0 && d->target > 0)
		rc = search(to, d, &draw, &alpha, &kl, e);
	rc = rc || moe_rec_set_str(&to->match, "kind", "damage", e) ||
			moe_rec_set_int(&to->match, "rank", draw.rank, e) ||
			moe_rec_set_int(&to->match, "seed", (int64_t)seed, e) ||
			moe_rec_set_int(&to->match, "draw", (int64_t)k, e) ||
			moe_rec_set_int(&to->match, "tokens", (int64_t)d->row[d->n_chunk], e) ||
			moe_rec_set_f64(&to->match, "target_kl", d->target, e) ||
			moe_rec_set_f64(&to->match, "kl", kl, e) ||
			moe_rec_set_f64(&to->match, "alpha", alpha, e) ||
			moe_rec_set_f64(
				&to->match, "ratio", d->target > 0 ? kl / d->target : 1, e) ||
			moe_rec_set_f64(&to->match, "overlap", draw.overlap, e)
		? -1
		: 0;
	moe_ablate_draw_free(&draw);
	return rc;
}
