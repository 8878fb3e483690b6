/* adapter_in.h - the adapter that a program works with, read and checked against its base. Dies on
 * failure, as cmd/ may. */
#ifndef MOE_CMD_ADAPTER_IN_H
#define MOE_CMD_ADAPTER_IN_H

#include "moe/adapter.h"
#include "model/model.h"

/* The only arm of the file; several are refused, and one that is not "on" is warned of. Returns the
 * file's reader, at its end: for the labels and digests that the output takes over. Closed by the
 * caller. */
struct moe_reader *moe_adapter_in(
	struct moe_adapter *a, const char *path, const struct moe_model *m, bool any_base);

#endif
