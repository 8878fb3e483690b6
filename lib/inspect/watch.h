/* watch.h - runs under way, from their metrics streams as they grow: a line a run, and how long all
 * will take. It reads files and lays out text; terminals and clocks are the caller's.
 *
 * A file that is not there yet waits; one without its end is under way; one with it has ended. Each
 * is read again when it has changed, and seldom enough that reading costs a small share of the
 * time. Not thread-safe.
 */
#ifndef MOE_INSPECT_WATCH_H
#define MOE_INSPECT_WATCH_H

#include "util/buf.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moe_watch;
/* path[n] are borrowed. steps: how many each run is to take; 0 = not known, so no time left. */
struct moe_watch *moe_watch_new(
	const char *const *path, size_t n, int64_t steps, size_t max_mem, struct moe_err *e);
void moe_watch_free(struct moe_watch *w); /* NULL is accepted */
/* Looks at all files. now_sec: a monotonic clock. MOE_DATA of a file that is no stream of metrics;
 * one that is cut off is no error. */
int moe_watch_look(struct moe_watch *w, double now_sec, struct moe_err *e);
/* Whether all runs have ended. */
bool moe_watch_done(const struct moe_watch *w);

struct moe_watch_view {
	int columns, lines; /* of the terminal */
	bool colour;        /* escape sequences for colours */
	bool utf8;          /* sparklines of block characters; else of ASCII */
};
/* Appends a table of at most view->lines lines: the runs under way first, then those that ended
 * last, and a line about all. */
int moe_watch_draw(struct moe_watch *w, const struct moe_watch_view *v, struct moe_buf *out,
	struct moe_err *e);
/* Appends a line for each run that has gone on since the last call, and one about all; nothing when
 * none has: for logs. */
int moe_watch_lines(struct moe_watch *w, struct moe_buf *out, struct moe_err *e);

#endif
