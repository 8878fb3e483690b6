/* grade.c - the parent's side of grading: worker processes, handing out, deadlines, replacement,
 * and results into records. Not what a worker does (worker.c) nor the judgement itself (judge.c).
 */
#define _GNU_SOURCE /* prlimit, SOCK_CLOEXEC */
#include "env/grade.h"

#include "env/judge.h"
#include "formats/seal.h"
#include "formats/rollout.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK     32
#define WATCH_SEC 0.02
#define DIED_NOTE "the grading process died"

struct worker {
	pid_t pid; /* 0 = none */
	int fd;
	bool greeted;
	size_t idx[CHUNK], n, done; /* the items that it has, and how many it has answered */
	bool again;                 /* idx[done] is graded for the second time */
	struct moe_buf out;         /* requests on their way */
	size_t sent;
	struct moe_worker_answer in; /* the answer on its way, `got` bytes of it */
	size_t got;
	volatile uint32_t *at; /* shared with it: how many of them it has answered */
	uint32_t seen;         /* *at at the last look of the watch */
	double cpu0, wall0;
};

struct moe_grader {
	struct moe_grader_opts o;
	struct moe_env *env;
	struct moe_sandboxes *boxes;
	struct worker *w;
	struct pollfd *poll;
	size_t n_worker;
	uint64_t replaced, near_limit;
	char filter[MOE_ENV_NAME_MAX];
};

static double wall_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* CPU seconds that a process has used; -1 when it is gone. */
static double cpu_sec(pid_t pid)
{
	struct timespec t;
	clockid_t c;

	if (clock_getcpuclockid(pid, &c) != 0 || clock_gettime(c, &t) != 0)
		return -1;
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- processes ---- */

static int start(struct moe_grader *g, struct worker *w, struct moe_err *e)
{
	struct moe_worker_limits lim = { (g->o.mem_bytes * 20) + ((size_t)256 << 20), g->o.seed };
	int fd[2];
	pid_t pid;

	if (!w->at) {
		void *p = mmap(NULL, sizeof *w->at, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return moe_fail_errno(e, "no memory to share with a grading process");
		w->at = p;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0)
		return moe_fail_errno(e, "no socket pair for a grading process");
	pid = fork();
	if (pid < 0) {
		close(fd[0]);
		close(fd[1]);
		return moe_fail_errno(e, "no grading process could be started");
	}
	if (pid == 0) {
		for (size_t i = 0; i < g->n_worker;
			i++) /* the other workers' counts are none of its business */
			if (&g->w[i] != w && g->w[i].at)
				munmap((void *)(uintptr_t)g->w[i].at, sizeof *g->w[i].at);
		moe_worker_main(fd[1], w->at, g->env, &lim);
	}
	close(fd[1]);
	w->pid = pid;
	w->fd = fd[0];
	w->greeted = false;
	w->got = 0;
	w->wall0 = wall_sec();
	w->cpu0 = 0;
	return 0;
}

/* Returns the wait status. */
static int stop(struct worker *w)
{
	int status = 0;

	if (!w->pid)
		return 0;
	kill(w->pid, SIGKILL);
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	close(w->fd);
	w->pid = 0;
	return status;
}

/* ---- handing out ---- */

/* Queues the requests for the worker's items. */
static int queue_chunk(struct moe_grader *g, struct worker *w, const struct moe_grade_item *item,
	struct moe_err *e)
{
	struct rlimit r = { RLIM_INFINITY, RLIM_INFINITY };
	double used = cpu_sec(w->pid);

	w->out.len = 0;
	w->sent = 0;
	w->got = 0;
	w->done = 0;
	*w->at = 0;
	for (size_t i = 0; i < w->n; i++) {
		const struct moe_grade_item *it = &item[w->idx[i]];
		struct moe_worker_head h = { it->key, 0, (uint32_t)it->completion.n, (uint32_t)w->n,
			(uint32_t)i };
		size_t at = w->out.len;

		if (it->completion.n > UINT32_MAX)
			return moe_fail(e, MOE_DATA,
				"a completion of %zu bytes is too long to be graded",
				it->completion.n);
		if (moe_buf_add(&w->out, &h, sizeof h, e) != 0 ||
			moe_rec_emit(it->env, &w->out, e) != 0)
			return -1;
		h.env_len = (uint32_t)(w->out.len - at - sizeof h);
		memcpy(w->out.data + at, &h, sizeof h);
		if (it->completion.n &&
			moe_buf_add(&w->out, it->completion.p, it->completion.n, e) != 0)
			return -1;
	}
	w->seen = 0;
	w->wall0 = wall_sec();
	w->cpu0 = used > 0 ? used : 0;
	/* a second line behind the watch, should this process be stopped */
	r.rlim_cur = (rlim_t)(w->cpu0 + (double)w->n * g->o.cpu_sec) + 2;
	prlimit(w->pid, RLIMIT_CPU, &r, NULL);
	return 0;
}

/* The worker is to go; what it answered is taken. The rollout that it was at gets the fault, unless
 * it was no time limit, so perhaps not the rollout's doing (the kernel's want of memory, a signal
 * from outside): then it is graded once more. It and what is behind it go to a new process. */
static int replace(struct moe_grader *g, struct worker *w, enum moe_grade_fault fault,
	const char *note, const struct moe_grade_item *item, struct moe_grade *out,
	struct moe_err *e)
{
	bool greeted = w->greeted;
	int status = stop(w);

	if (!greeted)
		return moe_fail(e, MOE_SYSTEM, "a grading process ended before it was ready");
	g->replaced++;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		fault = MOE_GRADE_TIME;
	if (w->done < w->n && fault == MOE_GRADE_DIED && !w->again) {
		w->again = true;
	} else if (w->done < w->n) {
		moe_judge_fault(&out[w->idx[w->done++]], fault, note);
		w->again = false;
	}
	w->n -= w->done;
	memmove(w->idx, w->idx + w->done, w->n * sizeof *w->idx);
	if (start(g, w, e) != 0)
		return -1;
	return queue_chunk(g, w, item, e);
}

/* One answer, or the greeting, has arrived whole. */
static void accept_answer(struct moe_grader *g, struct worker *w, struct moe_grade *out)
{
	w->got = 0;
	if (!w->greeted) {
		w->greeted = true;
		memcpy(g->filter, w->in.grade.part[0].name, sizeof g->filter - 1);
		return;
	}
	moe_judge_accept(&out[w->idx[w->done++]], &w->in.grade);
	g->near_limit += w->in.cpu > g->o.cpu_sec / 2;
	w->again = false;
	if (w->done == w->n)
		w->n = w->done = 0;
}

/* Reads what the worker sent. 0 fine, 1 it is gone. */
static int receive(struct moe_grader *g, struct worker *w, struct moe_grade *out)
{
	for (;;) {
		size_t want = w->greeted && !w->n ? 0 : sizeof w->in;
		char more;
		/* nothing is due when want is 0: then only its end, or an answer to nothing, can
		 * come */
		ssize_t n = want ? recv(w->fd, (char *)&w->in + w->got, want - w->got, MSG_DONTWAIT)
				 : recv(w->fd, &more, 1, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n <= 0 || !want)
			return 1;
		w->got += (size_t)n;
		if (w->got == want)
			accept_answer(g, w, out);
	}
}

/* 0 fine, 1 it is gone. */
static int transmit(struct worker *w)
{
	while (w->sent < w->out.len) {
		ssize_t n = send(w->fd, w->out.data + w->sent, w->out.len - w->sent,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n < 0)
			return 1;
		w->sent += (size_t)n;
	}
	return 0;
}

/* Time limits: counted from the last look at which the worker had made progress. */
static int watch(struct moe_grader *g, const struct moe_grade_item *item, struct moe_grade *out,
	struct moe_err *e)
{
	for (size_t i = 0; i < g->n_worker; i++) {
		struct worker *w = &g->w[i];
		double cpu, wall;

		if (!w->pid || !w->n)
			continue;
		/* what it has just answered is not what it is blamed for */
		if (receive(g, w, out) &&
			replace(g, w, MOE_GRADE_DIED, DIED_NOTE, item, out, e) != 0)
			return -1;
		if (!w->n)
			continue;
		cpu = cpu_sec(w->pid);
		wall = wall_sec();
		if (*w->at != w->seen) {
			w->seen = *w->at;
			w->cpu0 = cpu;
			w->wall0 = wall;
		} else if (cpu - w->cpu0 > g->o.cpu_sec || wall - w->wall0 > g->o.wall_sec) {
			if (replace(g, w, MOE_GRADE_TIME, "the completion ran for too long", item,
				    out, e) != 0)
				return -1;
		}
	}
	return 0;
}

/* ---- a run ---- */

static size_t poll_set(struct moe_grader *g)
{
	size_t busy = 0;

	for (size_t i = 0; i < g->n_worker; i++) {
		struct worker *w = &g->w[i];
		bool on = w->pid && w->n;

		g->poll[i].fd = on ? w->fd : -1;
		g->poll[i].events = (short)(POLLIN | (w->sent < w->out.len ? POLLOUT : 0));
		g->poll[i].revents = 0;
		busy += on;
	}
	return busy;
}

static int hand_out(struct moe_grader *g, const struct moe_grade_item *item, size_t n, size_t *next,
	struct moe_err *e)
{
	size_t chunk = n / (2 * g->n_worker) + 1;

	for (size_t i = 0; i < g->n_worker && *next < n; i++) {
		struct worker *w = &g->w[i];

		if (w->n)
			continue;
		w->again = false;
		if (!w->pid && start(g, w, e) != 0)
			return -1;
		while (w->n < CHUNK && w->n < chunk && *next < n)
			w->idx[w->n++] = (*next)++;
		if (queue_chunk(g, w, item, e) != 0)
			return -1;
		(void)transmit(w); /* a failure shows at the next poll */
	}
	return 0;
}

static int exchange(struct moe_grader *g, const struct moe_grade_item *item, struct moe_grade *out,
	struct moe_err *e)
{
	for (size_t i = 0; i < g->n_worker; i++) {
		struct worker *w = &g->w[i];
		int gone = 0;

		if (g->poll[i].fd < 0 || !g->poll[i].revents)
			continue;
		if (g->poll[i].revents & (POLLIN | POLLHUP | POLLERR))
			gone = receive(g, w, out);
		if (!gone && (g->poll[i].revents & POLLOUT))
			gone = transmit(w);
		if (gone && replace(g, w, MOE_GRADE_DIED, DIED_NOTE, item, out, e) != 0)
			return -1;
	}
	return 0;
}

static int run_workers(struct moe_grader *g, const struct moe_grade_item *item, size_t n,
	struct moe_grade *out, struct moe_err *e)
{
	double looked = wall_sec();
	size_t next = 0;

	for (;;) {
		if (hand_out(g, item, n, &next, e) != 0)
			return -1;
		if (poll_set(g) == 0)
			return 0;
		if (poll(g->poll, (nfds_t)g->n_worker, (int)(WATCH_SEC * 1000)) < 0 &&
			errno != EINTR)
			return moe_fail_errno(e, "waiting for grading processes");
		if (exchange(g, item, out, e) != 0)
			return -1;
		if (wall_sec() - looked > WATCH_SEC) {
			if (watch(g, item, out, e) != 0)
				return -1;
			looked = wall_sec();
		}
	}
}

int moe_grader_run(struct moe_grader *g, const struct moe_grade_item *item, size_t n,
	struct moe_grade *out, struct moe_err *e)
{
	int rc;

	if (g->o.in_process) {
		for (size_t i = 0; i < n; i++)
			moe_judge(g->env, g->o.seed, &item[i], &out[i]);
		return 0;
	}
	rc = run_workers(g, item, n, out, e);
	for (size_t i = 0; rc != 0 && i < g->n_worker;
		i++) { /* what they were at is lost; the grader stays usable */
		stop(&g->w[i]);
		g->w[i].n = g->w[i].done = 0;
	}
	return rc;
}

/* ---- life ---- */

struct moe_grader *moe_grader_open(
	const char *env_path, const struct moe_grader_opts *o, struct moe_err *e)
{
	struct moe_grader *g = calloc(1, sizeof *g);
	struct moe_buf text = { 0 };

	if (!g) {
		moe_fail(e, MOE_SYSTEM, "out of memory for a grader");
		return NULL;
	}
	if (o)
		g->o = *o;
	g->n_worker = g->o.workers > 0 ? (size_t)g->o.workers : 1;
	g->o.mem_bytes = g->o.mem_bytes ? g->o.mem_bytes : (size_t)4 << 20;
	g->o.cpu_sec = g->o.cpu_sec > 0 ? g->o.cpu_sec : 0.5;
	g->o.wall_sec = g->o.wall_sec > 0 ? g->o.wall_sec : 10;
	g->w = calloc(g->n_worker, sizeof *g->w);
	g->poll = calloc(g->n_worker, sizeof *g->poll);
	g->boxes = moe_sandboxes_new(g->o.mem_bytes, g->o.steps, e);
	if (g->w && g->poll && g->boxes && moe_env_slurp(env_path, &text, e) == 0)
		g->env = moe_env_load(
			env_path, (const char *)text.data, text.len, NULL, g->boxes, e);
	else if (!g->w || !g->poll)
		moe_fail(e, MOE_SYSTEM, "out of memory for %zu grading processes", g->n_worker);
	moe_buf_free(&text);
	if (!g->env) {
		moe_grader_close(g);
		return NULL;
	}
	return g;
}

void moe_grader_close(struct moe_grader *g)
{
	if (!g)
		return;
	for (size_t i = 0; g->w && i < g->n_worker; i++) {
		stop(&g->w[i]);
		moe_buf_free(&g->w[i].out);
		if (g->w[i].at)
			munmap((void *)(uintptr_t)g->w[i].at, sizeof *g->w[i].at);
	}
	free(g->w);
	free(g->poll);
	moe_env_close(g->env);
	moe_sandboxes_free(g->boxes);
	free(g);
}

uint64_t moe_grader_replaced(const struct moe_grader *g)
{
	return g->replaced;
}

uint64_t moe_grader_near_limit(const struct moe_grader *g)
{
	return g->near_limit;
}

const char *moe_grader_digest(const struct moe_grader *g)
{
	return moe_env_digest(g->env);
}

const char *moe_grader_filter(const struct moe_grader *g)
{
	return g->filter;
}

bool moe_grader_earns(const struct moe_grader *g)
{
	return g->env->n_earned > 0;
}

void moe_grader_pay_oracle(const struct moe_grader *g, struct moe_grade *r)
{
	const struct moe_env *v = g->env;

	if (r->fault != MOE_GRADE_FINE) /* it has no parts and gets 0, whoever pays */
		return;
	for (size_t i = 0; i < v->n_earned; i++) {
		size_t k = 0;

		while (k < r->n_part && strcmp(r->part[k].name, v->earned[i].name) != 0)
			k++;
		if (k == MOE_GRADE_PARTS_MAX)
			continue;
		if (k == r->n_part)
			snprintf(r->part[r->n_part++].name, MOE_ENV_NAME_MAX, "%s",
				v->earned[i].name);
		r->part[k].value = r->solved ? v->earned[i].value : 0;
	}
	r->reward = 0;
	for (size_t k = 0; k < r->n_part; k++)
		r->reward += r->part[k].value;
}

/* ---- results into records ---- */

int moe_grade_apply(const struct moe_grade *r, struct moe_rec *rollout, struct moe_err *e)
{
	struct moe_rec parts = { 0 };
	struct moe_seal seal = { 0 };
	int rc = 0;

	for (size_t i = 0; i < r->n_part && rc == 0; i++)
		rc = moe_rec_set_f64(&parts, r->part[i].name, r->part[i].value, e);
	if (rc == 0)
		rc = moe_rec_set_f64(rollout, MOE_ROLLOUT_REWARD, r->reward, e);
	if (rc == 0)
		rc = moe_rec_set_map(rollout, MOE_ROLLOUT_REWARDS, &parts, e);
	moe_rec_free(&parts);
	if (rc != 0)
		return rc;
	seal.solved = r->solved;
	seal.hacked = r->hacked;
	memcpy(seal.mechanism, r->mechanism, sizeof r->mechanism);
	return moe_seal_put(rollout, &seal, e);
}
