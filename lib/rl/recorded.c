/* recorded.c - a recorded completion through the engine: what moe-rollout says of a teacher's, and
 * moe-route --explain of any. Sampling is lib/model/sample.c. */
#include "rl/recorded.h"

#include <stdlib.h>
#include <string.h>

/* The pass needs arrays of the caller's tokens and gates: ids [T], row [n], outer [T, E], out [n],
 * routed [T]. */
struct arrays {
	int32_t *ids, *row;
	moe_real *out, *outer;
	unsigned char *routed;
};

static int fill_arrays(
	struct arrays *r, const struct moe_recorded *q, int T, int E, struct moe_err *e)
{
	size_t n = (size_t)q->n, prompt = (size_t)q->n_prompt;

	r->ids = moe_alloc((size_t)T + n, sizeof(*r->ids), e);
	r->out = r->ids ? moe_alloc(n + (size_t)T * (size_t)E, sizeof(*r->out), e) : NULL;
	r->routed = r->out ? moe_alloc((size_t)T, 1, e) : NULL;
	if (!r->routed)
		return -1;
	r->row = r->ids + T;
	r->outer = r->out + n;
	memcpy(r->ids, q->prompt, prompt * sizeof(*r->ids));
	memcpy(r->ids + prompt, q->completion, n * sizeof(*r->ids));
	memset(r->routed, !q->prompt_on, prompt);
	memset(r->routed + prompt, 1, n);
	for (int i = 0; i < q->n; i++)
		r->row[i] = moe_recorded_row(q, i);
	for (size_t t = 0; q->outer && t < (size_t)T; t++)
		memcpy(r->outer + t * (size_t)E, q->outer, (size_t)E * sizeof(*q->outer));
	return 0;
}

int moe_recorded_run(const struct moe_model *m, const struct moe_adapter *a,
	const struct moe_recorded *q, struct moe_acts *acts, float *logp, struct moe_err *e)
{
	int T = q->n_prompt + q->n, E = a ? a->x.E : 0;
	int rest = q->n_prompt - 1; /* segments as training has them (moe/pack.h) */
	struct moe_seg seg[2] = { { 0, rest, -1, 0 }, { rest, q->n + 1, 0, rest } },
		       alone = { 0, T, -1, 0 };
	struct arrays r = { 0 };
	int rc = fill_arrays(&r, q, T, E, e);
	struct moe_batch b = { T, r.ids, rest ? 2 : 1, rest ? seg : &alone };
	struct moe_gates g = { .outer = q->outer ? r.outer : NULL, .routed = r.routed };

	rc = rc || moe_forward(m, a ? &a->x : NULL, &g, &b, acts, e) ||
		(logp &&
			moe_head_logp(m, &b, acts, q->n, r.row, q->completion, q->temperature,
				r.out, NULL, e));
	for (int i = 0; !rc && logp && i < q->n; i++)
		logp[i] = (float)r.out[i];
	free(r.routed);
	free(r.out);
	free(r.ids);
	return rc ? -1 : 0;
}

void moe_recorded_mean(
	const struct moe_recorded *q, const struct moe_site_gates *gates, float *mean)
{
	int from = moe_recorded_from(q);

	for (int e = 0; e < gates->E; e++) {
		double sum = 0;

		for (int i = from; i < q->n; i++)
			for (int s = 0; s < gates->S; s++) {
				size_t row = (size_t)s * (size_t)gates->T +
					(size_t)moe_recorded_row(q, i);

				sum += (double)gates->gate[row * (size_t)gates->E + (size_t)e];
			}
		mean[e] = q->n > from ? (float)(sum / gates->S / (double)(q->n - from)) : 1;
	}
}
