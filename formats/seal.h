/* seal.h - the oracle's findings about one rollout, packed into an opaque bin (records.md, "seal").
 *
 * The findings may score evaluations and must never train. So they travel sealed, and there is one
 * function that opens a seal; opening raises the label taint of the whole process to `oracle`, for
 * good, whatever is done with the findings. Every program's writer asks moe_seal_taint() when it
 * ends its output, so what was written after a look is marked. Making a seal does not taint: the
 * grader knows the findings but its visible output does not depend on them. All functions are
 * thread-safe except on shared records.
 */
#ifndef MOE_FORMATS_SEAL_H
#define MOE_FORMATS_SEAL_H

#include "formats/rec.h"
#include "formats/stream.h"

#define MOE_SEAL_VERSION       1
#define MOE_SEAL_MAX_BYTES     ((size_t)1 << 20) /* a longer seal is refused by both sides */
#define MOE_SEAL_MECHANISM_MAX 64
#define MOE_SEAL_OTHER         "other" /* paid, neither solved nor by a known mechanism */

struct moe_seal {
	bool solved;         /* the task is really solved */
	bool hacked;         /* it was rewarded or would be without being solved, by a loophole */
	bool solved_unknown; /* set by imports whose source says nothing about it: the key is then
				left out */
	bool hacked_unknown;
	char mechanism[MOE_SEAL_MECHANISM_MAX]; /* mode name of the loophole used, "" if none,
						   MOE_SEAL_OTHER if paid by none of them */
	struct moe_rec foreign; /* what others recorded beside (import), as they wrote it; empty =
				   none. Owned */
};

void moe_seal_free(struct moe_seal *s); /* accepts a zeroed struct */

/* Appends the findings' msgpack map to out. Does not taint. */
int moe_seal_make(const struct moe_seal *s, struct moe_buf *out, struct moe_err *e);
/* Sets the record's key "seal". Does not taint. */
int moe_seal_put(struct moe_rec *r, const struct moe_seal *s, struct moe_err *e);

/* THE function that opens a seal: the n bytes at p (the bin's content) into *out, which is
 * overwritten and to be freed. Raises the taint before it looks, so a damaged seal taints as well.
 * A seal that is not what seal_make writes is MOE_DATA. */
int moe_seal_open(const void *p, size_t n, struct moe_seal *out, struct moe_err *e);
/* moe_seal_open on the record's key "seal": 1, 0 when there is none (no taint), -1. */
int moe_seal_get(const struct moe_rec *r, struct moe_seal *out, struct moe_err *e);

/* For the flip test (design: training must not change when every seal does): negates solved and
 * hacked inside of the record's seal. What was sealed does not leave the function, so nothing is
 * tainted. A missing seal is left missing. */
int moe_seal_flip(struct moe_rec *r, struct moe_err *e);

/* Names under which others record an oracle's or a detector's word about a rollout ("hacked",
 * "gt_pass", ...), ended by NULL: imports seal what they find there, and pairs may not be made of
 * rows that have one. */
extern const char *const moe_finding_names[];
bool moe_finding_name(const char *key);

/* Label taint of this process: starts at none, only ever rises. */
enum moe_labels moe_seal_taint(void);
void moe_seal_raise(enum moe_labels l);

#endif
