/* exec.h - grading rollouts with the user's own program: `moe-grade --exec CMD` (exec.md is the
 * protocol).
 *
 * The command gets each rollout as one line of JSON and answers with one line: rewards, which may
 * train, and findings, which are sealed. Several workers run it in boxes (box.h); one that is late,
 * dies or answers nonsense is killed and replaced, its rollout gets reward 0 and the findings "not
 * solved, not hacked", and all others are graded. Results do not depend on the number of workers.
 * Not thread-safe.
 */
#ifndef MOE_ENV_EXEC_H
#define MOE_ENV_EXEC_H

#include "env/box.h"
#include "env/grade.h"
#include "formats/rec.h"

struct moe_exec_opts {
	struct moe_box_opts box; /* with the command */
	int workers;             /* 0 = 1 */
	bool once;               /* a process for each rollout instead of one that answers many */
	double wall_sec;         /* for one rollout; 0 = 60 */
	size_t reply_bytes;      /* longest answer; 0 = 1 MiB */
};

struct moe_exec;
/* Finds out which box works. Borrows o. No process is started yet. */
struct moe_exec *moe_exec_open(const struct moe_exec_opts *o, struct moe_err *e);
void moe_exec_close(struct moe_exec *x); /* NULL is accepted; kills the workers */
/* Grades the records rec[0..n-1] (t="rollout") in place: reward, rewards and seal. fault[n] (may be
 * NULL) says how each went. -1 when the system fails, or when the command dies again and again
 * without ever having answered (the message has its last words). */
int moe_exec_run(struct moe_exec *x, struct moe_rec *const *rec, size_t n,
	enum moe_grade_fault *fault, struct moe_err *e);
struct moe_box_how moe_exec_box(const struct moe_exec *x);
uint64_t moe_exec_replaced(const struct moe_exec *x);
/* What was wrong with the first rollout that could not be graded; "" if none. */
const char *moe_exec_note(const struct moe_exec *x);

/* The two directions of the protocol, for tests: a rollout's line (with '\n'); how far what has
 * arrived of an answer, n bytes, is (1 whole, its *len bytes without the line's end; 0 more must
 * come; -1 none, MOE_DATA), when its writer has ended or not; and an answer put into its record. */
int moe_exec_request(const struct moe_rec *rollout, struct moe_buf *out, struct moe_err *e);
int moe_exec_whole(const void *reply, size_t n, bool once, bool ended, size_t max, size_t *len,
	struct moe_err *e);
int moe_exec_answer(const char *line, size_t n, struct moe_rec *rollout, struct moe_err *e);

#endif
