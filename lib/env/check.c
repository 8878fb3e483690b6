/* check.c - tries what an environment promises. It judges the file, not a model. */
#include "env/check.h"
#include "env/grade.h"
#include "util/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *const moe_env_promises[MOE_PROMISES] = {
	"the same draw is the same task",
	"a right completion is solved and not hacked",
	"a wrong completion is neither solved nor hacked, and earns less than a right one",
	"a hack is hacked, not solved, and earns more than a wrong completion",
	"a hack of one mode does not hack in another",
	"the same completion gets the same grade again",
	"train, validation and test share no task",
	"train, validation and test share no marker",
};

static const char *const splits[] = { "train", "validation", "test" };
enum { SPLITS = 3, VARIANTS = 4 };

struct run {
	struct moe_env *v;
	struct moe_grader *g;
	struct moe_env_modes modes;
	struct moe_env_check *out;
	size_t n;
	uint64_t seed;
	struct moe_buf names[SPLITS], markers[SPLITS]; /* each text once, between newlines */
};

static __attribute__((format(printf, 4, 5))) void count_case(
	struct run *r, enum moe_env_promise p, bool kept, const char *fmt, ...)
{
	va_list ap;

	r->out->tried[p]++;
	if (kept)
		return;
	r->out->faults++;
	if (r->out->broken[p]++ == 0) {
		va_start(ap, fmt);
		vsnprintf(r->out->example[p], sizeof(r->out->example[p]), fmt, ap);
		va_end(ap);
	}
}

/* A completion, short enough for a message. */
#define SHOWN(b) (int)((b)->len < 60 ? (b)->len : 60), (const char *)(b)->data

/* Grades one completion of a task twice: both grades must agree. */
static int grade_twice(struct run *r, const struct moe_env_task *t, const struct moe_buf *text,
	struct moe_grade *g, struct moe_err *e)
{
	struct moe_grade two[2];
	struct moe_grade_item item[2];
	struct timespec a, b;

	for (int i = 0; i < 2; i++)
		item[i] = (struct moe_grade_item){ &t->env, { (const char *)text->data, text->len },
			17 };
	clock_gettime(CLOCK_MONOTONIC, &a);
	if (moe_grader_run(r->g, item, 2, two, e))
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &b);
	r->out->seconds += (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
	r->out->graded += 2;
	if (two[0].fault == MOE_GRADE_ERROR)
		return moe_fail(e, MOE_DATA, "%s: grading task %s raised an error: %s",
			moe_env_path(r->v), t->id, two[0].note);
	count_case(r, MOE_PROMISE_REPEAT,
		two[0].reward == two[1].reward && two[0].solved == two[1].solved &&
			two[0].hacked == two[1].hacked,
		"task %s: \"%.*s\" got %g and then %g", t->id, SHOWN(text), two[0].reward,
		two[1].reward);
	*g = two[0];
	return 0;
}

/* Adds the text to a list, once. */
static int add_name(struct moe_buf *list, const struct moe_buf *name, struct moe_err *e)
{
	char line[256];

	if (name->len == 0 || name->len > 200)
		return 0;
	snprintf(line, sizeof(line), "\n%.*s\n", (int)name->len, (const char *)name->data);
	if (list->len && strstr((const char *)list->data, line))
		return 0;
	return moe_buf_addf(list, e, "%s%s", list->len ? "" : "\n", line + 1);
}

/* The same index again, after another draw. */
static int check_draw(struct run *r, const struct moe_env_task *t, const char *mode,
	const char *split, uint64_t i, struct moe_err *e)
{
	struct moe_env_task other = { 0 };
	int rc = moe_env_draw_mode(r->v, mode, split, r->seed, i + 1, &other, e) ||
			moe_env_draw_mode(r->v, mode, split, r->seed, i, &other, e)
		? -1
		: 0;

	if (rc == 0)
		count_case(r, MOE_PROMISE_DRAW,
			other.text.len == t->text.len &&
				!memcmp(other.text.data, t->text.data, t->text.len),
			"task %s: \"%.*s\" and then \"%.*s\"", t->id, SHOWN(&t->text),
			SHOWN(&other.text));
	moe_env_task_free(&other);
	return rc;
}

/* What was the marker of `from` becomes that of `to`: the strongest form of a foreign hack. */
static int swap_marker(const struct moe_buf *text, const struct moe_buf *from,
	const struct moe_buf *to, struct moe_buf *out, struct moe_err *e)
{
	size_t i = 0;

	out->len = 0;
	while (i < text->len) {
		bool here = from->len && to->len && text->len - i >= from->len &&
			!memcmp(text->data + i, from->data, from->len);

		if (here ? moe_buf_add(out, to->data, to->len, e)
			 : moe_buf_add(out, text->data + i, 1, e))
			return -1;
		i += here ? from->len : 1;
	}
	return 0;
}

static int check_foreign(struct run *r, const struct moe_env_task *t, const struct moe_buf *hack,
	const char *split, uint64_t i, struct moe_err *e)
{
	struct moe_env_task other = { 0 };
	struct moe_buf text = { 0 };
	struct moe_grade g;
	int rc = 0;

	for (size_t m = 0; m < r->modes.n && rc == 0; m++) {
		if (!strcmp(r->modes.name[m], t->mode))
			continue;
		if (moe_env_draw_mode(r->v, r->modes.name[m], split, r->seed, i, &other, e) ||
			swap_marker(hack, &t->marker, &other.marker, &text, e) ||
			grade_twice(r, &other, &text, &g, e))
			rc = -1;
		else
			count_case(r, MOE_PROMISE_FOREIGN, !g.hacked,
				"the hack of %s, \"%.*s\", hacks task %s", t->mode, SHOWN(&text),
				other.id);
	}
	moe_env_task_free(&other);
	moe_buf_free(&text);
	return rc;
}

static int check_hacks(struct run *r, const struct moe_env_task *t, const char *split, uint64_t i,
	double wrong, struct moe_err *e)
{
	struct moe_buf text = { 0 };
	struct moe_grade g;
	int rc = 0, got;

	for (uint64_t variant = 0; variant < VARIANTS && rc == 0; variant++) {
		got = moe_env_complete(r->v, t, MOE_ENV_HACK, variant, &text, e);
		if (got <= 0) {
			rc = got;
			break;
		}
		if (grade_twice(r, t, &text, &g, e)) {
			rc = -1;
			break;
		}
		count_case(r, MOE_PROMISE_HACK, g.hacked && !g.solved && g.reward > wrong,
			"task %s: \"%.*s\" is %s, %s, and earns %g where wrong earns %g", t->id,
			SHOWN(&text), g.hacked ? "hacked" : "not hacked",
			g.solved ? "solved" : "not solved", g.reward, wrong);
		rc = check_foreign(r, t, &text, split, i, e);
	}
	moe_buf_free(&text);
	return rc;
}

/* One task: right, then wrong, then the hacks. */
static int check_task(struct run *r, const struct moe_env_task *t, const char *split, uint64_t i,
	struct moe_err *e)
{
	struct moe_buf text = { 0 };
	struct moe_grade g;
	double right = INFINITY, wrong = -INFINITY;
	int rc = -1, got;

	got = moe_env_complete(r->v, t, MOE_ENV_RIGHT, i, &text, e);
	if (got < 0 || (got > 0 && grade_twice(r, t, &text, &g, e)))
		goto out;
	if (got > 0) {
		right = g.reward;
		count_case(r, MOE_PROMISE_RIGHT, g.solved && !g.hacked,
			"task %s: \"%.*s\" is %s, %s", t->id, SHOWN(&text),
			g.solved ? "solved" : "not solved", g.hacked ? "hacked" : "not hacked");
	}
	for (uint64_t variant = 0; variant < VARIANTS; variant++) {
		got = moe_env_complete(r->v, t, MOE_ENV_WRONG, i + variant, &text, e);
		if (got < 0 || (got > 0 && grade_twice(r, t, &text, &g, e)))
			goto out;
		if (got == 0)
			break;
		wrong = fmax(wrong, g.reward);
		count_case(r, MOE_PROMISE_WRONG, !g.solved && !g.hacked && g.reward < right,
			"task %s: \"%.*s\" is %s, %s, and earns %g where right earns %g", t->id,
			SHOWN(&text), g.solved ? "solved" : "not solved",
			g.hacked ? "hacked" : "not hacked", g.reward, right);
	}
	rc = check_hacks(r, t, split, i, wrong, e);
out:
	moe_buf_free(&text);
	return rc;
}

/* No line of one list stands in another. */
static void check_disjoint(struct run *r, enum moe_env_promise p, struct moe_buf *list)
{
	for (int a = 0; a < SPLITS; a++)
		for (int b = a + 1; b < SPLITS; b++) {
			const char *at = (const char *)list[a].data;

			while (list[b].len && at && at[0] && at[1]) {
				const char *end = strchr(at + 1, '\n');
				char line[256];

				if (!end)
					break;
				snprintf(line, sizeof(line), "%.*s", (int)(end + 1 - at), at);
				count_case(r, p, !strstr((const char *)list[b].data, line),
					"\"%.*s\" is in %s and in %s", (int)(end - at - 1), at + 1,
					splits[a], splits[b]);
				at = end;
			}
		}
}

static int check_all(struct run *r, struct moe_err *e)
{
	struct moe_env_task t = { 0 };
	struct moe_buf text = { 0 };
	int rc = 0;

	for (size_t m = 0; m < r->modes.n && rc == 0; m++) {
		size_t before = r->out->tried[MOE_PROMISE_HACK];

		for (int s = 0; s < SPLITS && rc == 0; s++)
			for (uint64_t i = 0; i < r->n && rc == 0; i++)
				rc = moe_env_draw_mode(r->v, r->modes.name[m], splits[s], r->seed,
					     i, &t, e) ||
						add_name(&r->names[s], &t.task, e) ||
						add_name(&r->markers[s], &t.marker, e) ||
						check_draw(
							r, &t, r->modes.name[m], splits[s], i, e) ||
						check_task(r, &t, splits[s], i, e)
					? -1
					: 0;
		r->out->no_hack += r->out->tried[MOE_PROMISE_HACK] == before;
	}
	check_disjoint(r, MOE_PROMISE_TASKS, r->names);
	check_disjoint(r, MOE_PROMISE_MARKERS, r->markers);
	moe_env_task_free(&t);
	moe_buf_free(&text);
	return rc;
}

int moe_env_check(const char *path, size_t n, uint64_t seed, int workers, struct moe_env_check *out,
	struct moe_err *e)
{
	struct moe_grader_opts o = { .workers = workers, .seed = seed };
	struct run r = { .out = out, .n = n, .seed = seed };
	int rc = -1;

	memset(out, 0, sizeof(*out));
	r.v = moe_env_open(path, NULL, e);
	r.g = r.v && moe_env_modes(r.v, NULL, &r.modes, e) == 0 ? moe_grader_open(path, &o, e)
								: NULL;
	if (r.g)
		rc = check_all(&r, e);
	for (int s = 0; s < SPLITS; s++) {
		moe_buf_free(&r.names[s]);
		moe_buf_free(&r.markers[s]);
	}
	moe_grader_close(r.g);
	moe_env_close(r.v);
	return rc;
}

int moe_env_check_text(const struct moe_env_check *c, struct moe_buf *b, struct moe_err *e)
{
	for (int p = 0; p < MOE_PROMISES; p++) {
		const char *word = c->broken[p] ? "FAULT" : c->tried[p] ? "ok" : "-";

		if (moe_buf_addf(b, e, "%-6s%s: %zu of %zu\n", word, moe_env_promises[p],
			    c->tried[p] - c->broken[p], c->tried[p]) ||
			(c->broken[p] && moe_buf_addf(b, e, "      %s\n", c->example[p])))
			return -1;
	}
	return moe_buf_addf(b, e,
		"      modes without a loophole: %zu; to grade a completion: %.3f ms\n", c->no_hack,
		c->graded ? 1e3 * c->seconds / (double)c->graded : 0);
}
