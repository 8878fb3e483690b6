/* bundle.h - a whole experiment in one file: a .tar.zst of streams and files behind a manifest of
 * their digests.
 *
 * The same files give the same bytes: order of the operands (folders sorted by name), no times, no
 * owners, mode 644.
 */
#ifndef MOE_FORMATS_BUNDLE_H
#define MOE_FORMATS_BUNDLE_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>

#define MOE_BUNDLE_MANIFEST "MANIFEST.json"

/* Packs files and folders to fd (name is for messages). Paths are stored without a leading "/" or
 * "./"; "..", two equal names and names that are not UTF-8 are MOE_USAGE. Each file is read twice,
 * since the manifest goes first: pipes are MOE_USAGE, and a file that changes meanwhile is
 * MOE_DATA. Of a folder, the bundle itself (fd, and the file `name` that it will replace) is left
 * out. */
int moe_bundle_pack(
	const char *const *paths, size_t n, int fd, const char *name, struct moe_err *e);
/* Unpacks a bundle from fd below `dir` (made when missing). Only what the manifest names is written
 * (mode 666 less the umask), and nothing before all digests are right; never outside of dir.
 * MOE_DATA when a size or a digest is wrong, a file is missing, or one name is a file's and a
 * folder's. Names are UTF-8 in any locale. *files counts those written. */
int moe_bundle_unpack(int fd, const char *name, const char *dir, size_t *files, struct moe_err *e);
/* Whether what fd holds begins like a bundle; it moves fd. */
bool moe_bundle_is(int fd);
/* As moe_bundle_unpack without writing anything. */
int moe_bundle_check(int fd, const char *name, size_t *files, struct moe_err *e);

#endif
