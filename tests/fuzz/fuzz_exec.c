/* fuzz_exec.c - any bytes as what an external grader writes, arriving in pieces: an answer is one
 * line for this rollout and gives a finite reward and a seal that opens, or it is refused. The
 * first byte says how large the pieces are and whether the grader is one for a single rollout. */
#include "fuzz.h"

#include "env/exec.h"
#include "formats/seal.h"

#include <math.h>

static void answered(const char *p, size_t n)
{
	struct moe_rec r = { 0 };
	struct moe_seal s = { 0 };
	struct moe_err e = { 0 };
	double reward;

	MUST(!moe_rec_set_str(&r, "id", "x", &e) && !moe_rec_set_str(&r, "mode", "m", &e));
	if (!moe_exec_answer(p, n, &r, &e)) {
		MUST(moe_rec_f64(&r, "reward", &reward) && isfinite(reward) &&
			moe_seal_get(&r, &s, &e) == 1);
		moe_seal_free(&s);
	} else {
		MUST(e.msg[0]);
	}
	moe_rec_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	size_t piece, len, have = 0;
	struct moe_err e = { 0 };
	bool once;
	int rc = 0;

	if (!n)
		return 0;
	once = *p & 1;
	piece = 1 + (*p >> 1);
	p++;
	n--;
	while (!rc && have < n) {
		have = n - have < piece ? n : have + piece;
		rc = moe_exec_whole(p, have, once, false, 4096, &len, &e);
		MUST(rc <= 0 || (!once && len < have && p[len] == '\n' && !memchr(p, '\n', len)));
	}
	if (!rc)
		rc = moe_exec_whole(p, have, once, true, 4096, &len, &e);
	MUST(rc >= 0 || (e.code == MOE_DATA && e.msg[0]));
	if (rc > 0)
		answered((const char *)p, len);
	return 0;
}
