/* box.c - starts and stops a boxed program. It neither speaks with it nor judges it; box_inside.c
 * is what happens in the new process. */
#define _GNU_SOURCE
#include "env/box.h"
#include "env/box_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

static unsigned long flags_of(const struct moe_box_opts *o, enum moe_box_kind kind)
{
	if (kind != MOE_BOX_NAMESPACES)
		return 0;
	return CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
		(o->network ? 0 : CLONE_NEWNET);
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

static int make_dir(struct moe_box *b, struct moe_err *e)
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
	return 0;
}

/* Whether `true` runs in such a box. */
static bool works(const struct moe_box_opts *o, enum moe_box_kind kind)
{
	struct moe_box_opts probe = *o;
	struct moe_box b = { 0 };
	int status;

	if (kind == MOE_BOX_BWRAP && !in_path("bwrap"))
		return false;
	probe.command = "exit 42";
	if (moe_box_start(&probe, kind, &b, NULL))
		return false;
	moe_box_wait(&b, 10);
	status = moe_box_stop(&b);
	return WIFEXITED(status) && WEXITSTATUS(status) == 42;
}

int moe_box_probe(const struct moe_box_opts *o, enum moe_box_kind *out, struct moe_err *e)
{
	static const enum moe_box_kind order[] = { MOE_BOX_BWRAP, MOE_BOX_NAMESPACES,
		MOE_BOX_PLAIN };
	struct moe_box b = { 0 };

	if (make_dir(&b, e)) /* every kind needs one: it is not the box that fails then */
		return -1;
	rmdir(b.dir);
	for (size_t i = 0; i < 3; i++)
		if ((o->kind == MOE_BOX_AUTO || o->kind == order[i]) && works(o, order[i])) {
			*out = order[i];
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

int moe_box_start(
	const struct moe_box_opts *o, enum moe_box_kind kind, struct moe_box *b, struct moe_err *e)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	int fd[6] = { 0 };

	memset(b, 0, sizeof(*b));
	if (make_dir(b, e) || make_pipes(fd, e)) {
		moe_box_stop(b);
		return -1;
	}
	b->pid = fork_into(flags_of(o, kind));
	if (b->pid == 0)
		box_inside(o, kind, b->dir, fd[0], fd[3], fd[5], uid, gid);
	if (b->pid < 0) {
		moe_fail_errno(e, "the grader's process can not be started");
		close_all(fd, 6);
		b->pid = 0;
		moe_box_stop(b);
		return -1;
	}
	if (kind != MOE_BOX_NAMESPACES)
		setpgid(b->pid, b->pid); /* also done inside: whoever comes first */
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

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	remove(path);
	return 0;
}

/* Directories that were left without permission get it back before they are emptied. */
static int open_up(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (flag == FTW_DNR || flag == FTW_D)
		chmod(path, 0700);
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

int moe_box_stop(struct moe_box *b)
{
	int status = b->status, fd[3] = { b->in, b->out, b->err };

	if (b->pid > 0) {
		kill(-b->pid, SIGKILL); /* the group; in a namespace there is none of that number,
					   and process 1 takes all with it */
		if (!b->ended)
			kill(b->pid, SIGKILL);
		while (!b->ended && waitpid(b->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	close_all(fd, 3);
	if (b->dir[0]) {
		nftw(b->dir, open_up, 16, FTW_PHYS | FTW_MOUNT);
		nftw(b->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	}
	memset(b, 0, sizeof(*b));
	return status;
}
