/* router.h - what a router is to the engine: two functions over rows, and the tensors of a site. No
 * router is implemented here (moe/methods), and no arithmetic of gates (nn/gate.h).
 *
 * A SITE is an input that some Linears share and at which one gate vector per token is decided.
 * Where sites are is the adapter's placement: per rollout (no site inside the pass), once per token
 * for all layers, per layer, per block (attention | MLP), per group of Linears with a common input
 * (q k v | o | gate up | down), per Linear, or once per token from a first pass of the base. Only
 * sites with an adapted Linear exist. A site reads the input of the first group, in forward order,
 * that has an adapted Linear of the site; d is the width of that input. S sites, in forward order.
 *
 * A router decides over the ROUTED experts: those of the banks clean and quarantine, in the order
 * of the layout. E below is their number. Experts of the bank `shared` always have the router gate
 * 1. For token t and site s the gate that multiplies expert e is
 *
 *     gate[s,t,e] = outer[t,e] * deploy( routed[t] ? router_s(x_s[t]) : 1 )_e          (experts.h)
 *
 * outer is what the caller fixes (decision table, a bank that is off). deploy says what becomes of
 * the router's gate of an expert that is deleted (outer or present exactly 0). The router sees
 * none of the three: it maps x to gates, and the engine does the rest, forward and backward.
 *
 * CONTRACT. (1) A row's numbers depend on that row of x alone, and on the parameters: no sums over
 * rows in fwd, no batch statistics, no random numbers (`compete` is apart, and optional). (2) The
 * product with the weights goes through moe_gate_linear or moe_gate_cosine of nn/gate.h
 * (row-exact): the sampler calls the same fwd with other rows beside and must get the same bits.
 * (3) fwd and bwd allocate nothing, keep no state outside of the call, and are called from many
 * threads at once. (4) No label, reward or score reaches a router.
 *
 * PARAMETERS. Each site owns up to MOE_ROUTER_TENSORS tensors, which `tensors` names: for
 * site s tensor "weight" lies in the stream as "router.s.weight". They are views of the one flat
 * parameter block of the experts (experts.h, struct moe_view), after all A and B, in site order,
 * then in the order given here; so decay to start, clipping, NaN checks, AdamW, checkpoint, resume,
 * publication and digest need no further code. Role MOE_ROLE_ROUTER is trained by the optimiser's
 * owner number x->E, with the router's learning-rate ratio; role MOE_ROLE_STATE (a balancing bias,
 * a clock that anneals) gets no gradient and changes only in the method's after_step. Where the
 * tensors of a site lie is asked for with moe_router_params; a method's init and after_step write
 * there:
 *
 *     moe_real *p[MOE_ROUTER_TENSORS];
 *     moe_router_params(&a->x, a->x.param, s, p);       p[0][e * d + j], p[1][e] ...
 *
 * The same function over a gradient block gives where dparam lies.
 */
#ifndef MOE_MODEL_ROUTER_H
#define MOE_MODEL_ROUTER_H

#include "tensor/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOE_ROUTER_TENSORS 4
#define MOE_ROUTER_SETTINGS                                                                        \
	24 /* of a method, in the order of its table of settings (moe/method.h); borrowed as set[] \
	    */

enum moe_placement {
	MOE_PER_ROLLOUT, /* S = 0 in the pass: the loop calls the router on one row per rollout, and
			    what it answers becomes `outer` */
	MOE_PER_TOKEN,   /* S = 1 */
	MOE_PER_LAYER,
	MOE_PER_BLOCK,
	MOE_PER_GROUP,
	MOE_PER_LINEAR,
	MOE_PER_BASE, /* S = 1: a first pass without experts; the site reads its last state, after
			 the final norm (d = D), which is a constant to all gradients */
	MOE_PLACEMENTS
};
extern const char *const moe_placement_names[MOE_PLACEMENTS]; /* "rollout", "token", "layer" ... */

/* Roles of the tensors in the flat block. */
enum moe_role { MOE_ROLE_A, MOE_ROLE_B, MOE_ROLE_ROUTER, MOE_ROLE_STATE, MOE_ROLE_FORM };

struct moe_router_tensor {
	const char *name;   /* "weight", "bias", "state"; at most 15 bytes, static */
	enum moe_role role; /* MOE_ROLE_ROUTER or MOE_ROLE_STATE */
	int rows, cols;     /* C order; a vector has rows = 1 */
};

/* Rows of one site: what fwd reads and writes, and what bwd reads. All arrays are dense but x. */
struct moe_router_rows {
	int T, d, E;
	const double *set; /* the method's settings */
	const moe_real *param[MOE_ROUTER_TENSORS];
	const moe_real *x; /* [T, d], rows ldx apart */
	int ldx;
	moe_real *logit; /* [T, E] fwd fills it: what z-loss and logit norms are taken of */
	moe_real *gate;  /* [T, E] fwd fills it */
	moe_real *kept;  /* [T, keep] fwd leaves there what bwd needs beside x, logit and gate */
	const bool *quarantine; /* [E] is the expert of that bank? */
};

/* Gradients of the same rows. += everywhere; NULL where nobody wants it. */
struct moe_router_grads {
	const moe_real *dgate;  /* [T, E] complete: all Linears of the site, `learn`, seeds */
	const moe_real *dlogit; /* [T, E] seeds, added to what comes through the gates; or NULL */
	moe_real *dparam[MOE_ROUTER_TENSORS]; /* NULL for MOE_ROLE_STATE */
	moe_real *dx;                         /* [T, d], rows lddx apart */
	int lddx;
	moe_real *work; /* [T, E] scratch: for the whole gradient of the logits */
};

/* Gates of one rollout's rows of a pass (its decision row first), as losses read and seed them. */
struct moe_gate_rows {
	int S, T, E, n;
	const int32_t *row;           /* [n] row i of site s lies at (s * T + row[i]) * E */
	const moe_real *gate, *logit; /* [S, T, E] the router's own, before outer and deploy */
	moe_real *dgate, *dlogit;     /* [S, T, E] += seeds */
	int decision;                 /* of the rollout (enum moe_decision) */
};

/* Where the E numbers of row i at site s begin in these arrays. */
static inline size_t moe_gate_cell(const struct moe_gate_rows *r, int s, int i)
{
	return ((size_t)s * (size_t)r->T + (size_t)r->row[i]) * (size_t)r->E;
}

struct moe_router {
	const char *name;
	bool hard; /* a gate jumps as x moves (top-k, capacity): training then uses exact products,
		      for the rounding of x must not flip a choice between sampler and trainer */
	/* Names a site's tensors; returns how many. */
	int (*tensors)(
		int d, int E, const double *set, struct moe_router_tensor out[MOE_ROUTER_TENSORS]);
	/* Numbers kept per row beside logit and gate; NULL = 0. */
	int (*keep)(int E, const double *set);
	void (*fwd)(const struct moe_router_rows *r);
	/* Only of a router that is not causal: after fwd, in training, the rows of one completion
	 * together, in order. It may change gates and what was kept: rows compete. While sampling
	 * it is not called, for later rows do not exist yet. NULL = rows are alone. */
	void (*compete)(const struct moe_router_rows *r);
	void (*bwd)(const struct moe_router_rows *r, const struct moe_router_grads *g);
};

struct moe_experts;
/* Where the tensors of site s lie in `block` (x->param or a gradient [n_param]); NULL past the
 * last. For MOE_PER_ROLLOUT there is one site, 0, that only the loop uses. */
void moe_router_params(
	const struct moe_experts *x, moe_real *block, int s, moe_real *p[MOE_ROUTER_TENSORS]);

#endif
