/* base_look.c - moe-base --info, --check, --generate and --score. */
#include "cmd/base.h"
#include "model/basedir.h"
#include "model/sample.h"
#include "model/score.h"
#include "moe/adapter.h"
#include "tensor/gemm.h"
#include "util/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SCORE_BATCH 256 /* records at a time */

static void die_unless(bool ok, const struct moe_err *e)
{
	if (!ok)
		moe_die(e);
}

void base_info(const struct base_opts *o)
{
	struct moe_buf b = { 0 };
	struct moe_model m;
	struct moe_out out;
	struct moe_err e;

	die_unless(moe_model_load(&m, o->dir, &e) == 0 && moe_base_describe(&m, &b, &e) == 0, &e);
	die_unless(moe_buf_addf(&b, &e, "matrix products\t%s\n", moe_gemm_describe()) == 0, &e);
	moe_out_text(&out, NULL);
	moe_out_write(&out, b.data, b.len);
	moe_out_finish(&out);
	moe_buf_free(&b);
	moe_model_free(&m);
}

int base_check(const struct base_opts *o)
{
	struct moe_tokenizer *t;
	struct moe_model m;
	struct moe_err e;
	int rc;

	die_unless(moe_model_load(&m, o->dir, &e) == 0, &e);
	t = moe_tokenizer_open(o->dir, &e);
	if (!t)
		moe_warn("%s", e.msg);
	rc = moe_base_check(&m, t, &e);
	if (rc)
		moe_warn("%s: %s", o->dir, e.msg);
	else
		moe_info("%s: %zu finite parameters", o->dir, moe_model_count(&m));
	moe_tokenizer_free(t);
	moe_model_free(&m);
	return rc ? MOE_NEGATIVE : MOE_OK;
}

/* The model, its tokenizer and the adapter's arm; gate[E] are the plan's gates while sampling. */
struct loaded {
	struct moe_model m;
	struct moe_tokenizer *t;
	struct moe_adapter a;
	struct moe_pool *pool;
	moe_real gate[MOE_EXPERTS_MAX];
	const struct moe_experts *x; /* NULL = base alone */
	enum moe_labels labels;
};

static void load(const struct base_opts *o, struct loaded *l)
{
	struct moe_reader *r;
	struct moe_err e;
	int got;

	memset(l, 0, sizeof(*l));
	die_unless(moe_model_load(&l->m, o->dir, &e) == 0, &e);
	l->t = moe_tokenizer_open(o->dir, &e);
	die_unless(l->t != NULL, &e);
	l->pool = moe_pool_new(moe_common.threads, &e);
	die_unless(l->pool != NULL, &e);
	if (!o->adapter)
		return;
	r = moe_in_open(o->adapter, "adapter");
	do
		got = moe_adapter_read(r, false, &l->a, &e);
	while (got == 1 && o->arm && strcmp(o->arm, l->a.arm) != 0);
	if (got == 0)
		moe_fail(&e, MOE_DATA, "%s holds no arm%s%s", o->adapter, o->arm ? " named " : "",
			o->arm ? o->arm : "");
	die_unless(got == 1 &&
			moe_adapter_check(&l->a, &l->m.config, l->m.digest, o->any_base, &e) == 0,
		&e);
	moe_in_rest(r);
	l->x = &l->a.x;
	l->labels = moe_reader_labels(r);
	moe_plan_spread(l->x, l->a.plan.sample, l->gate);
	moe_reader_close(r);
}

static void unload(struct loaded *l)
{
	moe_adapter_free(&l->a);
	moe_tokenizer_free(l->t);
	moe_model_free(&l->m);
	moe_pool_free(l->pool);
}

static void show(struct moe_out *out, const struct loaded *l, const char *prompt,
	const struct moe_completion *c)
{
	struct moe_buf text = { 0 }, safe = { 0 };
	struct moe_err e;

	die_unless(moe_buf_add(&text, prompt, strlen(prompt), &e) == 0, &e);
	die_unless(moe_tokenizer_decode(l->t, c->ids, (size_t)c->n, true, &text, &e) == 0, &e);
	die_unless(moe_text_escape(&safe, (const char *)text.data, text.len, false, &e) == 0 &&
			moe_buf_add(&safe, "\n", 1, &e) == 0,
		&e);
	moe_out_write(out, safe.data, safe.len);
	moe_buf_free(&text);
	moe_buf_free(&safe);
}

void base_generate(const struct base_opts *o, int n, char *const *prompt)
{
	struct moe_sample_req *req = calloc((size_t)n, sizeof(*req));
	struct moe_completion *c = calloc((size_t)n * (size_t)o->samples, sizeof(*c));
	struct moe_sample_opts so;
	struct moe_out out;
	struct loaded l;
	struct moe_err e;

	load(o, &l);
	so = (struct moe_sample_opts){ .max_new = (int)o->max_new,
		.temperature = o->temperature,
		.top_k = (int)o->top_k,
		.top_p = o->top_p,
		.seed = moe_common.seed,
		.stop = l.m.config.eos,
		.n_stop = l.m.config.n_eos };
	if (!req || !c)
		moe_fail(&e, MOE_SYSTEM, "out of memory");
	die_unless(req && c, &e);
	for (int i = 0; i < n; i++) {
		int32_t *ids = NULL;
		size_t len = 0;

		die_unless(moe_tokenizer_encode(
				   l.t, prompt[i], strlen(prompt[i]), true, &ids, &len, &e) == 0,
			&e);
		if (len == 0)
			moe_usage_error("prompt %d is empty", i + 1);
		req[i] = (struct moe_sample_req){ .prompt = ids,
			.n_prompt = (int)len,
			.key = (uint64_t)i,
			.n_samples = (int)o->samples,
			.outer = l.x ? l.gate : NULL };
	}
	die_unless(moe_sample(&l.m, l.x, &so, (size_t)n, req, l.pool, c, &e) == 0, &e);
	moe_out_text(&out, NULL);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < o->samples; k++) {
			show(&out, &l, prompt[i], &c[i * (int)o->samples + k]);
			moe_completion_free(&c[i * (int)o->samples + k]);
		}
	moe_out_finish(&out);
	for (int i = 0; i < n; i++)
		free((void *)(uintptr_t)req[i].prompt);
	free(req);
	free(c);
	unload(&l);
}

/* ---- scoring ---- */

/* A text, or a rollout's tokens as they were sampled. */
static void add(const struct base_opts *o, const struct loaded *l, struct moe_corpus *c,
	const struct moe_rec *r)
{
	int max_len = o->max_length ? (int)o->max_length : l->m.config.max_pos,
	    eos = l->m.config.n_eos ? l->m.config.eos[0] : -1;
	int32_t *prompt = NULL, *rest = NULL;
	size_t n_prompt = 0, n_rest = 0;
	struct moe_err e;

	if (moe_rec_is(r, "text")) {
		die_unless(moe_corpus_add(c, r, l->t, eos, max_len, &e) == 0, &e);
		return;
	}
	die_unless(moe_rec_i32s(r, "prompt_ids", &prompt, &n_prompt, &e) == 0 &&
			moe_rec_i32s(r, "completion_ids", &rest, &n_rest, &e) == 0 &&
			moe_corpus_add_ids(c, prompt, n_prompt, rest, n_rest, 0, &e) == 0,
		&e);
	free(prompt);
	free(rest);
}

struct total {
	double nll;
	uint64_t tokens, records;
};

/* Scores of one record: all tokens but the first in `logp`; nll and perplexity over what follows
 * the prompt. */
static void put_score(const struct base_opts *o, struct moe_out *out, const struct moe_rec *in,
	const struct moe_corpus *c, const struct moe_doc *d, const float *logp, struct total *sum)
{
	int first = d->n_prompt > 1 ? d->n_prompt : 1, n = d->n - first;
	struct moe_rec r = { 0 };
	struct moe_buf b = { 0 };
	struct moe_str id = { "", 0 }, arm;
	struct moe_err e;
	double nll = 0;

	for (int t = first; t < d->n; t++)
		nll -= (double)logp[d->off + (size_t)t];
	sum->nll += nll;
	sum->tokens += (uint64_t)n;
	sum->records++;
	moe_rec_str(in, "id", &id);
	if (o->text) {
		die_unless(moe_text_escape(&b, id.p, id.n, false, &e) == 0 &&
				moe_buf_addf(&b, &e, "\t%d\t%.6f\t%.6g\n", n, nll,
					n ? exp(nll / n) : NAN) == 0,
			&e);
		moe_out_write(out, b.data, b.len);
		moe_buf_free(&b);
		return;
	}
	die_unless(moe_rec_set_str(&r, "t", "score", &e) == 0 &&
			moe_rec_set_strn(&r, "id", id.p, id.n, &e) == 0 &&
			moe_rec_set_int(&r, "prompt_tokens", d->n_prompt, &e) == 0 &&
			moe_rec_set_int(&r, "tokens", n, &e) == 0 &&
			moe_rec_set_f64(&r, "nll", nll, &e) == 0 &&
			moe_rec_set_f64(&r, "perplexity", n ? exp(nll / n) : NAN, &e) == 0 &&
			moe_rec_set_i32s(&r, "ids", c->ids + d->off, (size_t)d->n, &e) == 0 &&
			moe_rec_set_f32s(&r, "logp", logp + d->off + 1, (size_t)d->n - 1, &e) == 0,
		&e);
	if (moe_rec_str(in, "arm", &arm))
		die_unless(moe_rec_set_strn(&r, "arm", arm.p, arm.n, &e) == 0, &e);
	die_unless(moe_writer_put(out->w, &r, &e) == 0, &e);
	moe_rec_free(&r);
}

static void flush(const struct base_opts *o, const struct loaded *l, struct moe_out *out,
	struct moe_corpus *c, const struct moe_rec *in, struct total *sum)
{
	struct moe_err e;
	float *logp = moe_alloc(c->n_ids, sizeof(*logp), &e);

	die_unless(logp &&
			moe_corpus_score(&l->m, l->x, l->x ? l->gate : NULL, c, l->pool,
				o->temperature, logp, &e) == 0,
		&e);
	for (size_t i = 0; i < c->n; i++)
		put_score(o, out, &in[i], c, &c->doc[i], logp, sum);
	moe_corpus_clear(c);
	free(logp);
}

void base_score(const struct base_opts *o, const char *input)
{
	struct moe_rec *in = calloc(SCORE_BATCH, sizeof(*in)), rec = { 0 };
	struct moe_corpus c = { 0 };
	struct total sum = { 0 };
	struct moe_reader *r;
	struct loaded l;
	struct moe_out out = { 0 };
	struct moe_err e;
	int got;

	if (!in)
		moe_fail(&e, MOE_SYSTEM, "out of memory");
	die_unless(in != NULL, &e);
	load(o, &l);
	r = moe_in_open(input, NULL);
	die_unless(moe_reader_peek_header(r, &e) >= 0, &e);
	die_unless(
		moe_reader_expect(r,
			moe_str_eq(moe_reader_kind(r), "rollouts") ? "rollouts" : "texts", &e) == 0,
		&e);
	if (o->text)
		moe_out_text(&out, NULL);
	else
		moe_out_stream(&out, "scores", l.labels, NULL);
	while ((got = moe_reader_next(r, &rec, &e)) == 1) {
		if (!moe_rec_is(&rec, "text") && !moe_rec_is(&rec, "rollout"))
			continue;
		add(o, &l, &c, &rec);
		die_unless(moe_rec_copy(&in[c.n - 1], &rec, &e) == 0, &e);
		if (c.n == SCORE_BATCH)
			flush(o, &l, &out, &c, in, &sum);
	}
	die_unless(got == 0, &e);
	if (c.n)
		flush(o, &l, &out, &c, in, &sum);
	if (out.w)
		die_unless(moe_writer_from_reader(out.w, r, &e) == 0, &e);
	moe_out_finish(&out);
	if (sum.tokens)
		moe_info("%llu record%s, %llu token%s: %.6f nats a token, perplexity %.6g",
			(unsigned long long)sum.records, moe_s(sum.records),
			(unsigned long long)sum.tokens, moe_s(sum.tokens),
			sum.nll / (double)sum.tokens, exp(sum.nll / (double)sum.tokens));
	else
		moe_warn("%llu record%s, and no token to score", (unsigned long long)sum.records,
			moe_s(sum.records));
	for (size_t i = 0; i < SCORE_BATCH; i++)
		moe_rec_free(&in[i]);
	free(in);
	moe_rec_free(&rec);
	moe_corpus_free(&c);
	moe_reader_close(r);
	unload(&l);
}
