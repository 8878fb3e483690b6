/* cat_runs.c - opens the inputs, and waits where runs are watched; what is shown is lib/inspect's.
 */
#include "cmd/cat_runs.h"
#include "cmd/cat_opts.h"
#include "cmd/convert.h"
#include "inspect/completions.h"
#include "inspect/metric_log.h"
#include "inspect/watch.h"
#include "util/fd.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static void die_unless(bool ok, const struct moe_err *e)
{
	if (!ok)
		moe_die(e);
}

void cat_metrics(struct moe_show *o, const char *form, int n, char **path)
{
	struct moe_metric_log l = { 0 };
	enum moe_metric_form f;
	struct moe_err e;

	if (moe_metric_form_parse(form, &f, &e))
		moe_usage_error("%s", e.msg);
	for (int i = 0; i < n || i == 0; i++) {
		struct moe_reader *r = moe_convert_open(
			n ? path[i] : NULL, cat_args.truncated, false, &e);

		die_unless(r && moe_metric_log_read(&l, o, r, &e) == 0, &e);
		moe_reader_close(r);
	}
	if (!l.n_row)
		moe_warn("there are no metrics (moe-train --metrics writes them)");
	die_unless(moe_metric_log_write(&l, f, &o->out, &e) == 0 && moe_show_flush(o, &e) == 0, &e);
	moe_metric_log_free(&l);
}

void cat_completions(struct moe_show *o, bool html, bool colour, int n, char **path)
{
	struct moe_err e;
	struct moe_completions *c = moe_completions_new(
		cat_args.limit < 0 ? 0 : (uint64_t)cat_args.limit, &e);
	size_t bare, all;

	die_unless(c != NULL, &e);
	for (int i = 0; i < n || i == 0; i++) {
		struct moe_reader *r = moe_convert_open(
			n ? path[i] : NULL, cat_args.truncated, false, &e);

		die_unless(r && moe_completions_read(c, o, r, &e) == 0, &e);
		moe_reader_close(r);
	}
	die_unless((html ? moe_completions_html(c, &o->out, &e)
			 : moe_completions_text(c, colour, &o->out, &e)) == 0 &&
			moe_show_flush(o, &e) == 0,
		&e);
	bare = moe_completions_bare(c, &all);
	if (bare)
		moe_warn("%zu of %zu rollouts have no advantage: no metrics among the files are of "
			 "their method, training seed and step, with as many rollouts",
			bare, all);
	moe_completions_free(c);
}

/* Seconds between looks: a terminal is looked at, a log is read later. */
#define TERMINAL_SEC 1
#define LOG_SEC      15

static struct moe_watch_view view_of(int fd, bool colour)
{
	struct moe_watch_view v = { .columns = 80, .lines = 24, .colour = colour };
	struct winsize z;

	if (ioctl(fd, TIOCGWINSZ, &z) == 0 && z.ws_col > 0 && z.ws_row > 0) {
		v.columns = z.ws_col;
		v.lines = z.ws_row;
	}
	v.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	return v;
}

/* The table over the last one: up by its lines, each line cleared before it is written. */
static void draw(struct moe_watch *w, int fd, bool colour, struct moe_buf *last)
{
	struct moe_watch_view v = view_of(fd, colour);
	struct moe_buf now = { 0 }, out = { 0 };
	int up = 0;
	struct moe_err e;

	for (size_t i = 0; i < last->len; i++)
		up += last->data[i] == '\n';
	die_unless(moe_watch_draw(w, &v, &now, &e) == 0 &&
			(!up || moe_buf_addf(&out, &e, "\033[%dA", up) == 0) &&
			moe_buf_addf(&out, &e, "\033[J") == 0 &&
			moe_buf_add(&out, now.data, now.len, &e) == 0,
		&e);
	if (moe_fd_write(fd, out.data, out.len)) {
		moe_fail_errno(&e, "standard output: writing failed");
		moe_die(&e);
	}
	moe_buf_free(&out);
	moe_buf_free(last);
	*last = now;
}

void cat_watch(int fd, bool colour, int64_t steps, int n, char **path)
{
	struct moe_err e;
	struct moe_watch *w = moe_watch_new(
		(const char *const *)path, (size_t)n, steps, moe_common.max_mem, &e);
	const char *term = getenv("TERM");
	bool table = isatty(fd) && term && strcmp(term, "dumb") != 0;
	struct moe_buf b = { 0 };

	die_unless(w != NULL, &e);
	for (;;) {
		struct timespec pause = { .tv_sec = table ? TERMINAL_SEC : LOG_SEC };

		die_unless(moe_watch_look(w, moe_clock_sec(), &e) == 0, &e);
		if (table) {
			draw(w, fd, colour, &b);
		} else {
			b.len = 0;
			die_unless(moe_watch_lines(w, &b, &e) == 0, &e);
			if (moe_fd_write(fd, b.data, b.len)) {
				moe_fail_errno(&e, "writing failed");
				moe_die(&e);
			}
		}
		if (moe_watch_done(w))
			break;
		/* the end of a short run is not waited for long */
		for (time_t i = 0; i < pause.tv_sec && !moe_watch_done(w); i++) {
			nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
			die_unless(moe_watch_look(w, moe_clock_sec(), &e) == 0, &e);
		}
	}
	moe_buf_free(&b);
	moe_watch_free(w);
}
