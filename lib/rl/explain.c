/* explain.c - the `routes` stream. Scores are the method's, gates the engine's; what is decided is
 * moe/route.c's. */
#include "rl/explain.h"

#include "formats/rollout.h"
#include "moe/features.h"
#include "rl/per_rollout.h"
#include "rl/recorded.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One rollout's. */
struct item {
	float *gate; /* [rows, S, E] owned */
	int rows, from;
	float mean[MOE_EXPERTS_MAX];
};

struct job {
	const struct moe_explain *x;
	struct moe_route_step *s;
	struct item *item;     /* [s->n] */
	float **token;         /* [s->n] owned; NULL without token scores */
	struct moe_acts *acts; /* [threads] */
};

/* ---- names ---- */

/* "layers.0" where a site serves a whole layer, "layers.0.q+k+v" where it serves some of its
 * Linears, else the placement's name (token, rollout, base). */
static int name_site(const struct moe_experts *x, int site, struct moe_buf *b, struct moe_err *e)
{
	int layer = x->site[site].layer, n = 0;

	if (layer < 0 || x->placement == MOE_PER_ROLLOUT || x->placement == MOE_PER_TOKEN)
		return moe_buf_addf(b, e, "%s", moe_placement_names[x->placement]);
	if (moe_buf_addf(b, e, "layers.%d", layer))
		return -1;
	for (int l = 0; l < MOE_LINEARS && x->placement != MOE_PER_LAYER; l++)
		if (x->site_at[layer * MOE_LINEARS + l] == site &&
			moe_buf_addf(b, e, "%c%s", n++ ? '+' : '.', moe_linear_names[l]))
			return -1;
	return 0;
}

static int set_site_names(const struct moe_experts *x, struct moe_rec *rec, struct moe_err *e)
{
	size_t n = (size_t)x->n_site;
	struct moe_str *name = moe_alloc(n, sizeof(*name), e);
	struct moe_buf *b = name ? moe_alloc(n, sizeof(*b), e) : NULL;
	int rc = b ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = name_site(x, (int)i, &b[i], e);
		name[i] = (struct moe_str){ (const char *)b[i].data, b[i].len };
	}
	rc = rc ? rc : moe_rec_set_strs(rec, "sites", name, n, e);
	for (size_t i = 0; b && i < n; i++)
		moe_buf_free(&b[i]);
	free(b);
	free(name);
	return rc;
}

/* `experts` and `sites`: what the axes of `gate` stand for. */
static int set_names(const struct moe_experts *x, struct moe_rec *rec, struct moe_err *e)
{
	struct moe_str expert[MOE_EXPERTS_MAX];

	for (int i = 0; i < x->E; i++)
		expert[i] = (struct moe_str){ x->name[i], strlen(x->name[i]) };
	return moe_rec_set_strs(rec, "experts", expert, (size_t)x->E, e) ||
			set_site_names(x, rec, e)
		? -1
		: 0;
}

int moe_explain_header(const struct moe_model *m, const struct moe_adapter *a,
	struct moe_rec *extra, struct moe_err *e)
{
	return moe_rec_set_str(extra, "base", m->digest, e) ||
			moe_rec_set_str(extra, "arm", a->arm, e) ||
			moe_rec_set_str(extra, "adapter", a->digest, e)
		? -1
		: 0;
}

/* ---- gates ---- */

/* outer [E] of sampling: the plan's, with the bank at 0 that the record says was off. */
static void outer_gates(
	const struct moe_adapter *a, const struct moe_rec *rec, moe_real outer[MOE_EXPERTS_MAX])
{
	struct moe_str off;
	double v[MOE_BANKS];
	int bank = moe_rec_str(rec, MOE_ROLLOUT_SAMPLED_OFF, &off) ? moe_bank_find(off.p, off.n)
								   : -1;

	memcpy(v, a->plan.sample, sizeof(v));
	if (bank >= 0)
		v[bank] = 0;
	moe_decision_table_spread(&a->x, v, outer);
}

/* gate [rows, S, E] of the pass's [S, T, E], rows of the completion alone. */
static void copy_gates(
	const struct moe_recorded *q, const struct moe_site_gates *gates, struct item *it)
{
	size_t S = (size_t)gates->S, T = (size_t)gates->T, E = (size_t)gates->E;

	for (size_t i = 0; i < (size_t)q->n; i++)
		for (size_t s = 0; s < S; s++) {
			size_t row = s * T + (size_t)moe_recorded_row(q, (int)i);

			for (size_t k = 0; k < E; k++)
				it->gate[(i * S + s) * E + k] = (float)gates->gate[row * E + k];
		}
}

static int run_rollout(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct job *job = ctx;
	const struct moe_seen *seen = &job->s->seen[i];
	const struct moe_adapter *a = job->x->a;
	struct item *it = &job->item[i];
	struct moe_acts *acts = &job->acts[worker];
	moe_real outer[MOE_EXPERTS_MAX];
	struct moe_recorded q = { seen->prompt, seen->completion, seen->n_prompt,
		seen->n_completion, outer, moe_method_setting(a, "pon", 0) > 0, 1 };
	size_t cells = (size_t)q.n * (size_t)a->x.S * (size_t)a->x.E;

	for (int k = 0; k < a->x.E; k++)
		it->mean[k] = 1; /* of no row */
	if (!(it->gate = moe_alloc(cells, sizeof(*it->gate), e)))
		return -1;
	it->rows = q.n;
	it->from = moe_recorded_from(&q);
	if (q.n == 0)
		return 0;
	if (q.n_prompt == 0)
		return moe_fail(e, MOE_DATA,
			"record %llu has a completion and no prompt token: no row predicts its "
			"first token",
			(unsigned long long)job->s->rec[i].number);
	outer_gates(a, &job->s->rec[i], outer);
	acts->exact = true; /* the bits that the sampler had */
	if (moe_recorded_run(job->x->g.m, a, &q, acts, NULL, e))
		return moe_err_prefix(e, "record %llu", (unsigned long long)job->s->rec[i].number);
	copy_gates(&q, &acts->gates, it);
	moe_recorded_mean(&q, &acts->gates, it->mean);
	return 0;
}

/* A router inside the pass: each rollout is run again. */
static int run_passes(struct job *job, struct moe_err *e)
{
	int threads = moe_pool_threads(job->x->g.pool), rc;

	if (!(job->acts = moe_alloc((size_t)threads, sizeof(*job->acts), e)))
		return -1;
	rc = moe_pool_run(job->x->g.pool, job->s->n, run_rollout, job, e);
	for (int i = 0; i < threads; i++)
		moe_acts_free(&job->acts[i]);
	free(job->acts);
	return rc;
}

/* A router that decides once per rollout: one row, one site, and the router's gate as it is. */
static int run_per_rollout(struct job *job, struct moe_err *e)
{
	const struct moe_explain *x = job->x;
	struct moe_trainer t = { .m = x->g.m, .a = x->a, .pool = x->g.pool, .method = x->method };
	struct moe_per_rollout p;
	size_t E = (size_t)x->a->x.E;
	int rc = moe_per_rollout_make(&p, &t, job->s->seen, job->s->n, e);

	if (rc)
		return rc;
	moe_per_rollout_gates(&p, &t);
	for (size_t i = 0; rc == 0 && i < job->s->n; i++) {
		struct item *it = &job->item[i];

		it->rows = 1;
		if (!(it->gate = moe_alloc(E, sizeof(*it->gate), e)))
			rc = -1;
		for (size_t k = 0; rc == 0 && k < E; k++)
			it->gate[k] = it->mean[k] = (float)p.q.gate[i * E + k];
	}
	moe_per_rollout_free(&p);
	return rc;
}

/* ---- records ---- */

static int run_token_scores(struct job *job, struct moe_err *e)
{
	const struct moe_method *m = job->x->method;
	const struct moe_config *c = &job->x->g.m->config;

	if (!m->token_score)
		return 0;
	if (!(job->token = moe_alloc(job->s->n, sizeof(*job->token), e)))
		return -1;
	for (size_t i = 0; i < job->s->n; i++) {
		size_t n = (size_t)moe_features_tokens(c, &job->s->seen[i]);

		if (!(job->token[i] = moe_alloc(n, sizeof(*job->token[i]), e)))
			return -1;
	}
	return m->token_score(&job->x->g, job->x->a, job->s->seen, job->s->n, job->token, e);
}

static int set_gates(
	const struct moe_experts *x, const struct item *it, struct moe_rec *rec, struct moe_err *e)
{
	size_t S = (size_t)x->n_site, E = (size_t)x->E, rows = (size_t)it->rows;
	struct moe_tensor t = { .dtype = "F32",
		.rank = 3,
		.shape = { rows, S, E },
		.data = it->gate,
		.bytes = rows * S * E * sizeof(*it->gate) };

	return set_names(x, rec, e) || moe_rec_set_tensor(rec, "gate", &t, e) ||
			moe_rec_set_f32s(rec, "weights", it->mean, E, e) ||
			moe_rec_set_int(rec, "from", it->from, e)
		? -1
		: 0;
}

/* Keys that say which rollout it is, as its record has them. */
static int copy_keys(const struct moe_rec *from, struct moe_rec *rec, struct moe_err *e)
{
	static const char *const key[] = { "id", "arm", "step", MOE_ROLLOUT_COMPLETION_IDS };
	struct moe_str raw;

	for (size_t k = 0; k < sizeof(key) / sizeof(*key); k++)
		if (moe_rec_raw(from, key[k], &raw) &&
			moe_rec_set_raw(rec, key[k], raw.p, raw.n, e))
			return -1;
	return 0;
}

static int put_route(const struct job *job, size_t i, struct moe_writer *out, struct moe_err *e)
{
	const struct moe_explain *x = job->x;
	const struct moe_judged *j = &job->s->judged[i];
	struct moe_rec rec = { 0 };
	int rc = moe_rec_set_str(&rec, "t", "route", e) || copy_keys(&job->s->rec[i], &rec, e) ||
		moe_rec_set_str(&rec, "method", x->method->name, e) ||
		moe_rec_set_str(&rec, "decision", moe_decision_names[j->decision], e) ||
		(!isnan(j->score) && moe_rec_set_f64(&rec, "score", j->score, e)) ||
		(job->token &&
			moe_rec_set_f32s(&rec, "token_score", job->token[i],
				(size_t)moe_features_tokens(&x->g.m->config, &job->s->seen[i]),
				e)) ||
		(x->a->x.router && set_gates(&x->a->x, &job->item[i], &rec, e)) ||
		moe_writer_put(out, &rec, e);

	moe_rec_free(&rec);
	return rc ? -1 : 0;
}

int moe_explain_step(const struct moe_explain *x, struct moe_route_step *s, struct moe_writer *out,
	struct moe_err *e)
{
	struct job job = { .x = x, .s = s };
	int rc = 0;

	if (s->n == 0)
		return 0;
	if (!(job.item = moe_alloc(s->n, sizeof(*job.item), e)))
		return -1;
	if (x->a->x.router)
		rc = x->a->x.S ? run_passes(&job, e) : run_per_rollout(&job, e);
	for (size_t i = 0; i < s->n; i++)
		s->seen[i].mean = x->a->x.router ? job.item[i].mean : NULL;
	rc = rc || moe_route_judge(s, x->method, &x->g, x->a, x->seed, e) ||
		run_token_scores(&job, e);
	for (size_t i = 0; !rc && i < s->n; i++)
		rc = put_route(&job, i, out, e);
	for (size_t i = 0; i < s->n; i++) {
		free(job.item[i].gate);
		free(job.token ? job.token[i] : NULL);
		s->seen[i].mean = NULL;
	}
	free(job.token);
	free(job.item);
	return rc ? -1 : 0;
}
