/* utf8.c - checks UTF-8. It neither decodes for display nor normalises. */
#include "util/utf8.h"

#include <stdint.h>
#include <string.h>

/* Length of the valid sequence at s with `left` bytes, 0 if there is none. */
static size_t sequence(const uint8_t *s, size_t left)
{
	uint8_t lo = 0x80, hi = 0xBF;
	size_t i, need;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		need = 2;
	else if ((s[0] & 0xF0) == 0xE0)
		need = 3;
	else if (s[0] >= 0xF0 && s[0] <= 0xF4)
		need = 4;
	else
		return 0;
	if (left < need)
		return 0;
	if (s[0] == 0xE0)
		lo = 0xA0; /* overlong */
	else if (s[0] == 0xED)
		hi = 0x9F; /* surrogates */
	else if (s[0] == 0xF0)
		lo = 0x90; /* overlong */
	else if (s[0] == 0xF4)
		hi = 0x8F; /* beyond U+10FFFF */
	if (s[1] < lo || s[1] > hi)
		return 0;
	for (i = 2; i < need; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	return need;
}

size_t moe_utf8_prefix(const void *p, size_t n)
{
	const uint8_t *s = p;
	size_t at = 0, step;
	uint64_t word;

	while (at < n) {
		if (n - at >= sizeof(word)) { /* eight ASCII bytes at a time */
			memcpy(&word, s + at, sizeof(word));
			if (!(word & 0x8080808080808080u)) {
				at += sizeof(word);
				continue;
			}
		}
		step = sequence(s + at, n - at);
		if (!step)
			return at;
		at += step;
	}
	return at;
}
