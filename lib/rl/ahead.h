/* ahead.h - weights from a trainer's FIFO, read as soon as they are there, by a thread.
 *
 * A router needs the weights of a step only when the step's rollouts come, and until then a trainer
 * that publishes to several FIFOs would wait in the middle of a segment; meanwhile it reads no
 * rollouts, so that a router whose output is full would wait for it too. The thread takes every
 * segment from the FIFO when it comes, and keeps it until it is asked for: a trainer never waits
 * for a router, and which FIFO it serves first does not matter. What is kept is bounded by the loop
 * itself: a trainer is never more than a step or two ahead of whoever feeds it. A file of segments
 * is read when asked, without a thread.
 */
#ifndef MOE_RL_AHEAD_H
#define MOE_RL_AHEAD_H

#include "rl/follow.h"

struct moe_ahead;

/* out_fd as in moe_follow_wait. */
struct moe_ahead *moe_ahead_open(const char *path, size_t max_mem, int out_fd, struct moe_err *e);
/* Accepts NULL. A thread that still waits for a trainer which has nothing more to say keeps what it
 * has until the process ends. */
void moe_ahead_close(struct moe_ahead *h);
/* The adapter of the next segment into *a (what it held is freed): 1; 0 when there was none for
 * timeout_ms; -1 as moe_follow_next, or for a segment of several arms. */
int moe_ahead_next(struct moe_ahead *h, int timeout_ms, struct moe_adapter *a, struct moe_err *e);
/* Has a trainer opened the other end? */
bool moe_ahead_begun(struct moe_ahead *h);
bool moe_ahead_is_fifo(const struct moe_ahead *h);
enum moe_labels moe_ahead_labels(struct moe_ahead *h); /* highest of the segments handed out */

#endif
