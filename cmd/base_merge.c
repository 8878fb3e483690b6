/* base_merge.c - moe-base --merge: an arm of an adapter and its base as one model's directory, and
 * how far its log-probabilities are from those of the two. */
#include "cmd/base.h"
#include "cmd/model_in.h"
#include "model/basedir.h"
#include "model/load.h"
#include "model/logp.h"
#include "moe/adapter.h"
#include "moe/merge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the two are compared on: a little of everything that a model reads. */
static const char *const probes[] = {
	"The ship left the harbour before sunrise, and nobody on the pier waved. Years later the "
	"captain would say that he had heard a bell that morning, although the church had burned "
	"down the winter before.",
	"def mean(values):\n    \"\"\"The mean of a list, or 0.\"\"\"\n    total = 0\n    for v in "
	"values:\n        total += v\n    return total / len(values) if values else 0\n",
	"1, 2, 3, 5, 8, 13, 21, 34, 55, 89; (12 + 7) * 3 = 57; 2026-11-28 17:45; x = -b / 2a.",
	"<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\nThe "
	"capital of France is Paris.<|im_end|>\n",
};

static void die_unless(bool ok, const struct moe_err *e)
{
	if (!ok)
		moe_die(e);
}

static void read_arm(const struct base_opts *o, const struct moe_model *m, struct moe_adapter *a)
{
	struct moe_reader *r = moe_in_open(o->adapter, "adapter");
	struct moe_err e;
	int got;

	do
		got = moe_adapter_read(r, false, a, &e);
	while (got == 1 && o->arm && strcmp(o->arm, a->arm) != 0);
	if (got == 0)
		moe_fail(&e, MOE_DATA, "%s holds no arm%s%s", o->adapter, o->arm ? " named " : "",
			o->arm ? o->arm : "");
	die_unless(
		got == 1 && moe_adapter_check(a, &m->config, m->digest, o->any_base, &e) == 0, &e);
	moe_in_rest(r);
	if (moe_reader_labels(r) == MOE_LABELS_ORACLE)
		moe_warn("%s has seen the labels of an oracle; a model's directory cannot say so",
			o->adapter);
	moe_reader_close(r);
}

/* A model without a tokenizer, or one that has no token for some byte, gets ids of no meaning. */
static void add_probe(struct moe_corpus *c, const struct moe_config *m,
	const struct moe_tokenizer *t, uint64_t key)
{
	int32_t *ids = NULL;
	size_t n = 0;
	struct moe_err e;

	if (!t || moe_tokenizer_encode(t, probes[key], strlen(probes[key]), true, &ids, &n, &e)) {
		free(ids);
		n = 48;
		ids = malloc(n * sizeof(*ids));
		for (size_t i = 0; ids && i < n; i++)
			ids[i] = (int32_t)((i * (2 * key + 7) + key) % (size_t)m->V);
	}
	if (!ids)
		moe_fail(&e, MOE_SYSTEM, "out of memory");
	if (n > (size_t)m->max_pos)
		n = (size_t)m->max_pos;
	die_unless(ids && moe_corpus_add_ids(c, ids, 1, ids + 1, n - 1, key, &e) == 0, &e);
	free(ids);
}

static void fill_probes(struct moe_corpus *c, const struct moe_config *m, const char *dir)
{
	struct moe_err ignored;
	struct moe_tokenizer *t = moe_tokenizer_open(dir, &ignored);

	for (uint64_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		add_probe(c, m, t, i);
	moe_tokenizer_free(t);
}

static void compare(const float *a, const float *b, size_t n)
{
	double worst = 0, sum = 0;
	size_t counted = 0;

	for (size_t i = 0; i < n; i++)
		if (!isnan(a[i])) {
			double d = fabs((double)a[i] - (double)b[i]);

			worst = d > worst ? d : worst;
			sum += d;
			counted++;
		}
	moe_info("merged against adapter: log-probabilities of %zu tokens differ by %.2e at most, "
		 "%.2e on average",
		counted, worst, sum / (double)(counted ? counted : 1));
}

void base_merge(const struct base_opts *o)
{
	struct moe_adapter a = { 0 };
	struct moe_corpus c = { 0 };
	moe_real gate[MOE_EXPERTS_MAX];
	struct moe_pool *pool;
	struct moe_model m;
	struct moe_err e;
	float *block = NULL, *with, *merged;

	base_die_if_model(moe_common.output);
	moe_model_in(&m, o->dir);
	read_arm(o, &m, &a);
	moe_decision_table_spread(&a.x, a.plan.sample, gate);
	fill_probes(&c, &m.config, o->dir);
	pool = moe_pool_new(moe_common.threads, &e);
	with = malloc((c.n_ids + 1) * sizeof(*with));
	merged = malloc((c.n_ids + 1) * sizeof(*merged));
	if (pool && (!with || !merged))
		moe_fail(&e, MOE_SYSTEM, "out of memory");
	die_unless(pool && with && merged &&
			moe_corpus_logp(&m, &a.x, gate, &c, pool, 1, with, &e) == 0 &&
			moe_experts_merge(&m, &a.x, gate, &block, &e) == 0 &&
			moe_corpus_logp(&m, NULL, NULL, &c, pool, 1, merged, &e) == 0 &&
			moe_model_save(&m, moe_common.output, &e) == 0 &&
			moe_base_copy_extras(o->dir, moe_common.output, &e) == 0,
		&e);
	compare(with, merged, c.n_ids);
	free(with);
	free(merged);
	moe_pool_free(pool);
	moe_corpus_free(&c);
	moe_model_free(&m);
	free(block);
	moe_adapter_free(&a);
}
