/* logp.c - log-probabilities of a corpus on the pool, a run of texts a task. */
#include "model/logp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a thread of the pool keeps from run to run: activations, the batch, and for its T tokens the
 * outer gates [T, E] and the log-probabilities [T]. */
struct worker {
	struct moe_acts a;
	struct moe_docs_batch pack;
	moe_real *gate, *logp;
	int cap;
};

/* The call as a whole. doc lists the texts in order; run i is doc[cut[i] .. cut[i + 1]). */
struct job {
	const struct moe_model *m;
	const struct moe_experts *x;
	const moe_real *gate;
	const struct moe_corpus *c;
	double temperature;
	float *logp;
	uint32_t *doc;
	size_t *cut, n_run;
	struct worker *w;
};

/* Room for the batch at hand. Every token gets the same row of outer gates. */
static int room(const struct job *j, struct worker *w, struct moe_err *e)
{
	int T = w->pack.b.T, E = j->x ? j->x->E : 0;

	if (w->cap >= T)
		return 0;
	free(w->gate);
	free(w->logp);
	w->cap = 0;
	w->logp = NULL;
	w->gate = moe_alloc((size_t)T * (size_t)(E ? E : 1), sizeof(*w->gate), e);
	if (!w->gate || !(w->logp = moe_alloc((size_t)T, sizeof(*w->logp), e)))
		return -1;
	for (int t = 0; j->gate && t < T; t++)
		memcpy(w->gate + (size_t)t * (size_t)E, j->gate, (size_t)E * sizeof(*w->gate));
	w->cap = T;
	return 0;
}

/* Run i: its texts as one packed batch, one forward pass, one log-probability per token. A text's
 * result depends on that text alone, so neither the runs nor the threads show in it. */
static int task(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct job *j = ctx;
	struct worker *w = &j->w[worker];
	struct moe_gates g = { 0 };
	int n = 0;

	if (moe_docs_pack(&w->pack, j->c, j->doc + j->cut[i], j->cut[i + 1] - j->cut[i], e) ||
		room(j, w, e))
		return -1;
	/* row t - 1 of a text predicts its token t. The packer leaves out tokens of weight 0; here
	 * every token counts, so rows and targets are listed anew */
	for (int s = 0; s < w->pack.b.n_seg; s++)
		for (int t = 1; t < w->pack.seg[s].len; t++) {
			w->pack.row[n] = w->pack.seg[s].start + t - 1;
			w->pack.target[n++] = w->pack.ids[w->pack.seg[s].start + t];
		}
	g.outer = j->gate && j->x ? w->gate : NULL;
	if (moe_forward(j->m, j->x, &g, &w->pack.b, &w->a, e) ||
		moe_head_logp(j->m, &w->pack.b, &w->a, n, w->pack.row, w->pack.target,
			j->temperature, w->logp, NULL, e))
		return -1;
	/* logp [tokens of the corpus]: the first token of a text has no prediction */
	n = 0;
	for (size_t d = j->cut[i]; d < j->cut[i + 1]; d++) {
		const struct moe_doc *doc = &j->c->doc[j->doc[d]];

		j->logp[doc->off] = NAN;
		for (int t = 1; t < doc->n; t++)
			j->logp[doc->off + (size_t)t] = (float)w->logp[n++];
	}
	return 0;
}

int moe_corpus_logp(const struct moe_model *m, const struct moe_experts *x, const moe_real *gate,
	const struct moe_corpus *c, struct moe_pool *pool, double temperature, float *logp,
	struct moe_err *e)
{
	struct job j = { m, x, gate, c, temperature, logp, NULL, NULL, 0, NULL };
	int n_worker = moe_pool_threads(pool), rc = -1;

	j.doc = moe_alloc(c->n, sizeof(*j.doc), e);
	j.cut = moe_alloc(c->n + 1, sizeof(*j.cut), e);
	j.w = moe_alloc((size_t)n_worker, sizeof(*j.w), e);
	if (j.doc && j.cut && j.w) {
		for (size_t i = 0; i < c->n; i++)
			j.doc[i] = (uint32_t)i;
		moe_docs_cut(c, j.doc, c->n, 1024, j.cut, &j.n_run);
		rc = moe_pool_run(pool, j.n_run, task, &j, e);
	}
	for (int i = 0; j.w && i < n_worker; i++) {
		moe_acts_free(&j.w[i].a);
		moe_docs_batch_free(&j.w[i].pack);
		free(j.w[i].gate);
		free(j.w[i].logp);
	}
	free(j.w);
	free(j.doc);
	free(j.cut);
	return rc;
}
