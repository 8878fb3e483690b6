/* base_look.c - moe-base --info, --check, --generate and --score. */
#include "cmd/base.h"
#include "cmd/model_in.h"
#include "formats/tokenizer/special.h"
#include "model/basedir.h"
#include "model/sample.h"
#include "model/logp.h"
#include "moe/calibrate.h"
#include "moe/adapter.h"
#include "tensor/gemm.h"
#include "util/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

	moe_model_in(&m, o->dir);
	die_unless(moe_base_describe(&m, &b, &e) == 0, &e);
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

	moe_model_in(&m, o->dir);
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
	moe_model_in(&l->m, o->dir);
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
	moe_decision_table_spread(l->x, l->a.plan.sample, l->gate);
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
	bool lines = isatty(out->fd);
	struct moe_err e;

	die_unless(moe_buf_add(&text, prompt, strlen(prompt), &e) == 0, &e);
	die_unless(moe_tokenizer_decode(l->t, c->ids, (size_t)c->n, true, &text, &e) == 0, &e);
	for (size_t at = 0, n; at <= text.len; at += n + 1) { /* a terminal gets its lines */
		const char *p = (const char *)text.data + at,
			   *nl = lines && at < text.len ? memchr(p, '\n', text.len - at) : NULL;

		n = nl ? (size_t)(nl - p) : text.len - at;
		die_unless(moe_text_escape(&safe, n ? p : "", n, false, &e) == 0 &&
				moe_buf_add(&safe, "\n", 1, &e) == 0,
			&e);
	}
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

		die_unless(moe_prompt_tokens(l.t, l.m.config.bos,
				   (struct moe_str){ prompt[i], strlen(prompt[i]) }, false, &ids,
				   &len, &e) == 0,
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

struct total {
	double nll;
	uint64_t tokens, records;
	uint64_t left_out, cut, beyond; /* records: not scored; cut; longer than the positions */
	uint64_t texts;                 /* that got an end token */
	struct moe_err first;           /* why the first of left_out was */
};

static bool leave_out(struct total *sum, const struct moe_err *e)
{
	if (!sum->left_out++)
		sum->first = *e;
	return false;
}

static int check_ids(
	const struct loaded *l, const int32_t *ids, size_t n, const char *key, struct moe_err *e)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] < 0 || ids[i] >= l->m.config.V)
			return moe_fail(e, MOE_DATA,
				"its '%s' holds token %d, which the vocabulary of %d does not have",
				key, (int)ids[i], l->m.config.V);
	return 0;
}

/* A rollout's tokens as they were sampled; of one that has only texts, as an import with the model
 * makes them. */
static int rollout_ids(const struct loaded *l, const struct moe_rec *r, int32_t *ids[2],
	size_t n[2], struct moe_err *e)
{
	const struct moe_config *m = &l->m.config;
	struct moe_str text[2], finish = { "stop", 4 };

	if (moe_rec_has(r, "prompt_ids") > MOE_V_NIL || !moe_rec_str(r, "prompt", &text[0])) {
		if (moe_rec_i32s(r, "prompt_ids", &ids[0], &n[0], e))
			return -1;
	} else if (moe_prompt_tokens(l->t, m->bos, text[0], moe_rec_has(r, "messages") > MOE_V_NIL,
			   &ids[0], &n[0], e))
		return -1;
	if (moe_rec_has(r, "completion_ids") > MOE_V_NIL || !moe_rec_str(r, "completion", &text[1]))
		return moe_rec_i32s(r, "completion_ids", &ids[1], &n[1], e);
	moe_rec_str(r, "finish", &finish);
	return moe_completion_tokens(l->t, m->eos, moe_str_eq(finish, "stop") ? m->n_eos : 0,
		text[1], &ids[1], &n[1], e);
}

/* A text, or a rollout's tokens as they were sampled. One that can not be scored is left out and
 * counted: nothing is trained on the numbers. */
static bool add(const struct base_opts *o, const struct loaded *l, struct moe_corpus *c,
	const struct moe_rec *r, struct total *sum)
{
	int max_len = o->max_length ? (int)o->max_length : l->m.config.max_pos, rc;
	int32_t *ids[2] = { NULL, NULL };
	size_t n[2] = { 0, 0 }, cut = c->cut;
	struct moe_err e;

	if (moe_rec_is(r, "text")) {
		rc = moe_corpus_add(c, r, l->t, &l->m.config, max_len, &e);
		if (rc == 0)
			moe_fail(&e, MOE_DATA, "record %llu: the text has fewer than two tokens",
				(unsigned long long)r->number);
		sum->texts += rc > 0;
		sum->cut += c->cut - cut;
		return rc > 0 ? true : leave_out(sum, &e);
	}
	rc = rollout_ids(l, r, ids, n, &e) || check_ids(l, ids[0], n[0], "prompt_ids", &e) ||
		check_ids(l, ids[1], n[1], "completion_ids", &e) ||
		moe_corpus_add_ids(c, ids[0], n[0], ids[1], n[1], 0, &e);
	sum->beyond += !rc && n[0] + n[1] > (size_t)max_len;
	free(ids[0]);
	free(ids[1]);
	if (rc)
		moe_err_prefix(&e, "record %llu", (unsigned long long)r->number);
	return rc ? leave_out(sum, &e) : true;
}

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
			moe_corpus_logp(&l->m, l->x, l->x ? l->gate : NULL, c, l->pool,
				o->temperature, logp, &e) == 0,
		&e);
	for (size_t i = 0; i < c->n; i++)
		put_score(o, out, &in[i], c, &c->doc[i], logp, sum);
	moe_corpus_clear(c);
	free(logp);
}

/* What a perplexity does not say by itself. */
static void say_what_was_scored(
	const struct base_opts *o, const struct loaded *l, const struct total *sum)
{
	int max_len = o->max_length ? (int)o->max_length : l->m.config.max_pos;

	if (sum->left_out)
		moe_warn("%llu record%s left out; the first: %s", (unsigned long long)sum->left_out,
			sum->left_out == 1 ? " was" : "s were", sum->first.msg);
	if (sum->cut)
		moe_warn("%llu text%s cut: only the first %d tokens of each are scored (%s)",
			(unsigned long long)sum->cut, sum->cut == 1 ? " was" : "s were", max_len,
			o->max_length ? "--max-length" : "the model's positions");
	if (sum->beyond)
		moe_warn("%llu rollout%s longer than %d tokens: scored beyond the positions that "
			 "the model was made for",
			(unsigned long long)sum->beyond, sum->beyond == 1 ? " is" : "s are",
			max_len);
	if (sum->texts > sum->cut && l->m.config.n_eos)
		moe_info("the end token (%d) behind each text that was not cut is scored, too",
			l->m.config.eos[0]);
}

/* One side of a pair: nats before and after the calibration. */
static void put_side(const struct base_opts *o, struct moe_out *out, const char *id, bool hack,
	int tokens, const double nll[2])
{
	const char *side = hack ? "hack" : "clean";
	struct moe_rec r = { 0 };
	struct moe_buf b = { 0 };
	struct moe_err e;

	if (o->text) {
		die_unless(moe_text_escape(&b, id, strlen(id), false, &e) == 0 &&
				moe_buf_addf(&b, &e, "\t%s\t%d\t%.6f\t%.6f\n", side, tokens, nll[0],
					nll[1]) == 0,
			&e);
		moe_out_write(out, b.data, b.len);
		moe_buf_free(&b);
		return;
	}
	die_unless(moe_rec_set_str(&r, "t", "score", &e) == 0 &&
			moe_rec_set_str(&r, "id", id, &e) == 0 &&
			moe_rec_set_str(&r, "side", side, &e) == 0 &&
			moe_rec_set_int(&r, "tokens", tokens, &e) == 0 &&
			moe_rec_set_f64(&r, "nll", nll[0], &e) == 0 &&
			moe_rec_set_f64(&r, "nll_calibrated", nll[1], &e) == 0 &&
			moe_writer_put(out->w, &r, &e) == 0,
		&e);
	moe_rec_free(&r);
}

/* The sides of pairs, before and after a calibration of the logits. */
static void score_pairs(const struct base_opts *o, const struct loaded *l, struct moe_reader *r,
	struct moe_out *out)
{
	const struct moe_engine g = { .m = &l->m, .pool = l->pool };
	const struct moe_calibrate_opts c = { 200, 0.01 };
	struct moe_pairs p = { 0 };
	double *nll, sum[2][2] = { { 0 } }, n[2] = { 0 };
	int *tokens;
	struct moe_err e;

	die_unless(moe_pairs_read(&p, r, l->t, l->m.config.bos, &e) == 0, &e);
	nll = moe_alloc(4 * p.n, sizeof(*nll), &e);
	die_unless(nll != NULL, &e);
	tokens = moe_alloc(2 * p.n, sizeof(*tokens), &e);
	die_unless(tokens &&
			moe_calibrate(&g, l->x, l->gate, &p, &c, nll, nll + 2 * p.n, tokens, &e) ==
				0,
		&e);
	for (size_t i = 0; i < 2 * p.n; i++) {
		const double both[2] = { nll[i], nll[2 * p.n + i] };

		put_side(o, out, p.pair[i / 2].id, i % 2 == 0, tokens[i], both);
		for (int k = 0; k < 2; k++)
			sum[i % 2][k] += both[k];
		n[i % 2] += tokens[i];
	}
	if (p.n)
		moe_info("%zu pair%s, nats a token: hack sides %.6f, %.6f with calibrated logits; "
			 "clean sides %.6f, %.6f",
			p.n, moe_s(p.n), sum[0][0] / n[0], sum[0][1] / n[0], sum[1][0] / n[1],
			sum[1][1] / n[1]);
	free(nll);
	free(tokens);
	moe_pairs_free(&p);
}

/* Texts or rollouts, record by record. */
static void score_records(const struct base_opts *o, const struct loaded *l, struct moe_reader *r,
	struct moe_out *out)
{
	struct moe_rec *in = calloc(SCORE_BATCH, sizeof(*in)), rec = { 0 };
	struct moe_corpus c = { 0 };
	struct total sum = { 0 };
	struct moe_err e;
	int got;

	if (!in)
		moe_fail(&e, MOE_SYSTEM, "out of memory");
	die_unless(in != NULL, &e);
	while ((got = moe_reader_next(r, &rec, &e)) == 1) {
		if (!moe_rec_is(&rec, "text") && !moe_rec_is(&rec, "rollout"))
			continue;
		if (!add(o, l, &c, &rec, &sum))
			continue;
		die_unless(moe_rec_copy(&in[c.n - 1], &rec, &e) == 0, &e);
		if (c.n == SCORE_BATCH)
			flush(o, l, out, &c, in, &sum);
	}
	die_unless(got == 0, &e);
	if (c.n)
		flush(o, l, out, &c, in, &sum);
	if (sum.left_out && !sum.records) { /* before the end: nothing was scored */
		moe_err_prefix(&sum.first, "no record can be scored; the first");
		moe_die(&sum.first);
	}
	say_what_was_scored(o, l, &sum);
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
}

void base_score(const struct base_opts *o, const char *input)
{
	struct moe_out out = { 0 };
	struct moe_reader *r;
	struct loaded l;
	struct moe_err e;
	bool pairs;

	load(o, &l);
	r = moe_in_open(input, NULL);
	die_unless(moe_reader_peek_header(r, &e) >= 0, &e);
	pairs = moe_str_eq(moe_reader_kind(r), "pairs");
	die_unless(pairs ||
			moe_reader_expect(r,
				moe_str_eq(moe_reader_kind(r), "rollouts") ? "rollouts" : "texts",
				&e) == 0,
		&e);
	if (pairs && o->temperature != 1)
		moe_usage_error("--temperature is for texts and rollouts: the sides of pairs are "
				"scored at 1, as the biases of the logits are fitted");
	if (o->text)
		moe_out_text(&out, NULL);
	else
		moe_out_stream(&out, "scores", l.labels, NULL);
	(pairs ? score_pairs : score_records)(o, &l, r, &out);
	if (out.w)
		die_unless(moe_writer_from_reader(out.w, r, &e) == 0, &e);
	moe_out_finish(&out);
	moe_reader_close(r);
	unload(&l);
}
