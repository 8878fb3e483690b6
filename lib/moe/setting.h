/* setting.h - the settings of a method: a table of names, defaults and ranges; their values as text
 * (moe-pin --set), as an array that numerical code reads, and as the map `settings` of a layout.
 * What a setting means is the method's business.
 */
#ifndef MOE_MOE_SETTING_H
#define MOE_MOE_SETTING_H

#include "formats/rec.h"
#include "model/router.h"

#define MOE_SETTING_TEXT 4096 /* bytes of a text */

/* Of a number that came when adapters without it were about: at its default they keep their
 * digests, and are read. */
#define MOE_SETTING_LATE ""

struct moe_setting {
	const char *name; /* NULL ends a table */
	double def;       /* default; with words, the index of one */
	double min, max;
	const char *words; /* "off|decide|soft": the value is one of these words, stored as such and
			      read as its index; "=WORDS": any text, by default that behind
			      the =, read as 0; NULL = a number; MOE_SETTING_LATE = a number
			      which a layout does not have while it is the default */
	const char *help;  /* one line */
};

/* How many; at most MOE_ROUTER_SETTINGS. t may be NULL. */
size_t moe_setting_count(const struct moe_setting *t);
bool moe_setting_is_number(const struct moe_setting *t); /* else words or a text */
/* A value as the user writes it: a word or a number. */
void moe_setting_text(const struct moe_setting *t, double v, char out[32]);
/* Stores every default in `to`, a layout's map. */
int moe_settings_default(const struct moe_setting *t, struct moe_rec *to, struct moe_err *e);
/* "k=2" into `to`. MOE_USAGE, with the names or the range that there is, when it does not fit. */
int moe_settings_set(
	const struct moe_setting *t, const char *text, struct moe_rec *to, struct moe_err *e);
/* A layout's map to set[], in the order of t. MOE_DATA for a missing or impossible value: an
 * adapter whose settings are not understood must not act by others. */
int moe_settings_read(const struct moe_setting *t, const struct moe_rec *from,
	double set[MOE_ROUTER_SETTINGS], struct moe_err *e);

#endif
