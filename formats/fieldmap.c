/* fieldmap.c - parses `--map` and looks fields up by it. It knows no record kind. */
#include "formats/fieldmap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void moe_fieldmap_free(struct moe_fieldmap *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->entry[i].key);
		free(m->entry[i].path);
	}
	free(m->entry);
	memset(m, 0, sizeof(*m));
}

static struct moe_fieldmap_entry *find_key(const struct moe_fieldmap *m, const char *key)
{
	for (size_t i = 0; m && i < m->n; i++)
		if (!strcmp(m->entry[i].key, key))
			return &m->entry[i];
	return NULL;
}

static int put(struct moe_fieldmap *m, const char *key, size_t key_n, const char *path,
	size_t path_n, struct moe_err *e)
{
	char *k = strndup(key, key_n), *p = strndup(path, path_n);
	struct moe_fieldmap_entry *old, *grown;

	if (!k || !p)
		goto memory;
	old = find_key(m, k);
	if (old) {
		free(old->path);
		old->path = p;
		free(k);
		return 0;
	}
	grown = realloc(m->entry, (m->n + 1) * sizeof(*grown));
	if (!grown)
		goto memory;
	m->entry = grown;
	m->entry[m->n++] = (struct moe_fieldmap_entry){ k, p };
	return 0;
memory:
	free(k);
	free(p);
	return moe_fail(e, MOE_SYSTEM, "out of memory for a field mapping");
}

int moe_fieldmap_add(struct moe_fieldmap *m, const char *text, struct moe_err *e)
{
	while (*text) {
		size_t n = strcspn(text, ",");
		const char *eq = memchr(text, '=', n);

		if (!eq || eq == text)
			return moe_fail(e, MOE_USAGE, "a field mapping is KEY=PATH,..., not `%.*s'",
				(int)(n < 200 ? n : 200), text);
		if (put(m, text, (size_t)(eq - text), eq + 1, n - (size_t)(eq - text) - 1, e))
			return -1;
		text += n;
		if (*text == ',')
			text++;
	}
	return 0;
}

int moe_fieldmap_check(const struct moe_fieldmap *m, const char *const *known, struct moe_err *e)
{
	char list[256] = "";

	for (size_t i = 0; i < m->n; i++) {
		size_t k;

		for (k = 0; known[k]; k++) {
			size_t n = strlen(known[k]);

			if (!strcmp(known[k], m->entry[i].key) ||
				(known[k][n - 1] == '.' && !strncmp(known[k], m->entry[i].key, n)))
				break;
		}
		if (known[k])
			continue;
		for (k = 0; known[k]; k++) {
			size_t at = strlen(list);

			snprintf(list + at, sizeof(list) - at, "%s%s%s", at ? " " : "", known[k],
				known[k][strlen(known[k]) - 1] == '.' ? "NAME" : "");
		}
		return moe_fail(e, MOE_USAGE, "`%s' can not be mapped; what can: %s",
			m->entry[i].key, list);
	}
	return 0;
}

const char *moe_fieldmap_path(const struct moe_fieldmap *m, const char *key, const char *dflt)
{
	struct moe_fieldmap_entry *x = find_key(m, key);

	return x ? x->path : dflt;
}

const char *moe_fieldmap_literal(const struct moe_fieldmap *m, const char *key, const char *dflt)
{
	const char *path = moe_fieldmap_path(m, key, dflt);

	return path && *path == '=' ? path + 1 : NULL;
}

const struct moe_json *moe_fieldmap_find(const struct moe_fieldmap *m, const char *key,
	const char *dflt, const struct moe_json *root)
{
	const char *path = moe_fieldmap_path(m, key, dflt);
	char one[256];

	if (!path || *path == '=')
		return NULL;
	while (*path) {
		size_t n = strcspn(path, "|");

		if (n && n < sizeof(one)) {
			const struct moe_json *j;

			memcpy(one, path, n);
			one[n] = 0;
			j = moe_json_get(root, one); /* a name that has dots in it */
			if (moe_json_kind(j) == MOE_J_NULL)
				j = moe_json_path(root, one);
			if (moe_json_kind(j) != MOE_J_NULL)
				return j;
		}
		path += n;
		if (*path == '|')
			path++;
	}
	return NULL;
}

struct moe_str moe_fieldmap_text(const struct moe_fieldmap *m, const char *key, const char *dflt,
	const struct moe_json *root, char buf[32], bool *ok)
{
	const char *literal = moe_fieldmap_literal(m, key, dflt);
	const struct moe_json *j;
	int64_t v;
	bool b;

	*ok = true;
	if (literal)
		return (struct moe_str){ literal, strlen(literal) };
	j = moe_fieldmap_find(m, key, dflt, root);
	if (!j)
		return (struct moe_str){ NULL, 0 };
	if (moe_json_kind(j) == MOE_J_STR)
		return moe_json_str(j);
	if (moe_json_kind(j) == MOE_J_INT && moe_json_int(j, &v)) {
		snprintf(buf, 32, "%lld", (long long)v);
		return (struct moe_str){ buf, strlen(buf) };
	}
	if (moe_json_kind(j) == MOE_J_BOOL && moe_json_bool(j, &b)) {
		snprintf(buf, 32, "%s", b ? "true" : "false");
		return (struct moe_str){ buf, strlen(buf) };
	}
	*ok = false;
	return (struct moe_str){ NULL, 0 };
}
