/* recorded.h - one recorded completion through the engine again, under an adapter and with the
 * gates of sampling. It judges nothing and writes no record.
 */
#ifndef MOE_RL_RECORDED_H
#define MOE_RL_RECORDED_H

#include "model/model.h"
#include "moe/adapter.h"

struct moe_recorded {
	const int32_t *prompt, *completion; /* [n_prompt], [n]; borrowed */
	int n_prompt, n;                    /* both above 0 */
	const moe_real *outer;              /* [E] the same at all rows; NULL = ones. Borrowed */
	bool prompt_on; /* the router is kept out of the prompt's rows, the last included */
	double temperature;
};

/* The row that predicts token i of the completion. */
static inline int moe_recorded_row(const struct moe_recorded *q, int i)
{
	return q->n_prompt + i - 1;
}
/* The pass: fills acts (the caller's; acts->gates are those of all its rows) and, unless it is
 * NULL, logp [n]: log-probabilities of the completion at that temperature. a NULL = the base. */
int moe_recorded_run(const struct moe_model *m, const struct moe_adapter *a,
	const struct moe_recorded *q, struct moe_acts *acts, float *logp, struct moe_err *e);
/* The first token of the completion at whose row the router decides: 1 when it is kept out of the
 * prompt. */
static inline int moe_recorded_from(const struct moe_recorded *q)
{
	return q->prompt_on ? 1 : 0;
}
/* Mean gates [E] over the sites and the rows at which the router decides; 1 where there is none. */
void moe_recorded_mean(
	const struct moe_recorded *q, const struct moe_site_gates *gates, float *mean);

#endif
