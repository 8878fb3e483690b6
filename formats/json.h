/* json.h - JSON texts to and from records, on json-c (which reads Python's bare NaN and Infinity).
 *
 * moe_json_* look into a parsed text; struct moe_json is opaque so that only formats/ sees json-c.
 */
#ifndef MOE_FORMATS_JSON_H
#define MOE_FORMATS_JSON_H

#include "formats/rec.h"

struct moe_json; /* a node; borrowed from its document */
struct moe_json_doc;
/* One JSON text of n bytes; trailing white space is allowed, anything else is an error that says
 * line and column; moe_json_parse passes over a byte order mark before it. Its memory is bounded,
 * whatever the text holds: 128 bytes for each value and element and one for each byte are counted,
 * of which 1 GiB is allowed, or --max-mem. */
struct moe_json_doc *moe_json_parse(const char *p, size_t n, const char *name, struct moe_err *e);
struct moe_json_doc *moe_json_parse_within(
	const char *p, size_t n, size_t max_mem, const char *name, struct moe_err *e);
void moe_json_free(struct moe_json_doc *d);
/* Fails (MOE_DATA, naming the key or the number) when d, which was parsed from p[n], is not all
 * that the text says: json-c clamps integers beyond 64 bits, makes too large floats infinite, keeps
 * the last of two equal keys and cuts a key at a NUL. For texts that become records, ours
 * and those of others; their configurations are read as Python reads them, where the last of two
 * equal keys counts. Linear in n. */
int moe_json_exact(
	const struct moe_json_doc *d, const char *p, size_t n, const char *name, struct moe_err *e);
/* A text of others that must mean what it says: moe_json_parse and moe_json_exact, with values
 * nested as deep as Python's reader takes them, since most fields of a row are not used. */
struct moe_json_doc *moe_json_parse_exact(
	const char *p, size_t n, const char *name, struct moe_err *e);
const struct moe_json *moe_json_root(const struct moe_json_doc *d);

enum moe_json_kind {
	MOE_J_NULL,
	MOE_J_BOOL,
	MOE_J_INT,
	MOE_J_FLOAT,
	MOE_J_STR,
	MOE_J_ARRAY,
	MOE_J_OBJECT
};
enum moe_json_kind moe_json_kind(const struct moe_json *j); /* NULL pointer counts as MOE_J_NULL */
const struct moe_json *moe_json_get(
	const struct moe_json *j, const char *key); /* NULL when missing or not an object */
const struct moe_json *moe_json_path(const struct moe_json *j, const char *dotted); /* "a.b.0.c" */
size_t moe_json_len(const struct moe_json *j); /* array or object */
const struct moe_json *moe_json_at(const struct moe_json *j, size_t i);
/* Walks an object in file order. *cursor is NULL before the first call; false at the end. */
bool moe_json_next(const struct moe_json *j, const void **cursor, const char **key,
	const struct moe_json **value);
struct moe_str moe_json_str(const struct moe_json *j); /* {NULL,0} unless a string */
bool moe_json_int(const struct moe_json *j, int64_t *out);
bool moe_json_f64(const struct moe_json *j, double *out);
bool moe_json_bool(const struct moe_json *j, bool *out);
/* Any JSON value as one msgpack value appended to out (NaN stays a float; object order kept). */
int moe_json_to_msgpack(const struct moe_json *j, struct moe_buf *out, struct moe_err *e);
/* One msgpack value as compact JSON (UTF-8; see stream.md for binary and NaN). values: tensors as
 * nested arrays of their elements. */
int moe_json_from_msgpack(
	const void *p, size_t n, bool values, struct moe_buf *out, struct moe_err *e);
/* Appends s as a JSON string literal. */
int moe_json_quote(struct moe_buf *out, const char *p, size_t n, struct moe_err *e);

#endif
