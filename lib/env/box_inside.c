/* box_inside.c - what a boxed process does to itself before it becomes the guard of the command
 * (box_guard.c). After fork: no locks, no buffered output.
 *
 * In namespaces it is process 1. As root it becomes nobody. */
#define _GNU_SOURCE
#include "env/box_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SELF 3 /* our own program's file */

extern char **environ;

void moe_box_give_up(const char *why)
{
	char msg[200];
	int n = snprintf(
		msg, sizeof(msg), "the box can not be made: %s: %s\n", why, strerror(errno));

	if (n > 0 && write(2, msg, (size_t)n) < 0)
		_exit(125);
	_exit(126);
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* The same user and group inside as outside. */
static void map_user(uid_t uid, gid_t gid)
{
	char line[64];

	/* a process whose memory is closed may not write its own map; nobody is in this box yet */
	prctl(PR_SET_DUMPABLE, 1);
	if (!write_file("/proc/self/setgroups", "deny"))
		moe_box_give_up("/proc/self/setgroups");
	snprintf(line, sizeof(line), "%u %u 1", (unsigned)uid, (unsigned)uid);
	if (!write_file("/proc/self/uid_map", line))
		moe_box_give_up("/proc/self/uid_map");
	snprintf(line, sizeof(line), "%u %u 1", (unsigned)gid, (unsigned)gid);
	if (!write_file("/proc/self/gid_map", line))
		moe_box_give_up("/proc/self/gid_map");
	prctl(PR_SET_DUMPABLE, 0);
}

/* For good: as root, files of mode 600 could be read and the limit of processes does not hold. */
static void become_nobody(void)
{
	if (setgroups(0, NULL) || setresgid(MOE_BOX_NOBODY, MOE_BOX_NOBODY, MOE_BOX_NOBODY) ||
		setresuid(MOE_BOX_NOBODY, MOE_BOX_NOBODY, MOE_BOX_NOBODY))
		moe_box_give_up("becoming nobody");
}

/* No capability now, and none to come back by exec. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	for (unsigned long c = 0; c <= 63; c++)
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) && errno != EINVAL && errno != EPERM)
			moe_box_give_up("dropping capabilities");
	if (syscall(SYS_capset, &head, data))
		moe_box_give_up("dropping capabilities");
}

/* PATH, LANG, LC_* and what was asked for; HOME and TMPDIR are the temporary directory. */
static char **environment(const struct moe_box_opts *o, const char *dir)
{
	static char home[560], tmp[560];
	char **out;
	size_t n = 0, count = 0;

	while (environ[count])
		count++;
	out = calloc(count + 4, sizeof(*out));
	if (!out)
		moe_box_give_up("out of memory");
	for (size_t i = 0; i < count; i++) {
		size_t len = strcspn(environ[i], "=");
		bool keep = !strncmp(environ[i], "LC_", 3) ||
			(len == 4 &&
				(!strncmp(environ[i], "PATH", 4) ||
					!strncmp(environ[i], "LANG", 4)));

		for (size_t k = 0; !keep && k < o->n_keep_env; k++)
			keep = strlen(o->keep_env[k]) == len &&
				!strncmp(environ[i], o->keep_env[k], len);
		if (keep)
			out[n++] = environ[i];
	}
	snprintf(home, sizeof(home), "HOME=%s", dir);
	snprintf(tmp, sizeof(tmp), "TMPDIR=%s", dir);
	out[n++] = home;
	out[n++] = tmp;
	return out;
}

static void descriptors(const struct moe_box_first *f)
{
	int self = fcntl(f->self, F_DUPFD_CLOEXEC, 16), in = fcntl(f->in, F_DUPFD_CLOEXEC, 16),
	    out = fcntl(f->out, F_DUPFD_CLOEXEC, 16), err = fcntl(f->err, F_DUPFD_CLOEXEC, 16);

	if (self < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 ||
		dup2(self, SELF) < 0)
		moe_box_give_up("standard input and output");
#ifdef SYS_close_range
	if (syscall(SYS_close_range, SELF + 1U, ~0U, 0U) == 0)
		return;
#endif
	for (int fd = SELF + 1; fd < 4096; fd++)
		close(fd);
}

/* What the guard is told (box_guard.c knows the order), at arg[0..10] and NULL. */
static void guard_words(const struct moe_box_first *f, const char *arg[12])
{
	static char number[4][32];
	const struct moe_box_opts *o = f->o;

	snprintf(number[0], sizeof number[0], "%zu", o->mem_bytes);
	snprintf(number[1], sizeof number[1], "%.0f", o->cpu_sec + 0.4999);
	snprintf(number[2], sizeof number[2], "%zu", o->file_bytes ? o->file_bytes : MOE_BOX_FILES);
	snprintf(number[3], sizeof number[3], "%zu", f->tasks);
	arg[0] = "moe-box";
	arg[1] = MOE_BOX_COMMAND;
	arg[2] = f->how.kind == MOE_BOX_PLAIN ? "p" : f->how.kind == MOE_BOX_BWRAP ? "b" : "n";
	arg[3] = f->dir;
	for (int i = 0; i < 4; i++)
		arg[4 + i] = number[i];
	arg[8] = o->network ? "1" : "0";
	arg[9] = o->writable ? "1" : "0";
	arg[10] = o->command;
	arg[11] = NULL;
}

static void run_bwrap(const struct moe_box_first *f, char **env) __attribute__((noreturn));
static void run_bwrap(const struct moe_box_first *f, char **env)
{
	static char size[32];
	const char *arg[48], *guard[12];
	const struct moe_box_opts *o = f->o;
	char *cwd = getcwd(NULL, 0);
	size_t n = 0;

	guard_words(f, guard);
	snprintf(size, sizeof size, "%zu", o->file_bytes ? o->file_bytes : MOE_BOX_FILES);
	arg[n++] = "bwrap";
	arg[n++] = "--unshare-all";
	if (o->network)
		arg[n++] = "--share-net";
	arg[n++] = "--die-with-parent";
	arg[n++] = "--new-session";
	arg[n++] = o->writable ? "--bind" : "--ro-bind";
	arg[n++] = "/";
	arg[n++] = "/";
	arg[n++] = "--dev";
	arg[n++] = "/dev";
	arg[n++] = "--proc";
	arg[n++] = "/proc";
	arg[n++] = "--size";
	arg[n++] = size;
	arg[n++] = "--tmpfs";
	arg[n++] = f->dir;
	arg[n++] = "--chdir";
	arg[n++] = cwd ? cwd : "/";
	arg[n++] = "--";
	arg[n++] = "/proc/self/fd/3";
	memcpy(arg + n, guard + 1, 11 * sizeof *arg);
	fcntl(SELF, F_SETFD, 0);
	execvpe("bwrap", (char *const *)arg, env);
	moe_box_give_up("starting bwrap");
}

/* Users and mounts, for each kind. */
static void confine(const struct moe_box_first *f)
{
	bool nobody = f->how.nobody;

	if (f->how.kind == MOE_BOX_PLAIN) {
		setsid();
		/* a root that may mount gives nobody a working directory that he can enter */
		if (nobody && unshare(CLONE_NEWNS) == 0)
			moe_box_view(f);
		if (nobody)
			become_nobody();
		drop_capabilities();
		return;
	}
	if (f->how.kind == MOE_BOX_BWRAP) {
		/* bwrap makes no such view itself, so it gets one: as root beforehand, otherwise in
		 * a user namespace in which it makes its own */
		if (unshare(CLONE_NEWNS | (nobody ? 0 : CLONE_NEWUSER)) == 0) {
			if (!nobody)
				map_user(f->uid, f->gid);
			moe_box_view(f);
			if (!nobody)
				drop_capabilities(); /* it refuses to have any */
		}
		if (nobody)
			become_nobody();
		return;
	}
	if (!nobody)
		map_user(f->uid, f->gid);
	moe_box_view(f);
	if (nobody) {
		become_nobody();
		/* counts of its own for the limit of processes; it can do without */
		if (unshare(CLONE_NEWUSER) == 0)
			map_user(MOE_BOX_NOBODY, MOE_BOX_NOBODY);
	}
	drop_capabilities();
}

void moe_box_inside(const struct moe_box_first *f)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	const char *arg[12];
	sigset_t none;
	char **env;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < 32; s++)
		sigaction(s, &dfl, NULL);
	descriptors(f);
	confine(f);
	env = environment(f->o, f->dir);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		moe_box_give_up("no new privileges");
	if (f->how.kind == MOE_BOX_BWRAP)
		run_bwrap(f, env);
	guard_words(f, arg);
	syscall(SYS_execveat, SELF, "", arg, env, AT_EMPTY_PATH);
	moe_box_give_up("starting the guard");
}
