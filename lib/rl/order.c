/* order.c - which rollouts of an update are run, and in which order; it runs none. */
#include "rl/order.h"

double moe_batch_gate(const struct moe_decision_table *p, const struct moe_rollout *r, int bank)
{
	return r->off == bank ? 0 : p->gate[r->decision][bank];
}

double moe_batch_mask(const struct moe_decision_table *p, const struct moe_rollout *r, int bank)
{
	return r->off == bank ? 0 : p->mask[r->decision][bank];
}

size_t moe_batch_tokens(const struct moe_loss_opts *o, const struct moe_rollout *r)
{
	return o->mask_truncated && !r->stopped ? 0 : (size_t)r->n_completion;
}

void moe_batch_kept(const struct moe_loss_opts *o, const struct moe_update *u, double *sum)
{
	const struct moe_token_store *k = u->store;

	for (size_t i = u->from; i < u->to; i++) {
		size_t who = u->pick[i], n = moe_batch_tokens(o, &u->s->r[who]);

		for (size_t t = 0; t < n; t++)
			sum[u->micro_of[who]] += o->top_entropy >= 1 || k->keep[k->at[who] + t];
	}
}

enum { STATES = MOE_DECISIONS * (MOE_BANKS + 1) };

/* A decision, and the bank that was off. */
static int state_of(const struct moe_rollout *r)
{
	return (int)r->decision + MOE_DECISIONS * (r->off + 1);
}

/* Rollouts with equal gates and masks can share a prompt's pass, whatever was decided: same[s] is
 * the first state that is as s to the experts there are. What a router makes of a decision is its
 * own. */
static void equal_states(const struct moe_trainer *t, const struct moe_routing *q, int same[STATES])
{
	const struct moe_experts *x = &t->a->x;

	for (int s = 0; s < STATES; s++) {
		struct moe_rollout a = { .decision = (enum moe_decision)(s % MOE_DECISIONS),
			.off = s / MOE_DECISIONS - 1 };

		for (same[s] = 0; same[s] < s; same[s]++) {
			struct moe_rollout b = { .decision = (enum moe_decision)(
							 same[s] % MOE_DECISIONS),
				.off = same[s] / MOE_DECISIONS - 1 };
			bool equal = true;

			for (int i = 0; i < x->E; i++) {
				int k = (int)x->bank[i];

				equal &= moe_batch_gate(&t->a->plan, &a, k) ==
						moe_batch_gate(&t->a->plan, &b, k) &&
					moe_batch_mask(&t->a->plan, &a, k) ==
						moe_batch_mask(&t->a->plan, &b, k);
			}
			if (equal && !q->on)
				break;
		}
	}
}

/* Would its backward pass give anything but zeros? */
static bool teaches(const struct moe_trainer *t, const struct moe_update *u,
	const struct moe_routing *q, size_t k)
{
	const struct moe_rollout *r = &u->s->r[k];
	bool masked = !q->on && !t->o.split_moments;

	if (u->dead[k])
		return false;
	/* a router's losses and loads are over all that is run */
	if (q->has_losses || (q->on && t->method->after_step))
		return true;
	for (int e = 0; masked && e < t->a->x.E; e++)
		masked = moe_batch_mask(&t->a->plan, r, (int)t->a->x.bank[e]) == 0;
	return u->adv[k] != 0 && !masked;
}

size_t moe_order(const struct moe_trainer *t, const struct moe_update *u,
	const struct moe_routing *q, bool everything, size_t *order, struct moe_seq *seq)
{
	const struct moe_rollout_step *s = u->s;
	int same[STATES];
	size_t n = 0;

	equal_states(t, q, same);
	for (size_t i = u->from; i < u->to; i++) {
		int64_t group = s->r[u->pick[i]].group;
		bool first = true;

		for (size_t k = u->from; k < i && first; k++)
			first = s->r[u->pick[k]].group != group;
		for (int state = 0; first && state < STATES; state++)
			for (size_t k = i; k < u->to; k++) {
				const struct moe_rollout *r = &s->r[u->pick[k]];

				if (r->group == group && same[state_of(r)] == state &&
					moe_batch_tokens(&t->o.loss, r) > 0 &&
					(everything || teaches(t, u, q, u->pick[k])))
					order[n++] = u->pick[k];
			}
	}
	for (size_t i = 0; i < n; i++) {
		const struct moe_rollout *r = &s->r[order[i]];

		/* The last token predicts nothing. What is a rollout's own cannot share a prompt.
		 */
		seq[i] = (struct moe_seq){ r->prompt, r->completion, r->n_prompt,
			r->n_completion - 1,
			q->mask_differs || (q->on && !q->pass) ? (int)i : same[state_of(r)] };
	}
	return n;
}
