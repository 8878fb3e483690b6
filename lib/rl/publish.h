/* publish.h - weights after each step to whoever samples with them: one stream segment a step
 * through a FIFO (or into a file).
 *
 * A reader that is gone (or never came) ends publication quietly: the last steps of a run have
 * nobody left to sample. SIGPIPE must be ignored.
 */
#ifndef MOE_RL_PUBLISH_H
#define MOE_RL_PUBLISH_H

#include "moe/adapter.h"

struct moe_publisher {
	const char *path; /* borrowed; NULL = nobody to publish to */
	int fd;           /* -1 before the first publication */
	bool gone;        /* the reader left */
	double wait_sec; /* how long a FIFO's reader may take to open it the first time; 0 = 10 s */
	int in_fd;       /* where the rollouts come from: once nobody writes there any more, no
			    reader is waited for; -1 = not known */
	struct moe_writer_opts w;
};

/* Opens at the first call. 0 also when the reader is gone (p->gone). */
int moe_publish(struct moe_publisher *p, struct moe_adapter *a, struct moe_err *e);
void moe_publisher_close(struct moe_publisher *p);

#endif
