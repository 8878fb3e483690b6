/* base_train.c - moe-base --new and --pretrain: reading the texts, the loop with its progress and
 * metrics, the result. */
#include "cmd/base.h"
#include "cmd/model_in.h"
#include "model/basedir.h"
#include "model/gguf_in.h"
#include "model/load.h"
#include "util/claim.h"
#include "util/digest.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void die_unless(bool ok, const struct moe_err *e)
{
	if (!ok)
		moe_die(e);
}

/* Random weights do not replace what may have been trained for hours. */
void base_die_if_model(const char *dir)
{
	static const char *const weights[] = { "model.safetensors",
		"model.safetensors.index.json" };
	char path[4096];

	for (size_t i = 0; i < 2; i++)
		if (snprintf(path, sizeof(path), "%s/%s", dir, weights[i]) < (int)sizeof(path) &&
			access(path, F_OK) == 0)
			moe_usage_error("%s holds a model already: name another directory, or "
					"remove it first",
				dir);
}

void base_new(const struct base_opts *o)
{
	struct moe_config c;
	struct moe_model m;
	struct moe_err e;
	bool tokenizer;

	base_die_if_model(moe_common.output);
	die_unless(moe_base_config(o->new_from, &c, &e) == 0 &&
			moe_model_new(&m, &c, moe_common.seed, moe_common.threads, &e) == 0,
		&e);
	die_unless(moe_base_write(&m, moe_common.output, o->tokenizer, &tokenizer, &e) == 0, &e);
	moe_info("%s: %zu parameters%s", moe_common.output, moe_model_count(&m),
		tokenizer ? "" : "; no tokenizer: this vocabulary needs one (--tokenizer)");
	moe_model_free(&m);
}

void base_from_gguf(const struct base_opts *o)
{
	struct moe_config c;
	struct moe_gguf *g;
	struct moe_err e;

	base_die_if_model(moe_common.output);
	moe_in_allowed(o->from_gguf);
	g = moe_gguf_open(o->from_gguf, &e);
	die_unless(g && moe_gguf_to_dir(g, moe_common.output, &c, &e) == 0, &e);
	moe_info("%s: %d layers of %d, a vocabulary of %d, from %zu tensors", moe_common.output,
		c.L, c.D, c.V, moe_gguf_tensors(g));
	moe_gguf_close(g);
}

static void read_texts(const struct base_opts *o, const struct moe_model *m, const char *path,
	struct moe_corpus *c, char digest[MOE_SHA256_HEX])
{
	int max_len = o->max_length ? (int)o->max_length : m->config.max_pos;
	struct moe_reader *r = moe_in_open(path, "texts");
	struct moe_tokenizer *t;
	struct moe_rec rec = { 0 };
	struct moe_sha256 h;
	struct moe_err e;
	int got;

	t = moe_tokenizer_open(o->dir, &e);
	die_unless(t != NULL, &e);
	while ((got = moe_reader_next(r, &rec, &e)) == 1)
		if (moe_rec_is(&rec, "text"))
			die_unless(moe_corpus_add(c, &rec, t, &m->config, max_len, &e) >= 0, &e);
	die_unless(got == 0, &e);
	if (moe_reader_labels(r) == MOE_LABELS_ORACLE)
		moe_die(&(struct moe_err){ .code = MOE_DATA,
			.msg = "the texts carry the labels 'oracle': something that made them "
			       "opened sealed findings, and a base model's directory can not say "
			       "so" });
	moe_sha256_init(&h);
	for (size_t i = 0; i < moe_reader_digests(r); i++)
		moe_sha256_add(&h, moe_reader_digest(r, i), 64);
	moe_sha256_hex(&h, digest);
	if (c->cut)
		moe_warn("%zu text%s cut at %d tokens", c->cut, c->cut == 1 ? " was" : "s were",
			max_len);
	if (c->empty)
		moe_warn("%zu text%s left out: fewer than two tokens, nothing to predict", c->empty,
			c->empty == 1 ? " was" : "s were");
	moe_rec_free(&rec);
	moe_tokenizer_free(t);
	moe_reader_close(r);
}

static struct moe_writer *open_metrics(const struct base_opts *o, int *fd)
{
	struct moe_writer_opts w = { .kind = "metrics",
		.tool = "moe-base",
		.argv = (const char *const *)moe_common.argv,
		.argc = moe_common.argc,
		.seed = moe_common.seed };
	struct moe_writer *out = NULL;
	struct moe_err e;

	if (!o->metrics)
		return NULL;
	*fd = open(o->metrics, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (*fd < 0)
		moe_fail_errno(&e, "%s: cannot be written", o->metrics);
	else
		out = moe_writer_open_fd(*fd, o->metrics, &w, NULL, &e);
	die_unless(out != NULL, &e);
	return out;
}

/* One row of the history as a metrics record, under the names of transformers' Trainer. */
static void put_metrics(struct moe_writer *w, const struct moe_pretrain *p, uint64_t step,
	double tokens, double time)
{
	const struct moe_pretrain_row *r = &p->row[step];
	struct moe_rec rec = { 0 };
	struct moe_err e;

	die_unless(moe_rec_set_str(&rec, "t", "metrics", &e) == 0 &&
			moe_rec_set_int(&rec, "step", (int64_t)step, &e) == 0 &&
			moe_rec_set_f64(&rec, "time", time, &e) == 0 &&
			(isnan(r->loss) ||
				moe_rec_set_f64(&rec, "loss", (double)r->loss, &e) == 0) &&
			moe_rec_set_f64(&rec, "grad_norm", (double)r->grad_norm, &e) == 0 &&
			moe_rec_set_f64(&rec, "learning_rate", (double)r->lr, &e) == 0 &&
			moe_rec_set_f64(&rec, "num_tokens", tokens, &e) == 0,
		&e);
	if (!isnan(r->heldout_loss))
		die_unless(
			moe_rec_set_f64(&rec, "eval_loss", (double)r->heldout_loss, &e) == 0, &e);
	die_unless(moe_writer_put(w, &rec, &e) == 0 && moe_writer_flush(w, &e) == 0, &e);
	moe_rec_free(&rec);
}

/* What makes two runs the same run. */
static void run_key(const struct moe_pretrain *p, const char *texts, char out[MOE_SHA256_HEX])
{
	const struct moe_pretrain_opts *o = &p->o;
	char line[512];
	int n = snprintf(line, sizeof(line),
		"%s %s %llu %d %llu %.17g %.17g %.17g %.17g %.17g %.17g %llu %d %.17g %llu %d %llu",
		p->m->digest, texts, (unsigned long long)o->seed, o->batch,
		(unsigned long long)p->total, o->lr, o->beta1, o->beta2, o->eps, o->decay, o->clip,
		(unsigned long long)o->warmup, (int)o->schedule, o->heldout,
		(unsigned long long)o->eval_every, o->shard_tokens,
		(unsigned long long)p->c->n_ids);

	moe_sha256_of(line, (size_t)n, out);
}

static void loop(const struct base_opts *o, struct moe_pretrain *p, const char *checkpoint,
	const char *key, struct moe_writer *metrics)
{
	double start = moe_clock_sec(), tokens = 0, first = 0;
	uint64_t saved = p->step; /* a step that the checkpoint holds; 0: none */
	struct moe_progress bar;
	struct moe_err e;

	for (uint64_t i = 0; i < p->step; i++) {
		tokens += (double)p->row[i].tokens;
		if (metrics)
			put_metrics(metrics, p, i, tokens, 0);
	}
	first = tokens;
	moe_progress_begin(&bar, "step", (double)p->total);
	while (p->step < p->total) {
		const struct moe_pretrain_row *r;

		die_unless(moe_pretrain_step(p, &e) == 0, &e);
		r = &p->row[p->step - 1];
		tokens += (double)r->tokens;
		if (metrics)
			put_metrics(metrics, p, p->step - 1, tokens, moe_clock_sec() - start);
		if (!isnan(r->heldout_loss))
			moe_debug("step %llu: loss %.4f, held out %.4f, |g| %.3f",
				(unsigned long long)p->step, (double)r->loss,
				(double)r->heldout_loss, (double)r->grad_norm);
		moe_progress_at(&bar, (double)p->step, "loss %.3f, %.0f tokens/s", (double)r->loss,
			(tokens - first) / (moe_clock_sec() - start));
		if (o->save_every && p->step % (uint64_t)o->save_every == 0 && p->step < p->total)
			die_unless(moe_pretrain_save(p, checkpoint, key, &e) == 0, &e);
		if (o->save_every && p->step % (uint64_t)o->save_every == 0)
			saved = p->step;
		moe_last_words("stopped after step %llu of %llu; %s%s", (unsigned long long)p->step,
			(unsigned long long)p->total,
			saved ? checkpoint : "no checkpoint holds it (--save-every N)",
			saved ? " holds a step from which --resume goes on" : "");
	}
	moe_progress_end(&bar);
	if (p->total > 0)
		moe_info("%llu step%s, %.0f tokens, loss %.4f, held out %.4f (%zu text%s); %.1f s, "
			 "%.0f tokens/s, %.0f %% of it in matrix products",
			(unsigned long long)p->total, moe_s(p->total), tokens,
			(double)p->row[p->total - 1].loss,
			(double)p->row[p->total - 1].heldout_loss, p->n_held, moe_s(p->n_held),
			moe_clock_sec() - start, (tokens - first) / (moe_clock_sec() - start),
			p->engine_sec > 0 ? 100 * p->gemm_sec / p->engine_sec : 0);
}

static void finish(const struct base_opts *o, const struct moe_model *m)
{
	struct moe_err e;

	die_unless(moe_model_save(m, moe_common.output, &e) == 0, &e);
	if (strcmp(o->dir, moe_common.output) != 0)
		die_unless(moe_base_copy_extras(o->dir, moe_common.output, &e) == 0, &e);
}

void base_pretrain(const struct base_opts *o, const char *texts)
{
	char digest[MOE_SHA256_HEX], key[MOE_SHA256_HEX], where[4096];
	struct moe_corpus c = { 0 };
	struct moe_writer *metrics;
	struct moe_pretrain p;
	struct moe_pool *pool;
	struct moe_model m;
	struct moe_err e;
	int fd = -1, got;

	if (o->checkpoint
			? snprintf(where, sizeof(where), "%s", o->checkpoint) >= (int)sizeof(where)
			: snprintf(where, sizeof(where), "%s.ckpt", moe_common.output) >=
				(int)sizeof(where))
		moe_usage_error("the name of the checkpoint's directory is too long");
	if (moe_claim(moe_common.output, "output", &e) ||
		(o->save_every && moe_claim(where, "checkpoint", &e)))
		moe_usage_error("%s", e.msg);
	die_unless(moe_model_dir(moe_common.output, &e) == 0, &e);
	rmdir(moe_common.output); /* made again at the end; a run that fails leaves nothing */
	moe_model_in(&m, o->dir);
	die_unless(moe_model_make_trainable(&m, &e) == 0, &e);
	read_texts(o, &m, texts, &c, digest);
	pool = moe_pool_new(moe_common.threads, &e);
	die_unless(pool && moe_pretrain_init(&p, &o->train, &m, &c, pool, &e) == 0, &e);
	run_key(&p, digest, key);
	if (o->resume) {
		got = moe_pretrain_load(&p, where, key, &e);
		die_unless(got >= 0, &e);
		moe_info(got ? "going on after step %llu"
			     : "no checkpoint yet: starting at step %llu",
			(unsigned long long)p.step);
	}
	metrics = open_metrics(o, &fd);
	loop(o, &p, where, key, metrics);
	finish(o, &m);
	if (metrics) {
		die_unless(moe_writer_end(metrics, NULL, &e) == 0, &e);
		moe_writer_close(metrics);
		if (close(fd)) {
			moe_fail_errno(&e, "%s", o->metrics);
			moe_die(&e);
		}
	}
	moe_pretrain_free(&p);
	moe_corpus_free(&c);
	moe_model_free(&m);
	moe_pool_free(pool);
}
