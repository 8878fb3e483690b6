/* summary.h - what a stream holds, for people: kinds, records, and for each key its types, ranges
 * and shapes.
 *
 * Memory is bounded: at most 400 keys and 12 distinct texts of at most 64 bytes per key are told
 * apart. Not thread-safe.
 */
#ifndef MOE_INSPECT_SUMMARY_H
#define MOE_INSPECT_SUMMARY_H

#include "formats/rec.h"

struct moe_summary;
struct moe_summary *moe_summary_new(struct moe_err *e);
void moe_summary_free(struct moe_summary *s); /* NULL is accepted */
/* One more record (of any type). */
int moe_summary_add(struct moe_summary *s, const struct moe_rec *r, struct moe_err *e);
/* Appends the table as text with hostile characters escaped. */
int moe_summary_print(const struct moe_summary *s, struct moe_buf *out, struct moe_err *e);

/* Appends one record in readable form, indented, long texts and arrays cut (for --head). */
int moe_summary_record(const struct moe_rec *r, struct moe_buf *out, struct moe_err *e);

#endif
