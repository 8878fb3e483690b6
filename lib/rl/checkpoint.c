/* checkpoint.c - saves and restores a trainer; the adapter for others to use is a stream (moe/adapter.h), not this. */
#include "rl/checkpoint.h"

#include "formats/safetensors.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef MOE_REAL_F64
#define REAL "F64"
#else
#define REAL "F32"
#endif

void moe_train_key(const struct moe_trainer *t, char key[MOE_TRAIN_KEY])
{
	const struct moe_train_opts *o = &t->o;

	snprintf(key, MOE_TRAIN_KEY, "adapter %s; seed %llu; loss %d %d %.17g %.17g %.17g; advantages %d %d; max completion %zu; "
		"adamw %.17g %.17g %.17g %.17g %.17g; clip %.17g; warmup %d; chunk %d", t->a->digest, (unsigned long long)t->a->train_seed, (int)o->loss.type,
		(int)o->loss.ratio, o->loss.eps_low, o->loss.eps_high, o->loss.beta, (int)o->adv.scale, o->adv.split, o->max_completion, o->lr,
		o->beta1, o->beta2, o->eps, o->decay, o->clip, o->warmup, o->chunk_tok);
}

struct part {
	const char *name, *dtype;
	void *data;
	size_t n, size;
};

/* The state: what is saved is what is loaded. num holds the adapter's step, the next step of the input, and max_completion. */
static size_t parts(const struct moe_trainer *t, int64_t num[3], struct part p[5])
{
	size_t n = t->a->x.n_param, sz = sizeof(moe_real);

	p[0] = (struct part){ "param", REAL, t->a->x.param, n, sz };
	p[1] = (struct part){ "adam.m", REAL, t->opt.m, n, sz };
	p[2] = (struct part){ "adam.v", REAL, t->opt.v, n, sz };
	p[3] = (struct part){ "adam.step", "I64", t->opt.step, (size_t)t->a->x.E, 8 };
	p[4] = (struct part){ "state", "I64", num, 3, 8 };
	return 5;
}

int moe_train_save(const struct moe_trainer *t, const char *path, const char *key, int64_t next, struct moe_err *e)
{
	int64_t num[3] = { t->a->step, next, (int64_t)t->o.max_completion };
	const char *const meta[][2] = { { "key", key } };
	struct moe_st_tensor st[5];
	struct part p[5];
	size_t n = parts(t, num, p);

	for (size_t i = 0; i < n; i++) {
		st[i] = (struct moe_st_tensor){ .name = p[i].name, .rank = 1, .shape = { p[i].n }, .data = p[i].data, .bytes = p[i].n * p[i].size };
		snprintf(st[i].dtype, sizeof(st[i].dtype), "%s", p[i].dtype);
	}
	return moe_st_write(path, st, n, meta, 1, e);
}

int moe_train_load(struct moe_trainer *t, const char *path, const char *key, int64_t *next, struct moe_err *e)
{
	const struct moe_st_tensor *st;
	const char *was;
	struct moe_st *s;
	int64_t num[3];
	struct part p[5];
	size_t n = parts(t, num, p);
	int rc = 1;

	if (access(path, F_OK))
		return 0;
	s = moe_st_open(path, e);
	if (!s)
		return -1;
	was = moe_st_meta(s, "key");
	if (!was || strcmp(was, key) != 0)
		rc = moe_fail(e, MOE_DATA, "%s: this checkpoint is of another run: of another adapter, seed or options", path);
	for (size_t i = 0; rc == 1 && i < n; i++) {
		st = moe_st_find(s, p[i].name);
		if (!st || strcmp(st->dtype, p[i].dtype) != 0 || st->bytes != p[i].n * p[i].size)
			rc = moe_fail(e, MOE_DATA, "%s: tensor '%s' is missing or of another shape", path, p[i].name);
		else
			memcpy(p[i].data, st->data, st->bytes);
	}
	moe_st_close(s);
	if (rc == 1) {
		t->a->step = num[0];
		*next = num[1];
		t->o.max_completion = (size_t)num[2];
	}
	return rc;
}
