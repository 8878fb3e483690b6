/* tfevents.h - TensorBoard event files, as tfevents.md has them: TFRecords of Event messages. Only
 * writing, and only scalars. Pure functions that append to a buffer; thread-safe. */
#ifndef MOE_FORMATS_TFEVENTS_H
#define MOE_FORMATS_TFEVENTS_H

#include "util/buf.h"

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, reflected polynomial 0x82F63B78; RFC 3720, B.4) of p[n], masked as TFRecord
 * has it: rotated right by 15 bits, plus 0xa282ead8. */
uint32_t moe_crc32c_masked(const void *p, size_t n);

/* The first record of a file: the version, "brain.Event:2". */
int moe_tfevents_begin(struct moe_buf *out, double wall_sec, struct moe_err *e);

/* One event, put together scalar by scalar. Zero-initialise `summary` and free it; moe_tfevents_put
 * empties it. */
int moe_tfevents_scalar(struct moe_buf *summary, const char *tag, double v, struct moe_err *e);
/* Appends the event of a step; nothing where it has no scalar. */
int moe_tfevents_put(struct moe_buf *out, struct moe_buf *summary, double wall_sec, int64_t step,
	struct moe_err *e);

#endif
