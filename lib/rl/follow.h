/* follow.h - new weights from a trainer, one segment of an adapter stream for each step, through a
 * FIFO (or a file of segments).
 *
 * The trainer may open its end late: opening here never blocks, and moe_follow_wait says whether
 * somebody is there. Not thread-safe.
 */
#ifndef MOE_RL_FOLLOW_H
#define MOE_RL_FOLLOW_H

#include "formats/stream.h"
#include "moe/adapter.h"

struct moe_follow;

struct moe_follow *moe_follow_open(const char *path, size_t max_mem, struct moe_err *e);
void moe_follow_close(struct moe_follow *f); /* NULL is accepted */
/* Waits until there is something to read: 1; 0 after timeout_ms; -1 when the trainer came and left,
 * or the reader of out_fd (a pipe; -1 = none) has left, since nobody can then be trained by what is
 * sampled (MOE_DATA). */
int moe_follow_wait(struct moe_follow *f, int out_fd, int timeout_ms, struct moe_err *e);
/* Reads one segment: *arm[n] are its arms (what they held before is freed; the array grows). A
 * trainer that left without another segment is MOE_DATA. */
int moe_follow_next(struct moe_follow *f, struct moe_adapter **arm, size_t *n, struct moe_err *e);
/* Reads all arms of a stream (or of one segment) into *arm[n], as above; none is not an error. */
int moe_follow_arms(struct moe_reader *r, bool one_segment, struct moe_adapter **arm, size_t *n,
	struct moe_err *e);
enum moe_labels moe_follow_labels(const struct moe_follow *f); /* highest so far */

#endif
