/* st_bridge.h - streams with tensors (adapters) as safetensors files and back.
 *
 * The file's __metadata__ holds the rest of the stream as JSON Lines under "moe.stream", so that a
 * file written here turns back into the stream it came from, byte for byte when that was canonical.
 * Tensors are named NAME, or ARM/NAME when arms share names or NAME is "__metadata__"; bytes that
 * are no UTF-8 are escaped there. A name with a NUL is refused (MOE_DATA), and so are chunks of one
 * tensor whose other keys differ. A tensor that came in other chunks than the writers here make
 * comes back in theirs. Memory: one record at a time and the metadata, which the format bounds (100
 * MB); the tensors pass through a file without a name (the spool), since their order and the file's
 * header are known only at the end of the stream.
 */
#ifndef MOE_INSPECT_ST_BRIDGE_H
#define MOE_INSPECT_ST_BRIDGE_H

#include "formats/stream.h"

/* Reads all of r, then writes to fd, which may be a pipe (name is for messages). spool: an empty
 * file, as moe_temp_spool gives it. */
int moe_stream_to_safetensors(
	struct moe_reader *r, int fd, const char *name, int spool, struct moe_err *e);
/* Writes the stream of the file `path` to fd. A file of others becomes a stream of kind "tensors"
 * with o as header, which names the file's SHA-256 as its source. */
int moe_safetensors_to_stream(const char *path, int fd, const char *name,
	const struct moe_writer_opts *o, struct moe_err *e);

#endif
