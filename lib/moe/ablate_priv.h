/* ablate_priv.h - what ablate.c, ablate_out.c and ablate_damage.c share. Nobody else includes it.
 */
#ifndef MOE_MOE_ABLATE_PRIV_H
#define MOE_MOE_ABLATE_PRIV_H

#include "moe/ablate.h"

/* The K-th random subspace of the quarantine's rank: of 64 draws the one whose part of the delta
 * has the norm that is nearest the quarantine's. */
struct moe_ablate_draw {
	double *w, *best, *q; /* [cells] weights of the removed slots, cells = L*7*R: scratch, of
				 the draw, of the quarantine; one block */
	double *gram;         /* [L*7, R, R] */
	double target, norm;  /* Frobenius norms: the quarantine's, the draw's */
	double overlap;       /* share of the draw's slots that are the quarantine's */
	size_t cells;
	int rank;
};
int moe_ablate_draw_slots(const struct moe_experts *x, uint64_t seed, uint64_t k,
	struct moe_ablate_draw *d, struct moe_err *e);
void moe_ablate_draw_free(struct moe_ablate_draw *d); /* accepts a zeroed struct */

/* The number K of "trajectory-out=K", 0 for any other name. */
int moe_ablate_directions(const char *name);

/* Each turns the copy `to` of `from` into an arm (ablate.h). */
int moe_ablate_trajectory(struct moe_adapter *to, const struct moe_adapter *from,
	const struct moe_trajectory *t, int k, struct moe_err *e);
int moe_ablate_pairs(struct moe_adapter *to, const struct moe_engine *g, const struct moe_pairs *p,
	struct moe_err *e);
int moe_ablate_damage(struct moe_adapter *to, const struct moe_damage *d, uint64_t seed, uint64_t k,
	struct moe_err *e);

#endif
