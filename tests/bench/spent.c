/* spent.c - runs a command and prints on standard error what it and its children took: CPU seconds
 * and the most memory of one process in MB, separated by a tab. For tests/bench/scale.sh.
 *
 * usage: spent COMMAND ARG...
 */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static double sec(const struct timeval *t)
{
	return (double)t->tv_sec + 1e-6 * (double)t->tv_usec;
}

int main(int argc, char **argv)
{
	struct rusage u;
	int status = 0;
	pid_t pid;

	if (argc < 2)
		return 2;
	pid = fork();
	if (pid == 0) {
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 4;
	getrusage(RUSAGE_CHILDREN, &u);
	fprintf(stderr, "%.3f\t%.1f\n", sec(&u.ru_utime) + sec(&u.ru_stime),
		(double)u.ru_maxrss / 1024);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}
