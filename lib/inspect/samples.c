/* samples.c - a few rollouts of each arm and mode as text. Every byte from data is escaped; no seal
 * is opened. */
#include "inspect/samples.h"
#include "util/names.h"
#include "util/text.h"
#include "formats/rollout.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INDENT "                " /* of a text's second line: the width of "    completion  " */

struct group {
	uint32_t arm, mode; /* numbers of their names */
	uint64_t n, n_reward, shown;
	double reward; /* sum */
	struct moe_buf text;
};

struct moe_samples {
	struct moe_arena arena;
	struct moe_names name;
	struct group *group;
	size_t n_group, cap_group;
	uint64_t each;
	const char *bold, *dim, *off, *red, *green;
};

struct moe_samples *moe_samples_new(uint64_t each, bool colour, struct moe_err *e)
{
	struct moe_samples *s = moe_alloc(1, sizeof *s, e);

	if (!s)
		return NULL;
	s->each = each;
	s->bold = colour ? "\033[1m" : "";
	s->dim = colour ? "\033[2m" : "";
	s->red = colour ? "\033[31m" : "";
	s->green = colour ? "\033[32m" : "";
	s->off = colour ? "\033[0m" : "";
	return s;
}

void moe_samples_free(struct moe_samples *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_group; i++)
		moe_buf_free(&s->group[i].text);
	free(s->group);
	moe_names_free(&s->name);
	moe_arena_free(&s->arena);
	free(s);
}

static struct group *find_group(struct moe_samples *s, const struct moe_rec *rec, struct moe_err *e)
{
	struct moe_str arm = { "", 0 }, mode = { "", 0 };

	moe_rec_str(rec, "arm", &arm);
	moe_rec_str(rec, "mode", &mode);
	int64_t a = moe_names_add_text(&s->name, &s->arena, arm.p, arm.n, e),
		m = a < 0 ? -1 : moe_names_add_text(&s->name, &s->arena, mode.p, mode.n, e);
	if (m < 0)
		return NULL;
	for (size_t i = 0; i < s->n_group; i++)
		if (s->group[i].arm == (uint32_t)a && s->group[i].mode == (uint32_t)m)
			return &s->group[i];
	if (moe_grow((void **)&s->group, s->n_group, &s->cap_group, sizeof *s->group, e))
		return NULL;
	struct group *g = &s->group[s->n_group++];
	memset(g, 0, sizeof *g);
	g->arm = (uint32_t)a;
	g->mode = (uint32_t)m;
	return g;
}

static int add_label(
	const struct moe_samples *s, struct moe_buf *b, const char *label, struct moe_err *e)
{
	return moe_buf_addf(b, e, "    %s%-10s%s  ", s->dim, label, s->off);
}

static int add_text(const struct moe_samples *s, struct moe_buf *b, const char *label,
	const struct moe_rec *rec, const char *key, struct moe_err *e)
{
	struct moe_str text;

	if (add_label(s, b, label, e))
		return -1;
	if (!moe_rec_str(rec, key, &text))
		return moe_buf_addf(b, e, "%s(no text)%s\n", s->dim, s->off);
	/* the line end behind the last line says nothing */
	size_t n = text.n && text.p[text.n - 1] == '\n' ? text.n - 1 : text.n;
	return moe_text_lines(b, text.p, n, INDENT, e) || moe_buf_add(b, "\n", 1, e) ? -1 : 0;
}

/* "reward 2.5 = format 0.5 + passed 2" */
static int add_reward(const struct moe_samples *s, struct moe_buf *b, const struct moe_rec *rec,
	struct moe_err *e)
{
	struct moe_rec parts = { 0 };
	double v;
	int bad = 0;

	if (!moe_rec_f64(rec, MOE_ROLLOUT_REWARD, &v))
		return 0;
	bad = add_label(s, b, MOE_ROLLOUT_REWARD, e) ||
		moe_buf_addf(b, e, "%s%.6g%s", v > 0 ? s->green : "", v, v > 0 ? s->off : "");
	if (!bad && moe_rec_map(rec, MOE_ROLLOUT_REWARDS, &parts))
		for (size_t i = 0; i < parts.n_field && !bad; i++) {
			char *key = moe_str_dup(parts.field[i].key, e);
			bad = !key || moe_buf_addf(b, e, i ? " + " : " = ") ||
				moe_text_escape(b, key, strlen(key), false, e) ||
				(moe_rec_f64(&parts, key, &v) ? moe_buf_addf(b, e, " %.6g", v)
							      : moe_buf_addf(b, e, " ?"));
			free(key);
		}
	moe_rec_free(&parts);
	return bad || moe_buf_add(b, "\n", 1, e) ? -1 : 0;
}

static int add_route(const struct moe_samples *s, struct moe_buf *b, const struct moe_rec *rec,
	struct moe_err *e)
{
	struct moe_rec route = { 0 };
	struct moe_str word = { "?", 1 };
	double score = NAN;

	if (!moe_rec_map(rec, MOE_ROLLOUT_ROUTE, &route))
		return 0;
	moe_rec_str(&route, "decision", &word);
	bool hot = moe_str_eq(word, MOE_ROLLOUT_ROUTE);
	int bad = add_label(s, b, MOE_ROLLOUT_ROUTE, e) ||
		moe_buf_addf(b, e, "%s", hot ? s->red : "") ||
		moe_text_escape(b, word.p, word.n, false, e) ||
		moe_buf_addf(b, e, "%s", hot ? s->off : "") ||
		(moe_rec_f64(&route, "score", &score) &&
			moe_buf_addf(b, e, " (score %.3f)", score)) ||
		moe_buf_add(b, "\n", 1, e);
	moe_rec_free(&route);
	return bad ? -1 : 0;
}

static int add_rollout(const struct moe_samples *s, struct moe_buf *b, const struct moe_rec *rec,
	struct moe_err *e)
{
	struct moe_str id = { "?", 1 }, method = { "", 0 };
	int64_t seed, sample = 0;

	moe_rec_str(rec, MOE_ROLLOUT_PROMPT_ID, &id);
	moe_rec_str(rec, "method", &method);
	moe_rec_int(rec, "sample", &sample);
	if (moe_buf_addf(b, e, "  ") || moe_text_escape(b, id.p, id.n, false, e) ||
		moe_buf_addf(b, e, " #%" PRId64, sample))
		return -1;
	if (method.n &&
		(moe_buf_addf(b, e, "  ") || moe_text_escape(b, method.p, method.n, false, e)))
		return -1;
	if (moe_rec_int(rec, "train_seed", &seed) && moe_buf_addf(b, e, ", seed %" PRId64, seed))
		return -1;
	return moe_buf_add(b, "\n", 1, e) || add_text(s, b, "prompt", rec, "prompt", e) ||
			add_text(s, b, MOE_ROLLOUT_COMPLETION, rec, MOE_ROLLOUT_COMPLETION, e) ||
			add_reward(s, b, rec, e) || add_route(s, b, rec, e)
		? -1
		: 0;
}

static int add(struct moe_samples *s, const struct moe_rec *rec, struct moe_err *e)
{
	struct group *g = find_group(s, rec, e);
	double v;

	if (!g)
		return -1;
	g->n++;
	if (moe_rec_f64(rec, MOE_ROLLOUT_REWARD, &v) && isfinite(v)) {
		g->reward += v;
		g->n_reward++;
	}
	return g->shown < s->each && (g->shown++, add_rollout(s, &g->text, rec, e)) ? -1 : 0;
}

int moe_samples_read(
	struct moe_samples *s, struct moe_show *o, struct moe_reader *r, struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int rc;

	while ((rc = moe_reader_peek_header(r, e)) == 1) {
		bool wanted = moe_show_wanted(o, r);

		if (o->where)
			moe_where_segment(o->where);
		while ((rc = moe_reader_next_in_segment(r, &rec, e)) == 1)
			if (wanted && moe_rec_is(&rec, "rollout") &&
				(!o->where || moe_where_pass(o->where, &rec)) && add(s, &rec, e)) {
				rc = -1;
				break;
			}
		if (rc < 0)
			break;
	}
	moe_rec_free(&rec);
	return rc < 0 ? -1 : 0;
}

/* For qsort, which takes no context: arms are numbered as they came; the mode's name is found by
 * the group's copy. */
struct ranked {
	uint32_t arm;
	const char *mode;
	const struct group *g;
};

static int by_arm(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	return x->arm != y->arm ? (x->arm > y->arm) - (x->arm < y->arm) : strcmp(x->mode, y->mode);
}

int moe_samples_print(struct moe_samples *s, struct moe_buf *out, struct moe_err *e)
{
	struct ranked *v = moe_alloc(s->n_group + 1, sizeof *v, e);
	int bad = !v;

	for (size_t i = 0; i < s->n_group && !bad; i++)
		v[i] = (struct ranked){ s->group[i].arm, s->name.v[s->group[i].mode],
			&s->group[i] };
	if (!bad && s->n_group)
		qsort(v, s->n_group, sizeof *v, by_arm);
	for (size_t i = 0; i < s->n_group && !bad; i++) {
		const struct group *g = v[i].g;
		const char *arm = s->name.v[g->arm];
		bad = moe_buf_addf(out, e, "%s%sarm %s, mode %s%s: %" PRIu64 " rollout%s",
			      i ? "\n" : "", s->bold, *arm ? arm : "(none)",
			      *v[i].mode ? v[i].mode : "(none)", s->off, g->n,
			      g->n == 1 ? "" : "s") ||
			(g->n_reward &&
				moe_buf_addf(out, e, ", mean reward %.3f",
					g->reward / (double)g->n_reward)) ||
			moe_buf_add(out, "\n", 1, e) ||
			moe_buf_add(out, g->text.data, g->text.len, e);
	}
	if (!bad && !s->n_group)
		bad = moe_buf_addf(out, e, "no rollout\n");
	free(v);
	return bad ? -1 : 0;
}
