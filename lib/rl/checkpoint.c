/* checkpoint.c - saves and restores a trainer; the adapter for others to use is a stream
 * (moe/adapter.h), not this. */
#include "rl/checkpoint.h"

#include "formats/file.h"
#include "formats/safetensors.h"
#include "tensor/gemm.h"
#include "util/ranks.h"
#include "util/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef MOE_REAL_F64
#define REAL "F64"
#else
#define REAL "F32"
#endif

/* Pairs are part of the run: their tokens. */
static uint64_t pins_hash(const struct moe_pairs *p)
{
	uint64_t h = 0;

	for (size_t i = 0; p && i < p->n; i++) {
		const struct moe_pair *q = &p->pair[i];
		uint64_t part[4] = { h,
			moe_hash64(q->prompt, sizeof(int32_t) * (size_t)q->n_prompt),
			moe_hash64(q->hack, sizeof(int32_t) * (size_t)q->n_hack),
			moe_hash64(q->clean, sizeof(int32_t) * (size_t)q->n_clean) };

		h = moe_hash64(part, sizeof(part));
	}
	return h;
}

void moe_train_key(const struct moe_trainer *t, char key[MOE_TRAIN_KEY])
{
	const struct moe_train_opts *o = &t->o;
	const struct moe_loss_opts *l = &o->loss;
	uint64_t reward = 0;
	size_t n;

	if (o->reward.weighted || o->reward.normalise)
		reward = moe_hash64(&o->reward, sizeof(o->reward)) | 1;
	snprintf(key, MOE_TRAIN_KEY,
		"adapter %s; seed %llu; loss %d %d %d %d %.17g %.17g %.17g %.17g %.17g %.17g %d; "
		"sapo %.17g %.17g; vespo %.17g %.17g %.17g %.17g; off policy %.17g; truncated %d; "
		"entropy %.17g %.17g %d %.17g %.17g %.17g %.17g; advantages %d %d %d; rewards "
		"%016llx; passes %d %d %d %d; max completion %zu; adamw %.17g %.17g %.17g %.17g "
		"%.17g; clip %.17g; schedule %d %llu %llu %d; chunk %d%s%s",
		t->a->digest, (unsigned long long)t->a->train_seed, (int)l->type, (int)l->ratio,
		(int)l->level, (int)l->correction, l->c_min, l->c_max, l->eps_low, l->eps_high,
		l->delta, l->beta, l->kl_bias, l->tau_pos, l->tau_neg, l->k_pos, l->lambda_pos,
		l->k_neg, l->lambda_neg, l->off_policy, l->mask_truncated, l->top_entropy,
		l->entropy_coef, l->adaptive, l->entropy_min, l->entropy_max, l->entropy_step,
		l->entropy_target, (int)o->adv.scale, o->adv.split + 2 * o->adv.kept,
		o->adv.over_batch, (unsigned long long)reward, o->iterations, o->updates,
		o->accumulate, o->micro, o->max_completion, o->lr, o->beta1, o->beta2, o->eps,
		o->decay, o->clip, (int)o->schedule, (unsigned long long)o->warmup,
		(unsigned long long)o->total, o->warm_from_zero, o->chunk_tok,
		o->detach ? "; detach" : "", o->split_moments ? "; split moments" : "");
	n = strlen(key);
	/* what other bits are made by: a run has one kind all along */
	snprintf(key + n, MOE_TRAIN_KEY - n, "; kernels %s%s", moe_kernels(),
		o->exact ? "; exact" : "");
	n = strlen(key);
	if (t->pins)
		snprintf(key + n, MOE_TRAIN_KEY - n, "; pins %016llx",
			(unsigned long long)pins_hash(t->pins));
}

/* The part of a key, between semicolons, that begins at p. */
static int part_of(const char *p)
{
	return (int)strcspn(p, ";");
}

/* Says where two keys begin to differ. */
static int other_key(const char *path, const char *was, const char *key, struct moe_err *e)
{
	const char *a = was ? was : "", *b = key;

	while (*a && part_of(a) == part_of(b) && !strncmp(a, b, (size_t)part_of(a))) {
		a += part_of(a);
		b += part_of(b);
		a += strspn(a, "; ");
		b += strspn(b, "; ");
	}
	return moe_fail(e, MOE_DATA,
		"%s: this checkpoint is of another run: of another adapter, seed or options: it "
		"has '%.*s' where this run has '%.*s'",
		path, part_of(a), a, part_of(b), b);
}

struct part {
	const char *name, *dtype;
	void *data;
	size_t n, size;
};

/* Numbers of the state: the adapter's step, its seed, max_completion, struct moe_train_at's,
 * updates so far, and the bits of two doubles: the entropy's coefficient and its last measure. */
enum { N_STEP, N_SEED, N_MAX, N_NEXT, N_LABELS, N_UPDATE, N_COEF, N_ENTROPY, NUMBERS };
/* What the adapter is made from comes first, in this order; then what the trainer needs beside it.
 */
enum { P_PLAN, P_STATE, P_PARAM, P_M, P_V, P_STEP, PARTS };

static void parts(struct moe_adapter *a, const struct moe_adamw *opt, int64_t num[NUMBERS],
	struct part p[PARTS])
{
	size_t n = a->x.n_param, sz = sizeof(moe_real);

	p[P_PLAN] = (struct part){ "plan", "F64", &a->plan, sizeof(a->plan) / 8,
		8 }; /* all doubles */
	p[P_STATE] = (struct part){ "state", "I64", num, NUMBERS, 8 };
	p[P_PARAM] = (struct part){ "param", REAL, a->x.param, n, sz };
	if (!opt)
		return;
	p[P_M] = (struct part){ "adam.m", REAL, opt->m, n, sz };
	p[P_V] = (struct part){ "adam.v", REAL, opt->v, n, sz };
	p[P_STEP] = (struct part){ "adam.step", "I64", opt->step, (size_t)opt->n_owner, 8 };
}

/* The scores so far are as many as there are: they are no part of parts(). */
static struct moe_st_tensor past_tensor(const struct moe_past *p)
{
	size_t n = p->n < MOE_PAST_MAX ? p->n : MOE_PAST_MAX;

	return (struct moe_st_tensor){ .name = "past",
		.dtype = "F64",
		.rank = 1,
		.shape = { n },
		.data = (void *)(p->score + p->n - n),
		.bytes = n * sizeof(*p->score) };
}

static int get_past(const struct moe_st *s, const char *path, struct moe_past *p, struct moe_err *e)
{
	const struct moe_st_tensor *st = moe_st_find(s, "past");
	int rc = 0;

	p->n = 0;
	if (!st) /* nothing was scored */
		return 0;
	if (strcmp(st->dtype, "F64") != 0 || st->bytes % 8 || st->bytes / 8 > MOE_PAST_MAX)
		return moe_fail(e, MOE_DATA, "%s: tensor 'past' is not up to %d scores of type F64",
			path, MOE_PAST_MAX);
	for (size_t i = 0; rc == 0 && i < st->bytes / 8; i++) {
		double v;

		memcpy(&v, (const char *)st->data + 8 * i, 8);
		rc = moe_past_add(p, v, e);
	}
	return rc;
}

/* The router's score, if it made one: a map of the stream's encoding. No part of parts() either. */
static int get_score(const struct moe_st *s, const char *path, struct moe_rec *r, struct moe_err *e)
{
	const struct moe_st_tensor *st = moe_st_find(s, "score");

	moe_rec_clear(r);
	if (!st)
		return 0;
	return strcmp(st->dtype, "U8") != 0 || moe_rec_parse(r, st->data, st->bytes, e)
		? moe_fail(e, MOE_DATA, "%s: tensor 'score' holds no map", path)
		: 0;
}

int moe_train_save(const struct moe_trainer *t, const char *path, const char *key,
	const struct moe_train_at *at, struct moe_err *e)
{
	int64_t num[NUMBERS] = { t->a->step, (int64_t)t->a->train_seed,
		(int64_t)t->o.max_completion, at->next, (int64_t)at->labels, (int64_t)t->n_update };
	const char *const meta[][2] = { { "key", key }, { "identity", at->identity },
		{ "router", t->a->decided_by } };
	struct moe_st_tensor st[PARTS + 2];
	struct moe_buf score = { 0 };
	struct part p[PARTS];
	size_t n = PARTS;
	int rc;

	memcpy(&num[N_COEF], &t->entropy_coef, sizeof(double));
	memcpy(&num[N_ENTROPY], &t->entropy_last, sizeof(double));
	parts(t->a, &t->opt, num, p);
	for (size_t i = 0; i < PARTS; i++) {
		st[i] = (struct moe_st_tensor){ .name = p[i].name,
			.rank = 1,
			.shape = { p[i].n },
			.data = p[i].data,
			.bytes = p[i].n * p[i].size };
		snprintf(st[i].dtype, sizeof(st[i].dtype), "%s", p[i].dtype);
	}
	if (t->past.n)
		st[n++] = past_tensor(&t->past);
	if (t->score.n_field) {
		if (moe_rec_emit(&t->score, &score, e)) {
			moe_buf_free(&score);
			return -1;
		}
		st[n++] = (struct moe_st_tensor){ .name = "score",
			.dtype = "U8",
			.rank = 1,
			.shape = { score.len },
			.data = score.data,
			.bytes = score.len };
	}
	rc = moe_st_write(path, st, n, meta, 3, e);
	moe_buf_free(&score);
	return rc;
}

/* 1, 0 = there is none, -1. With ranks the file is rank 0's, whose bytes all get; bytes is to be
 * freed after the tensors are closed. */
static int open_checkpoint(
	const char *path, struct moe_buf *bytes, struct moe_st **s, struct moe_err *e)
{
	bool there = access(path, F_OK) == 0;

	moe_ranks_share(&there, sizeof(there), 0);
	if (!there)
		return 0;
	if (moe_ranks() == 1)
		*s = moe_st_open(path, e);
	else
		*s = moe_file_read(path, bytes, SIZE_MAX / 2, e)
			? NULL
			: moe_st_parse(bytes->data, bytes->len, path, e);
	return *s ? 1 : -1;
}

static int get(const struct moe_st *s, const char *path, const struct part *p, struct moe_err *e)
{
	const struct moe_st_tensor *st = moe_st_find(s, p->name);

	if (!st || strcmp(st->dtype, p->dtype) != 0 || st->bytes != p->n * p->size)
		return moe_fail(e, MOE_DATA, "%s: tensor '%s' is missing or of another shape", path,
			p->name);
	memcpy(p->data, st->data, st->bytes);
	return 0;
}

static int take_numbers(const int64_t num[NUMBERS], const char *path, struct moe_adapter *a,
	struct moe_train_at *at, struct moe_err *e)
{
	double coef;

	memcpy(&coef, &num[N_COEF], sizeof(coef));
	if (num[N_NEXT] < 0 || num[N_STEP] < 0 || num[N_MAX] < 0 || num[N_UPDATE] < 0 ||
		!isfinite(coef) || num[N_LABELS] < MOE_LABELS_NONE ||
		num[N_LABELS] > MOE_LABELS_ORACLE)
		return moe_fail(e, MOE_DATA, "%s: the checkpoint's numbers make no sense", path);
	a->step = num[N_STEP];
	a->train_seed = (uint64_t)num[N_SEED];
	*at = (struct moe_train_at){ .next = num[N_NEXT],
		.labels = (enum moe_labels)num[N_LABELS] };
	return 0;
}

static void take_names(const struct moe_st *s, struct moe_adapter *a, struct moe_train_at *at)
{
	const char *identity = moe_st_meta(s, "identity"), *router = moe_st_meta(s, "router");

	snprintf(at->identity, sizeof(at->identity), "%s", identity ? identity : "");
	snprintf(a->decided_by, sizeof(a->decided_by), "%s", router ? router : "");
}

int moe_train_load(struct moe_trainer *t, const char *path, const char *key,
	struct moe_train_at *at, struct moe_err *e)
{
	const char *was;
	struct moe_st *s;
	int64_t num[NUMBERS];
	struct part p[PARTS];
	struct moe_buf bytes = { 0 };
	int rc;

	rc = open_checkpoint(path, &bytes, &s, e);
	if (rc <= 0)
		return rc;
	was = moe_st_meta(s, "key");
	if (!was || strcmp(was, key) != 0)
		rc = other_key(path, was, key, e);
	parts(t->a, &t->opt, num, p);
	for (size_t i = 0; rc == 1 && i < PARTS; i++)
		if (get(s, path, &p[i], e))
			rc = -1;
	if (rc == 1 &&
		(get_past(s, path, &t->past, e) || get_score(s, path, &t->score, e) ||
			take_numbers(num, path, t->a, at, e)))
		rc = -1;
	if (rc == 1) {
		take_names(s, t->a, at);
		t->o.max_completion = (size_t)num[N_MAX];
		t->n_update = (uint64_t)num[N_UPDATE];
		memcpy(&t->entropy_coef, &num[N_COEF], sizeof(double));
		memcpy(&t->entropy_last, &num[N_ENTROPY], sizeof(double));
	}
	moe_st_close(s);
	moe_buf_free(&bytes);
	return rc;
}

/* Is the adapter, with the plan that the run gave it, the one that the checkpoint's key begins
 * with? */
static int same_start(
	const struct moe_st *s, const char *path, struct moe_adapter *a, struct moe_err *e)
{
	const char *was = moe_st_meta(s, "key");
	char start[96];

	if (moe_adapter_digest(a, e))
		return -1;
	snprintf(start, sizeof(start), "adapter %s;", a->digest);
	if (was && !strncmp(was, start, strlen(start)))
		return 0;
	return moe_fail(e, MOE_DATA,
		"%s: this checkpoint is of a run that started from another adapter", path);
}

int moe_train_peek(
	const char *path, struct moe_adapter *a, struct moe_train_at *at, struct moe_err *e)
{
	struct moe_st *s;
	int64_t num[NUMBERS];
	struct part p[PARTS];
	struct moe_buf bytes = { 0 };
	int rc;

	rc = open_checkpoint(path, &bytes, &s, e);
	if (rc <= 0)
		return rc;
	parts(a, NULL, num, p);
	rc = get(s, path, &p[P_PLAN], e) || same_start(s, path, a, e) ||
			get(s, path, &p[P_STATE], e) || get(s, path, &p[P_PARAM], e) ||
			take_numbers(num, path, a, at, e)
		? -1
		: 1;
	if (rc == 1)
		take_names(s, a, at); /* the router's name is part of the digest */
	if (rc == 1 && moe_adapter_digest(a, e))
		rc = -1;
	moe_st_close(s);
	moe_buf_free(&bytes);
	return rc;
}

int moe_train_peek_past(const char *path, const struct moe_adapter *a, struct moe_past *past,
	struct moe_rec *score, struct moe_train_at *at, struct moe_err *e)
{
	struct moe_adapter copy = { 0 };
	struct moe_st *s = NULL;
	int rc = moe_adapter_copy(&copy, a, e) ? -1 : moe_train_peek(path, &copy, at, e);

	if (rc == 1)
		rc = (s = moe_st_open(path, e)) && !get_past(s, path, past, e) &&
				!get_score(s, path, score, e)
			? 1
			: -1;
	if (s)
		moe_st_close(s);
	moe_adapter_free(&copy);
	return rc;
}
