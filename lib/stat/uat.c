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

enum uat_type { U_NAME, U_NAMES, U_F64, U_SIZE, U_BOOL, U_ENDPOINT, U_LOOKS, U_SEEDS, U_DIGEST };

struct uat_key {
	const char *name;
	enum uat_type type;
	size_t off, count_off;
	double min, max;
};

#define AT(field) offsetof(struct moe_uat, field)
static const struct uat_key keys[] = {
	{ "method", U_NAME, AT(method), 0, 0, 0 },
	{ "placebo", U_NAMES, AT(placebo), AT(n_placebo), 0, MOE_UAT_PLACEBOS },
	{ "vanilla", U_NAME, AT(vanilla), 0, 0, 0 },
	{ "skyline", U_NAME, AT(skyline), 0, 0, 0 },
	{ "pinned", U_NAMES, AT(pinned), AT(n_pinned), 0, MOE_UAT_MODES },
	{ "no_loophole", U_NAMES, AT(free_mode), AT(n_free), 0, MOE_UAT_MODES },
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
	{ "removed_min", U_F64, AT(removed_min), 0, 0, 1 },
	{ "uplift_min", U_F64, AT(uplift_min), 0, 0, 1 },
	{ "missing_max", U_F64, AT(missing_max), 0, 0, 1 },
	{ "stake", U_F64, AT(stake), 0, 0.01, 0.99 },
	{ "presence_min_gate", U_F64, AT(presence_min_gate), 0, 0, 1 },
	{ "presence_zero_max", U_F64, AT(presence_zero_max), 0, 0, 1 },
	{ "draws", U_SIZE, AT(draws), 0, 100, 1000000 },
	{ "min_prompts", U_SIZE, AT(min_prompts), 0, 2, 1e9 },
	{ "min_seeds", U_SIZE, AT(min_seeds), 0, 1, MOE_UAT_SEEDS },
	{ "max_seeds", U_SIZE, AT(max_seeds), 0, 1, MOE_UAT_SEEDS },
	{ "placebos_per_seed", U_SIZE, AT(placebos_per_seed), 0, 0, MOE_UAT_PLACEBOS },
	{ "looks", U_LOOKS, AT(look), AT(n_look), 1, MOE_UAT_SEEDS },
	{ "seeds", U_SEEDS, AT(seed), AT(n_seed), 0, 9e15 },
	{ "steps", U_SIZE, AT(steps), 0, 1, 1e9 },
	{ "prompts", U_DIGEST, AT(prompts), 0, 0, 0 },
	{ "min_random", U_SIZE, AT(min_random), 0, 0, 1000 },
	{ "solve_versus_base", U_BOOL, AT(solve_versus_base), 0, 0, 0 },
	{ "gain", U_BOOL, AT(gain), 0, 0, 0 },
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
	u->removed_min = 0.5;
	u->uplift_min = 0.5;
	u->missing_max = 0.01;
	u->stake = 0.9;
	u->presence_min_gate = 0.01;
	u->presence_zero_max = 0;
	u->draws = 10000;
	u->min_prompts = 200;
	u->min_seeds = 3;
	u->max_seeds = 0; /* not said: see moe_uat_max_seeds */
	u->min_random = 19;
	u->solve_versus_base = true;
}

static bool is_sep(char c)
{
	return c == ' ' || c == '\t' || c == ',' || c == '\r';
}

/* One word of a list: its length, 0 at the end; *v moves to its first byte. */
static size_t next_word(const char **v)
{
	size_t len = 0;

	while (is_sep(**v))
		(*v)++;
	while ((*v)[len] && !is_sep((*v)[len]))
		len++;
	return len;
}

static int set_names(struct moe_uat *u, const struct uat_key *k, const char *v, const char *name,
	unsigned line, struct moe_err *e)
{
	char *list = (char *)u + k->off;
	size_t n = 0, len;

	while ((len = next_word(&v)) > 0) {
		if (n == (size_t)k->max || len >= MOE_UAT_NAME)
			return moe_fail(e, MOE_DATA,
				"%s:%u: \"%s\" holds more than %d names or one of over %d bytes",
				name, line, k->name, (int)k->max, MOE_UAT_NAME - 1);
		memset(list + n * MOE_UAT_NAME, 0, MOE_UAT_NAME);
		memcpy(list + n++ * MOE_UAT_NAME, v, len);
		v += len;
	}
	memcpy((char *)u + k->count_off, &n, sizeof n);
	return 0;
}

/* A list of whole numbers: looks ascend, seeds differ. */
static int set_numbers(struct moe_uat *u, const struct uat_key *k, const char *v, const char *name,
	unsigned line, struct moe_err *e)
{
	size_t n = 0, len, room = k->type == U_LOOKS ? MOE_LOOKS_MAX : MOE_UAT_SEEDS;

	while ((len = next_word(&v)) > 0) {
		char *end;
		double d = strtod(v, &end);
		bool whole = end == v + len && d >= k->min && d <= k->max && floor(d) >= d;
		bool fits = n < room;
		for (size_t i = 0; i < n && whole; i++)
			whole = k->type == U_LOOKS
				? (double)u->look[i] < d
				: (double)u->seed[i] < d || (double)u->seed[i] > d;
		if (!whole || !fits)
			return moe_fail(e, MOE_DATA,
				"%s:%u: \"%s\" wants at most %zu whole numbers from %g to %g%s, "
				"not \"%.*s\"",
				name, line, k->name, room, k->min, k->max,
				k->type == U_LOOKS ? ", ascending" : ", each once",
				(int)(len < 40 ? len : 40), v);
		if (k->type == U_LOOKS)
			u->look[n++] = (size_t)d;
		else
			u->seed[n++] = (int64_t)d;
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
	case U_NAMES:
		return set_names(u, k, v, name, line, e);
	case U_LOOKS:
	case U_SEEDS:
		return set_numbers(u, k, v, name, line, e);
	case U_F64:
	case U_SIZE:
		return set_number(u, k, v, name, line, e);
	case U_BOOL:
		if (!yes && strcmp(v, "no"))
			return moe_fail(e, MOE_DATA, "%s:%u: \"%s\" wants yes or no, not \"%.40s\"",
				name, line, k->name, v);
		memcpy((char *)u + k->off, &yes, sizeof yes);
		return 0;
	case U_DIGEST:
		if (strlen(v) != 64 || strspn(v, "0123456789abcdef") != 64)
			return moe_fail(e, MOE_DATA,
				"%s:%u: \"%s\" wants 64 hexadecimal digits (moe-report "
				"--plan-prompts), not \"%.70s\"",
				name, line, k->name, v);
		memcpy((char *)u + k->off, v, 65);
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

static int parse_line(struct moe_uat *u, char *text, uint64_t *seen, const char *name,
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
		if (*seen & (uint64_t)1 << i)
			return moe_fail(e, MOE_DATA, "%s:%u: \"%s\" is given twice", name, line, k);
		*seen |= (uint64_t)1 << i;
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

/* One run cannot be two sides of a comparison. */
static int check_roles(const struct moe_uat *u, const char *name, struct moe_err *e)
{
	for (size_t i = 0; i < u->n_placebo; i++) {
		if (u->method[0] && !strcmp(u->method, u->placebo[i]))
			return moe_fail(e, MOE_DATA, "%s: \"%s\" cannot be its own placebo", name,
				u->method);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(u->placebo[i], u->placebo[k]))
				return moe_fail(e, MOE_DATA, "%s: placebo \"%s\" is named twice",
					name, u->placebo[i]);
		if (!strcmp(u->placebo[i], u->skyline))
			return moe_fail(e, MOE_DATA,
				"%s: \"%s\" is trained by the oracle's pay: it cannot be a placebo",
				name, u->skyline);
	}
	if (u->skyline[0] && !strcmp(u->method, u->skyline))
		return moe_fail(e, MOE_DATA, "%s: \"%s\" cannot be its own bound", name, u->method);
	if (u->placebos_per_seed > u->n_placebo)
		return moe_fail(e, MOE_DATA,
			"%s: placebos_per_seed is %zu, but \"placebo\" names %zu", name,
			u->placebos_per_seed, u->n_placebo);
	return 0;
}

size_t moe_uat_max_seeds(const struct moe_uat *u)
{
	return u->max_seeds         ? u->max_seeds
		: u->n_look         ? u->look[u->n_look - 1]
		: u->n_seed         ? u->n_seed
		: u->min_seeds > 10 ? u->min_seeds
				    : 10;
}

/* The looks lie between the least and the most seeds; the last is at the most, so that all of alpha
 * can be spent. */
static int check_looks(const struct moe_uat *u, const char *name, struct moe_err *e)
{
	size_t most = moe_uat_max_seeds(u);

	if (most < u->min_seeds)
		return moe_fail(e, MOE_DATA, "%s: max_seeds is %zu, below min_seeds %zu", name,
			most, u->min_seeds);
	if (u->n_look && (u->look[0] < u->min_seeds || u->look[u->n_look - 1] != most))
		return moe_fail(e, MOE_DATA,
			"%s: looks run from %zu to %zu seeds, but must start at min_seeds %zu or "
			"later and end at max_seeds %zu",
			name, u->look[0], u->look[u->n_look - 1], u->min_seeds, most);
	if (!u->n_look && most - u->min_seeds >= MOE_LOOKS_MAX)
		return moe_fail(e, MOE_DATA,
			"%s: from %zu to %zu seeds there are more than %d looks: list them with "
			"\"looks = ...\"",
			name, u->min_seeds, most, MOE_LOOKS_MAX);
	if (u->n_seed && u->n_seed < most)
		return moe_fail(e, MOE_DATA,
			"%s: seeds lists %zu, but max_seeds is %zu: say beforehand which ones they "
			"are",
			name, u->n_seed, most);
	return 0;
}

int moe_uat_parse(
	struct moe_uat *u, const char *text, size_t n, const char *name, struct moe_err *e)
{
	char buf[2048];
	unsigned line = 1;
	uint64_t seen = 0;

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
	digest(u, text, n);
	return check_roles(u, name, e) || check_looks(u, name, e) ? -1 : 0;
}

size_t moe_uat_looks(const struct moe_uat *u, size_t *out)
{
	size_t n = u->n_look, most = moe_uat_max_seeds(u);

	for (size_t i = 0; i < n; i++)
		out[i] = u->look[i];
	for (size_t s = u->min_seeds; !u->n_look && s <= most && n < MOE_LOOKS_MAX; s++)
		out[n++] = s;
	return n;
}

int moe_uat_set(struct moe_uat *u, const char *key, const char *value, struct moe_err *e)
{
	char name[MOE_UAT_NAME];

	snprintf(name, sizeof(name), "--%s", key);
	for (size_t i = 0; i < N_KEYS; i++)
		if (!strcmp(keys[i].name, key))
			return set(u, &keys[i], value, name, 0, e) || check_roles(u, name, e) ? -1
											      : 0;
	return moe_fail(e, MOE_USAGE, "unknown key \"%.40s\"", key);
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

bool moe_uat_is_placebo(const struct moe_uat *u, const char *method)
{
	return listed((char(*)[MOE_UAT_NAME])u->placebo, u->n_placebo, method);
}

bool moe_uat_is_free(const struct moe_uat *u, const char *mode)
{
	return listed((char(*)[MOE_UAT_NAME])u->free_mode, u->n_free, mode);
}
