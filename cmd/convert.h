/* convert.h - moe-cat's other formats. Functions die on failure. Paths: NULL or "-" = standard
 * input. */
#ifndef MOE_CMD_CONVERT_H
#define MOE_CMD_CONVERT_H

#include "cmd/opt.h"
#include "inspect/show.h"

/* The name of an input for people. */
const char *moe_convert_display(const char *path);
/* A stream of any kind; NULL and *e when it can not be opened. others: files that are no streams
 * are read for their digests. */
struct moe_reader *moe_convert_open(
	const char *path, bool truncated, bool others, struct moe_err *e);
/* JSON Lines to a stream; kind NULL = headers must be there. */
void moe_convert_from_json(
	const char *path, const char *kind, bool unbuffered, struct moe_out *out);
/* A stream to the file of -o, and back. */
void moe_convert_to_safetensors(const char *path, struct moe_out *out);
void moe_convert_from_safetensors(const char *path, struct moe_out *out);
/* A bundle into a folder. */
void moe_convert_unpack(const char *path, const char *dir);
/* Holds a bundle in a file to its manifest, which a reader of streams leaves out, and says so; 0
 * also for what is no bundle, and through a pipe, which can be read once only. -1 and *e. */
int moe_convert_check_bundle(struct moe_show *o, const char *path, struct moe_err *e);

#endif
