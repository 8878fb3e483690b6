/* worker.c - a grading process: limits, system-call filter, and the loop that answers requests.
 * Not the parent's side (grade.c). Nothing here trusts that the Lua states hold. */
#define _GNU_SOURCE /* close_range, MAP flags */
#include "env/judge.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED                                                                                  \
	true /* shadow memory is address space, and the run-time library makes system calls of its \
		own */
#else
#define SANITIZED false
#endif
#define FD 0 /* the socket, after everything else is closed */

/* ---- limits ---- */

static void limit(int what, rlim_t n)
{
	struct rlimit r = { n, n };

	setrlimit((__rlimit_resource_t)what, &r);
}

/* Bytes of address space in use now. */
static size_t address_space(void)
{
	char text[64] = "";
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;

	if (fd >= 0)
		close(fd);
	return n > 0 ? (size_t)strtoull(text, NULL, 10) * 4096 : (size_t)1 << 30;
}

static void close_all_but_socket(int fd)
{
	if (fd != FD) {
		dup2(fd, FD);
		close(fd);
	}
	if (close_range(1, ~0U, 0) != 0)
		for (int i = 1; i < 4096; i++)
			close(i);
}

static void set_limits(const struct moe_worker_limits *lim)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, 0);
	limit(RLIMIT_NPROC, 0);
	limit(RLIMIT_NOFILE, 1);
	if (!SANITIZED)
		limit(RLIMIT_AS, address_space() + lim->address_bytes);
}

/* Only what computing and answering need; anything else kills the process. False where the kernel
 * has no seccomp. */
static bool set_filter(void)
{
	static const int plain[] = { SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(brk),
		SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(clock_gettime), SCMP_SYS(time),
		SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall) };
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	bool ok = f != NULL;

	for (size_t i = 0; ok && i < sizeof plain / sizeof *plain; i++)
		ok = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain[i], 0) == 0;
	ok = ok &&
		seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(read), 1, SCMP_A0(SCMP_CMP_EQ, FD)) ==
			0;
	ok = ok &&
		seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, SCMP_A0(SCMP_CMP_EQ, FD)) ==
			0;
	ok = ok && seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mremap), 0) == 0;
	ok = ok &&
		seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
			SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
			SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS)) == 0;
	ok = ok && seccomp_load(f) == 0;
	if (f)
		seccomp_release(f);
	return ok;
}

/* ---- the loop ---- */

/* Input is read in large pieces: a chunk of requests arrives in one call. */
struct input {
	char data[65536];
	size_t at, n;
};

static bool read_all(struct input *in, void *p, size_t n)
{
	for (char *to = p; n > 0;) {
		size_t have = in->n - in->at;
		ssize_t got;

		if (have) {
			have = have < n ? have : n;
			memcpy(to, in->data + in->at, have);
			in->at += have;
			to += have;
			n -= have;
			continue;
		}
		got = read(FD, in->data, sizeof in->data);
		if (got <= 0 && !(got < 0 && errno == EINTR))
			return false;
		in->at = 0;
		in->n = got > 0 ? (size_t)got : 0;
	}
	return true;
}

static bool write_all(const void *p, size_t n)
{
	for (const char *at = p; n > 0;) {
		ssize_t put = write(FD, at, n);

		if (put <= 0 && !(put < 0 && errno == EINTR))
			return false;
		if (put > 0) {
			at += put;
			n -= (size_t)put;
		}
	}
	return true;
}

/* Reads one request and judges it; false at the end of requests. */
static bool serve(struct moe_env *v, uint64_t seed, struct input *in, struct moe_worker_head *h,
	struct moe_buf *text, struct moe_rec *env, struct moe_grade *g)
{
	struct moe_grade_item item = { env, { NULL, 0 }, 0 };
	struct moe_err e;

	if (!read_all(in, h, sizeof *h))
		return false;
	text->len = 0;
	if (moe_buf_reserve(text, (size_t)h->env_len + h->text_len + 1, &e) != 0 ||
		!read_all(in, text->data, (size_t)h->env_len + h->text_len))
		return false;
	item.completion.p = (const char *)text->data + h->env_len;
	item.completion.n = h->text_len;
	item.key = h->key;
	if (moe_rec_parse(env, text->data, h->env_len, &e) != 0)
		moe_judge_fault(g, MOE_GRADE_ERROR, e.msg);
	else
		moe_judge(v, seed, &item, g);
	return true;
}

static double cpu_now(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Each answer goes at once, so that what is finished is never graded again. */
static void serve_all(struct moe_env *v, uint64_t seed, volatile uint32_t *at)
{
	static struct input in; /* not on the stack: 64 KiB */
	struct moe_buf text = { 0 };
	struct moe_rec env = { 0 };
	struct moe_worker_answer a;
	struct moe_worker_head h;

	for (double from = cpu_now(); serve(v, seed, &in, &h, &text, &env, &a.grade);) {
		double to = cpu_now();

		a.cpu = to - from;
		from = to;
		if (!write_all(&a, sizeof a))
			return;
		*at = h.i + 1;
	}
}

void moe_worker_main(
	int fd, volatile uint32_t *at, struct moe_env *v, const struct moe_worker_limits *lim)
{
	static const int outside[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGALRM, SIGUSR1,
		SIGUSR2 };
	struct moe_worker_answer hello = { 0 };
	bool filter;

	/* the parent's handlers of these would make system calls here */
	for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
		signal(outside[i], SIG_DFL);
	close_all_but_socket(fd);
	set_limits(lim);
	filter = !SANITIZED && set_filter();
	moe_judge_fault(&hello.grade, MOE_GRADE_FINE, MOE_WORKER_HELLO);
	snprintf(
		hello.grade.part[0].name, MOE_ENV_NAME_MAX, "%s", filter ? "seccomp" : "no filter");
	if (write_all(&hello, sizeof hello))
		serve_all(v, lim->seed, at);
	_exit(0);
}
