/* adapter_priv.h - what adapter_io.c takes from adapter_layout.c. Nobody else includes it. */
#ifndef MOE_MOE_ADAPTER_PRIV_H
#define MOE_MOE_ADAPTER_PRIV_H

#include "moe/adapter.h"

#include "formats/list.h"
#include "util/mem.h"

#include <stdio.h>

#define MOE_SCORE_MAX ((size_t)1 << 26) /* elements of one score tensor */
#define MOE_RANKS_MAX 4096              /* R that a stream may declare */

/* The layout record of an arm, and back (x is laid out, param and alive zero). */
int moe_adapter_layout(const struct moe_adapter *a, struct moe_rec *r, struct moe_err *e);
int moe_adapter_from_layout(const struct moe_rec *r, struct moe_adapter *a, struct moe_err *e);

#endif
