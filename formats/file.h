/* file.h - whole files: read one, replace one so that a reader sees either the old or the new,
 * never half of it.
 *
 * Thread-safe. Paths appear in the errors (MOE_SYSTEM with the system's reason).
 */
#ifndef MOE_FORMATS_FILE_H
#define MOE_FORMATS_FILE_H

#include "util/buf.h"
#include "util/err.h"

#include <stddef.h>

/* Appends the bytes of a regular file; anything else, and more than max bytes, is MOE_DATA. */
int moe_file_read(const char *path, struct moe_buf *out, size_t max, struct moe_err *e);
/* Writes p[n], by way of a temporary (util/temp.h): mode kept, synced, renamed. On failure the old
 * file stays. For files in folders of ours; what a user names is opened by cmd/, which follows
 * links and knows pipes. */
int moe_file_replace(const char *path, const void *p, size_t n, struct moe_err *e);
/* "dir/name", owned by the caller (free). NULL and *e when out of memory. */
char *moe_path_join(const char *dir, const char *name, struct moe_err *e);

#endif
