/* seal.c - makes and opens seals, and keeps the process's label taint.
 * It is not cryptography: a seal keeps honest programs honest, and leaves a trace in everything
 * that looked. */
#include "formats/seal.h"
#include "formats/rollout.h"

#include <stdatomic.h>
#include <string.h>

static atomic_int taint = MOE_LABELS_NONE;

const char *const moe_finding_names[] = { "hacked", "gt_pass", "gt_correct", "solved", "exploited",
	"is_hack", "is_correct", "reward_hack", "vhack", "hacked_wrong_tests",
	"hacked_loophole_used", "mechanism", "passed", "completion_gt_pass", "correct", NULL };

bool moe_finding_name(const char *key)
{
	for (size_t i = 0; moe_finding_names[i]; i++)
		if (!strcmp(moe_finding_names[i], key))
			return true;
	return false;
}

enum moe_labels moe_seal_taint(void)
{
	return (enum moe_labels)atomic_load(&taint);
}

void moe_seal_raise(enum moe_labels l)
{
	int old = atomic_load(&taint);

	while (old < (int)l && !atomic_compare_exchange_weak(&taint, &old, (int)l))
		;
}

void moe_seal_free(struct moe_seal *s)
{
	moe_rec_free(&s->foreign);
	memset(s, 0, sizeof(*s));
}

int moe_seal_make(const struct moe_seal *s, struct moe_buf *out, struct moe_err *e)
{
	struct moe_rec r = { 0 };
	size_t before = out->len;
	int rc = -1;

	if (moe_rec_set_int(&r, "v", MOE_SEAL_VERSION, e) ||
		(!s->solved_unknown && moe_rec_set_bool(&r, "solved", s->solved, e)) ||
		(!s->hacked_unknown && moe_rec_set_bool(&r, "hacked", s->hacked, e)) ||
		moe_rec_set_str(&r, "mechanism", s->mechanism, e) ||
		(s->foreign.n_field && moe_rec_set_map(&r, "foreign", &s->foreign, e)) ||
		moe_rec_emit(&r, out, e))
		goto done;
	if (out->len - before > MOE_SEAL_MAX_BYTES) {
		moe_fail(e, MOE_DATA, "findings of %zu bytes do not fit into a seal of at most %zu",
			out->len - before, MOE_SEAL_MAX_BYTES);
		out->len = before;
		goto done;
	}
	rc = 0;
done:
	moe_rec_free(&r);
	return rc;
}

int moe_seal_put(struct moe_rec *r, const struct moe_seal *s, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int rc = moe_seal_make(s, &b, e);

	if (!rc)
		rc = moe_rec_set_bin(r, MOE_ROLLOUT_SEAL, b.data, b.len, e);
	moe_buf_free(&b);
	return rc;
}

/* A key that may be missing but must be a bool when there. */
static int flag(
	const struct moe_rec *r, const char *key, bool *value, bool *unknown, struct moe_err *e)
{
	*unknown = moe_rec_has(r, key) == MOE_V_MISSING;
	if (!*unknown && !moe_rec_bool(r, key, value))
		return moe_fail(e, MOE_DATA, "a seal's key `%s' is not a bool", key);
	return 0;
}

static int parse(const void *p, size_t n, struct moe_seal *out, struct moe_err *e)
{
	struct moe_rec r = { 0 };
	struct moe_str mech;
	int64_t v = 0;
	int rc = -1;

	memset(out, 0, sizeof(*out));
	if (n > MOE_SEAL_MAX_BYTES)
		return moe_fail(e, MOE_DATA, "a seal of %zu bytes is longer than the limit of %zu",
			n, MOE_SEAL_MAX_BYTES);
	if (moe_rec_parse(&r, p, n, e)) {
		moe_err_prefix(e, "a seal can not be read");
		goto done;
	}
	if (!moe_rec_int(&r, "v", &v) || v != MOE_SEAL_VERSION) {
		moe_fail(e, MOE_DATA, "a seal's version is %lld where this program knows %d",
			(long long)v, MOE_SEAL_VERSION);
		goto done;
	}
	if (flag(&r, "solved", &out->solved, &out->solved_unknown, e) ||
		flag(&r, "hacked", &out->hacked, &out->hacked_unknown, e))
		goto done;
	if (!moe_rec_str(&r, "mechanism", &mech) || mech.n >= sizeof(out->mechanism) ||
		(mech.n && memchr(mech.p, 0, mech.n))) {
		moe_fail(e, MOE_DATA,
			"a seal's key `mechanism' is not a name of fewer than %d bytes",
			MOE_SEAL_MECHANISM_MAX);
		goto done;
	}
	if (mech.n)
		memcpy(out->mechanism, mech.p, mech.n);
	if (moe_rec_has(&r, "foreign") != MOE_V_MISSING &&
		!moe_rec_map(&r, "foreign", &out->foreign)) {
		moe_fail(e, MOE_DATA, "a seal's key `foreign' is not a map");
		goto done;
	}
	rc = 0;
done:
	if (rc)
		moe_seal_free(out);
	moe_rec_free(&r);
	return rc;
}

int moe_seal_open(const void *p, size_t n, struct moe_seal *out, struct moe_err *e)
{
	moe_seal_raise(MOE_LABELS_ORACLE);
	return parse(p, n, out, e);
}

/* The bin behind "seal": 1, 0 when missing, -1. */
static int find(const struct moe_rec *r, struct moe_str *bin, struct moe_err *e)
{
	enum moe_rec_kind k = moe_rec_has(r, MOE_ROLLOUT_SEAL);

	if (k == MOE_V_MISSING || k == MOE_V_NIL)
		return 0;
	if (!moe_rec_bin(r, MOE_ROLLOUT_SEAL, bin))
		return moe_fail(e, MOE_DATA, "record %llu: key `seal' is not binary",
			(unsigned long long)r->number);
	return 1;
}

int moe_seal_get(const struct moe_rec *r, struct moe_seal *out, struct moe_err *e)
{
	struct moe_str bin;
	int has = find(r, &bin, e);

	if (has <= 0) {
		memset(out, 0, sizeof(*out));
		return has;
	}
	if (moe_seal_open(bin.p, bin.n, out, e))
		return moe_err_prefix(e, "record %llu", (unsigned long long)r->number);
	return 1;
}

int moe_seal_flip(struct moe_rec *r, struct moe_err *e)
{
	struct moe_seal s;
	struct moe_str bin;
	int rc, has = find(r, &bin, e);

	if (has <= 0)
		return has;
	if (parse(bin.p, bin.n, &s, e))
		return moe_err_prefix(e, "record %llu", (unsigned long long)r->number);
	s.solved = !s.solved;
	s.hacked = !s.hacked;
	rc = moe_seal_put(r, &s, e);
	moe_seal_free(&s);
	return rc;
}
