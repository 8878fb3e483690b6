/* fuzz_grade.c - any bytes as the answer of a grading process, which model-written code may have
 * taken over: what is accepted makes a record that can be written, read again, and whose seal
 * opens. */
#include "fuzz.h"

#include "env/judge.h"
#include "formats/seal.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t bytes[sizeof(struct moe_grade)] = { 0 };
	struct moe_rec r = { 0 }, again = { 0 };
	struct moe_buf b = { 0 };
	struct moe_seal s = { 0 };
	struct moe_err e = { 0 };
	struct moe_grade g;
	double reward;

	memcpy(bytes, p, n < sizeof(bytes) ? n : sizeof(bytes));
	moe_judge_accept(&g, bytes);
	MUST((unsigned)g.fault < MOE_GRADE_FAULTS && memchr(g.note, 0, sizeof(g.note)));
	MUST(!moe_rec_set_str(&r, "t", "rollout", &e) && !moe_grade_apply(&g, &r, &e));
	MUST(!moe_rec_emit(&r, &b, &e) && !moe_rec_parse(&again, b.data, b.len, &e));
	MUST(moe_rec_f64(&again, "reward", &reward) && isfinite(reward));
	MUST(moe_seal_get(&again, &s, &e) == 1 && s.solved == g.solved && s.hacked == g.hacked &&
		!strcmp(s.mechanism, g.mechanism));
	moe_seal_free(&s);
	moe_rec_free(&r);
	moe_rec_free(&again);
	moe_buf_free(&b);
	return 0;
}
