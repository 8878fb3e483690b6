/* exec.c - keeps several external graders busy: one poll loop hands out rollouts, collects answers,
 * and replaces workers that misbehave. What is said to them is exec_json.c's, how they are confined
 * is box.c's. */
#include "env/exec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 256
#define FOLDER_SEC  0.2 /* between two looks at how much a folder holds */
#define DEATHS_MAX  8   /* before the first answer ever: then the command itself is wrong */

struct worker {
	struct moe_box box; /* box.pid = 0: not running */
	bool busy, again;   /* again: the item is graded for the second time */
	size_t item;
	struct moe_buf request, reply;
	size_t sent;
	double deadline;
	char words[320]; /* the last of its standard error */
	size_t n_words;
};

struct moe_exec {
	const struct moe_exec_opts *o;
	struct moe_box_how how;
	struct worker *worker;
	size_t n;
	uint64_t answered, deaths, replaced;
	char note[720];
	/* the run under way */
	struct moe_rec *const *rec;
	enum moe_grade_fault *fault;
	size_t next, done, count;
	double looked;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct moe_exec *moe_exec_open(const struct moe_exec_opts *o, struct moe_err *e)
{
	struct moe_exec *x = calloc(1, sizeof(*x));

	if (x) {
		x->o = o;
		x->n = o->workers < 1              ? 1
			: o->workers > WORKERS_MAX ? WORKERS_MAX
						   : (size_t)o->workers;
		x->worker = calloc(x->n, sizeof(*x->worker));
	}
	if (!x || !x->worker) {
		free(x);
		moe_fail(e, MOE_SYSTEM, "out of memory for external graders");
		return NULL;
	}
	if (moe_box_probe(&o->box, &x->how, e)) {
		moe_exec_close(x);
		return NULL;
	}
	return x;
}

void moe_exec_close(struct moe_exec *x)
{
	if (!x)
		return;
	for (size_t i = 0; i < x->n; i++) {
		moe_box_stop(&x->worker[i].box);
		moe_buf_free(&x->worker[i].request);
		moe_buf_free(&x->worker[i].reply);
	}
	free(x->worker);
	free(x);
}

struct moe_box_how moe_exec_box(const struct moe_exec *x)
{
	return x->how;
}

uint64_t moe_exec_replaced(const struct moe_exec *x)
{
	return x->replaced;
}

const char *moe_exec_note(const struct moe_exec *x)
{
	return x->note;
}

/* The rollout's defined outcome when it could not be graded. */
static int failed(struct moe_exec *x, struct worker *w, enum moe_grade_fault fault, const char *why,
	struct moe_err *e)
{
	static const struct moe_grade nothing;
	struct moe_rec *r = x->rec[w->item];
	struct moe_str id = { "?", 1 };

	moe_rec_str(r, "id", &id);
	if (!x->note[0])
		snprintf(x->note, sizeof(x->note), "%.*s: %s", (int)(id.n < 80 ? id.n : 80), id.p,
			why);
	if (x->fault)
		x->fault[w->item] = fault;
	w->busy = false;
	x->done++;
	return moe_grade_apply(&nothing, r, e);
}

static void stop(struct moe_exec *x, struct worker *w)
{
	if (w->box.pid > 0 && !x->o->once)
		x->replaced++;
	moe_box_stop(&w->box);
}

/* Keeps the end of what it says on standard error; messages are escaped when printed. False when
 * there is nothing more now. */
static bool listen_words(struct worker *w)
{
	char part[1024];
	ssize_t k = w->box.err < 0 ? 0 : read(w->box.err, part, sizeof(part));

	if (k <= 0) {
		if (w->box.err >= 0 && (k == 0 || (errno != EAGAIN && errno != EINTR))) {
			close(w->box.err);
			w->box.err = -1;
		}
		return false;
	}
	for (ssize_t i = 0; i < k; i++) {
		if (w->n_words == sizeof(w->words)) {
			memmove(w->words, w->words + 80, sizeof(w->words) - 80);
			w->n_words -= 80;
		}
		w->words[w->n_words++] = part[i] == '\n' ? ' ' : part[i];
	}
	return true;
}

static int hand_over(struct moe_exec *x, struct worker *w, struct moe_err *e);

/* Whether a limit of ours ended it: CPU time or the size of a file. Through a shell such a signal
 * arrives as a status. */
static bool by_our_limit(int status)
{
	int sig = WIFSIGNALED(status)       ? WTERMSIG(status)
		: WEXITSTATUS(status) > 128 ? WEXITSTATUS(status) - 128
					    : 0;

	return sig == SIGXCPU || sig == SIGXFSZ;
}

/* It died before it answered: says how. A death that was no limit of ours, such as one by the
 * kernel's want of memory, may be nothing of the rollout's: that is graded once more. */
static int died(struct moe_exec *x, struct worker *w, struct moe_err *e)
{
	char why[400];
	int status;

	for (int i = 0; i < 64 && listen_words(w); i++)
		;
	x->replaced += x->o->once ? 0 : 1;
	moe_box_wait(&w->box, 0.2);
	status = moe_box_stop(&w->box);
	snprintf(why, sizeof(why), "the grader ended (%s %d) without an answer%s%.*s",
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		w->n_words ? "; its last words: " : "", (int)w->n_words, w->words);
	if (!x->answered && ++x->deaths >= DEATHS_MAX)
		return moe_fail(e, MOE_DATA, "`%.100s': %s%s", x->o->box.command, why,
			x->how.nobody ? " (the box runs as nobody: can it read what it needs?)"
				      : "");
	if (!w->again && !by_our_limit(status)) {
		w->again = true;
		return hand_over(x, w, e);
	}
	return failed(x, w, MOE_GRADE_DIED, why, e);
}

/* Its time is over: says so, and what it wrote on standard error. */
static int late(struct moe_exec *x, struct worker *w, struct moe_err *e)
{
	char why[400];

	for (int i = 0; i < 64 && listen_words(w); i++)
		;
	snprintf(why, sizeof(why), "the grader took too long%s%.*s",
		w->n_words ? "; its last words: " : "", (int)w->n_words, w->words);
	stop(x, w);
	return failed(x, w, MOE_GRADE_TIME, why, e);
}

/* An answer of n bytes has arrived. */
static int answer(struct moe_exec *x, struct worker *w, size_t n, struct moe_err *e)
{
	struct moe_err bad;

	if (moe_exec_answer((const char *)w->reply.data, n, x->rec[w->item], &bad)) {
		stop(x, w);
		if (bad.code == MOE_SYSTEM) {
			if (e)
				*e = bad;
			return -1;
		}
		return failed(x, w, MOE_GRADE_ERROR, bad.msg, e);
	}
	x->answered++;
	x->done++;
	w->busy = false;
	if (x->fault)
		x->fault[w->item] = MOE_GRADE_FINE;
	if (x->o->once)
		moe_box_stop(&w->box);
	return 0;
}

/* An idle grader has nothing to say: one that speaks or has ended since its last answer is replaced
 * before it costs a rollout. */
static void check_idle(struct moe_exec *x, struct worker *w)
{
	struct pollfd fd = { .fd = w->box.out, .events = POLLIN };

	if (w->box.pid > 0 && poll(&fd, 1, 0) > 0)
		stop(x, w);
}

/* Gives a worker its rollout, starting it when needed. */
static int hand_over(struct moe_exec *x, struct worker *w, struct moe_err *e)
{
	if (w->box.pid <= 0) {
		w->n_words = 0;
		if (moe_box_start(&x->o->box, &x->how, &w->box, e))
			return -1;
	}
	w->busy = true;
	w->request.len = w->reply.len = w->sent = 0;
	w->deadline = now() + (x->o->wall_sec > 0 ? x->o->wall_sec : 60);
	return moe_exec_request(x->rec[w->item], &w->request, e);
}

/* Hands the next rollout to an idle worker. */
static int assign(struct moe_exec *x, struct worker *w, struct moe_err *e)
{
	check_idle(x, w);
	w->item = x->next++;
	w->again = false;
	return hand_over(x, w, e);
}

static void send_some(struct moe_exec *x, struct worker *w)
{
	while (w->sent < w->request.len) {
		ssize_t k = send(w->box.in, w->request.data + w->sent, w->request.len - w->sent,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (k < 0) { /* it does not listen any more: its output will tell */
			w->sent = w->request.len;
			return;
		}
		w->sent += (size_t)k;
	}
	if (x->o->once)
		shutdown(w->box.in, SHUT_WR);
}

/* Reads of its output what is there. */
static int receive(struct moe_exec *x, struct worker *w, struct moe_err *e)
{
	size_t max = x->o->reply_bytes ? x->o->reply_bytes : (size_t)1 << 20, n;
	struct moe_err bad;
	ssize_t k;
	int rc;

	if (moe_buf_reserve(&w->reply, 1 << 14, e))
		return -1;
	k = read(w->box.out, w->reply.data + w->reply.len, 1 << 14);
	if (k < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : died(x, w, e);
	w->reply.len += (size_t)k;
	rc = moe_exec_whole(w->reply.data, w->reply.len, x->o->once, !k, max, &n, &bad);
	if (rc < 0) {
		stop(x, w);
		return failed(x, w, MOE_GRADE_ERROR, bad.msg, e);
	}
	if (rc)
		return answer(x, w, n, e);
	return k ? 0 : died(x, w, e);
}

/* Waits until some busy worker can go on or is late. */
static int wait_for_some(struct moe_exec *x, struct pollfd *fd, struct moe_err *e)
{
	double first = 1e300, wait;
	int rc;

	for (size_t i = 0; i < x->n; i++) {
		struct worker *w = &x->worker[i];

		fd[3 * i] = (struct pollfd){ .fd = w->busy && w->sent < w->request.len ? w->box.in
										       : -1,
			.events = POLLOUT };
		fd[3 * i + 1] = (struct pollfd){ .fd = w->busy ? w->box.out : -1,
			.events = POLLIN };
		fd[3 * i + 2] = (struct pollfd){ .fd = w->busy ? w->box.err : -1,
			.events = POLLIN };
		if (w->busy && w->deadline < first)
			first = w->deadline;
	}
	if (x->how.kind == MOE_BOX_PLAIN && x->looked + FOLDER_SEC < first)
		first = x->looked + FOLDER_SEC;
	wait = (first - now()) * 1000;
	rc = poll(fd, (nfds_t)(3 * x->n), wait < 0 ? 0 : wait > 60000 ? 60000 : (int)wait + 1);
	return rc < 0 && errno != EINTR ? moe_fail_errno(e, "waiting for the graders failed") : 0;
}

/* Where no file system bounds the temporary folders, we do. */
static int watch_folders(struct moe_exec *x, struct moe_err *e)
{
	size_t max = x->o->box.file_bytes ? x->o->box.file_bytes : (size_t)256 << 20;

	if (x->how.kind != MOE_BOX_PLAIN || now() < x->looked + FOLDER_SEC)
		return 0;
	for (size_t i = 0; i < x->n; i++) {
		struct worker *w = &x->worker[i];

		if (!w->busy || moe_box_folder(&w->box, max) <= max)
			continue;
		stop(x, w);
		if (failed(x, w, MOE_GRADE_DIED, "the grader's temporary folder grew too large", e))
			return -1;
	}
	x->looked = now();
	return 0;
}

static int serve(struct moe_exec *x, struct pollfd *fd, struct moe_err *e)
{
	for (size_t i = 0; i < x->n; i++) {
		struct worker *w = &x->worker[i];

		if (w->busy && fd[3 * i].revents)
			send_some(x, w);
		if (w->busy && fd[3 * i + 2].revents)
			listen_words(w);
		if (w->busy && fd[3 * i + 1].revents && receive(x, w, e))
			return -1;
		if (w->busy && now() > w->deadline && late(x, w, e))
			return -1;
	}
	return watch_folders(x, e);
}

int moe_exec_run(struct moe_exec *x, struct moe_rec *const *rec, size_t n,
	enum moe_grade_fault *fault, struct moe_err *e)
{
	struct pollfd *fd = calloc(3 * x->n, sizeof(*fd));
	int rc = 0;

	if (!fd)
		return moe_fail(e, MOE_SYSTEM, "out of memory for external graders");
	x->rec = rec;
	x->fault = fault;
	x->next = x->done = 0;
	x->count = n;
	while (!rc && x->done < n) {
		for (size_t i = 0; !rc && i < x->n && x->next < n; i++)
			if (!x->worker[i].busy)
				rc = assign(x, &x->worker[i], e);
		if (!rc)
			rc = wait_for_some(x, fd, e) || serve(x, fd, e) ? -1 : 0;
	}
	free(fd);
	return rc;
}
