/* gguf.h - files of the GGUF format: metadata and tensors as ggml stores them (gguf.md is the
 * specification).
 *
 * Reading maps the file and checks all of its header before anything is handed out: every length
 * against what is left of the file, every key and name once, every shape for overflow, every offset
 * for its alignment and its end, and that no two tensors overlap. Types of tensors that cannot be
 * widened are refused by their name. Files of others are never trusted; every failure names the
 * file and the key or tensor. Everything returned is borrowed and read-only; thread-safe after
 * opening.
 */
#ifndef MOE_FORMATS_GGUF_H
#define MOE_FORMATS_GGUF_H

#include "util/buf.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOE_GGUF_RANK_MAX 4

/* Types of metadata values, with the numbers of the format. */
enum moe_gguf_kind {
	MOE_GGUF_U8,
	MOE_GGUF_I8,
	MOE_GGUF_U16,
	MOE_GGUF_I16,
	MOE_GGUF_U32,
	MOE_GGUF_I32,
	MOE_GGUF_F32,
	MOE_GGUF_BOOL,
	MOE_GGUF_STRING,
	MOE_GGUF_ARRAY,
	MOE_GGUF_U64,
	MOE_GGUF_I64,
	MOE_GGUF_F64,
	MOE_GGUF_KINDS
};

/* A metadata value. `p` is its bytes in the file: a number, a string's text, or the elements of an
 * array one after the other (strings with their lengths). */
struct moe_gguf_value {
	const char *key;             /* NUL-terminated */
	enum moe_gguf_kind kind, of; /* of: the elements of an array */
	const uint8_t *p;
	uint64_t n; /* bytes of a string, elements of an array, else 1 */
};

struct moe_gguf_tensor {
	const char *name; /* NUL-terminated */
	uint32_t type;    /* ggml's number */
	int rank;
	uint64_t ne[MOE_GGUF_RANK_MAX]; /* ne[0] is the length of a row; 1 beyond rank */
	const uint8_t *data;
	size_t bytes, row_bytes;
};

struct moe_gguf;

/* Maps a file. NULL and *e (MOE_DATA, MOE_SYSTEM) on failure. */
struct moe_gguf *moe_gguf_open(const char *path, struct moe_err *e);
/* The same from memory; p[n] is borrowed until moe_gguf_close. `name` is for messages. */
struct moe_gguf *moe_gguf_parse(const void *p, size_t n, const char *name, struct moe_err *e);
void moe_gguf_close(struct moe_gguf *g); /* NULL is accepted */
const char *moe_gguf_name(const struct moe_gguf *g);

size_t moe_gguf_values(const struct moe_gguf *g);
const struct moe_gguf_value *moe_gguf_value_at(const struct moe_gguf *g, size_t i);
const struct moe_gguf_value *moe_gguf_get(
	const struct moe_gguf *g, const char *key); /* NULL when absent */
size_t moe_gguf_tensors(const struct moe_gguf *g);
const struct moe_gguf_tensor *moe_gguf_tensor_at(const struct moe_gguf *g, size_t i);
const struct moe_gguf_tensor *moe_gguf_find(
	const struct moe_gguf *g, const char *name); /* NULL when absent */

/* Value of a key: 1 = there, 0 = absent (*out untouched), -1 = of another type or out of range
 * (MOE_DATA). Whole numbers of any width are ints; all numbers are f64. */
int moe_gguf_int(const struct moe_gguf *g, const char *key, int64_t *out, struct moe_err *e);
int moe_gguf_f64(const struct moe_gguf *g, const char *key, double *out, struct moe_err *e);
int moe_gguf_bool(const struct moe_gguf *g, const char *key, bool *out, struct moe_err *e);
/* A string of n bytes; not NUL-terminated. */
int moe_gguf_str(
	const struct moe_gguf *g, const char *key, const char **out, size_t *n, struct moe_err *e);

/* One element of an array of strings; *at begins at v->p and is moved to the next. The caller
 * counts to v->n. */
void moe_gguf_take_str(const uint8_t **at, const char **out, size_t *n);
/* Element i < v->n of an array of whole numbers; false for other types. */
bool moe_gguf_int_at(const struct moe_gguf_value *v, uint64_t i, int64_t *out);

/* Names of types of tensors, "type 99" for an unknown one; buf holds 24 bytes. */
const char *moe_gguf_type_name(uint32_t type, char buf[24]);
/* Elements and bytes of a block of the type; false when it is not supported. */
bool moe_gguf_block(uint32_t type, uint32_t *elements, uint32_t *bytes);
/* Widens the rows [row, row + rows) to floats as ggml defines the type. The caller checks the
 * range: all but ne[0] multiplied. */
void moe_gguf_floats(const struct moe_gguf_tensor *t, uint64_t row, uint64_t rows, float *out);

/* ggml's numbers of the types that keep their dtype in safetensors. */
#define MOE_GGML_F32  0u
#define MOE_GGML_F16  1u
#define MOE_GGML_BF16 30u

/* ---- written: matrices in F32 ---- */

struct moe_gguf_set {
	const char *key, *text; /* text NULL: a number, as FLOAT32 */
	float number;
};

struct moe_gguf_f32 {
	const char *name;
	uint64_t rows, cols;
	const float *data; /* [rows, cols] */
};

/* Appends to an empty buffer a file of version 3, little-endian, with these values and tensors in
 * this order; all borrowed. The same input gives the same bytes. */
int moe_gguf_make(const struct moe_gguf_set *set, size_t n_set, const struct moe_gguf_f32 *t,
	size_t n, struct moe_buf *out, struct moe_err *e);

#endif
