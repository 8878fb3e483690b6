/* list.h - arrays inside records: of numbers, and of maps.
 *
 * The values are msgpack arrays under a key of a record (rec.h). Not thread-safe, as records are not.
 */
#ifndef MOE_FORMATS_LIST_H
#define MOE_FORMATS_LIST_H

#include "formats/rec.h"

/* Up to max non-negative integers into out[]; *n = how many. A missing key, another type or more than max is an error (MOE_DATA). */
int moe_rec_u64s(const struct moe_rec *r, const char *key, uint64_t *out, size_t max, size_t *n, struct moe_err *e);
int moe_rec_set_u64s(struct moe_rec *r, const char *key, const uint64_t *v, size_t n, struct moe_err *e);
/* The same for numbers; integers are accepted. */
int moe_rec_f64s(const struct moe_rec *r, const char *key, double *out, size_t max, size_t *n, struct moe_err *e);
int moe_rec_set_f64s(struct moe_rec *r, const char *key, const double *v, size_t n, struct moe_err *e);
/* Element i of an array of maps: 1 = out filled (free it), 0 = no such element, -1 = not an array of maps. */
int moe_rec_list_map(const struct moe_rec *r, const char *key, size_t i, struct moe_rec *out, struct moe_err *e);
int moe_rec_set_maps(struct moe_rec *r, const char *key, const struct moe_rec *v, size_t n, struct moe_err *e);

#endif
