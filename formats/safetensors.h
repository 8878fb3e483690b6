/* safetensors.h - files of named tensors: one file, or a sharded set with an index (safetensors.md
 * is the specification we follow).
 *
 * Reading maps the file and checks all of its header before any tensor is handed out: header
 * length, JSON, dtypes, shapes (products checked for overflow), and that the data is exactly the
 * tensors, without holes or overlap. Data is little-endian, row-major, packed. Files of others are
 * never trusted; every failure names the file and the tensor. Everything returned is borrowed from
 * the set and read-only; reading is thread-safe after opening.
 */
#ifndef MOE_FORMATS_SAFETENSORS_H
#define MOE_FORMATS_SAFETENSORS_H

#include "util/err.h"

#include <stddef.h>
#include <stdint.h>

#define MOE_ST_RANK_MAX   8
#define MOE_ST_HEADER_MAX 100000000u /* bytes of JSON, as the reference reader allows */

struct moe_st_tensor {
	const char *name; /* UTF-8, NUL-terminated */
	char dtype[8];    /* BOOL U8 I8 I16 U16 F16 BF16 I32 U32 F32 F64 I64 U64 */
	int rank;         /* 0 = a scalar */
	uint64_t shape[MOE_ST_RANK_MAX];
	const void *data; /* [bytes]; aligned only as well as the file has it */
	size_t bytes;
};

struct moe_st; /* the tensors of one or several files, sorted by name */

/* Maps one file. NULL and *e (MOE_DATA, MOE_SYSTEM) on failure. */
struct moe_st *moe_st_open(const char *path, struct moe_err *e);
/* The same from memory; p[n] is borrowed until moe_st_close. `name` is for messages. */
struct moe_st *moe_st_parse(const void *p, size_t n, const char *name, struct moe_err *e);
/* dir/STEM.safetensors, or the files that dir/STEM.safetensors.index.json names (its weight_map
 * decides which file a tensor is from). When both exist the single file is taken, as transformers
 * does. */
struct moe_st *moe_st_open_dir(const char *dir, const char *stem, struct moe_err *e);
void moe_st_close(struct moe_st *s); /* NULL is accepted */

size_t moe_st_count(const struct moe_st *s);
const struct moe_st_tensor *moe_st_at(const struct moe_st *s, size_t i);
const struct moe_st_tensor *moe_st_find(
	const struct moe_st *s, const char *name); /* NULL when absent */
/* Value of a __metadata__ key (of the first file that has it), or NULL. */
const char *moe_st_meta(const struct moe_st *s, const char *key);
/* The raw bytes of file i < moe_st_files, in the order of their names: for digests. */
size_t moe_st_files(const struct moe_st *s);
const void *moe_st_file(const struct moe_st *s, size_t i, size_t *n);

/* Converts elements [first, first+n) of a F32, F16, BF16 or F64 tensor to float. The caller checks
 * the range. MOE_DATA for other dtypes. */
int moe_st_floats(
	const struct moe_st_tensor *t, size_t first, size_t n, float *out, struct moe_err *e);

/* Writes to fd (name is for messages), tensors ordered as the reference writer does: largest
 * element first, then by name; the header is padded to a multiple of 8. meta is [n_meta][2] of key
 * and value. The same input gives the same bytes. */
int moe_st_write_fd(int fd, const char *name, const struct moe_st_tensor *t, size_t n,
	const char *const (*meta)[2], size_t n_meta, struct moe_err *e);
/* The same to a file, replaced as a whole (util/temp.h). */
int moe_st_write(const char *path, const struct moe_st_tensor *t, size_t n,
	const char *const (*meta)[2], size_t n_meta, struct moe_err *e);

/* The same for tensors that are not in memory as they are to be written: where data is NULL, the
 * rows [row, row + n) of a tensor (all of it when its rank is below 2) are asked for, in order,
 * into out. What is held at a time is 1 MiB, or one row. */
struct moe_st_source {
	void *arg;
	int (*rows)(void *arg, const struct moe_st_tensor *t, size_t row, size_t n, void *out,
		struct moe_err *e);
};
int moe_st_write_from(const char *path, const struct moe_st_tensor *t, size_t n,
	const struct moe_st_source *from, const char *const (*meta)[2], size_t n_meta,
	struct moe_err *e);

#endif
