/* fieldmap.h - which field of someone else's JSON is which key of ours: `--map
 * key=dotted.path,...`.
 *
 * An entry is KEY=PATH, entries are separated by commas. A path is names and array indices joined
 * by dots (`messages.0.content`); alternatives are separated by `|` and the first one present is
 * taken; `=TEXT` in place of a path is the text itself (`mode==run_tests`); an empty path drops the
 * key. A field without an entry is looked up under the reader's own default paths. Zero-initialise;
 * moe_fieldmap_free accepts a zeroed struct. Read-only use is thread-safe.
 */
#ifndef MOE_FORMATS_FIELDMAP_H
#define MOE_FORMATS_FIELDMAP_H

#include "formats/json.h"

struct moe_fieldmap {
	struct moe_fieldmap_entry {
		char *key, *path; /* owned */
	} * entry;
	size_t n;
};

void moe_fieldmap_free(struct moe_fieldmap *m);
/* Adds the entries in text. A key given before is replaced. MOE_USAGE for a malformed entry. */
int moe_fieldmap_add(struct moe_fieldmap *m, const char *text, struct moe_err *e);
/* Fails (MOE_USAGE, listing them) when an entry's key is neither in known[] (ends with NULL) nor
 * below one that ends with '.'. */
int moe_fieldmap_check(const struct moe_fieldmap *m, const char *const *known, struct moe_err *e);
/* The path of a key: its entry's, or dflt. */
const char *moe_fieldmap_path(const struct moe_fieldmap *m, const char *key, const char *dflt);
/* The field of root for a key: NULL when missing, null, or mapped to a literal. m may be NULL. */
const struct moe_json *moe_fieldmap_find(const struct moe_fieldmap *m, const char *key,
	const char *dflt, const struct moe_json *root);
/* The text of a literal entry (`key==TEXT`), or NULL. */
const char *moe_fieldmap_literal(const struct moe_fieldmap *m, const char *key, const char *dflt);
/* A text field: a string as it is, an integer or bool in its JSON form; {NULL,0} when missing. *ok
 * is false when it is of another type. Borrowed from root or, for numbers, from buf (its content is
 * replaced). */
struct moe_str moe_fieldmap_text(const struct moe_fieldmap *m, const char *key, const char *dflt,
	const struct moe_json *root, char buf[32], bool *ok);

#endif
