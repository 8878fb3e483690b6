/* setting.c - settings from text to map to array; no method is known here. */
#include "moe/setting.h"

#include "util/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t moe_setting_count(const struct moe_setting *t)
{
	size_t n = 0;

	while (t && t[n].name)
		n++;
	return n;
}

/* Word number `at` of "a|b|c": its length, and *start. 0 past the last. */
static size_t word_at(const char *words, int at, const char **start)
{
	for (; at > 0; at--) {
		words = strchr(words, '|');
		if (!words)
			return 0;
		words++;
	}
	*start = words;
	return strcspn(words, "|");
}

static int find_word(const char *words, const char *s, size_t n)
{
	const char *w;
	size_t len;

	for (int i = 0; (len = word_at(words, i, &w)) > 0; i++)
		if (len == n && !memcmp(w, s, n))
			return i;
	return -1;
}

static bool is_text(const struct moe_setting *t)
{
	return t->words && *t->words == '=';
}

bool moe_setting_is_number(const struct moe_setting *t)
{
	return !t->words || !*t->words;
}

static bool is_late(const struct moe_setting *t)
{
	return t->words && !*t->words;
}

void moe_setting_text(const struct moe_setting *t, double v, char out[32])
{
	const char *w = "";
	size_t n = moe_setting_is_number(t) ? 0 : word_at(t->words, (int)v, &w);

	if (is_text(t))
		snprintf(out, 32, "%s", t->words + 1);
	else if (moe_setting_is_number(t))
		snprintf(out, 32, "%.12g", v);
	else
		snprintf(out, 32, "%.*s", (int)n, w);
}

static int store(const struct moe_setting *t, double v, struct moe_rec *to, struct moe_err *e)
{
	char text[32];

	if (is_text(t)) /* of which v says nothing */
		return moe_rec_set_str(to, t->name, t->words + 1, e);
	if (is_late(t) && v == t->def) {
		moe_rec_unset(to, t->name);
		return 0;
	}
	moe_setting_text(t, v, text);
	return moe_setting_is_number(t) ? moe_rec_set_f64(to, t->name, v, e)
					: moe_rec_set_str(to, t->name, text, e);
}

int moe_settings_default(const struct moe_setting *t, struct moe_rec *to, struct moe_err *e)
{
	for (size_t i = 0; i < moe_setting_count(t); i++)
		if (store(&t[i], t[i].def, to, e))
			return -1;
	return 0;
}

/* The setting that text names; its value follows '='. */
static const struct moe_setting *find_setting(
	const struct moe_setting *t, const char *text, const char **value, struct moe_err *e)
{
	const char *eq = strchr(text, '=');
	char names[512] = "";
	size_t k = 0, n = moe_setting_count(t);

	for (size_t i = 0; i < n; i++) {
		if (eq && strlen(t[i].name) == (size_t)(eq - text) &&
			!memcmp(t[i].name, text, (size_t)(eq - text))) {
			*value = eq + 1;
			return &t[i];
		}
		if (k < sizeof(names))
			k += (size_t)snprintf(
				names + k, sizeof(names) - k, "%s%s", i ? ", " : "", t[i].name);
	}
	moe_fail(e, MOE_USAGE, "'%s' is not a setting of this method: NAME=VALUE is, with %s%s",
		text, n ? "NAME one of " : "no NAME, for it has none", names);
	return NULL;
}

int moe_settings_set(
	const struct moe_setting *t, const char *text, struct moe_rec *to, struct moe_err *e)
{
	const char *value;
	const struct moe_setting *s = find_setting(t, text, &value, e);
	char *end;
	double v;

	if (!s)
		return -1;
	if (is_text(s))
		return moe_utf8_valid(value, strlen(value)) && strlen(value) <= MOE_SETTING_TEXT
			? moe_rec_set_str(to, s->name, value, e)
			: moe_fail(e, MOE_USAGE, "%s is a text in UTF-8 of up to %d bytes", s->name,
				  MOE_SETTING_TEXT);
	if (!moe_setting_is_number(s)) {
		v = find_word(s->words, value, strlen(value));
		return v >= 0
			? store(s, v, to, e)
			: moe_fail(e, MOE_USAGE, "'%s': %s is one of %s", text, s->name, s->words);
	}
	v = strtod(value, &end);
	if (end == value || *end || !(v >= s->min && v <= s->max))
		return moe_fail(e, MOE_USAGE, "'%s': %s is a number from %g to %g", text, s->name,
			s->min, s->max);
	return store(s, v, to, e);
}

int moe_settings_read(const struct moe_setting *t, const struct moe_rec *from,
	double set[MOE_ROUTER_SETTINGS], struct moe_err *e)
{
	for (size_t i = 0; i < moe_setting_count(t); i++) {
		const struct moe_setting *s = &t[i];
		struct moe_str word = { "", 0 };
		bool number = moe_setting_is_number(s),
		     there = number ? moe_rec_f64(from, s->name, &set[i])
				    : moe_rec_str(from, s->name, &word);

		if (is_late(s) && moe_rec_has(from, s->name) == MOE_V_MISSING) {
			set[i] = s->def;
			there = true;
		}
		if (is_text(s))
			set[i] = word.n <= MOE_SETTING_TEXT ? 0 : -1;
		else if (!number)
			set[i] = find_word(s->words, word.p, word.n);
		if (!there || (number ? !(set[i] >= s->min && set[i] <= s->max) : set[i] < 0))
			return moe_fail(e, MOE_DATA,
				"the adapter's settings: '%s' is missing or not possible; pin it "
				"anew (moe-pin)",
				s->name);
	}
	return 0;
}
