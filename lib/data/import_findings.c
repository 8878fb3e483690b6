/* import_findings.c - what a row says beside its texts: the grader's state, rewards that may train,
 * and findings that go into the seal. */
#include "data/import_private.h"
#include "formats/mp.h"
#include "formats/rollout.h"
#include "formats/seal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int set_json(
	struct moe_rec *to, const char *key, const struct moe_json *j, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = moe_json_to_msgpack(j, &b, e) || moe_rec_set_raw(to, key, b.data, b.len, e) ? -1
											     : 0;

	moe_buf_free(&b);
	return rc;
}

/* Calls back for each mapped key below PREFIX (`env.`): name without the prefix, the field or NULL.
 * Returns the number, -1 on failure. */
static int each(const struct import_row *r, const char *prefix,
	int (*fn)(const struct import_row *, const char *, const char *, const struct moe_json *,
		struct moe_rec *, struct moe_err *),
	struct moe_rec *to, struct moe_err *e)
{
	const struct moe_fieldmap *m = &r->im->map;
	size_t n = strlen(prefix);
	int count = 0;

	for (size_t i = 0; i < m->n; i++) {
		const char *key = m->entry[i].key;

		if (strncmp(key, prefix, n) != 0)
			continue;
		count++;
		if (fn(r, key + n, moe_fieldmap_literal(m, key, NULL),
			    moe_fieldmap_find(m, key, NULL, r->root), to, e))
			return -1;
	}
	return count;
}

static int put_value(const struct import_row *r, const char *name, const char *literal,
	const struct moe_json *j, struct moe_rec *to, struct moe_err *e)
{
	(void)r;
	if (literal)
		return moe_rec_set_str(to, name, literal, e);
	return j ? set_json(to, name, j, e) : 0;
}

/* Whether a top-level field need not be in env: one of our own keys is taken from it, or it belongs
 * to a completion and not to the prompt. */
static bool consumed(const struct import_row *r, const char *key, const struct moe_json *value)
{
	static const char *const own[] = { "id", "text", "mode", "task", "marker", "split" };
	static const char *const other[] = { MOE_ROLLOUT_COMPLETION, MOE_ROLLOUT_COMPLETION_IDS,
		"comp_len", "completion_len", "response", "response_ids", "output", "output_ids",
		"generation", "generated_text", MOE_ROLLOUT_PROMPT_IDS, "plen", MOE_ROLLOUT_LOGP,
		"logprobs", "model_logp", "full_logp", MOE_ROLLOUT_REWARD, MOE_ROLLOUT_REWARDS,
		"score", "finish_reason", "messages", "problem_messages" };

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		if (!strcmp(key, other[i]))
			return true;

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (import_find(r, own[i]) == value)
			return true;
	return false;
}

/* env is every field of the row that is neither an oracle's nor taken elsewhere: written as one
 * map, since looking for each of very many keys in a record would take their number squared. */
static int all_of_row(struct import_row *r, struct moe_err *e)
{
	struct moe_buf fields = { 0 }, map = { 0 };
	const void *cursor = NULL;
	const struct moe_json *j;
	const char *key;
	size_t n = 0, at;
	int rc = 0;

	while (!rc && moe_json_next(r->root, &cursor, &key, &j)) {
		if (moe_finding_name(key) || consumed(r, key, j))
			continue;
		at = fields.len;
		if (moe_mp_str(&fields, key, strlen(key), e))
			rc = -1;
		else if (!moe_json_to_msgpack(j, &fields, e))
			n++;
		else if (e->code == MOE_DATA) { /* nested too deep: no record can hold it */
			fields.len = at;
			import_note(&r->im->notes.deep, r, "`%.60s': %s", key, e->msg);
		} else
			rc = -1;
	}
	rc = rc || moe_mp_map(&map, n, e) || moe_buf_add(&map, fields.data, fields.len, e) ||
			moe_rec_set_raw(r->rec, "env", map.data, map.len, e)
		? -1
		: 0;
	moe_buf_free(&fields);
	moe_buf_free(&map);
	return rc;
}

int import_env(struct import_row *r, bool all, struct moe_err *e)
{
	const struct moe_json *own = moe_json_get(r->root, "env");
	struct moe_rec env = { 0 };
	int rc = each(r, "env.", put_value, &env, e);

	if (!rc && moe_json_kind(own) == MOE_J_OBJECT) /* rows that were written for us */
		rc = set_json(r->rec, "env", own, e);
	else if (!rc && all)
		rc = all_of_row(r, e);
	else if (rc >= 0)
		rc = moe_rec_set_map(r->rec, "env", &env, e);
	moe_rec_free(&env);
	return rc < 0 ? -1 : 0;
}

static int put_number(const struct import_row *r, const char *name, const char *literal,
	const struct moe_json *j, struct moe_rec *to, struct moe_err *e)
{
	double v;

	if (literal || (j && !moe_json_f64(j, &v)))
		return import_fail(r, e, "`rewards.%s' is not a number", name);
	return j && isfinite(v) ? moe_rec_set_f64(to, name, v, e) : 0;
}

int import_rewards(struct import_row *r, struct moe_err *e)
{
	const struct moe_json *j = import_find(r, MOE_ROLLOUT_REWARD);
	struct moe_rec parts = { 0 };
	double v, sum = 0;
	int rc = -1;

	if (each(r, "rewards.", put_number, &parts, e) < 0)
		goto done;
	if (j && !moe_json_f64(j, &v)) {
		import_fail(r, e, "`reward' is not a number");
		goto done;
	}
	for (size_t i = 0; i < parts.n_field; i++) {
		char *name = moe_str_dup(parts.field[i].key, e);
		double x = 0;

		if (!name)
			goto done;
		moe_rec_f64(&parts, name, &x);
		sum += x;
		free(name);
	}
	if ((j && isfinite(v)) || parts.n_field) {
		if (!parts.n_field && moe_rec_set_f64(&parts, MOE_ROLLOUT_REWARD, v, e))
			goto done;
		if (moe_rec_set_f64(r->rec, MOE_ROLLOUT_REWARD, j && isfinite(v) ? v : sum, e) ||
			moe_rec_set_map(r->rec, MOE_ROLLOUT_REWARDS, &parts, e))
			goto done;
	}
	rc = 0;
done:
	moe_rec_free(&parts);
	return rc;
}

/* true, false, 1, 0; missing or NaN leaves *unknown. */
static int finding(
	const struct import_row *r, const char *key, bool *value, bool *unknown, struct moe_err *e)
{
	const struct moe_json *j = import_find(r, key);
	double v;

	*unknown = true;
	if (!j || moe_json_bool(j, value)) {
		*unknown = !j;
		return 0;
	}
	if (!moe_json_f64(j, &v) || (isfinite(v) && v != 0 && v != 1))
		return import_fail(r, e, "`%s' is neither true nor false", key);
	*unknown = !isfinite(v);
	*value = v == 1;
	return 0;
}

int import_seal(struct import_row *r, struct moe_err *e)
{
	struct moe_seal s = { 0 };
	struct moe_str mech;
	char buf[32];
	int rc = -1, has;

	if (finding(r, "solved", &s.solved, &s.solved_unknown, e) ||
		finding(r, "hacked", &s.hacked, &s.hacked_unknown, e))
		goto done;
	has = import_text(r, "mechanism", &mech, buf, e);
	if (has < 0)
		goto done;
	if (!has &&
		(!s.hacked ||
			!moe_rec_str(r->rec, "mode", &mech))) /* a hack is of its prompt's mode
								 unless the row says otherwise */
		mech = (struct moe_str){ NULL, 0 };
	if (mech.n >= sizeof(s.mechanism)) {
		import_fail(r, e, "`mechanism' is longer than %zu bytes", sizeof(s.mechanism) - 1);
		goto done;
	}
	if (mech.n)
		memcpy(s.mechanism, mech.p, mech.n);
	for (size_t i = 0; moe_finding_names[i]; i++) {
		const struct moe_json *j = moe_json_get(r->root, moe_finding_names[i]);

		if (moe_json_kind(j) != MOE_J_NULL &&
			set_json(&s.foreign, moe_finding_names[i], j, e))
			goto done;
	}
	if (each(r, "seal.", put_value, &s.foreign, e) < 0)
		goto done;
	rc = 0;
	if (!s.solved_unknown || !s.hacked_unknown || s.foreign.n_field) {
		r->sealed = true;
		rc = moe_seal_put(r->rec, &s, e);
	}
done:
	moe_seal_free(&s);
	return rc;
}
