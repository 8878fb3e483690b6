/* sites.h - the gates of a pass: at each site the router's, then what deploy and the caller make of
 * them; forward and backward. Training and decoding share these functions. Not the routers
 * themselves (router.h), not the products that the gates enter (prep.h).
 *
 * S sites, T rows, E experts, n = x->n_routed of them routed. With S = 0 nothing here costs
 * anything: the experts' gate is the caller's `outer`. Thread-safe on gates of one's own.
 */
#ifndef MOE_MODEL_SITES_H
#define MOE_MODEL_SITES_H

#include "model/experts.h"
#include "util/mem.h"

struct moe_site_gates {
	int S, T, E, n, keep;
	moe_real *logit; /* [S, T, n] the router's logits */
	moe_real *r;     /* [S, T, n] the router's gates, also where routed is 0 or gates are
			    replayed */
	moe_real *kept;  /* [S, T, keep] what the router's backward pass needs beside */
	moe_real *gate;  /* [S, T, E] what multiplied the experts (without present) */
};

/* Arrays for T rows, in the arena. Without sites: zeroes the struct, takes nothing. */
int moe_site_gates_make(struct moe_site_gates *q, const struct moe_experts *x, int T,
	struct moe_arena *a, struct moe_err *e);
/* The site of a Linear within the pass, or -1. */
static inline int moe_site_of(const struct moe_experts *x, size_t cell)
{
	return x && x->S ? x->site_at[cell] : -1;
}
/* Sites that read the input of a group: fills s[MOE_GROUP_MAX], returns how many. */
int moe_sites_at(const struct moe_experts *x, int layer, enum moe_group g, int s[MOE_GROUP_MAX]);
/* Site s on the rows in [T, d], ldx apart: fills q's rows of that site. g NULL = outer 1, all
 * routed, nothing replayed. */
void moe_site_fwd(const struct moe_experts *x, const struct moe_gates *g, int s, const moe_real *in,
	int ldx, struct moe_site_gates *q);
/* The gates of the experts of a Linear, [T, E]; NULL = all one. */
const moe_real *moe_gate_of(const struct moe_experts *x, const struct moe_gates *g,
	const struct moe_site_gates *q, size_t cell);
/* From dgate [T, E], the complete gradient of q->gate at site s (overwritten): g->douter +=,
 * the router's tensors in dblock [n_param] += (NULL = not wanted), and d_in [T, d] += (NULL = not
 * wanted). work [2, T, n]. */
void moe_site_bwd(const struct moe_experts *x, const struct moe_gates *g, int s, const moe_real *in,
	int ldx, const struct moe_site_gates *q, moe_real *dgate, moe_real *dblock, moe_real *d_in,
	int ldd, moe_real *work);

#endif
