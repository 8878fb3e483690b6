/* input.h - bytes from a file, a pipe or a member of an archive, decompressed on the way.
 *
 * gzip and zstd, and tar and zip archives of any of these, are recognised by content. Members come
 * in archive order; nothing is extracted to disk. Ordinary data passes through unchanged.
 * Compressed data or an archive that is cut off, or has something behind its end, is MOE_DATA: with
 * compressed data at its last read, with archives at the moe_input_next behind the last member.
 */
#ifndef MOE_FORMATS_INPUT_H
#define MOE_FORMATS_INPUT_H

#include "util/buf.h"
#include "util/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct moe_input;
/* "-" is standard input. */
struct moe_input *moe_input_open(const char *path, struct moe_err *e);
struct moe_input *moe_input_open_fd(int fd, const char *name, struct moe_err *e);
void moe_input_close(struct moe_input *in);
/* Moves to the next member (a plain file is one member): 1, 0 at the end, -1. Must be called before
 * the first read. */
int moe_input_next(struct moe_input *in, struct moe_err *e);
const char *moe_input_member(
	const struct moe_input *in); /* "pool.tar.gz:dir/a.jsonl" or the path */
/* After a failure: whether the file below had been read to its end, as one that is cut off is
 * (damage in its last bytes looks the same). */
bool moe_input_cut(const struct moe_input *in);
/* Whether the input is an archive of named members (known after the first moe_input_next). */
bool moe_input_is_archive(const struct moe_input *in);
/* Bytes of the current member; members that are themselves gzip or zstd are decompressed too. 0 =
 * its end. */
ssize_t moe_input_read(struct moe_input *in, void *p, size_t n, struct moe_err *e);
/* The whole rest of the member as text, at most max bytes (then MOE_DATA): without a byte order
 * mark, and with "\n" for "\r\n". */
int moe_input_slurp(struct moe_input *in, struct moe_buf *out, size_t max, struct moe_err *e);
/* Lines: source.h. */

#endif
