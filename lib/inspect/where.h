/* where.h - conditions on records: KEY=VALUE, KEY!=VALUE, KEY<NUMBER, KEY<=NUMBER, KEY>NUMBER,
 * KEY>=NUMBER.
 *
 * KEY may reach into maps with dots ("route.decision"). Texts compare as bytes, numbers as numbers
 * and exactly, bools as true and false. In adapter streams a record without its own "arm" has that
 * of the layout above it. Records of type "step" pass conditions on keys that they lack, since they
 * only mark the end of a step. Not thread-safe.
 */
#ifndef MOE_INSPECT_WHERE_H
#define MOE_INSPECT_WHERE_H

#include "formats/rec.h"

struct moe_where;
/* conditions[n] are borrowed until moe_where_free. MOE_USAGE on a malformed one. */
struct moe_where *moe_where_new(const char *const *conditions, size_t n, struct moe_err *e);
void moe_where_free(struct moe_where *w); /* NULL is accepted */
/* Whether the record passes all of them. Call for every record, in order. */
bool moe_where_pass(struct moe_where *w, const struct moe_rec *r);
/* A new segment begins: forgets the arm. */
void moe_where_segment(struct moe_where *w);

#endif
