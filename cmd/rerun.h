/* rerun.h - moe-report --rerun: an experiment once more from its bundle, and where it first
 * differs. */
#ifndef MOE_CMD_RERUN_H
#define MOE_CMD_RERUN_H

#include "util/buf.h"

#include <stdbool.h>

/* Unpacks the bundle into DIR/given, runs its recipe in DIR/anew, compares; prints a line a file.
 * dir NULL = the bundle's name with .rerun. The exit status. */
int rerun(const char *bundle, const char *dir);

/* rerun_recipe.c: why a line of a recipe is not run, or NULL. A recipe comes from somebody else: it
 * may call the programs of this toolkit and mkdir, mkfifo, rm, cp and tee, on files of its folder,
 * and nothing else. */
const char *rerun_refuses(const char *line);

/* rerun_compare.c: how a file compares with its like. */
enum rerun_same {
	RERUN_BYTES,   /* the same bytes */
	RERUN_RECORDS, /* the same but for command lines, lineage and clock times */
	RERUN_DIFFERS
};
/* what: for people, of the first difference, or the adapter's digest. */
enum rerun_same rerun_compare(const char *given, const char *anew, char *what, size_t size);

#endif
