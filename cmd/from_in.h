/* from_in.h - --from in moe-prompts and moe-rollout: rows of others to the output stream, with what
 * was left out or doubtful said at the end. It dies on failure. */
#ifndef MOE_CMD_FROM_IN_H
#define MOE_CMD_FROM_IN_H

#include "cmd/from_opts.h"
#include "data/import.h"

/* A model's tokenizer and special tokens for an import (dir NULL: none); o->tok, o->special
 * and o->chat point into it. */
struct moe_from_model {
	struct moe_tokenizer *tok;
	struct moe_special special;
	struct moe_chat *chat; /* of its template; NULL: it has none */
};
void moe_from_model(struct moe_from_model *m, const char *dir, struct moe_import_opts *o);

/* Reads the files of `from` into moe_common.output, a stream of `kind`; template_path may be NULL.
 * none: only the header and the end. Its summary is printed, with sealed rows when `seals`. */
void moe_from_run(struct moe_import_opts *o, const struct moe_opt_list *from, const char *kind,
	const char *template_path, bool none, bool seals);

#endif
