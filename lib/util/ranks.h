/* ranks.h - one program as several processes, under MPI, that do the same work together.
 *
 * All ranks run the whole program on the same bytes: what rank 0 reads is given to the others
 * (util/fd.h), and only rank 0 writes. They differ where work is cut into parts: each computes its
 * own, then all have all (moe_ranks_share), and go on in the order in which one process would have.
 * So every number of ranks gives the same bits. All calls but moe_rank and moe_ranks are
 * collective: every rank makes the same ones in the same order, on one thread at a time.
 *
 * Without MPI (a build without MPI=1, or outside of mpirun) there is one rank, 0, and nothing is
 * done. Waiting does not spin: a rank without work leaves its core to others.
 */
#ifndef MOE_UTIL_RANKS_H
#define MOE_UTIL_RANKS_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Joins the other ranks when mpirun or srun started this process. MOE_USAGE when it did and the
 * program was built without MPI: each process would be a run of its own. */
int moe_ranks_begin(struct moe_err *e);
/* Leaves, when all is done. A process that ends without it takes the others with it. */
void moe_ranks_end(void);
int moe_rank(void);  /* 0 .. moe_ranks() - 1 */
int moe_ranks(void); /* at least 1 */
/* Whether mpirun or srun started this process; its standard output is then theirs. */
bool moe_ranks_started(void);
static inline bool moe_rank_leads(void)
{
	return moe_rank() == 0;
}

/* p[n] of rank `from` to all others. */
void moe_ranks_share(void *p, size_t n, int from);
/* v[n]: the sums over all ranks, added in their order. */
void moe_ranks_sum(double *v, size_t n);
/* 0 when rc is 0 on all ranks; else -1, with the error of the lowest rank that failed, on all. */
int moe_ranks_agree(int rc, struct moe_err *e);
/* rc and *e of rank 0. */
int moe_ranks_follow(int rc, struct moe_err *e);
/* MOE_DATA, on all ranks, unless all have the same text: files that only seem to be the same. */
int moe_ranks_same(const char *what, const char *text, struct moe_err *e);

/* "rank 1 on HOST", for messages. */
const char *moe_rank_name(void);
/* Whether rank 0 ran on this host and has ended. Safe in a signal handler. */
bool moe_rank_0_is_gone(void);

#endif
