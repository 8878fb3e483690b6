/* temp.h - files that are not whole yet: beside the file whose place they take when they are, or
 * without a name at all.
 *
 * A reader of the place sees the old file or the new one, never half of it. Each unfinished file is
 * on a list until it is kept or dropped, so that a program which dies, by a signal too, can leave
 * none behind. Thread-safe. Errors are MOE_SYSTEM with the reason.
 */
#ifndef MOE_UTIL_TEMP_H
#define MOE_UTIL_TEMP_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>

struct moe_temp {
	char *name; /* owned; NULL when there is none */
	int fd;     /* open for writing, closed by moe_temp_keep and moe_temp_drop */
};

/* Makes a file beside path, named after it as far as a name of 255 bytes has room. It gets the mode
 * of the file that it is to replace; where there is none, the mode that open(2) gives. A link named
 * by path is not followed: moe_temp_keep replaces the link. What a killed run left of the same file
 * is removed first. */
int moe_temp_open(struct moe_temp *t, const char *path, struct moe_err *e);
/* Syncs and closes it, renames it to path, removes what killed runs left beside it under names like
 * its own, and syncs the folder. On failure it is dropped and what
 * was at path stays. */
int moe_temp_keep(struct moe_temp *t, const char *path, struct moe_err *e);
/* For many files that are kept or dropped together, and synced by the caller: closes what was
 * written; puts it in its place; removes from a folder what killed runs left of files that are
 * ours.
 */
int moe_temp_close(struct moe_temp *t, const char *path, struct moe_err *e);
int moe_temp_place(struct moe_temp *t, const char *path, struct moe_err *e);
void moe_temp_sweep(
	const char *folder, bool (*ours)(void *ctx, const char *name, size_t n), void *ctx);
/* Closes and removes it; a zeroed t is accepted. */
void moe_temp_drop(struct moe_temp *t);

/* A file without a name, for data larger than memory: beside path, or in $TMPDIR (/tmp) when path
 * is NULL. Its descriptor, or -1. */
int moe_temp_spool(const char *path, struct moe_err *e);

/* Removes all that are unfinished, if this process made them (not a child of it). Safe in a signal
 * handler. */
void moe_temp_remove_all(void);

#endif
