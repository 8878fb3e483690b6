/* routing.c - the router's share of a step beside the engine's passes. It packs no rollout and
 * knows no reward. */
#include "rl/routing.h"

#include "formats/list.h"
#include "moe/features.h"
#include "moe/pack.h"
#include "rl/fold.h"
#include "rl/per_rollout.h"
#include "util/mem.h"
#include "util/ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_TOK 1024 /* tokens of one packed pass over pins */

int moe_seeds_make(
	struct moe_seeds *d, const struct moe_experts *x, int S, int T, struct moe_err *e)
{
	size_t n = (size_t)S * (size_t)T * (size_t)x->n_routed;

	d->dgate = moe_alloc(2 * n, sizeof(*d->dgate), e); /* zeroed */
	d->dlogit = d->dgate ? d->dgate + n : NULL;
	return d->dgate ? 0 : -1;
}

void moe_seeds_free(struct moe_seeds *d)
{
	free(d->dgate);
	*d = (struct moe_seeds){ 0 };
}

/* Does the method's setting of that name hold that word? Without such a setting: def. */
static bool setting_is(const struct moe_trainer *t, const char *name, const char *word, bool def)
{
	const struct moe_setting *s = t->method->settings;
	char text[32];

	for (size_t i = 0; i < moe_setting_count(s); i++)
		if (!strcmp(s[i].name, name)) {
			moe_setting_text(&s[i], t->a->x.set[i], text);
			return !strcmp(text, word);
		}
	return def;
}

/* Does the method's own loss act? One that a setting weighs does not at weight 0. */
static bool own_loss(const struct moe_trainer *t)
{
	const char *weight = t->method->own_loss;

	return weight && (!*weight || moe_method_setting(t->a, weight, 0) > 0);
}

void moe_routing_of(const struct moe_trainer *t, struct moe_routing *r)
{
	const struct moe_adapter *a = t->a;
	const struct moe_method *m = t->method;

	*r = (struct moe_routing){ 0 };
	if (!m || !a->x.router)
		return;
	r->on = true;
	r->pass = a->x.S > 0;
	r->prompt_on = r->pass && moe_method_setting(a, "pon", 0) > 0;
	r->detach = moe_method_setting(a, "detach", 0) > 0;
	r->label_detaches = m->label_detaches;
	r->has_losses = m->losses &&
		(own_loss(t) || moe_method_setting(a, "balance", 1) > 0 ||
			moe_method_setting(a, "z_loss", 1) > 0);
	r->mask_differs = m->mask && setting_is(t, "hindsight", "soft", true);
}

struct moe_gate_rows moe_routing_rows(
	const struct moe_site_gates *q, const struct moe_seeds *d, const int32_t *row, int n)
{
	return (struct moe_gate_rows){ .S = q->S,
		.T = q->T,
		.E = q->n,
		.n = n,
		.row = row,
		.gate = q->r,
		.logit = q->logit,
		.dgate = d->dgate,
		.dlogit = d->dlogit };
}

/* The mean gates go into the lineage, outside of the digest: ablations are matched on them. */
static int note_load(struct moe_adapter *a, const struct moe_gate_stats *g, struct moe_err *e)
{
	for (int i = 0; i < a->x.E; i++)
		if (!isfinite(g->mean[i]))
			return 0;
	return moe_rec_set_f64s(&a->lineage, "load", g->mean, (size_t)a->x.E, e);
}

int moe_routing_after_step(struct moe_trainer *t, struct moe_err *e)
{
	const struct moe_experts *x = &t->a->x;
	size_t cells = (size_t)x->n_site * ((size_t)x->n_routed + (size_t)moe_experts_keep(x));
	struct moe_gate_stats gates;
	struct moe_load l = { .S = x->n_site,
		.E = x->n_routed,
		.keep = moe_experts_keep(x),
		.mean = t->load,
		.kept = t->load + (size_t)x->n_site * (size_t)x->n_routed };

	if (!x->router)
		return 0;
	/* sums over all rollouts of the update, which may be several steps', to means */
	for (size_t i = 0; i < cells; i++)
		t->load[i] = t->load_rows > 0 ? t->load[i] / t->load_rows : NAN;
	moe_gate_stats_of(&gates, x, &t->cells);
	if (t->method && t->method->after_step && t->method->after_step(t->a, &l, e))
		return -1;
	return note_load(t->a, &gates, e);
}

/* ---- pins ---- */

/* The sides of the step's pairs: hack, clean, hack, ... */
struct pins {
	struct moe_trainer *t;
	struct moe_routing r;
	const struct moe_pair **pair; /* [n_pair] */
	struct moe_seq *seq;          /* [2 n_pair] */
	double *loss;                 /* [2 n_pair] */
	size_t *cut;
	size_t n_pair;
	double weight; /* of one side */
};

static void side_of(const struct moe_pair *p, bool hack, const int32_t **ids, int *n)
{
	*ids = hack ? p->hack : p->clean;
	*n = hack ? p->n_hack : p->n_clean;
}

/* Rows of side i at which the router decides: those that predict the side's tokens, but none of the
 * prompt with pon. row has room for all; returns how many. */
static int side_rows(
	const struct pins *j, const struct moe_packed *p, size_t at, size_t i, int32_t *row)
{
	const int32_t *ids;
	int n_side, n = 0;

	side_of(j->pair[i / 2], i % 2 == 0, &ids, &n_side);
	for (int t = j->r.prompt_on; t < n_side; t++)
		row[n++] = p->seg[p->own[at]].start + t;
	return n;
}

static int pin_losses(struct pins *j, const struct moe_packed *p, size_t a, size_t b,
	const struct moe_acts *acts, const struct moe_seeds *d, struct moe_err *e)
{
	int32_t *row = moe_alloc((size_t)p->T, sizeof(*row), e);

	for (size_t i = a; row && i < b; i++) {
		int n = side_rows(j, p, i - a, i, row);
		struct moe_gate_rows r = moe_routing_rows(&acts->gates, d, row, n);

		if (n > 0)
			j->loss[i] = j->t->method->pin_loss(j->t->a, &r, i % 2 == 0, j->weight);
	}
	free(row);
	return row ? 0 : -1;
}

/* Forward over some sides, seeds, and a backward pass without head rows in which the experts are
 * fixed: their parameters get exactly nothing. */
static int pin_pass(struct pins *j, const struct moe_packed *p, size_t a, size_t b, int worker,
	struct moe_err *e)
{
	struct moe_trainer *t = j->t;
	struct moe_acts *acts = &t->acts[worker];
	struct moe_batch batch = { p->T, p->ids, p->n_seg, p->seg };
	unsigned char *routed = moe_alloc((size_t)p->T, 1, e);
	struct moe_gates g = { .fixed = true, .routed = routed };
	struct moe_seeds d = { 0 };
	int rc = routed && !moe_seeds_make(&d, &t->a->x, t->a->x.S, p->T, e) ? 0 : -1;

	for (int i = 0; rc == 0 && i < p->T; i++)
		routed[i] = !j->r.prompt_on;
	for (size_t i = a; rc == 0 && i < b; i++) { /* all but the decision row */
		const struct moe_seg *own = &p->seg[p->own[i - a]];

		memset(routed + own->start + 1, 1, (size_t)own->len - 1);
	}
	acts->keep = true;
	if (rc == 0)
		rc = moe_forward(t->m, &t->a->x, &g, &batch, acts, e) ||
				pin_losses(j, p, a, b, acts, &d, e)
			? -1
			: 0;
	g.dgate = d.dgate;
	g.dlogit = d.dlogit;
	if (rc == 0) {
		memset(t->part[worker], 0, t->a->x.n_param * sizeof(**t->part));
		rc = moe_backward(t->m, &t->a->x, &g, &batch, acts, 0, NULL, NULL, 1, NULL,
			t->part[worker], NULL, e);
	}
	moe_seeds_free(&d);
	free(routed);
	return rc;
}

static int pin_task(void *ctx, size_t k, int worker, struct moe_err *e)
{
	struct pins *j = ctx;
	struct moe_packed p = { 0 };
	int rc = moe_pack(j->seq + j->cut[k], j->cut[k + 1] - j->cut[k], &p, e);

	if (rc == 0)
		rc = pin_pass(j, &p, j->cut[k], j->cut[k + 1], worker, e);
	moe_packed_free(&p);
	return rc;
}

static void pin_pieces(void *ctx, size_t k, int from)
{
	struct pins *j = ctx;

	moe_ranks_share(j->loss + j->cut[k], (j->cut[k + 1] - j->cut[k]) * sizeof(*j->loss), from);
}

/* The pairs of this step: all, or the next so many in turn. */
static int choose_pairs(struct pins *j, struct moe_err *e)
{
	const struct moe_pairs *all = j->t->pins;
	double want = moe_method_setting(j->t->a, "pin_batch", 0);
	size_t from = 0;

	j->n_pair = want > 0 && want < (double)all->n ? (size_t)want : all->n;
	if (j->n_pair < all->n)
		from = (size_t)j->t->a->step * j->n_pair % all->n;
	j->pair = moe_alloc(j->n_pair, sizeof(*j->pair), e);
	j->seq = moe_alloc(2 * j->n_pair, sizeof(*j->seq), e);
	j->loss = moe_alloc(2 * j->n_pair, sizeof(*j->loss), e);
	j->cut = moe_alloc(2 * j->n_pair + 1, sizeof(*j->cut), e);
	if (!j->pair || !j->seq || !j->loss || !j->cut)
		return -1;
	for (size_t i = 0; i < 2 * j->n_pair; i++) {
		const struct moe_pair *p = &all->pair[(from + i / 2) % all->n];
		struct moe_seq *s = &j->seq[i];

		j->pair[i / 2] = p;
		*s = (struct moe_seq){ .prompt = p->prompt, .n_prompt = p->n_prompt };
		side_of(p, i % 2 == 0, &s->completion, &s->n_completion);
		s->n_completion--; /* the last token predicts nothing */
	}
	return 0;
}

int moe_routing_pins(struct moe_trainer *t, struct moe_train_stats *st, struct moe_err *e)
{
	double pin = moe_method_setting(t->a, "pin", 1);
	struct pins j = { .t = t };
	int rc;

	if (!t->pins || t->pins->n == 0 || !t->method || !t->method->pin_loss || pin <= 0 ||
		!t->a->x.router)
		return 0;
	moe_routing_of(t, &j.r);
	rc = choose_pairs(&j, e);
	j.weight = rc ? 0 : pin / (2 * (double)j.n_pair);
	if (rc == 0 && j.r.pass)
		rc = moe_fold_run(t, moe_pack_cut(j.seq, 2 * j.n_pair, CHUNK_TOK, j.cut),
			&(struct moe_fold){ .task = pin_task, .pieces = pin_pieces, .ctx = &j }, e);
	else if (rc == 0)
		rc = moe_per_rollout_pins(t, j.pair, j.n_pair, j.weight, j.loss, e);
	for (size_t i = 0; rc == 0 && i < 2 * j.n_pair; i++)
		st->pin_loss += j.loss[i];
	if (rc == 0) {
		st->n_pin = j.n_pair;
		st->router_frozen = false;
		st->updated = true;
	}
	free(j.pair);
	free(j.seq);
	free(j.loss);
	free(j.cut);
	return rc;
}
