/* watch.c - reads the metrics of runs again and again, and says where they are. What it prints
 * comes from the last record of each; the time left is its own estimate. */
#include "inspect/watch.h"
#include "inspect/metric_log.h"
#include "util/text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SPARK  12   /* steps of a sparkline's cells */
#define RECENT 20   /* steps whose speed counts */
#define SHARE  20.0 /* a file is read again after so many times what reading it took */

enum state { WAITS, UNDER_WAY, ENDED };

struct run {
	const char *path;
	char name[80];
	enum state state;
	bool trains;  /* its metrics have a reward: not a pretraining */
	int64_t done; /* steps, 0 while it waits; said: at the last moe_watch_lines */
	int64_t said;
	double reward, loss, length, kl, share[3], present, tokens, left;
	double curve[SPARK];
	int n_curve;
	off_t size;
	struct timespec changed;
	double again_sec; /* not read before */
};

struct moe_watch {
	struct run *run;
	size_t n, max_mem;
	int64_t steps;
	double begin_sec, now_sec;
	double since_sec;   /* of the last look before the first step that was seen to be made */
	int64_t since_done; /* steps of training done by then */
};

/* What a run is called: RUN/NAME/metrics.moes, or NAME.metrics.moes, or NAME.moes. */
static void name_of(const char *path, char name[80])
{
	static const char *const tails[] = { "/metrics.moes", ".metrics.moes", ".moes" };
	size_t n = strlen(path), from;

	for (int i = 0; i < 3; i++) {
		size_t k = strlen(tails[i]);

		if (n > k && !strcmp(path + n - k, tails[i])) {
			n -= k;
			break;
		}
	}
	for (from = n; from > 0 && path[from - 1] != '/'; from--)
		;
	moe_text_escape_to(name, 80, path + from, n - from);
}

struct moe_watch *moe_watch_new(
	const char *const *path, size_t n, int64_t steps, size_t max_mem, struct moe_err *e)
{
	struct moe_watch *w = moe_alloc(1, sizeof(*w), e);

	if (w && !(w->run = moe_alloc(n, sizeof(*w->run), e))) {
		free(w);
		return NULL;
	}
	if (!w)
		return NULL;
	w->n = n;
	w->steps = steps;
	w->max_mem = max_mem;
	w->begin_sec = w->since_sec = NAN;
	for (size_t i = 0; i < n; i++) {
		w->run[i].path = path[i];
		w->run[i].left = NAN;
		name_of(path[i], w->run[i].name);
	}
	return w;
}

void moe_watch_free(struct moe_watch *w)
{
	if (!w)
		return;
	free(w->run);
	free(w);
}

/* ---- looking ---- */

/* The reward of the whole run so far in SPARK cells, each the mean of its steps. */
static void curve_of(struct run *r, const struct moe_metric_log *l, const char *key)
{
	size_t cells = l->n_row < SPARK ? l->n_row : SPARK;

	r->n_curve = (int)cells;
	for (size_t c = 0; c < cells; c++) {
		double sum = 0, n = 0;

		for (size_t i = c * l->n_row / cells; i < (c + 1) * l->n_row / cells; i++) {
			double v = moe_metric_get(l, &l->row[i], key);

			if (isfinite(v)) {
				sum += v;
				n++;
			}
		}
		r->curve[c] = n > 0 ? sum / n : NAN;
	}
}

/* Tokens a second and time left, from the last steps. */
static void speed_of(struct run *r, const struct moe_metric_log *l, int64_t steps)
{
	size_t last = l->n_row - 1, from = last > RECENT ? last - RECENT : 0;
	const struct moe_metric_row *a = &l->row[from], *b = &l->row[last];
	double sec = b->time - a->time;

	r->tokens = r->left = NAN;
	if (last == 0 || !(sec > 0))
		return;
	r->tokens = (moe_metric_get(l, b, "num_tokens") - moe_metric_get(l, a, "num_tokens")) / sec;
	if (steps > 0 && r->trains)
		r->left = fmax(0, (double)(steps - r->done)) * sec / (double)(last - from);
}

static void take(struct run *r, const struct moe_metric_log *l, int64_t steps)
{
	const struct moe_metric_row *last = &l->row[l->n_row - 1];

	r->trains = !isnan(moe_metric_get(l, last, "reward"));
	r->done = last->step + 1;
	r->reward = moe_metric_get(l, last, "reward");
	r->loss = moe_metric_get(l, last, "loss");
	r->length = moe_metric_get(l, last, "completions/mean_length");
	r->kl = moe_metric_get(l, last, "kl");
	r->share[0] = moe_metric_get(l, last, "route/keep");
	r->share[1] = moe_metric_get(l, last, "route/absorb");
	r->share[2] = moe_metric_get(l, last, "route/route");
	r->present = moe_metric_get(l, last, "presence/quarantine/min_gate");
	curve_of(r, l, r->trains ? "reward" : "loss");
	speed_of(r, l, steps);
}

/* Reads a file again. One that another program is just writing anew counts as under way. */
static int read_run(struct moe_watch *w, struct run *r, struct moe_err *e)
{
	const struct moe_reader_opts o = {
		.max_mem = w->max_mem, .allow_truncated = true, .no_digest = true
	};
	struct moe_metric_log l = { 0 };
	struct moe_reader *in = moe_reader_open_path(r->path, &o, e);
	int rc = in ? moe_metric_log_read(&l, NULL, in, e) : -1;

	if (rc == 0 && l.n_row)
		take(r, &l, w->steps);
	r->state = rc == 0 && !l.cut && moe_reader_cuts(in) == 0 ? ENDED : UNDER_WAY;
	moe_metric_log_free(&l);
	moe_reader_close(in);
	return rc;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static double wall_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Steps of training that are done, of *all. A pretraining has other steps and does not count. */
static int64_t steps_done(const struct moe_watch *w, int64_t *all)
{
	int64_t done = 0;

	*all = 0;
	for (size_t i = 0; i < w->n; i++) {
		const struct run *r = &w->run[i];

		if (r->state != WAITS && !r->trains)
			continue;
		done += r->state == ENDED && w->steps > 0 ? w->steps : r->done;
		*all += w->steps;
	}
	return done;
}

int moe_watch_look(struct moe_watch *w, double now_sec, struct moe_err *e)
{
	int64_t done, all;

	for (size_t i = 0; i < w->n; i++) {
		struct run *r = &w->run[i];
		struct stat st;
		double at;

		if (stat(r->path, &st)) {
			if (errno != ENOENT && errno != ENOTDIR)
				return moe_fail_errno(e, "%s: cannot be looked at", r->path);
			r->state = WAITS; /* also when it was taken away */
			r->done = 0;
			continue;
		}
		if (st.st_size == 0 || now_sec < r->again_sec ||
			(r->size == st.st_size && same_time(r->changed, st.st_mtim)))
			continue;
		at = wall_sec();
		if (read_run(w, r, e))
			return -1;
		r->size = st.st_size;
		r->changed = st.st_mtim;
		r->again_sec = now_sec + SHARE * (wall_sec() - at);
	}
	w->now_sec = now_sec;
	if (isnan(w->begin_sec))
		w->begin_sec = now_sec;
	done = steps_done(w, &all);
	if (isnan(w->since_sec) || done <= w->since_done) {
		w->since_sec = now_sec;
		w->since_done = done;
	}
	return 0;
}

bool moe_watch_done(const struct moe_watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->run[i].state != ENDED)
			return false;
	return true;
}

/* ---- laying out ---- */

/* "1:23", "1:02:03" */
static const char *span(char out[32], double sec)
{
	int64_t s = (int64_t)(sec + 0.5);

	if (!isfinite(sec))
		return "-";
	if (s >= 3600)
		snprintf(out, 32, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
			(int)(s % 60));
	else
		snprintf(out, 32, "%d:%02d", (int)(s / 60), (int)(s % 60));
	return out;
}

/* A number in few characters, a dash where it was not measured. */
static const char *num(char out[32], const char *fmt, double v)
{
	if (isnan(v))
		return "-";
	/* NOLINTNEXTLINE(clang-diagnostic-format-nonliteral): the formats are ours */
	snprintf(out, 32, fmt, v);
	return out;
}

static const char *shares(char out[64], const struct run *r)
{
	if (isnan(r->share[0]))
		return "-";
	snprintf(out, 64, "%.2f/%.2f/%.2f", r->share[0], r->share[1], r->share[2]);
	return out;
}

static int spark(const struct run *r, bool utf8, struct moe_buf *out, struct moe_err *e)
{
	static const char *const block[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const ascii[] = { "_", ".", ",", "-", "=", "+", "*", "#" };
	double lo = INFINITY, hi = -INFINITY;

	for (int i = 0; i < r->n_curve; i++)
		if (isfinite(r->curve[i])) {
			lo = fmin(lo, r->curve[i]);
			hi = fmax(hi, r->curve[i]);
		}
	for (int i = 0; i < SPARK; i++) {
		double v = i < r->n_curve ? r->curve[i] : NAN;
		int k = !isfinite(v) ? -1 : hi > lo ? (int)(7.999 * (v - lo) / (hi - lo)) : 3;

		if (moe_buf_addf(out, e, "%s", k < 0 ? " " : utf8 ? block[k] : ascii[k]))
			return -1;
	}
	return 0;
}

/* "240/240" */
static const char *steps_of(char out[48], const struct moe_watch *w, const struct run *r)
{
	if (w->steps > 0 && r->trains)
		snprintf(out, 48, "%" PRId64 "/%" PRId64, r->done, w->steps);
	else
		snprintf(out, 48, "%" PRId64, r->done);
	return out;
}

/* One run of the table. */
static int add_run(const struct moe_watch *w, const struct moe_watch_view *v, const struct run *r,
	struct moe_buf *out, struct moe_err *e)
{
	char a[32], b[32], c[32], d[32], f[32], s[64], n[48], name[96];
	const char *on = v->colour && r->state == ENDED ? "\033[2m" : "";

	if (moe_buf_addf(out, e, "%s%s %9s ", on, moe_text_fit(name, sizeof(name), r->name, 16, 16),
		    r->state == WAITS ? "waits" : steps_of(n, w, r)))
		return -1;
	if (r->state != WAITS && r->done > 0) {
		if (moe_buf_addf(out, e, "%s%7s ", r->trains ? "" : "loss",
			    num(a, r->trains ? "%.3f" : "%.4f", r->trains ? r->reward : r->loss)) ||
			spark(r, v->utf8, out, e))
			return -1;
		if (r->trains &&
			moe_buf_addf(out, e, " %6s %7s %14s %5s %6s %s", num(b, "%.1f", r->length),
				num(c, "%.2g", r->kl), shares(s, r), num(d, "%.2f", r->present),
				num(f, "%.0f", r->tokens),
				r->state == ENDED ? "ended" : span(a, r->left)))
			return -1;
		if (!r->trains && r->state == ENDED && moe_buf_addf(out, e, " ended"))
			return -1;
	}
	return moe_buf_addf(out, e, "%s\n", *on ? "\033[0m" : "");
}

/* How far all are: "[1:23] about 2:10 left, 3 of 25 runs ended, 2 under way, 20 wait". */
static int add_all(const struct moe_watch *w, struct moe_buf *out, struct moe_err *e)
{
	size_t n[3] = { 0 };
	int64_t all, done = steps_done(w, &all);
	double sec = w->now_sec - w->since_sec, new = (double)(done - w->since_done);
	char a[32], b[32];

	for (size_t i = 0; i < w->n; i++)
		n[w->run[i].state]++;
	if (moe_buf_addf(out, e, "[%s] ", span(a, w->now_sec - w->begin_sec)))
		return -1;
	/* what is left takes as long as what was done since steps were first made: not the time of
	 * a pretraining before it */
	if (w->steps > 0 && new > 0 && sec > 2 && done < all &&
		moe_buf_addf(out, e, "about %s left, ", span(b, sec * (double)(all - done) / new)))
		return -1;
	if (moe_buf_addf(out, e, "%zu of %zu run%s ended, %zu under way", n[ENDED], w->n,
		    w->n == 1 ? "" : "s", n[UNDER_WAY]))
		return -1;
	return n[WAITS] ? moe_buf_addf(out, e, ", %zu wait\n", n[WAITS])
			: moe_buf_addf(out, e, "\n");
}

/* Cuts the lines of b behind `from` to the terminal's width. */
static int fit(struct moe_buf *b, size_t from, int columns, struct moe_err *e)
{
	struct moe_buf old = { 0 };
	int bad = moe_buf_add(&old, b->data + from, b->len - from, e), col = 0;

	b->len = from;
	for (size_t i = 0; i < old.len && !bad; i++) {
		const char *p = (const char *)old.data + i;
		size_t esc = *p == '\033' ? strcspn(p, "m") + 1 : 0;

		if (esc) { /* a colour takes no room */
			bad = moe_buf_add(b, p, esc, e);
			i += esc - 1;
			continue;
		}
		col = *p == '\n' ? 0 : col + ((*p & 0xc0) != 0x80);
		if (col <= columns)
			bad = moe_buf_add(b, p, 1, e);
	}
	moe_buf_free(&old);
	return bad ? -1 : 0;
}

int moe_watch_draw(
	struct moe_watch *w, const struct moe_watch_view *v, struct moe_buf *out, struct moe_err *e)
{
	static const enum state order[] = { UNDER_WAY, ENDED, WAITS };
	size_t from = out->len, room = v->lines > 3 ? (size_t)v->lines - 2 : 1, shown = 0;
	const char *bold = v->colour ? "\033[1m" : "", *off = v->colour ? "\033[0m" : "";

	if (moe_buf_addf(out, e, "%s%-16s %9s %7s %-*s %6s %7s %14s %5s %6s %s%s\n", bold, "run",
		    "step", "reward", SPARK, "", "length", "kl", "keep/abs/route", "quar.", "tok/s",
		    "left", off))
		return -1;
	for (int k = 0; k < 3; k++)
		for (size_t i = 0; i < w->n; i++)
			if (w->run[i].state == order[k] && shown < room) {
				if (add_run(w, v, &w->run[i], out, e))
					return -1;
				shown++;
			}
	return add_all(w, out, e) || fit(out, from, v->columns, e) ? -1 : 0;
}

static int add_line(
	const struct moe_watch *w, const struct run *r, struct moe_buf *out, struct moe_err *e)
{
	char a[32], b[32], c[32], d[32], f[32], g[32], s[64], n[48];

	if (!r->trains)
		return moe_buf_addf(out, e, "%s: step %s, loss %s%s\n", r->name, steps_of(n, w, r),
			num(a, "%.4f", r->loss), r->state == ENDED ? ", ended" : "");
	return moe_buf_addf(out, e,
		"%s: step %s, reward %s, length %s, kl %s, keep/absorb/route %s, quarantine %s, %s "
		"tokens/s%s%s\n",
		r->name, steps_of(n, w, r), num(a, "%.3f", r->reward), num(b, "%.1f", r->length),
		num(c, "%.2g", r->kl), shares(s, r), num(d, "%.2f", r->present),
		num(f, "%.0f", r->tokens), r->state == ENDED ? ", ended" : ", left ",
		r->state == ENDED ? "" : span(g, r->left));
}

int moe_watch_lines(struct moe_watch *w, struct moe_buf *out, struct moe_err *e)
{
	bool any = false;

	for (size_t i = 0; i < w->n; i++) {
		struct run *r = &w->run[i];
		int64_t now = r->state == ENDED ? INT64_MAX : r->done;

		if (now == r->said || r->done == 0)
			continue;
		r->said = now;
		any = true;
		if (add_line(w, r, out, e))
			return -1;
	}
	return any ? add_all(w, out, e) : 0;
}
