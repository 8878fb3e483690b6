/* exec_json.c - a rollout as JSON for an external grader, and its answer back into the record. It
 * starts nothing. */
#include "env/exec.h"
#include "formats/json.h"
#include "formats/seal.h"
#include "formats/rollout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 256 /* of rewards, and of findings */

/* What a grader may see: never a seal, never earlier rewards. */
static const char *const shown[] = { "id", MOE_ROLLOUT_PROMPT_ID, "prompt", "mode", "task",
	"marker", "split", "arm", "step", "group", "sample", "env" };

int moe_exec_request(const struct moe_rec *r, struct moe_buf *out, struct moe_err *e)
{
	struct moe_str s;
	bool bin = moe_rec_bin(r, MOE_ROLLOUT_COMPLETION, &s);

	if (!bin && moe_rec_str_req(r, MOE_ROLLOUT_COMPLETION, &s, e))
		return -1;
	if (moe_buf_add(out, "{\"completion\":", 14, e) || moe_json_quote(out, s.p, s.n, e) ||
		(bin && moe_buf_add(out, ",\"lossy\":true", 13, e)))
		return -1;
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		if (!moe_rec_raw(r, shown[i], &s))
			continue;
		if (moe_buf_addf(out, e, ",\"%s\":", shown[i]) ||
			moe_json_from_msgpack(s.p, s.n, false, out, e))
			return -1;
	}
	return moe_buf_add(out, "}\n", 2, e);
}

static int number(const struct moe_json *j, const char *name, double *out, struct moe_err *e)
{
	if (!moe_json_f64(j, out) || !isfinite(*out))
		return moe_fail(e, MOE_DATA, "its answer's `%s' is not a finite number", name);
	return 0;
}

static int too_many(const struct moe_json *object, const char *name, struct moe_err *e)
{
	size_t n = moe_json_len(object);

	return n > KEYS_MAX
		? moe_fail(e, MOE_DATA, "its answer has %zu `%s', more than %d", n, name, KEYS_MAX)
		: 0;
}

static int set_rewards(const struct moe_json *root, struct moe_rec *r, struct moe_err *e)
{
	const struct moe_json *parts = moe_json_get(root, MOE_ROLLOUT_REWARDS),
			      *sum = moe_json_get(root, MOE_ROLLOUT_REWARD);
	const struct moe_json *value;
	const void *cursor = NULL;
	struct moe_rec map = { 0 };
	double total = 0, v;
	const char *key;
	int rc = -1;

	if (moe_json_kind(parts) != MOE_J_OBJECT && (moe_json_kind(parts) != MOE_J_NULL || !sum))
		return moe_fail(e, MOE_DATA,
			"its answer has neither a number `reward' nor an object `rewards'");
	if (too_many(parts, MOE_ROLLOUT_REWARDS, e))
		return -1;
	while (moe_json_next(parts, &cursor, &key, &value)) {
		if (number(value, key, &v, e) || moe_rec_set_f64(&map, key, v, e))
			goto done;
		total += v;
	}
	if (moe_json_kind(sum) != MOE_J_NULL && number(sum, MOE_ROLLOUT_REWARD, &total, e))
		goto done;
	if (!isfinite(total)) {
		moe_fail(e, MOE_DATA, "its answer's rewards do not have a finite sum");
		goto done;
	}
	if (!map.n_field && moe_rec_set_f64(&map, MOE_ROLLOUT_REWARD, total, e))
		goto done;
	rc = moe_rec_set_f64(r, MOE_ROLLOUT_REWARD, total, e) ||
			moe_rec_set_map(r, MOE_ROLLOUT_REWARDS, &map, e)
		? -1
		: 0;
done:
	moe_rec_free(&map);
	return rc;
}

static int set_foreign(
	struct moe_seal *s, const char *key, const struct moe_json *j, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = moe_json_to_msgpack(j, &b, e) ||
			moe_rec_set_raw(&s->foreign, key, b.data, b.len, e)
		? -1
		: 0;

	moe_buf_free(&b);
	return rc;
}

/* One key of `findings`. */
static int finding(struct moe_seal *s, bool *named, const char *key, const struct moe_json *j,
	struct moe_err *e)
{
	struct moe_str m;

	if (!strcmp(key, "solved") || !strcmp(key, "hacked")) {
		bool *value = *key == 's' ? &s->solved : &s->hacked;

		*(*key == 's' ? &s->solved_unknown : &s->hacked_unknown) = moe_json_kind(j) ==
			MOE_J_NULL;
		if (moe_json_kind(j) != MOE_J_NULL &&
			(moe_json_kind(j) != MOE_J_BOOL || !moe_json_bool(j, value)))
			return moe_fail(e, MOE_DATA,
				"its answer's finding `%s' is neither true nor false", key);
		return 0;
	}
	if (strcmp(key, "mechanism") != 0)
		return set_foreign(s, key, j, e);
	m = moe_json_str(j);
	if (moe_json_kind(j) == MOE_J_NULL)
		return 0;
	if (!m.p || m.n >= sizeof(s->mechanism) || memchr(m.p, 0, m.n))
		return moe_fail(e, MOE_DATA,
			"its answer's `mechanism' is not a name of fewer than %zu bytes",
			sizeof(s->mechanism));
	memcpy(s->mechanism, m.p, m.n);
	*named = m.n > 0;
	return 0;
}

static int set_seal(const struct moe_json *root, struct moe_rec *r, struct moe_err *e)
{
	const struct moe_json *f = moe_json_get(root, "findings");
	struct moe_seal s = { .solved_unknown = true, .hacked_unknown = true };
	const struct moe_json *value;
	const void *cursor = NULL;
	struct moe_str mode;
	bool named = false;
	const char *key;
	int rc = -1;

	if (moe_json_kind(f) != MOE_J_NULL && moe_json_kind(f) != MOE_J_OBJECT)
		return moe_fail(e, MOE_DATA, "its answer's `findings' is not an object");
	if (too_many(f, "findings", e))
		return -1;
	while (moe_json_next(f, &cursor, &key, &value))
		if (finding(&s, &named, key, value, e))
			goto done;
	if (s.hacked && !named && moe_rec_str(r, "mode", &mode) && mode.n < sizeof(s.mechanism))
		memcpy(s.mechanism, mode.p, mode.n);
	rc = moe_seal_put(r, &s, e);
done:
	moe_seal_free(&s);
	return rc;
}

int moe_exec_whole(const void *reply, size_t n, bool once, bool ended, size_t max, size_t *len,
	struct moe_err *e)
{
	const char *nl;

	if (n > max)
		return moe_fail(e, MOE_DATA, "its answer is too long");
	*len = n;
	if (once)
		return ended && n;
	nl = memchr(reply, '\n', n);
	if (!nl)
		return 0;
	*len = (size_t)(nl - (const char *)reply);
	return *len + 1 == n ? 1
			     : moe_fail(e, MOE_DATA, "it wrote more than one line for one rollout");
}

int moe_exec_answer(const char *line, size_t n, struct moe_rec *r, struct moe_err *e)
{
	struct moe_json_doc *doc = moe_json_parse(line, n, "its answer", e);
	const struct moe_json *root;
	struct moe_str want, got;
	int rc = -1;

	if (!doc)
		return -1;
	root = moe_json_root(doc);
	got = moe_json_str(moe_json_get(root, "id"));
	if (moe_rec_str_req(r, "id", &want, e))
		goto done;
	if (moe_json_kind(root) != MOE_J_OBJECT)
		moe_fail(e, MOE_DATA, "its answer is not a JSON object");
	else if (!got.p || got.n != want.n || memcmp(got.p, want.p, got.n) != 0)
		moe_fail(e, MOE_DATA,
			"its answer is not for this rollout: `id' must be the rollout's");
	else
		rc = set_rewards(root, r, e) || set_seal(root, r, e) ? -1 : 0;
done:
	moe_json_free(doc);
	return rc;
}
