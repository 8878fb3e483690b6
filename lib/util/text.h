/* text.h - UTF-8 checks and the escaping of hostile text. Pure functions; thread-safe. */
#ifndef MOE_UTIL_TEXT_H
#define MOE_UTIL_TEXT_H

#include "util/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Length of the UTF-8 sequence at p[n] (1..4), or 0 when it is invalid: overlong, surrogate, above
 * U+10FFFF, cut off. n >= 1. Source: RFC 3629, section 4. */
size_t moe_utf8_len(const char *p, size_t n);
/* The code point of the valid sequence p[len]. */
unsigned moe_utf8_decode(const char *p, size_t len);
/* Whether a terminal must not see the code point: C0 and C1 controls, DEL, bidirectional overrides
 * (U+202A..E, U+2066..9). */
bool moe_text_hostile(unsigned c);
/* Whether all of p[n] is valid UTF-8. */
bool moe_utf8_valid(const char *p, size_t n);
/* Copies z into out[cap], cut to at most `max` characters and padded with spaces to at least `min`;
 * returns out. Characters are counted, not bytes (wide ones as one), and none is cut in two, also
 * where cap > 0 ends it. A byte that is no UTF-8 counts as a character. */
const char *moe_text_fit(char *out, size_t cap, const char *z, size_t min, size_t max);

/* Appends p[n] so that a terminal can show it safely: C0 and C1 controls, DEL and invalid bytes
 * become \xHH (or \n \t \r), bidirectional overrides (U+202A..E, U+2066..9) become \u{HEX}. Valid
 * UTF-8 stays; a backslash is doubled only when `exact`. */
int moe_text_escape(struct moe_buf *out, const char *p, size_t n, bool exact, struct moe_err *e);
/* Appends p[n] with only what is not UTF-8 escaped, as \xHH: the result is valid UTF-8, and valid
 * UTF-8 is not changed. */
int moe_text_escape_invalid(struct moe_buf *out, const char *p, size_t n, struct moe_err *e);
/* As moe_text_escape (not exact), but line ends stay, with `indent` behind each ("\r\n" is one),
 * and a tab becomes four spaces: text of several lines for people. */
int moe_text_lines(
	struct moe_buf *out, const char *p, size_t n, const char *indent, struct moe_err *e);
/* As moe_text_escape but into a caller's array of `cap` > 0 bytes, cut with "..." when too long;
 * always NUL-terminated. */
void moe_text_escape_to(char *out, size_t cap, const char *p, size_t n);

#endif
