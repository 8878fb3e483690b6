/* box_inside.c - what a boxed process does to itself before the command runs. After fork: no locks,
 * no buffered output.
 *
 * In namespaces it is process 1: it mounts, drops every capability, forks the command, reaps
 * orphans, and ends with the command, upon which the kernel kills what is left. */
#define _GNU_SOURCE
#include "env/box_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void give_up(const char *why) __attribute__((noreturn));
static void give_up(const char *why)
{
	char msg[200];
	int n = snprintf(
		msg, sizeof(msg), "the box can not be made: %s: %s\n", why, strerror(errno));

	if (n > 0 && write(2, msg, (size_t)n) < 0)
		_exit(125);
	_exit(126);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		give_up(path);
	close(fd);
}

/* The same user and group inside as outside. */
static void map_user(uid_t uid, gid_t gid)
{
	char line[64];

	write_file("/proc/self/setgroups", "deny");
	snprintf(line, sizeof(line), "%u %u 1", (unsigned)uid, (unsigned)uid);
	write_file("/proc/self/uid_map", line);
	snprintf(line, sizeof(line), "%u %u 1", (unsigned)gid, (unsigned)gid);
	write_file("/proc/self/gid_map", line);
}

/* Only the harmless devices stay. Failing leaves /dev as it is: permissions still hold there. */
static void plain_devices(void)
{
	static const char *const keep[] = { "null", "zero", "full", "random", "urandom" };
	char from[64], to[64];
	int fd[5];

	for (int i = 0; i < 5; i++) {
		snprintf(from, sizeof(from), "/dev/%s", keep[i]);
		fd[i] = open(from, O_PATH | O_CLOEXEC);
	}
	if (mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=1m,mode=0755") == 0) {
		for (int i = 0; i < 5; i++) {
			snprintf(from, sizeof(from), "/proc/self/fd/%d", fd[i]);
			snprintf(to, sizeof(to), "/dev/%s", keep[i]);
			close(open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
			(void)!mount(from, to, NULL, MS_BIND, NULL);
		}
		(void)!symlink("/proc/self/fd", "/dev/fd");
		mkdir("/dev/shm", 0700);
	}
	for (int i = 0; i < 5; i++)
		close(fd[i]);
}

static void mounts(const struct moe_box_opts *o, const char *dir)
{
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID };
	char size[64];

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		give_up("making mounts private");
	plain_devices();
	(void)!mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		NULL); /* containers may forbid it: then the old one stays */
	if (!o->writable && mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &ro, sizeof(ro)))
		give_up("making the file system read-only");
	snprintf(size, sizeof(size), "size=%zu,mode=0700",
		o->file_bytes ? o->file_bytes : (size_t)256 << 20);
	if (mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, size))
		give_up("mounting the temporary directory");
}

/* No capability now, and none to come back by exec. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	for (unsigned long c = 0; c <= 63; c++)
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) && errno != EINVAL && errno != EPERM)
			give_up("dropping capabilities");
	if (syscall(SYS_capset, &head, data))
		give_up("dropping capabilities");
}

static void limit(int what, double value)
{
	struct rlimit r, old;

	if (getrlimit((__rlimit_resource_t)what, &old))
		give_up("reading a limit");
	r.rlim_cur = r.rlim_max = value < 1e18 ? (rlim_t)value : RLIM_INFINITY;
	if (old.rlim_max != RLIM_INFINITY && r.rlim_max > old.rlim_max)
		r.rlim_cur = r.rlim_max = old.rlim_max;
	if (setrlimit((__rlimit_resource_t)what, &r))
		give_up("setting a limit");
}

static void limits(const struct moe_box_opts *o, bool own_user)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, 256);
	limit(RLIMIT_FSIZE, (double)(o->file_bytes ? o->file_bytes : (size_t)256 << 20));
	if (o->mem_bytes)
		limit(RLIMIT_AS, (double)o->mem_bytes);
	if (o->cpu_sec > 0)
		limit(RLIMIT_CPU, o->cpu_sec < 1 ? 1 : o->cpu_sec);
	if (own_user)
		limit(RLIMIT_NPROC, 512); /* counted for this namespace alone; elsewhere it would
					     count all processes of the user */
}

/* PATH, LANG, LC_* and what was asked for; HOME and TMPDIR are the temporary directory. */
static char **environment(const struct moe_box_opts *o, const char *dir)
{
	char **out, home[560], tmp[560];
	size_t n = 0, count = 0;

	while (environ[count])
		count++;
	out = calloc(count + 4, sizeof(*out));
	if (!out)
		give_up("out of memory");
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
	out[n++] = strdup(home);
	out[n++] = strdup(tmp);
	return out;
}

static void standard_descriptors(int in, int out, int err)
{
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		give_up("standard input and output");
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0)
		return;
#endif
	for (int fd = 3; fd < 4096; fd++)
		close(fd);
}

static void run_bwrap(const struct moe_box_opts *o, const char *dir, char **env)
	__attribute__((noreturn));
static void run_bwrap(const struct moe_box_opts *o, const char *dir, char **env)
{
	const char *arg[40];
	size_t n = 0;
	char *cwd = getcwd(NULL, 0);

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
	arg[n++] = "--bind";
	arg[n++] = dir;
	arg[n++] = dir;
	arg[n++] = "--chdir";
	arg[n++] = cwd ? cwd : "/";
	arg[n++] = "--";
	arg[n++] = "/bin/sh";
	arg[n++] = "-c";
	arg[n++] = o->command;
	arg[n] = NULL;
	execvpe("bwrap", (char *const *)arg, env);
	give_up("starting bwrap");
}

/* Process 1: waits for the command and reaps whatever is orphaned meanwhile. */
static void reap(pid_t command) __attribute__((noreturn));
static void reap(pid_t command)
{
	int status;

	close(0);
	close(1);
	close(2);
	for (;;) {
		pid_t p = wait(&status);

		if (p == command)
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
		if (p < 0 && errno != EINTR)
			_exit(125);
	}
}

void box_inside(const struct moe_box_opts *o, enum moe_box_kind kind, const char *dir, int in,
	int out, int err, uid_t uid, gid_t gid)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;
	char **env;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < 32; s++)
		sigaction(s, &dfl, NULL);
	standard_descriptors(in, out, err);
	if (kind == MOE_BOX_NAMESPACES) {
		map_user(uid, gid);
		mounts(o, dir);
	} else {
		setpgid(0, 0);
	}
	env = environment(o, dir);
	limits(o, kind == MOE_BOX_NAMESPACES);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		give_up("no new privileges");
	if (kind == MOE_BOX_BWRAP)
		run_bwrap(o, dir, env);
	if (kind == MOE_BOX_NAMESPACES) {
		pid_t p;

		drop_capabilities();
		p = fork();
		if (p < 0)
			give_up("fork");
		if (p > 0)
			reap(p);
		setsid();
	}
	execle("/bin/sh", "sh", "-c", o->command, (char *)NULL, env);
	give_up("/bin/sh");
}
