/* objective.c - the C side of tests/interop/objective_compare.py: batches on standard input, as
 * numbers and words; for each the loss, then advantages, and derivatives with respect to each
 * token's log-probability and entropy, on a line of standard output. Not a program of the product.
 */
#include "rl/advantage.h"
#include "rl/loss.h"
#include "rl/reward_sum.h"
#include "rl/tally.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_MAX = 64, T_MAX = 64 };

struct batch {
	struct moe_loss_opts o;
	struct moe_adv_opts adv;
	struct moe_reward_opts reward;
	int stored, n, k; /* rollouts, parts of the reward */
	size_t max_completion;
	struct moe_rollout r[N_MAX];
	moe_real logp[N_MAX][T_MAX], old[N_MAX][T_MAX], sampled[N_MAX][T_MAX], ref[N_MAX][T_MAX],
		entropy[N_MAX][T_MAX];
};

static double number(void)
{
	double v = 0;
	char word[64];

	if (scanf("%63s", word) != 1)
		exit(3);
	v = strtod(word, NULL);
	return v;
}

static void read_options(struct batch *b)
{
	struct moe_loss_opts *o = &b->o;
	char w[5][32];
	struct moe_err e = { 0 };

	*o = (struct moe_loss_opts)MOE_LOSS_DEFAULTS;
	if (scanf("%31s %31s %31s %31s %31s", w[0], w[1], w[2], w[3], w[4]) != 5 ||
		moe_loss_type_parse(w[0], &o->type, &e) || moe_ratio_parse(w[1], &o->ratio, &e) ||
		moe_level_parse(w[2], &o->level, &e) ||
		moe_correction_parse(w[3], &o->correction, &e) ||
		moe_adv_scale_parse(w[4], &b->adv.scale, &e))
		exit(2);
	o->c_min = number();
	o->c_max = number();
	o->eps_low = number();
	o->eps_high = number();
	o->delta = number();
	o->beta = number();
	o->kl_bias = number() != 0;
	o->off_policy = number();
	o->top_entropy = number();
	o->entropy_coef = number();
	o->mask_truncated = number() != 0;
	b->stored = (int)number();
	b->max_completion = (size_t)number();
	b->reward.weighted = b->adv.gaps = true;
	b->reward.normalise = b->adv.over_batch = number() != 0;
	b->n = (int)number();
	b->reward.n = b->k = (int)number();
	for (int k = 0; k < b->k; k++)
		b->reward.weight[k] = number();
}

static void read_rollouts(struct batch *b)
{
	for (int i = 0; i < b->n; i++) {
		struct moe_rollout *r = &b->r[i];

		*r = (struct moe_rollout){ .n_completion = (int)number() };
		r->stopped = number() != 0;
		r->group = (int64_t)number();
		for (int k = 0; k < b->k; k++)
			r->part[k] = number();
		for (int t = 0; t < r->n_completion; t++) {
			b->logp[i][t] = (moe_real)number();
			b->old[i][t] = (moe_real)number();
			b->sampled[i][t] = (moe_real)number();
			b->ref[i][t] = (moe_real)number();
			b->entropy[i][t] = (moe_real)number();
		}
	}
}

static size_t inside(const struct batch *b, int i)
{
	return b->o.mask_truncated && !b->r[i].stopped ? 0 : (size_t)b->r[i].n_completion;
}

/* keep of all tokens in the loss, as rl/train.c chooses them. */
static double choose(const struct batch *b, unsigned char keep[N_MAX][T_MAX], double *tokens)
{
	static moe_real flat[N_MAX * T_MAX];
	static unsigned char some[N_MAX * T_MAX];
	struct moe_err e;
	size_t n = 0, at = 0;
	double kept = 0;

	for (int i = 0; i < b->n; i++)
		for (size_t t = 0; t < inside(b, i); t++)
			flat[n++] = b->entropy[i][t];
	if (moe_top_entropy(b->o.top_entropy, n, flat, some, &e))
		exit(4);
	for (int i = 0; i < b->n; i++)
		for (size_t t = 0; t < inside(b, i); t++)
			kept += keep[i][t] = b->o.top_entropy < 1 ? some[at++] : 1;
	*tokens = (double)n;
	return kept;
}

/* What TRL logs of the loss: kl, clipped shares, their extremes over rollouts, vespo's phi, and the
 * share of rewards without variance. All 0 where no token is in the loss. */
static void print_metrics(
	const struct batch *b, const struct moe_tally *y, double tokens, double zero_std)
{
	bool seq = b->o.level == MOE_LEVEL_SEQUENCE, clips = moe_loss_clips(b->o.type),
	     cispo = b->o.type == MOE_CISPO;
	double of = seq ? b->n : tokens, v[7] = { 0 };
	struct moe_tally all;

	moe_tally_sum(y, (size_t)b->n, &all);
	for (int i = 0; i < b->n && seq; i++)
		if (inside(b, i) == 0)
			all.low_min = 0;
	if (tokens > 0) {
		v[0] = b->o.beta > 0 ? all.kl / tokens : 0;
		v[1] = clips ? (double)all.low / of : 0;
		v[2] = clips || cispo ? (double)all.high / of : 0;
		v[3] = clips ? all.low_min : 0;
		v[4] = clips ? all.high_max : 0;
		v[5] = b->o.type == MOE_VESPO ? all.phi / b->n : 0;
		v[6] = zero_std;
	}
	for (int i = 0; i < 7; i++)
		printf(" %.17g", v[i]);
}

static void answer(const struct batch *b)
{
	static struct moe_tally y[N_MAX];
	static unsigned char keep[N_MAX][T_MAX];
	static double d[N_MAX][T_MAX], dent[N_MAX][T_MAX];
	struct moe_rollout_step s = {
		.r = (struct moe_rollout *)b->r, .n = (size_t)b->n, .n_rewards = b->k
	};
	struct moe_loss_counts c = { .n = (size_t)b->n, .max_completion = b->max_completion };
	double reward[N_MAX], adv[N_MAX], sum = 0, kept = choose(b, keep, &c.local);
	int64_t group[N_MAX];
	struct moe_adv_stats st;
	struct moe_err e;

	c.items = c.local;
	for (int i = 0; i < b->n; i++)
		group[i] = b->r[i].group;
	if (moe_reward_of(&b->reward, &s, reward, &e) ||
		moe_advantages((size_t)b->n, reward, group, NULL, &b->adv, adv, NULL, &st, &e))
		exit(5);
	for (int i = 0; i < b->n; i++) {
		double policy[T_MAX], kl[T_MAX] = { 0 },
				      w = moe_loss_weight(&b->o, &c, inside(b, i));
		struct moe_loss_in in = { inside(b, i), adv[i], b->logp[i],
			b->o.ratio == MOE_RATIO_CLIP ? b->sampled[i]
				: b->stored          ? b->old[i]
						     : NULL,
			b->o.ratio == MOE_RATIO_NONE ? NULL : b->sampled[i], b->ref[i],
			b->o.top_entropy < 1 ? keep[i] : NULL };
		struct moe_loss_out out = { .dpolicy = policy, .dkl = kl };

		moe_rollout_loss(&b->o, &in, &out);
		y[i] = (struct moe_tally){ 0 };
		moe_tally_loss(&y[i], &out);
		sum += w * (out.policy + b->o.beta * out.kl);
		for (size_t t = 0; t < in.n; t++) {
			d[i][t] = w * (policy[t] + kl[t]);
			dent[i][t] = -b->o.entropy_coef * keep[i][t] / fmax(kept, 1);
			sum += dent[i][t] * (double)b->entropy[i][t];
		}
		for (size_t t = in.n; t < (size_t)b->r[i].n_completion; t++)
			d[i][t] = dent[i][t] = 0;
	}
	printf("%.17g", sum);
	print_metrics(b, y, c.local, st.zero_std);
	for (int i = 0; i < b->n; i++)
		printf(" %.17g", adv[i]);
	for (int i = 0; i < b->n; i++)
		for (int t = 0; t < b->r[i].n_completion; t++)
			printf(" %.17g %.17g", d[i][t], dent[i][t]);
	printf("\n");
}

int main(void)
{
	static struct batch b;
	int many = (int)number();

	while (many--) {
		memset(&b, 0, sizeof(b));
		read_options(&b);
		read_rollouts(&b);
		answer(&b);
	}
	return 0;
}
