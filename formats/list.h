/* list.h - arrays inside records: walking them, and those of numbers, strings and maps.
 *
 * The values are msgpack arrays under a key of a record (rec.h). Not thread-safe, as records are
 * not.
 */
#ifndef MOE_FORMATS_LIST_H
#define MOE_FORMATS_LIST_H

#include "formats/mp.h"
#include "formats/rec.h"

/* A place in an array. Borrowed from the record. */
struct moe_list {
	const uint8_t *p;
	size_t n;    /* bytes at p */
	size_t left; /* elements */
};
/* The array under key, before its first element. False (and an empty list) when there is none. */
bool moe_list_open(const struct moe_rec *r, const char *key, struct moe_list *l);
/* Steps over the next element: its first token, and (unless raw is NULL) its bytes. False at the
 * end. */
bool moe_list_next(struct moe_list *l, struct moe_mp_tok *t, struct moe_str *raw);
/* The same for an array of strings; false at the first element that is none, too. */
bool moe_list_next_str(struct moe_list *l, struct moe_str *s);

/* Up to max non-negative integers into out[]; *n = how many. A missing key, another type or more
 * than max is an error (MOE_DATA). */
int moe_rec_u64s(const struct moe_rec *r, const char *key, uint64_t *out, size_t max, size_t *n,
	struct moe_err *e);
int moe_rec_set_u64s(
	struct moe_rec *r, const char *key, const uint64_t *v, size_t n, struct moe_err *e);
/* The same for numbers; integers are accepted. */
int moe_rec_f64s(const struct moe_rec *r, const char *key, double *out, size_t max, size_t *n,
	struct moe_err *e);
int moe_rec_set_f64s(
	struct moe_rec *r, const char *key, const double *v, size_t n, struct moe_err *e);
/* The next element of an array of maps: 1 = out filled (free it), 0 = the end, -1 = it is no map.
 */
int moe_list_next_map(struct moe_list *l, struct moe_rec *out, struct moe_err *e);
int moe_rec_set_maps(
	struct moe_rec *r, const char *key, const struct moe_rec *v, size_t n, struct moe_err *e);

#endif
