/* mp.h - MessagePack values under the rules of the stream (formats/stream.md): bounded looking,
 * checking, canonical form.
 *
 * Everything here works on bytes in memory and allocates nothing that the input merely declares.
 * msgpack-c writes the values; its object parser is not used on input, because it reserves memory
 * for announced elements before any of them has arrived.
 */
#ifndef MOE_FORMATS_MP_H
#define MOE_FORMATS_MP_H

#include "util/buf.h"
#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOE_MP_DEPTH 8 /* containers inside one another, the record's own map included */

enum moe_mp_kind {
	MOE_MP_NIL,
	MOE_MP_BOOL,
	MOE_MP_INT,
	MOE_MP_UINT,
	MOE_MP_FLOAT,
	MOE_MP_STR,
	MOE_MP_BIN,
	MOE_MP_ARRAY,
	MOE_MP_MAP
};

/* One token: a scalar, a str/bin with its bytes, or the head of an array or map. */
struct moe_mp_tok {
	enum moe_mp_kind kind;
	bool canonical; /* written in the shortest form (floats: 64 bits, one NaN) */
	bool b;
	int64_t i;  /* INT; always fits */
	uint64_t u; /* UINT: above INT64_MAX */
	double f;
	const uint8_t *p; /* str, bin: the bytes; borrowed */
	size_t n;         /* str, bin: bytes. array: elements. map: entries */
	size_t size;      /* bytes of the whole token */
};
/* 1 = a token; 0 = p[n] is cut off, and tok->size says how many bytes are needed at least; -1 = not
 * allowed in a stream. */
int moe_mp_token(const uint8_t *p, size_t n, struct moe_mp_tok *tok, struct moe_err *e);

/* Finds the end of one value as its bytes arrive, in bounded memory. Zero-initialise for each
 * value. */
struct moe_mp_scan {
	size_t pos;  /* bytes scanned; the value's size when done */
	size_t need; /* when unfinished: at least so many bytes in all */
	int depth;
	uint64_t left[MOE_MP_DEPTH + 1]; /* values still to come at each depth */
	bool map[MOE_MP_DEPTH + 1];      /* whether they are a map's */
	size_t in_maps;                  /* keys and values of maps so far */
	bool begun;
};
/* p[n] is the value's beginning (always from its first byte). 1 = complete, 0 = more bytes needed,
 * -1 = not allowed. */
int moe_mp_scan(struct moe_mp_scan *s, const uint8_t *p, size_t n, struct moe_err *e);

/* Size of the value at p[n]; MOE_DATA when it is cut off or not allowed. */
int moe_mp_size(const uint8_t *p, size_t n, size_t *size, struct moe_err *e);
/* Checks that p[n] is exactly one value with string keys of valid UTF-8 without NUL, no key twice
 * in a map. depth: containers around it. */
int moe_mp_check(const uint8_t *p, size_t n, int depth, struct moe_err *e);
/* Appends the checked value in canonical form: shortest heads, 64-bit floats, one NaN, map keys in
 * byte order (with t_first, key "t" of the outermost map before all others). */
int moe_mp_canonical(
	const uint8_t *p, size_t n, bool t_first, struct moe_buf *out, struct moe_err *e);

/* Appending single tokens in canonical form. */
int moe_mp_nil(struct moe_buf *b, struct moe_err *e);
int moe_mp_bool(struct moe_buf *b, bool v, struct moe_err *e);
int moe_mp_int(struct moe_buf *b, int64_t v, struct moe_err *e);
int moe_mp_uint(struct moe_buf *b, uint64_t v, struct moe_err *e);
int moe_mp_float(struct moe_buf *b, double v, struct moe_err *e);
int moe_mp_str(struct moe_buf *b, const void *p, size_t n, struct moe_err *e);
int moe_mp_bin(struct moe_buf *b, const void *p, size_t n, struct moe_err *e);
int moe_mp_bin_head(struct moe_buf *b, size_t n, struct moe_err *e); /* n bytes must follow */
int moe_mp_array(struct moe_buf *b, size_t n, struct moe_err *e);    /* n values must follow */
int moe_mp_map(struct moe_buf *b, size_t n, struct moe_err *e); /* n keys and values must follow */

#endif
