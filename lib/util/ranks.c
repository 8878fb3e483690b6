/* ranks.c - the one file that knows MPI. What is computed where is for its callers. */
#define _GNU_SOURCE
#include "util/ranks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int rank, ranks = 1;
static char name[96] = "rank 0";
static struct {
	pid_t pid;
	char host[64];
} leader;
static bool leader_near; /* on this host */

int moe_rank(void)
{
	return rank;
}

int moe_ranks(void)
{
	return ranks;
}

const char *moe_rank_name(void)
{
	return name;
}

bool moe_rank_0_is_gone(void)
{
	return rank > 0 && leader_near && kill(leader.pid, 0) != 0 && errno == ESRCH;
}

/* What mpirun and srun leave in the environment of what they start. */
bool moe_ranks_started(void)
{
	return getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMIX_RANK") || getenv("PMI_RANK");
}

#ifdef MOE_MPI
#include <mpi.h>

#define SPIN    1000              /* tests before a wait begins to sleep */
#define NAP_MAX 1000000           /* nanoseconds */
#define PIECE   ((size_t)1 << 30) /* counts of MPI are ints */

/* Waits without keeping a core busy: in a loop of programs that take turns, others need it. */
static void wait_for(MPI_Request *q)
{
	struct timespec nap = { .tv_nsec = 20000 };
	int done = 0;

	for (int i = 0; !done; i++) {
		MPI_Test(q, &done, MPI_STATUS_IGNORE);
		if (!done && i > SPIN) {
			nanosleep(&nap, NULL);
			nap.tv_nsec = nap.tv_nsec * 5 / 4 < NAP_MAX ? nap.tv_nsec * 5 / 4 : NAP_MAX;
		}
	}
}

void moe_ranks_share(void *p, size_t n, int from)
{
	char *at = p;

	for (size_t k; ranks > 1 && n; at += k, n -= k) {
		MPI_Request q;

		k = n < PIECE ? n : PIECE;
		MPI_Ibcast(at, (int)k, MPI_BYTE, from, MPI_COMM_WORLD, &q);
		wait_for(&q);
	}
}

int moe_ranks_begin(struct moe_err *e)
{
	int level;

	(void)e;
	if (!moe_ranks_started())
		return 0;
	MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
	if (level < MPI_THREAD_SERIALIZED)
		return moe_fail(e, MOE_SYSTEM, "this MPI cannot be used by a program with threads");
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	char host[sizeof(leader.host)] = "?";
	gethostname(host, sizeof(host) - 1);
	snprintf(name, sizeof(name), "rank %d on %s", rank, host);
	leader.pid = getpid();
	memcpy(leader.host, host, sizeof(host));
	moe_ranks_share(&leader, sizeof(leader), 0);
	leader_near = !strcmp(leader.host, host);
	return 0;
}

void moe_ranks_end(void)
{
	int on;

	MPI_Initialized(&on);
	if (on)
		MPI_Finalize();
}
#else
void moe_ranks_share(void *p, size_t n, int from)
{
	(void)p;
	(void)n;
	(void)from;
}

int moe_ranks_begin(struct moe_err *e)
{
	static const char *const size[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE",
		"SLURM_STEP_NUM_TASKS" };
	const char *n = NULL;

	for (int i = 0; i < 3 && !n; i++)
		n = getenv(size[i]);
	if (!moe_ranks_started() || (n && !strcmp(n, "1"))) /* srun of one task is no matter */
		return 0;
	return moe_fail(
		e, MOE_USAGE, "started as one of several ranks, but built without MPI: make MPI=1");
}

void moe_ranks_end(void)
{
}
#endif

void moe_ranks_sum(double *v, size_t n)
{
	for (size_t i = 0; ranks > 1 && i < n; i++) {
		double sum = 0;

		for (int r = 0; r < ranks; r++) {
			double theirs = v[i];

			moe_ranks_share(&theirs, sizeof(theirs), r);
			sum += theirs;
		}
		v[i] = sum;
	}
}

int moe_ranks_agree(int rc, struct moe_err *e)
{
	for (int r = 0; ranks > 1 && r < ranks; r++) {
		struct {
			int rc;
			struct moe_err e;
		} theirs = { .rc = rc };

		if (rc)
			theirs.e = *e;
		moe_ranks_share(&theirs, sizeof(theirs), r);
		if (theirs.rc) {
			*e = theirs.e;
			return -1;
		}
	}
	return rc ? -1 : 0;
}

int moe_ranks_follow(int rc, struct moe_err *e)
{
	struct {
		int rc;
		struct moe_err e;
	} theirs = { .rc = rc };

	if (ranks == 1)
		return rc;
	if (rc < 0)
		theirs.e = *e;
	moe_ranks_share(&theirs, sizeof(theirs), 0);
	if (theirs.rc < 0)
		*e = theirs.e;
	return theirs.rc;
}

int moe_ranks_same(const char *what, const char *text, struct moe_err *e)
{
	char first[256] = "", mine[256] = "";
	int rc = 0;

	snprintf(mine, sizeof(mine), "%s", text);
	memcpy(first, mine, sizeof(first));
	moe_ranks_share(first, sizeof(first), 0);
	if (strcmp(first, mine) != 0)
		rc = moe_fail(e, MOE_DATA, "%s has another %s than rank 0: %.20s, not %.20s", name,
			what, mine, first);
	return moe_ranks_agree(rc, e);
}
