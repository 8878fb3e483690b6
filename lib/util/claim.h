/* claim.h - one run at a time writes a file: a checkpoint, an output, a FIFO.
 *
 * A claim is held until the process ends, however it ends, and leaves nothing in the file system:
 * it is a name in Linux's abstract socket space, made from device and inode of the folder and the
 * file's name. Processes in other network name spaces do not see it. Thread-safe.
 */
#ifndef MOE_UTIL_CLAIM_H
#define MOE_UTIL_CLAIM_H

#include "util/err.h"

/* Claims path for `what` ("checkpoint"; claims of different kinds do not meet). NULL and "-" are
 * nobody's; of several ranks (ranks.h) rank 0 claims. MOE_USAGE when another run still holds it
 * after three seconds; where the system cannot tell, it is granted. */
int moe_claim(const char *path, const char *what, struct moe_err *e);

#endif
