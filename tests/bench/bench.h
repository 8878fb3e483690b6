/* bench.h - the clock and the memory of the benches. */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <sys/resource.h>
#include <time.h>

static inline double bench_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* CPU seconds of this process, all its threads. */
static inline double bench_cpu_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The most memory that the process had at a time. */
static inline double bench_peak_mb(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_maxrss / 1024;
}

#endif
