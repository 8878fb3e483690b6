/* pretrain.c - the training loop's step and evaluation. Checkpoints are in checkpoint.c. */
#include "model/pretrain.h"
#include "model/regions.h"
#include "tensor/vec.h"
#include "util/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Scratch of one worker. */
struct worker {
	struct moe_acts a;
	struct moe_docs_batch pack;
	moe_real *grad, *dlogp, *logp; /* [n_param], [cap] */
	int cap;
};

struct state {
	struct worker *w;
	int n_worker;
	moe_real *grad;  /* [n_param] sum of a step */
	uint32_t *order; /* [n_train] permutation of the epoch */
	uint32_t *perm;
	uint64_t epoch; /* that `order` belongs to, plus 1; 0 = none */
	uint32_t *doc;  /* [batch or n_held] texts of the step */
	size_t *cut, n_run;
	bool train;
	double weight_sum, loss_sum;
	bool nothing; /* no weight is above 0 */
	size_t tokens;
};

void moe_pretrain_defaults(struct moe_pretrain_opts *o)
{
	*o = (struct moe_pretrain_opts){ .seed = 1,
		.batch = 64,
		.epochs = 1,
		.lr = 4e-3,
		.beta1 = 0.9,
		.beta2 = 0.98,
		.eps = 1e-8,
		.decay = 0.01,
		.clip = 1,
		.warmup = 100,
		.schedule = MOE_LINEAR,
		.heldout = 0.02,
		.eval_every = 100 };
}

/* A text belongs to the held-out share by its id alone, whatever else is in the corpus. */
static bool is_held(const struct moe_pretrain_opts *o, const struct moe_doc *d)
{
	return moe_rng_uniform(moe_rng_key(o->seed, "heldout"), d->key, 0) < o->heldout;
}

static int split(struct moe_pretrain *p, struct moe_err *e)
{
	size_t n = p->c->n;

	p->train = moe_alloc(n, sizeof(*p->train), e);
	p->held = p->train ? moe_alloc(n, sizeof(*p->held), e) : NULL;
	if (!p->held)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (is_held(&p->o, &p->c->doc[i]))
			p->held[p->n_held++] = (uint32_t)i;
		else
			p->train[p->n_train++] = (uint32_t)i;
	return p->n_train ? 0
			  : moe_fail(e, MOE_DATA,
				    "there are no texts to train on (%zu are held out)", p->n_held);
}

static int make_state(struct moe_pretrain *p, struct moe_err *e)
{
	struct state *s = calloc(1, sizeof(*s));
	size_t most = p->n_held > (size_t)p->o.batch ? p->n_held : (size_t)p->o.batch;

	if (!s)
		return moe_fail(e, MOE_SYSTEM, "out of memory");
	p->priv = s;
	s->n_worker = moe_pool_threads(p->pool);
	s->w = moe_alloc((size_t)s->n_worker, sizeof(*s->w), e);
	s->grad = moe_alloc(p->m->n_param, sizeof(*s->grad), e);
	s->order = moe_alloc(p->n_train, sizeof(*s->order), e);
	s->perm = moe_alloc(p->n_train, sizeof(*s->perm), e);
	s->doc = moe_alloc(most, sizeof(*s->doc), e);
	s->cut = moe_alloc(most + 1, sizeof(*s->cut), e);
	if (!s->w || !s->grad || !s->order || !s->perm || !s->doc || !s->cut)
		return -1;
	for (int i = 0; i < s->n_worker; i++)
		if (!(s->w[i].grad = moe_alloc(p->m->n_param, sizeof(*s->grad), e)))
			return -1;
	return 0;
}

int moe_pretrain_init(struct moe_pretrain *p, const struct moe_pretrain_opts *o,
	struct moe_model *m, const struct moe_corpus *c, struct moe_pool *pool, struct moe_err *e)
{
	struct moe_region *r = NULL;
	size_t n;
	int rc;

	memset(p, 0, sizeof(*p));
	p->o = *o;
	/* small models: a run's activations should fit the second cache, and there should be
	 * several runs for each thread */
	p->o.shard_tokens = o->shard_tokens > 0 ? o->shard_tokens : m->config.D <= 256 ? 384 : 1024;
	p->m = m;
	p->c = c;
	p->pool = pool;
	rc = o->batch < 1
		? moe_fail(e, MOE_USAGE, "a batch of %d texts: at least one is needed", o->batch)
		: split(p, e);
	if (!rc)
		rc = moe_model_regions(m, &r, &n, e);
	if (!rc)
		rc = moe_adamw_init(&p->adam, m->n_param, r, n, 1, e);
	free(r);
	if (!rc)
		rc = make_state(p, e);
	if (rc) {
		moe_pretrain_free(p);
		return -1;
	}
	p->adam.beta1 = o->beta1;
	p->adam.beta2 = o->beta2;
	p->adam.eps = o->eps;
	p->adam.wd = o->decay;
	p->total = o->steps ? o->steps : (uint64_t)ceil((double)p->n_train * o->epochs / o->batch);
	return 0;
}

void moe_pretrain_free(struct moe_pretrain *p)
{
	struct state *s = p->priv;

	for (int i = 0; s && s->w && i < s->n_worker; i++) {
		moe_acts_free(&s->w[i].a);
		moe_docs_batch_free(&s->w[i].pack);
		free(s->w[i].grad);
		free(s->w[i].dlogp);
		free(s->w[i].logp);
	}
	if (s) {
		free(s->w);
		free(s->grad);
		free(s->order);
		free(s->perm);
		free(s->doc);
		free(s->cut);
	}
	free(s);
	free(p->train);
	free(p->held);
	free(p->row);
	moe_adamw_free(&p->adam);
	memset(p, 0, sizeof(*p));
}

static int worker_room(struct worker *w, int n, struct moe_err *e)
{
	if (w->cap >= n)
		return 0;
	free(w->dlogp);
	free(w->logp);
	w->logp = NULL;
	w->dlogp = moe_alloc((size_t)n, sizeof(*w->dlogp), e);
	w->logp = w->dlogp ? moe_alloc((size_t)n, sizeof(*w->logp), e) : NULL;
	w->cap = w->logp ? n : 0;
	return w->logp ? 0 : -1;
}

/* One run of texts: loss, and in training the gradient, added in run order. */
static int task(void *ctx, size_t i, int worker, struct moe_err *e)
{
	struct moe_pretrain *p = ctx;
	struct state *s = p->priv;
	struct worker *w = &s->w[worker];
	size_t n_param = p->m->n_param;
	double sum = 0;
	int rc;

	if (moe_docs_pack(&w->pack, p->c, s->doc + s->cut[i], s->cut[i + 1] - s->cut[i], e) ||
		worker_room(w, w->pack.n, e))
		return -1;
	w->a.keep = s->train;
	w->a.recompute = p->o.recompute;
	if (moe_forward(p->m, NULL, NULL, &w->pack.b, &w->a, e))
		return -1;
	if (s->train) {
		for (int j = 0; j < w->pack.n; j++)
			w->dlogp[j] = (moe_real)(-(double)w->pack.weight[j] / s->weight_sum);
		memset(w->grad, 0, n_param * sizeof(*w->grad));
		w->a.logp = w->logp;
		rc = moe_backward(p->m, NULL, NULL, &w->pack.b, &w->a, w->pack.n, w->pack.row,
			w->pack.target, 1, w->dlogp, NULL, w->grad, e);
	} else
		rc = moe_head_logp(p->m, &w->pack.b, &w->a, w->pack.n, w->pack.row, w->pack.target,
			1, w->logp, NULL, e);
	for (int j = 0; !rc && j < w->pack.n; j++)
		sum -= (double)w->pack.weight[j] * (double)w->logp[j];
	moe_pool_turn(p->pool, i);
	if (!rc && s->train)
		moe_vec_add(n_param, w->grad, s->grad);
	s->loss_sum += sum;
	s->tokens += (size_t)w->pack.b.T;
	moe_pool_turn_end(p->pool, i);
	return rc;
}

/* Sum of loss weights of s->doc[n]. */
static double weight_of(const struct moe_pretrain *p, const uint32_t *doc, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		const struct moe_doc *d = &p->c->doc[doc[i]];
		int in_prompt = d->n_prompt > 1 ? d->n_prompt - 1 : 0;

		sum += (double)d->prompt_weight * in_prompt +
			(double)d->weight * (d->n - 1 - in_prompt);
	}
	return sum;
}

/* Runs the n texts in s->doc. */
static int run(struct moe_pretrain *p, size_t n, bool train, struct moe_err *e)
{
	struct state *s = p->priv;

	s->train = train;
	s->loss_sum = 0;
	s->tokens = 0;
	s->weight_sum = weight_of(p, s->doc, n);
	s->nothing = !(s->weight_sum > 0);
	if (s->nothing)
		s->weight_sum = 1;
	moe_docs_cut(p->c, s->doc, n, (size_t)p->o.shard_tokens, s->cut, &s->n_run);
	if (train)
		memset(s->grad, 0, p->m->n_param * sizeof(*s->grad));
	if (moe_pool_run(p->pool, s->n_run, task, p, e))
		return -1;
	p->gemm_sec = p->engine_sec = 0;
	for (int i = 0; i < s->n_worker; i++) {
		p->gemm_sec += s->w[i].a.gemm_sec;
		p->engine_sec += s->w[i].a.total_sec;
	}
	return 0;
}

/* The texts of step t: a stretch of the endless sequence of permuted epochs. */
static void draw(struct moe_pretrain *p, uint64_t t)
{
	struct state *s = p->priv;

	for (int i = 0; i < p->o.batch; i++) {
		uint64_t at = t * (uint64_t)p->o.batch + (uint64_t)i, epoch = at / p->n_train;

		if (s->epoch != epoch + 1) {
			moe_rng_permute(
				moe_rng_key(p->o.seed, "epoch"), epoch, p->n_train, s->perm);
			for (size_t j = 0; j < p->n_train; j++)
				s->order[j] = p->train[s->perm[j]];
			s->epoch = epoch + 1;
		}
		s->doc[i] = s->order[at % p->n_train];
	}
}

static int row_room(struct moe_pretrain *p, struct moe_err *e)
{
	struct moe_pretrain_row *r;

	if (p->step < p->cap_row)
		return 0;
	r = realloc(p->row, (size_t)(p->cap_row + 1024) * sizeof(*r));
	if (!r)
		return moe_fail(e, MOE_SYSTEM, "out of memory");
	p->row = r;
	p->cap_row += 1024;
	return 0;
}

int moe_pretrain_eval(struct moe_pretrain *p, double *loss, struct moe_err *e)
{
	struct state *s = p->priv;

	*loss = NAN;
	if (!p->n_held)
		return 0;
	memcpy(s->doc, p->held, p->n_held * sizeof(*s->doc));
	if (run(p, p->n_held, false, e))
		return -1;
	*loss = s->nothing ? NAN : s->loss_sum / s->weight_sum;
	return 0;
}

int moe_pretrain_step(struct moe_pretrain *p, struct moe_err *e)
{
	struct state *s = p->priv;
	double norm,
		lr = p->o.lr * moe_schedule_factor(p->o.schedule, p->step, p->total, p->o.warmup),
		held = NAN, loss;
	bool eval;
	size_t tokens;

	if (row_room(p, e))
		return -1;
	draw(p, p->step);
	if (run(p, (size_t)p->o.batch, true, e))
		return -1;
	loss = s->loss_sum / s->weight_sum;
	tokens = s->tokens;
	norm = moe_grad_norm(p->m->n_param, s->grad);
	if (!isfinite(loss) || !isfinite(norm))
		return moe_fail(e, MOE_NUMERIC,
			"step %llu: the loss is %g and the gradient's norm %g; a lower learning "
			"rate may help",
			(unsigned long long)p->step, loss, norm);
	if (s->nothing)
		loss = NAN; /* of no prediction */
	moe_grad_clip(p->m->n_param, s->grad, norm, p->o.clip);
	moe_adamw_step(&p->adam, p->m->param, s->grad, NULL, lr);
	p->step++;
	eval = p->step == p->total || (p->o.eval_every && p->step % p->o.eval_every == 0);
	if (eval && moe_pretrain_eval(p, &held, e))
		return -1;
	p->row[p->step - 1] = (struct moe_pretrain_row){ (float)loss, (float)norm, (float)lr,
		(float)held, (float)tokens };
	return 0;
}
