/* test_filter.c - the system-call filter of grading processes, provoked: a worker that is made to
 * attempt a forbidden call is dead before the call returns. That model-written code does not get as
 * far is test_attack.c's.
 *
 * How native code comes to run in the worker: the counter that it shares with its parent lies in a
 * page that it may not write, so that the first answer raises SIGSEGV, and the handler of that
 * signal, set before the fork, makes the call. */
#define _GNU_SOURCE
#include "env/judge.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ALIVE 77 /* exit status of a worker that outlived its call */

static const char source[] =
	"return {name = 'one', modes = {'m'}, draw = function() end, right = function() end, wrong "
	"= function() end, hack = function() end, grade = function() return {a = 1} end, oracle = "
	"function() return true, false end}";
static struct moe_env *env;
static volatile uint32_t *at; /* in a page without permission to write */
static long call[7];          /* number and arguments */

static void make_call(int sig)
{
	(void)sig;
	syscall(call[0], call[1], call[2], call[3], call[4], call[5], call[6]);
	syscall(SYS_exit_group, ALIVE);
}

static int setup(void **state)
{
	struct moe_err e;
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	env = moe_env_load("source", source, sizeof(source) - 1, NULL, NULL, &e);
	at = p;
	return env && p != MAP_FAILED ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	moe_env_close(env);
	return munmap((void *)(uintptr_t)at, 4096);
}

static bool get(int fd, void *to, size_t n)
{
	for (char *p = to; n;) {
		ssize_t k = read(fd, p, n);

		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

/* Wait status of a worker that makes the call after it has judged one rollout. */
static int status_after(long number, long a, long b, long c, long d)
{
	static const struct moe_worker_limits lim = { (size_t)1 << 28, 1 };
	static const uint8_t empty_map = 0x80;
	struct moe_worker_head h = { .key = 1, .env_len = 1, .n = 1 };
	struct moe_grade hello;
	int fd[2], status;
	pid_t pid;

	call[0] = number;
	call[1] = a;
	call[2] = b;
	call[3] = c;
	call[4] = d;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct sigaction s = { .sa_handler = make_call };

		sigaction(SIGSEGV, &s, NULL);
		moe_worker_main(fd[1], at, env, &lim);
	}
	close(fd[1]);
	assert_true(get(fd[0], &hello, sizeof(hello)));
	assert_string_equal(hello.note, MOE_WORKER_HELLO);
	if (strcmp(hello.part[0].name, "seccomp") != 0) {
		close(fd[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which need more calls */
		if (prctl(PR_GET_SECCOMP) >= 0)
			fail_msg("the kernel has seccomp, and the worker says \"%s\"",
				hello.part[0].name);
#endif
		skip();
	}
	assert_int_equal(write(fd[0], &h, sizeof(h)), sizeof(h));
	assert_int_equal(write(fd[0], &empty_map, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(fd[0]);
	return status;
}

static bool killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* The handler itself works, and what computing needs is allowed. */
static void allowed(void **state)
{
	static const long calls[][2] = { { SYS_brk, 0 }, { SYS_clock_gettime, CLOCK_MONOTONIC } };

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int status = status_after(calls[i][0], calls[i][1], 0, 0, 0);

		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), ALIVE);
	}
}

static void forbidden(void **state)
{
	static const struct {
		const char *what;
		long number;
	} calls[] = { { "openat", SYS_openat }, { "socket", SYS_socket },
		{ "connect", SYS_connect }, { "clone", SYS_clone }, { "execve", SYS_execve },
		{ "kill", SYS_kill }, { "ptrace", SYS_ptrace }, { "unlinkat", SYS_unlinkat },
		{ "getpid", SYS_getpid }, { "setuid", SYS_setuid },
		{ "process_vm_readv", SYS_process_vm_readv }, { "mprotect", SYS_mprotect },
		{ "dup", SYS_dup }, { "prctl", SYS_prctl },
		{ "io_uring_setup", SYS_io_uring_setup }, { "bpf", SYS_bpf },
		{ "nanosleep", SYS_nanosleep } };

	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!killed(status_after(calls[i].number, 0, 0, 0, 0)))
			fail_msg("%s did not end the process", calls[i].what);
}

/* Calls that are allowed with other arguments. */
static void arguments(void **state)
{
	(void)state;
	assert_true(killed(status_after(SYS_write, 1, 0, 0, 0)));
	assert_true(killed(status_after(SYS_read, 2, 0, 0, 0)));
	assert_true(killed(status_after(
		SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS)));
	assert_true(killed(status_after(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE)));
	assert_false(
		killed(status_after(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS)));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(allowed), cmocka_unit_test(forbidden),
		cmocka_unit_test(arguments) };

	return cmocka_run_group_tests_name("filter", tests, setup, teardown);
}
