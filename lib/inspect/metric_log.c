/* metric_log.c - reads metrics streams into a table and writes it in other forms. Which metrics
 * there are is the writer's matter (rl/metrics.c). */
#include "inspect/metric_log.h"
#include "formats/jsonl.h"
#include "formats/tfevents.h"
#include "util/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void moe_metric_log_free(struct moe_metric_log *l)
{
	free(l->run);
	free(l->row);
	free(l->value);
	moe_names_free(&l->key);
	moe_arena_free(&l->arena);
	*l = (struct moe_metric_log){ 0 };
}

/* ---- reading ---- */

/* The number of the segment's run, new or known. */
static int64_t run_of(struct moe_metric_log *l, const struct moe_reader *r, struct moe_err *e)
{
	const struct moe_rec *h = moe_reader_header(r);
	struct moe_str method = { "", 0 };
	struct moe_metric_run run = { 0 };
	struct moe_buf text = { 0 };

	run.has_seed = moe_rec_int(h, "train_seed", &run.seed);
	moe_rec_str(h, "method", &method);
	if (moe_text_escape(&text, method.p, method.n, true, e))
		return -1;
	run.method = moe_arena_str(&l->arena, text.len ? (char *)text.data : "", text.len, e);
	moe_buf_free(&text);
	if (!run.method)
		return -1;
	for (size_t i = 0; i < l->n_run; i++)
		if (l->run[i].seed == run.seed && l->run[i].has_seed == run.has_seed &&
			!strcmp(l->run[i].method, run.method))
			return (int64_t)i;
	if (moe_grow((void **)&l->run, l->n_run, &l->cap_run, sizeof(*l->run), e))
		return -1;
	l->run[l->n_run] = run;
	return (int64_t)l->n_run++;
}

/* A key of a record as text; false where it is none that a metric has. */
static bool key_text(struct moe_str k, char key[128])
{
	if (!k.n || k.n >= 128 || memchr(k.p, 0, k.n))
		return false;
	memcpy(key, k.p, k.n);
	key[k.n] = 0;
	return strcmp(key, "step") != 0 && strcmp(key, "time") != 0;
}

static int add_row(
	struct moe_metric_log *l, uint32_t run, const struct moe_rec *rec, struct moe_err *e)
{
	struct moe_metric_row row = { .run = run, .time = NAN, .from = l->n_value };

	if (moe_rec_int_req(rec, "step", &row.step, e) ||
		moe_grow((void **)&l->row, l->n_row, &l->cap_row, sizeof(*l->row), e))
		return -1;
	moe_rec_f64(rec, "time", &row.time);
	for (size_t i = 0; i < rec->n_field; i++) {
		char key[128];
		double v = NAN; /* of nil: not measured */
		int64_t at;

		if (!key_text(rec->field[i].key, key) ||
			(!moe_rec_f64(rec, key, &v) && moe_rec_has(rec, key) != MOE_V_NIL))
			continue;
		at = moe_names_add_text(&l->key, &l->arena, key, strlen(key), e);
		if (at < 0 ||
			moe_grow((void **)&l->value, l->n_value, &l->cap_value, sizeof(*l->value),
				e))
			return -1;
		l->value[l->n_value++] = (struct moe_metric_value){ (uint32_t)at, v };
		row.n++;
	}
	l->row[l->n_row++] = row;
	return 0;
}

int moe_metric_log_read(
	struct moe_metric_log *l, struct moe_show *o, struct moe_reader *r, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int rc;

	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		bool wanted = moe_str_eq(moe_reader_kind(r), "metrics");
		int64_t run = wanted ? run_of(l, r, e) : 0;

		if (run < 0) {
			rc = -1;
			break;
		}
		if (o && o->where)
			moe_where_segment(o->where);
		while ((rc = moe_reader_next_in_segment(r, &rec, e)) == 1)
			if (wanted && moe_rec_is(&rec, "metrics") &&
				(!o || !o->where || moe_where_pass(o->where, &rec)) &&
				add_row(l, (uint32_t)run, &rec, e)) {
				rc = -1;
				break;
			}
		if (rc < 0)
			break;
	}
	l->cut = moe_reader_cut(r);
	moe_rec_free(&rec);
	return rc < 0 ? -1 : 0;
}

double moe_metric_get(
	const struct moe_metric_log *l, const struct moe_metric_row *row, const char *key)
{
	int64_t k = moe_names_find(&l->key, key);

	for (size_t i = row->from; k >= 0 && i < row->from + row->n; i++)
		if (l->value[i].key == (uint32_t)k)
			return l->value[i].v;
	return NAN;
}

/* ---- writing ---- */

int moe_metric_form_parse(const char *s, enum moe_metric_form *out, struct moe_err *e)
{
	static const char *const names[] = { "csv", "wandb", "tensorboard" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(names[i], s)) {
			*out = (enum moe_metric_form)i;
			return 0;
		}
	return moe_fail(e, MOE_USAGE,
		"'%.40s' is not a form of metrics: csv, wandb and tensorboard are", s);
}

/* One cell: quoted where a comma, a quote or a line end would break the row. */
static int cell(struct moe_buf *out, const char *s, struct moe_err *e)
{
	if (!strpbrk(s, ",\"\r\n"))
		return moe_buf_add(out, s, strlen(s), e);
	if (moe_buf_add(out, "\"", 1, e))
		return -1;
	for (; *s; s++)
		if (moe_buf_add(out, *s == '"' ? "\"\"" : s, *s == '"' ? 2 : 1, e))
			return -1;
	return moe_buf_add(out, "\"", 1, e);
}

static int number(struct moe_buf *out, double v, struct moe_err *e)
{
	if (isnan(v))
		return moe_buf_add(out, "NaN", 3, e);
	if (isinf(v))
		return moe_buf_addf(out, e, "%sInf", v < 0 ? "-" : "");
	return moe_buf_addf(out, e, "%.17g", v);
}

static int csv_row(const struct moe_metric_log *l, const struct moe_metric_row *row, double *at,
	struct moe_buf *out, struct moe_err *e)
{
	const struct moe_metric_run *run = &l->run[row->run];

	if (cell(out, run->method, e) || moe_buf_add(out, ",", 1, e) ||
		(run->has_seed && moe_buf_addf(out, e, "%" PRId64, run->seed)) ||
		moe_buf_addf(out, e, ",%" PRId64 ",", row->step) || number(out, row->time, e))
		return -1;
	for (size_t k = 0; k < l->key.n; k++)
		at[k] = NAN;
	for (size_t i = row->from; i < row->from + row->n; i++)
		at[l->value[i].key] = l->value[i].v;
	for (size_t k = 0; k < l->key.n; k++)
		if (moe_buf_add(out, ",", 1, e) || number(out, at[k], e))
			return -1;
	return moe_buf_add(out, "\n", 1, e);
}

static int csv(const struct moe_metric_log *l, struct moe_buf *out, struct moe_err *e)
{
	double *at = moe_alloc(l->key.n + 1, sizeof(*at), e);
	int bad = !at || moe_buf_addf(out, e, "method,train_seed,step,time");

	for (size_t k = 0; k < l->key.n && !bad; k++)
		bad = moe_buf_add(out, ",", 1, e) || cell(out, l->key.v[k], e);
	bad = bad || moe_buf_add(out, "\n", 1, e);
	for (size_t i = 0; i < l->n_row && !bad; i++)
		bad = csv_row(l, &l->row[i], at, out, e);
	free(at);
	return bad ? -1 : 0;
}

/* A number as W&B's own files have it. */
static int set_wandb(struct moe_rec *rec, const char *key, double v, struct moe_err *e)
{
	if (isnan(v))
		return moe_rec_set_str(rec, key, "NaN", e);
	if (isinf(v))
		return moe_rec_set_str(rec, key, v < 0 ? "-Infinity" : "Infinity", e);
	return moe_rec_set_f64(rec, key, v, e);
}

static int wandb(const struct moe_metric_log *l, struct moe_buf *out, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int bad = 0;

	for (size_t i = 0; i < l->n_row && !bad; i++) {
		const struct moe_metric_row *row = &l->row[i];
		const struct moe_metric_run *run = &l->run[row->run];

		moe_rec_clear(&rec);
		bad = moe_rec_set_int(&rec, "_step", row->step, e) ||
			set_wandb(&rec, "_runtime", row->time, e) ||
			(*run->method && moe_rec_set_str(&rec, "method", run->method, e)) ||
			(run->has_seed && moe_rec_set_int(&rec, "train_seed", run->seed, e));
		for (size_t k = row->from; k < row->from + row->n && !bad; k++)
			bad = set_wandb(&rec, l->key.v[l->value[k].key], l->value[k].v, e);
		bad = bad || moe_jsonl_line(&rec, false, false, out, e);
	}
	moe_rec_free(&rec);
	return bad ? -1 : 0;
}

static int tensorboard(const struct moe_metric_log *l, struct moe_buf *out, struct moe_err *e)
{
	struct moe_buf summary = { 0 };
	int bad;

	if (l->n_run > 1)
		return moe_fail(e, MOE_USAGE,
			"an event file is one run, and these are %zu: write one for each, into a "
			"folder of its own",
			l->n_run);
	bad = moe_tfevents_begin(out, 0, e);
	for (size_t i = 0; i < l->n_row && !bad; i++) {
		const struct moe_metric_row *row = &l->row[i];

		for (size_t k = row->from; k < row->from + row->n && !bad; k++)
			if (isfinite(l->value[k].v))
				bad = moe_tfevents_scalar(
					&summary, l->key.v[l->value[k].key], l->value[k].v, e);
		bad = bad ||
			moe_tfevents_put(
				out, &summary, isnan(row->time) ? 0 : row->time, row->step, e);
	}
	moe_buf_free(&summary);
	return bad ? -1 : 0;
}

int moe_metric_log_write(const struct moe_metric_log *l, enum moe_metric_form form,
	struct moe_buf *out, struct moe_err *e)
{
	return form == MOE_METRIC_CSV      ? csv(l, out, e)
		: form == MOE_METRIC_WANDB ? wandb(l, out, e)
					   : tensorboard(l, out, e);
}
