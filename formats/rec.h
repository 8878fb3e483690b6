/* rec.h - one record of a stream: a map with string keys, kept as raw msgpack values.
 *
 * A record is read, looked into, changed and written again without knowing its other keys: that is
 * how filters pass unknown keys through. Values are decoded on demand. Nested maps (rewards, env)
 * are records of their own. Strings returned are borrowed: they live until the record is changed,
 * refilled or freed. "Key missing" is not an error of the getters that return bool; a key of the
 * wrong type is (moe_rec_*_req say so). Zero-initialise; moe_rec_free accepts a zeroed struct. Not
 * thread-safe.
 */
#ifndef MOE_FORMATS_REC_H
#define MOE_FORMATS_REC_H

#include "util/buf.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct moe_str {
	const char *p; /* not NUL-terminated; may hold any byte */
	size_t n;
};

struct moe_rec_field {
	struct moe_str key; /* points into keys or input */
	size_t off, len;    /* raw msgpack value inside bytes */
};

struct moe_rec {
	struct moe_buf bytes; /* raw values (and keys) */
	struct moe_rec_field *field;
	size_t n_field, cap_field;
	/* where it came from, for messages; 0 when made here */
	uint64_t number, byte;
};

enum moe_rec_kind {
	MOE_V_MISSING,
	MOE_V_NIL,
	MOE_V_BOOL,
	MOE_V_INT,
	MOE_V_FLOAT,
	MOE_V_STR,
	MOE_V_BIN,
	MOE_V_ARRAY,
	MOE_V_MAP
};

void moe_rec_free(struct moe_rec *r);
void moe_rec_clear(struct moe_rec *r);
int moe_rec_copy(struct moe_rec *to, const struct moe_rec *from, struct moe_err *e);
/* Fills r from the msgpack map at p[n] (exactly one map). Rejects duplicate or non-string keys,
 * nesting over 8 levels, bad UTF-8 in keys. */
int moe_rec_parse(struct moe_rec *r, const void *p, size_t n, struct moe_err *e);
/* As moe_rec_parse of the map at b->data + at, without copying it: r takes the block and b gets r's
 * old one (emptied). For big records. */
int moe_rec_adopt(struct moe_rec *r, struct moe_buf *b, size_t at, size_t n, struct moe_err *e);
/* Canonical form of r with one more key `key`, a bin of n bytes that the caller writes between
 * `before` and `after`: a big value need not be copied. r may not have the key. */
int moe_rec_emit_around(const struct moe_rec *r, const char *key, size_t n, struct moe_buf *before,
	struct moe_buf *after, struct moe_err *e);
/* Appends the map in canonical form: "t" first, then keys in byte order; shortest integer and
 * length headers. */
int moe_rec_emit(const struct moe_rec *r, struct moe_buf *out, struct moe_err *e);

/* Looking. `t` is the record type ("" when missing). */
struct moe_str moe_rec_type(const struct moe_rec *r);
bool moe_rec_is(const struct moe_rec *r, const char *t);
enum moe_rec_kind moe_rec_has(const struct moe_rec *r, const char *key);
bool moe_rec_str(const struct moe_rec *r, const char *key, struct moe_str *out); /* str */
bool moe_rec_bin(const struct moe_rec *r, const char *key, struct moe_str *out); /* bin */
bool moe_rec_int(const struct moe_rec *r, const char *key, int64_t *out);
bool moe_rec_f64(const struct moe_rec *r, const char *key, double *out); /* float or int */
bool moe_rec_bool(const struct moe_rec *r, const char *key, bool *out);
bool moe_rec_map(
	const struct moe_rec *r, const char *key, struct moe_rec *out); /* a copy, to be freed */
bool moe_rec_raw(
	const struct moe_rec *r, const char *key, struct moe_str *out); /* the undecoded value */
size_t moe_rec_array_len(const struct moe_rec *r,
	const char *key); /* 0 when missing or not an array; its elements: list.h */
/* As above but a missing key or a wrong type is an error that names record, key and expected type.
 */
int moe_rec_str_req(
	const struct moe_rec *r, const char *key, struct moe_str *out, struct moe_err *e);
int moe_rec_int_req(const struct moe_rec *r, const char *key, int64_t *out, struct moe_err *e);
int moe_rec_f64_req(const struct moe_rec *r, const char *key, double *out, struct moe_err *e);

/* A tensor value {dtype, shape, data}: safetensors dtype names, little-endian, C order. data is
 * unaligned and borrowed. */
#define MOE_TENSOR_RANK_MAX 8
struct moe_tensor {
	char dtype[8];
	int rank;
	uint64_t shape[MOE_TENSOR_RANK_MAX];
	const void *data;
	size_t bytes;
};
bool moe_rec_tensor(const struct moe_rec *r, const char *key, struct moe_tensor *out);
bool moe_tensor_parse(
	const void *value, size_t n, struct moe_tensor *out); /* the same of an undecoded value */
size_t moe_dtype_bytes(const char *dtype);                    /* 0 when unknown */
/* 1-D tensors of a fixed type into a caller's or a malloc'ed array (*out is owned by the caller,
 * free()). */
int moe_rec_i32s(
	const struct moe_rec *r, const char *key, int32_t **out, size_t *n, struct moe_err *e);
int moe_rec_f32s(
	const struct moe_rec *r, const char *key, float **out, size_t *n, struct moe_err *e);

/* Changing: replaces or adds a key. The bytes given are copied. */
int moe_rec_set_nil(struct moe_rec *r, const char *key, struct moe_err *e);
int moe_rec_set_str(struct moe_rec *r, const char *key, const char *s, struct moe_err *e);
int moe_rec_set_strn(
	struct moe_rec *r, const char *key, const void *p, size_t n, struct moe_err *e);
int moe_rec_set_bin(struct moe_rec *r, const char *key, const void *p, size_t n, struct moe_err *e);
int moe_rec_set_int(struct moe_rec *r, const char *key, int64_t v, struct moe_err *e);
int moe_rec_set_f64(struct moe_rec *r, const char *key, double v, struct moe_err *e);
int moe_rec_set_bool(struct moe_rec *r, const char *key, bool v, struct moe_err *e);
int moe_rec_set_map(struct moe_rec *r, const char *key, const struct moe_rec *v, struct moe_err *e);
int moe_rec_set_raw(struct moe_rec *r, const char *key, const void *p, size_t n,
	struct moe_err *e); /* one valid msgpack value */
int moe_rec_set_strs(
	struct moe_rec *r, const char *key, const struct moe_str *v, size_t n, struct moe_err *e);
int moe_rec_set_tensor(
	struct moe_rec *r, const char *key, const struct moe_tensor *t, struct moe_err *e);
int moe_rec_set_i32s(
	struct moe_rec *r, const char *key, const int32_t *v, size_t n, struct moe_err *e);
int moe_rec_set_f32s(
	struct moe_rec *r, const char *key, const float *v, size_t n, struct moe_err *e);
void moe_rec_unset(struct moe_rec *r, const char *key);

/* Copies of a borrowed string: NUL-terminated, free(). NULL and *e when out of memory or when it
 * holds a NUL. */
char *moe_str_dup(struct moe_str s, struct moe_err *e);
bool moe_str_eq(struct moe_str s, const char *z);

#endif
