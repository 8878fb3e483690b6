/* box_guard.c - the image that the first process of a box gets: this program again, with nothing in
 * its memory but the command. It forks the command behind limits and fences, reaps orphans, and
 * ends with the command; without a process namespace it first kills what the command left. */
#define _GNU_SOURCE
#include "env/box_inside.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KIND = 2, DIR_AT, MEMORY, CPU, FILES, TASKS, NETWORK, WRITABLE, COMMAND, WORDS };

static void limit(int what, double value)
{
	struct rlimit r, old;

	if (getrlimit((__rlimit_resource_t)what, &old))
		moe_box_give_up("reading a limit");
	r.rlim_cur = r.rlim_max = value < 1e18 ? (rlim_t)value : RLIM_INFINITY;
	if (old.rlim_max != RLIM_INFINITY && r.rlim_max > old.rlim_max)
		r.rlim_cur = r.rlim_max = old.rlim_max;
	if (setrlimit((__rlimit_resource_t)what, &r))
		moe_box_give_up("setting a limit");
}

static void limits(char **argv)
{
	double memory = strtod(argv[MEMORY], NULL), cpu = strtod(argv[CPU], NULL);

	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, 256);
	limit(RLIMIT_FSIZE, strtod(argv[FILES], NULL));
	limit(RLIMIT_NPROC, strtod(argv[TASKS], NULL));
	if (memory > 0)
		limit(RLIMIT_AS, memory);
	if (cpu > 0)
		limit(RLIMIT_CPU, cpu < 1 ? 1 : cpu);
}

static void run_command(char **argv, bool plain) __attribute__((noreturn));
static void run_command(char **argv, bool plain)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	limits(argv);
	/* where the kernel has neither, the namespaces alone must do */
	(void)!moe_box_landlock(argv[DIR_AT], *argv[WRITABLE] == '1');
	(void)!moe_box_filter(*argv[NETWORK] == '1', !plain);
	execl("/bin/sh", "sh", "-c", argv[COMMAND], (char *)NULL);
	moe_box_give_up("/bin/sh");
}

/* True when the command has ended; *status is then its own. */
static bool reap(pid_t command, int *status)
{
	pid_t p;
	int s;

	while ((p = waitpid(-1, &s, WNOHANG | WUNTRACED)) > 0) {
		if (p == command && WIFSTOPPED(s)) {
			kill(command, SIGCONT); /* what it grades may not stop it */
		} else if (p == command) {
			*status = s;
			return true;
		}
	}
	return p < 0 && errno == ECHILD;
}

/* As process 1 it hears no signal from inside (SIGTERM is not waited for there). Without a process
 * namespace SIGTERM comes when the grader itself is gone. */
static void supervise(pid_t command, bool plain, pid_t parent) __attribute__((noreturn));
static void supervise(pid_t command, bool plain, pid_t parent)
{
	int status = 0;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (plain)
		sigaddset(&set, SIGTERM);
	for (bool orphan = false; !orphan && !reap(command, &status);) {
		int sig = 0;

		sigwait(&set, &sig);
		orphan = sig == SIGTERM && getppid() != parent;
	}
	if (plain)
		moe_box_kill_below(getpid(), NULL, 0);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

void moe_box_guard(int argc, char **argv)
{
	pid_t command, parent = getppid();
	bool plain;
	sigset_t set;

	if (argc != WORDS || strcmp(argv[1], MOE_BOX_COMMAND) != 0)
		return;
	plain = *argv[KIND] == 'p';
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_PDEATHSIG, plain ? SIGTERM : SIGKILL);
	if (plain)
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (plain)
		sigaddset(&set, SIGTERM);
	sigprocmask(SIG_SETMASK, &set, NULL);
	(void)!close_range(3, ~0U, 0);
	command = fork();
	if (command < 0)
		moe_box_give_up("fork");
	if (command == 0)
		run_command(argv, plain);
	close(0);
	close(1);
	close(2);
	supervise(command, plain, parent);
}
