/* box.c - starts and stops a boxed program. It neither speaks with it nor judges it; box_inside.c
 * is what happens in the new process. */
#define _GNU_SOURCE
#include "env/box.h"
#include "env/box_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIVING_MAX 512

const char *moe_box_name(enum moe_box_kind k)
{
	return k == MOE_BOX_BWRAP         ? "bubblewrap"
		: k == MOE_BOX_NAMESPACES ? "namespaces"
		: k == MOE_BOX_PLAIN      ? "limits only"
					  : "automatic";
}

/* fork, into new namespaces when flags says so: the child is then process 1 of its own tree. */
static pid_t fork_into(unsigned long flags)
{
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, NULL, NULL, 0);
}

static unsigned long flags_of(const struct moe_box_opts *o, const struct moe_box_how *how)
{
	if (how->kind != MOE_BOX_NAMESPACES)
		return 0;
	return (how->nobody ? 0 : CLONE_NEWUSER) | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
		CLONE_NEWUTS | (o->network ? 0 : CLONE_NEWNET);
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	char full[4096];

	while (path && *path) {
		size_t n = strcspn(path, ":");

		snprintf(full, sizeof(full), "%.*s/%s", (int)n, path, program);
		if (n && !access(full, X_OK))
			return true;
		path += n + (path[n] == ':');
	}
	return false;
}

static int make_dir(struct moe_box *b, bool nobody, struct moe_err *e)
{
	const char *base = getenv("TMPDIR");

	if (!base || base[0] != '/' || strlen(base) > 480)
		base = "/tmp";
	snprintf(b->dir, sizeof(b->dir), "%s/moe-exec.XXXXXX", base);
	if (!mkdtemp(b->dir)) {
		moe_fail_errno(
			e, "no temporary directory can be made in %s (TMPDIR names where)", base);
		b->dir[0] = 0;
		return -1;
	}
	if (nobody && chown(b->dir, MOE_BOX_NOBODY, MOE_BOX_NOBODY))
		return moe_fail_errno(e, "%s: it can not be given to nobody", b->dir);
	return 0;
}

/* Whether a command runs in such a box, and in the working directory. */
static bool works(const struct moe_box_opts *o, const struct moe_box_how *how)
{
	struct moe_box_opts probe = *o;
	struct moe_box b = { 0 };
	int status;

	if (how->kind == MOE_BOX_BWRAP && !in_path("bwrap"))
		return false;
	probe.command = how->nobody ? "[ -x . ] && exit 42" : "exit 42";
	if (moe_box_start(&probe, how, &b, NULL))
		return false;
	moe_box_wait(&b, 10);
	status = moe_box_stop(&b);
	return WIFEXITED(status) && WEXITSTATUS(status) == 42;
}

int moe_box_probe(const struct moe_box_opts *o, struct moe_box_how *out, struct moe_err *e)
{
	static const enum moe_box_kind order[] = { MOE_BOX_NAMESPACES, MOE_BOX_BWRAP,
		MOE_BOX_PLAIN };
	struct moe_box b = { 0 };

	if (make_dir(&b, false, e)) /* every kind needs one: it is not the box that fails then */
		return -1;
	rmdir(b.dir);
	prctl(PR_SET_DUMPABLE, 0);
	for (size_t i = 0; i < 3; i++) {
		if (o->kind != MOE_BOX_AUTO && o->kind != order[i])
			continue;
		out->kind = order[i];
		/* who leaves the files writable wants them written as the caller */
		out->nobody = geteuid() == 0 && !o->writable;
		if (out->nobody && works(o, out))
			return 0;
		out->nobody = false;
		if (works(o, out))
			return 0;
	}
	return moe_fail(e, MOE_USAGE, "a box of the kind `%s' does not work on this machine",
		moe_box_name(o->kind));
}

static void close_all(int *fd, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fd[i] > 0)
			close(fd[i]);
}

/* All close-on-exec; fd = in theirs, in ours, out read, out write, err read, err write. Its input
 * is a socket, so that writing to a dead grader is an error and no signal. */
static int make_pipes(int fd[6], struct moe_err *e)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) || pipe2(fd + 2, O_CLOEXEC) ||
		pipe2(fd + 4, O_CLOEXEC)) {
		moe_fail_errno(e, "no pipe can be made for the grader");
		close_all(fd, 6);
		return -1;
	}
	return 0;
}

/* Processes of boxes that live now: whatever else becomes our child was left by one of them. */
static pid_t living[LIVING_MAX];

static void note_life(pid_t was, pid_t is)
{
	for (size_t i = 0; i < LIVING_MAX; i++)
		if (living[i] == was) {
			living[i] = is;
			return;
		}
}

static int start_process(const struct moe_box_opts *o, const struct moe_box_how *how,
	struct moe_box *b, const int fd[6], struct moe_err *e)
{
	bool plain = how->kind == MOE_BOX_PLAIN;
	struct moe_box_first f = { .o = o,
		.how = *how,
		.dir = b->dir,
		.in = fd[0],
		.out = fd[3],
		.err = fd[5],
		.uid = getuid(),
		.gid = getgid(),
		.self = open("/proc/self/exe", O_PATH | O_CLOEXEC),
		.tasks = MOE_BOX_TASKS };

	/* without namespaces all processes of the user count */
	if (plain)
		f.tasks += moe_box_tasks_of(how->nobody ? MOE_BOX_NOBODY : f.uid);
	if (plain)
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	b->plain = plain;
	b->pid = fork_into(flags_of(o, how));
	if (b->pid == 0)
		moe_box_inside(&f);
	if (f.self >= 0)
		close(f.self);
	if (b->pid < 0)
		return moe_fail_errno(e, "no process can be started for the grader");
	note_life(0, b->pid);
	return 0;
}

int moe_box_start(const struct moe_box_opts *o, const struct moe_box_how *how, struct moe_box *b,
	struct moe_err *e)
{
	int fd[6] = { 0 };

	memset(b, 0, sizeof(*b));
	if (make_dir(b, how->nobody, e) || make_pipes(fd, e)) {
		moe_box_stop(b);
		return -1;
	}
	if (start_process(o, how, b, fd, e)) {
		b->pid = 0;
		close_all(fd, 6);
		moe_box_stop(b);
		return -1;
	}
	close(fd[0]);
	close(fd[3]);
	close(fd[5]);
	b->in = fd[1];
	b->out = fd[2];
	b->err = fd[4];
	fcntl(b->in, F_SETFL, O_NONBLOCK);
	fcntl(b->out, F_SETFL, O_NONBLOCK);
	fcntl(b->err, F_SETFL, O_NONBLOCK);
	return 0;
}

void moe_box_wait(struct moe_box *b, double sec)
{
	const struct timespec pause = { .tv_nsec = 2000000 };

	for (double waited = 0; b->pid > 0 && !b->ended && waited < sec; waited += 0.002) {
		if (waitpid(b->pid, &b->status, WNOHANG) == b->pid)
			b->ended = true;
		else
			nanosleep(&pause, NULL);
	}
}

size_t moe_box_folder(const struct moe_box *b, size_t enough)
{
	return b->plain && b->dir[0] ? moe_box_bytes(b->dir, enough + 1) : 0;
}

int moe_box_stop(struct moe_box *b)
{
	int status = b->status, fd[3] = { b->in, b->out, b->err };

	if (b->pid > 0) {
		if (!b->ended && b->plain)
			moe_box_kill_below(b->pid, NULL, 0); /* whatever session it is in */
		if (!b->ended)
			kill(b->pid, SIGKILL); /* process 1 takes all of its namespace with it */
		while (!b->ended && waitpid(b->pid, &status, 0) < 0 && errno == EINTR)
			;
		note_life(b->pid, 0);
		if (b->plain) /* what it left came to us */
			moe_box_kill_below(getpid(), living, LIVING_MAX);
	}
	close_all(fd, 3);
	if (b->dir[0])
		moe_box_remove(b->dir);
	memset(b, 0, sizeof(*b));
	return status;
}
