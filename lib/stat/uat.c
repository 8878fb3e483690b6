/* uat.c - the parser of uat.conf and its defaults. It decides nothing. */
#include "stat/uat.h"

#include <ctype.h>
#include <math.h>
#include <nettle/sha2.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum uat_type { U_NAME, U_MODES, U_F64, U_SIZE, U_BOOL, U_ENDPOINT };

struct uat_key {
	const char *name;
	enum uat_type type;
	size_t off, count_off;
	double min, max;
};

#define AT(field) offsetof(struct moe_uat, field)
static const struct uat_key keys[] = {
	{ "method", U_NAME, AT(method), 0, 0, 0 },
	{ "placebo", U_NAME, AT(placebo), 0, 0, 0 },
	{ "pinned", U_MODES, AT(pinned), AT(n_pinned), 0, 0 },
	{ "no_loophole", U_MODES, AT(free_mode), AT(n_free), 0, 0 },
	{ "endpoint", U_ENDPOINT, AT(endpoint), 0, 0, 0 },
	{ "alpha", U_F64, AT(alpha), 0, 1e-6, 0.5 },
	{ "power", U_F64, AT(power), 0, 0.5, 0.999 },
	{ "margin", U_F64, AT(margin), 0, 1e-6, 1 },
	{ "effect", U_F64, AT(effect), 0, 1e-6, 1 },
	{ "retain", U_F64, AT(retain), 0, 0, 1 },
	{ "retain_below", U_F64, AT(retain_below), 0, 0, 1 },
	{ "hack_min", U_F64, AT(hack_min), 0, 0, 1 },
	{ "hack_rise_min", U_F64, AT(hack_rise_min), 0, 0, 1 },
	{ "discovery_gap", U_F64, AT(discovery_gap), 0, 0, 1 },
	{ "presence_min_gate", U_F64, AT(presence_min_gate), 0, 0, 1 },
	{ "presence_zero_max", U_F64, AT(presence_zero_max), 0, 0, 1 },
	{ "draws", U_SIZE, AT(draws), 0, 100, 1000000 },
	{ "min_prompts", U_SIZE, AT(min_prompts), 0, 2, 1e9 },
	{ "min_seeds", U_SIZE, AT(min_seeds), 0, 1, 1000 },
	{ "min_random", U_SIZE, AT(min_random), 0, 0, 1000 },
	{ "solve_versus_base", U_BOOL, AT(solve_versus_base), 0, 0, 0 },
};
#define N_KEYS (sizeof keys / sizeof *keys)

void moe_uat_default(struct moe_uat *u)
{
	memset(u, 0, sizeof *u);
	snprintf(u->endpoint, sizeof u->endpoint, "all");
	snprintf(u->free_mode[0], MOE_UAT_NAME, "gt_only");
	u->n_free = 1;
	u->alpha = 0.05;
	u->power = 0.8;
	u->margin = 0.05;
	u->effect = 0.05;
	u->retain = 0.8;
	u->retain_below = 0.25;
	u->hack_min = 0.10;
	u->hack_rise_min = 0.05;
	u->discovery_gap = 0.15;
	u->presence_min_gate = 0.01;
	u->presence_zero_max = 0;
	u->draws = 10000;
	u->min_prompts = 200;
	u->min_seeds = 3;
	u->min_random = 19;
	u->solve_versus_base = true;
}

static bool is_sep(char c)
{
	return c == ' ' || c == '\t' || c == ',' || c == '\r';
}

static int set_modes(struct moe_uat *u, const struct uat_key *k, const char *v, const char *name,
	unsigned line, struct moe_err *e)
{
	char *list = (char *)u + k->off;
	size_t n = 0;

	while (*v) {
		while (is_sep(*v))
			v++;
		size_t len = 0;
		while (v[len] && !is_sep(v[len]))
			len++;
		if (!len)
			break;
		if (n == MOE_UAT_MODES || len >= MOE_UAT_NAME)
			return moe_fail(e, MOE_DATA,
				"%s:%u: \"%s\" holds more than %d modes or one of over %d bytes",
				name, line, k->name, MOE_UAT_MODES, MOE_UAT_NAME - 1);
		memcpy(list + n * MOE_UAT_NAME, v, len);
		list[n++ * MOE_UAT_NAME + len] = 0;
		v += len;
	}
	memcpy((char *)u + k->count_off, &n, sizeof n);
	return 0;
}

static int set_number(struct moe_uat *u, const struct uat_key *k, const char *v, const char *name,
	unsigned line, struct moe_err *e)
{
	char *end;
	double d = strtod(v, &end);

	if (end == v || *end || !(d >= k->min && d <= k->max) ||
		(k->type == U_SIZE && floor(d) < d))
		return moe_fail(e, MOE_DATA, "%s:%u: \"%s\" wants %s from %g to %g, not \"%.40s\"",
			name, line, k->name, k->type == U_SIZE ? "a whole number" : "a number",
			k->min, k->max, v);
	if (k->type == U_SIZE) {
		size_t s = (size_t)d;
		memcpy((char *)u + k->off, &s, sizeof s);
	} else {
		memcpy((char *)u + k->off, &d, sizeof d);
	}
	return 0;
}

static int set(struct moe_uat *u, const struct uat_key *k, const char *v, const char *name,
	unsigned line, struct moe_err *e)
{
	bool yes = !strcmp(v, "yes");

	switch (k->type) {
	case U_MODES:
		return set_modes(u, k, v, name, line, e);
	case U_F64:
	case U_SIZE:
		return set_number(u, k, v, name, line, e);
	case U_BOOL:
		if (!yes && strcmp(v, "no"))
			return moe_fail(e, MOE_DATA, "%s:%u: \"%s\" wants yes or no, not \"%.40s\"",
				name, line, k->name, v);
		memcpy((char *)u + k->off, &yes, sizeof yes);
		return 0;
	case U_ENDPOINT:
		if (strcmp(v, "all") && strcmp(v, "pinned") && strcmp(v, "never-pinned"))
			return moe_fail(e, MOE_DATA,
				"%s:%u: \"endpoint\" wants all, pinned or never-pinned, not "
				"\"%.40s\"",
				name, line, v);
		break;
	case U_NAME:
		break;
	}
	if (strlen(v) >= MOE_UAT_NAME)
		return moe_fail(e, MOE_DATA, "%s:%u: the value of \"%s\" is longer than %d bytes",
			name, line, k->name, MOE_UAT_NAME - 1);
	memset((char *)u + k->off, 0, MOE_UAT_NAME);
	memcpy((char *)u + k->off, v, strlen(v));
	return 0;
}

static char *trim(char *s)
{
	while (isspace(
		(unsigned char)*s)) /* NOLINT(clang-analyzer-core.uninitialized.ArraySubscript):
				       the caller's line is a text */
		s++;
	size_t n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = 0;
	return s;
}

static int parse_line(struct moe_uat *u, char *text, unsigned *seen, const char *name,
	unsigned line, struct moe_err *e)
{
	char *hash = strchr(text, '#');

	if (hash)
		*hash = 0;
	char *k = trim(text), *eq = strchr(k, '=');
	if (!*k)
		return 0;
	if (!eq)
		return moe_fail(
			e, MOE_DATA, "%s:%u: want \"key = value\", not \"%.40s\"", name, line, k);
	*eq = 0;
	char *v = trim(eq + 1);
	k = trim(k);
	for (size_t i = 0; i < N_KEYS; i++) {
		if (strcmp(k, keys[i].name))
			continue;
		if (*seen & 1u << i)
			return moe_fail(e, MOE_DATA, "%s:%u: \"%s\" is given twice", name, line, k);
		*seen |= 1u << i;
		return set(u, &keys[i], v, name, line, e);
	}
	return moe_fail(e, MOE_DATA, "%s:%u: unknown key \"%.40s\"", name, line, k);
}

static void digest(struct moe_uat *u, const char *text, size_t n)
{
	struct sha256_ctx sha;
	uint8_t d[SHA256_DIGEST_SIZE];

	sha256_init(&sha);
	sha256_update(&sha, n, (const uint8_t *)text);
	sha256_digest(&sha, sizeof d, d);
	for (size_t i = 0; i < sizeof d; i++)
		snprintf(u->digest + 2 * i, 3, "%02x", d[i]);
}

int moe_uat_parse(
	struct moe_uat *u, const char *text, size_t n, const char *name, struct moe_err *e)
{
	char buf[2048];
	unsigned line = 1, seen = 0;

	for (size_t i = 0; i < n; line++) {
		size_t len = 0;
		while (i + len < n && text[i + len] != '\n')
			len++;
		if (len >= sizeof buf || memchr(text + i, 0, len))
			return moe_fail(e, MOE_DATA,
				"%s:%u: the line is longer than %zu bytes or holds a NUL", name,
				line, sizeof buf - 1);
		memcpy(buf, text + i, len);
		buf[len] = 0;
		if (parse_line(u, buf, &seen, name, line, e))
			return -1;
		i += len + 1;
	}
	if (u->method[0] && !strcmp(u->method, u->placebo))
		return moe_fail(
			e, MOE_DATA, "%s: \"%s\" can not be its own placebo", name, u->method);
	digest(u, text, n);
	return 0;
}

static bool listed(char list[][MOE_UAT_NAME], size_t n, const char *mode)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], mode))
			return true;
	return false;
}

bool moe_uat_is_pinned(const struct moe_uat *u, const char *mode)
{
	return listed((char(*)[MOE_UAT_NAME])u->pinned, u->n_pinned, mode);
}

bool moe_uat_is_free(const struct moe_uat *u, const char *mode)
{
	return listed((char(*)[MOE_UAT_NAME])u->free_mode, u->n_free, mode);
}
