/* experts.h - LoRA experts stacked into one low-rank pair per Linear (design.md section 2), the
 * router that may weigh them, and the one table of all their tensors.
 *
 *     y = W x + s * B ((alive * present * gate) .* (A x))   A [R, d_in], B [d_out, R], R = sum of
 *     dA, dB of expert e *= mask_e   (dx is not masked)     ranks
 *
 * gate and mask are per token and expert. present is per expert: 1, 0 or a scale, the switch of the
 * ablation arms. alive is per Linear and rank slot: random subspaces that are ablated.
 *
 * All parameters lie in one flat block. `view` names each tensor in it. The order of the table is
 * the order of the stream, of the digest and of the optimiser: per layer and Linear (enum order) A
 * then B; then, per site, the router's tensors. Whoever walks over parameters walks over the table.
 *
 * With a router (router.h) the gate of routed expert e at site s is
 *
 *     gate[s,t,e] = outer[t,e] * r'[s,t,e]       r = router_s(x_s[t]), or 1 where routed[t] is 0
 *
 * r' is r after `deploy`, which says what becomes of the gate of an expert that is off (outer or
 * present exactly 0), with M = sum of r over routed experts, A = the same over those that are on:
 *     drop       r'_e = r_e                       the freed gate is lost, the sum becomes smaller
 *     renorm     r'_e = r_e M / A  (0 if A = 0)   the experts that are on take it, in proportion
 *     to-shared  r'_e = r_e; experts of the bank shared: gate 1 + (M - A)
 * It holds in training wherever outer is 0, so that the deployed state is the one trained in.
 * Experts of the bank `shared` have the router gate 1.
 */
#ifndef MOE_MODEL_EXPERTS_H
#define MOE_MODEL_EXPERTS_H

#include "model/config.h"
#include "model/router.h"

#include <stddef.h>
#include <stdint.h>

#define MOE_EXPERTS_MAX   64
#define MOE_FORM_TENSORS  4
#define MOE_EXPERTS_PARAM ((size_t)1 << 29) /* elements of all tensors of an adapter, at most */

enum moe_bank { MOE_BANK_SHARED, MOE_BANK_CLEAN, MOE_BANK_QUARANTINE, MOE_BANKS };
extern const char *const moe_bank_names[MOE_BANKS];
/* The bank of that name (n bytes), or -1. */
int moe_bank_find(const char *s, size_t n);

enum moe_deploy { MOE_DEPLOY_DROP, MOE_DEPLOY_RENORM, MOE_DEPLOY_SHARED, MOE_DEPLOYS };
extern const char *const moe_deploy_names[MOE_DEPLOYS]; /* "drop", "renorm", "to-shared" */

/* A tensor of the flat block. */
struct moe_view {
	char name[40]; /* "layers.2.q.A", "router.3.weight" */
	enum moe_role role;
	int layer, linear; /* A, B, form: of this Linear; else -1 */
	int site;          /* router, state: of this site; else -1 */
	int rows, cols;    /* A [R, d_in], B [d_out, R], the router's as router.h says; C order */
	size_t off, n;     /* first element in the block; rows * cols */
};

/* An input at which one gate vector per token is decided (router.h). */
struct moe_site {
	int layer;            /* of the group that it reads, */
	enum moe_group group; /* and that group */
	int d;                /* width of its input */
	int view, n_view;     /* its tensors in the table */
};

struct moe_experts;
/* A form makes A and B of a Linear from other numbers, which are trained in their place: a bound, a
 * rotation. The engine, the stream's readers and ablations see A and B as ever. Its tensors lie
 * behind A and B of their Linear; of one with the role MOE_ROLE_FORM (cols = R) the columns belong
 * to the experts as those of B do, and the optimiser trains them; MOE_ROLE_STATE is constant. */
struct moe_form {
	const char *name;
	int (*tensors)(const struct moe_experts *x, int d_in, int d_out,
		struct moe_router_tensor out[MOE_FORM_TENSORS]);
	/* A and B of the Linear from the form's tensors p (NULL past the last). */
	void (*make)(const struct moe_experts *x, int d_in, int d_out,
		moe_real *const p[MOE_FORM_TENSORS], moe_real *A, moe_real *B);
	/* The form's gradient d += from those of A and B. d is NULL for a constant. */
	void (*bwd)(const struct moe_experts *x, int d_in, int d_out,
		moe_real *const p[MOE_FORM_TENSORS], const moe_real *dA, const moe_real *dB,
		moe_real *const d[MOE_FORM_TENSORS]);
};

struct moe_experts {
	/* set by the caller before moe_experts_init */
	int E;
	int rank[MOE_EXPERTS_MAX];
	int fixed[MOE_EXPERTS_MAX];  /* so many of an expert's slots, its last, are constants that
					training leaves as they are: what it began as, subtracted */
	const struct moe_form *form; /* what A and B are made from; NULL = they are trained */
	enum moe_bank bank[MOE_EXPERTS_MAX];
	char name[MOE_EXPERTS_MAX][32];
	bool target[MOE_LINEARS];        /* which Linears are adapted */
	double scale;                    /* s */
	const struct moe_router *router; /* NULL = none: every router gate is 1, S = 0 */
	enum moe_placement placement;
	double set[MOE_ROUTER_SETTINGS]; /* settings that the router's functions get */
	enum moe_deploy deploy;
	int shift; /* layer, from 1, to whose output every pass adds a constant [D], the view
		      "layers.N.shift", times the mean of the quarantine's present * outer; 0 =
		      none */
	/* set by moe_experts_init */
	int R;
	int first[MOE_EXPERTS_MAX];      /* expert e owns slots first[e] .. first[e]+rank[e]-1 */
	double present[MOE_EXPERTS_MAX]; /* 1 */
	int n_routed, routed[MOE_EXPERTS_MAX];   /* experts that the router decides over */
	bool routed_quarantine[MOE_EXPERTS_MAX]; /* is the i-th of these in the quarantine? */
	struct moe_config config;                /* of the base that it fits */
	moe_real *param;                         /* [n_param], owned */
	size_t n_param;
	struct moe_view *view; /* [n_view] the table, owned */
	size_t n_view;
	int *view_at; /* [L*7] index of A's view (B's is the next); -1 = not adapted. Owned */
	struct moe_site *site; /* [n_site], owned */
	int n_site;      /* sites that have a router; for MOE_PER_ROLLOUT 1, outside the pass */
	int S;           /* sites inside the pass: n_site, or 0 for MOE_PER_ROLLOUT */
	int *site_at;    /* [L*7] site of each Linear, -1 without. Owned */
	moe_real *alive; /* [L*7, R], owned */
};

/* The constant of x->shift, [D]; NULL without one. */
moe_real *moe_experts_shift(const struct moe_experts *x);
/* Is it there, and the quarantine that it stands with present? */
bool moe_experts_shifts(const struct moe_experts *x);
/* The output of a layer (from 0): to [rows, D] += the quarantine's mean of present * outer times
 * the shift, where this is the layer. outer [rows, E], NULL = 1. x NULL = nothing. */
void moe_experts_add_shift(
	const struct moe_experts *x, int layer, int rows, const moe_real *outer, moe_real *to);
/* Lays out and allocates (param zeroed, alive and present 1). MOE_DATA for a layout that is not
 * possible. */
int moe_experts_init(struct moe_experts *x, const struct moe_config *c, struct moe_err *e);
/* The same with alive = 0, for what a stream declares: param and alive take memory where they are
 * written (moe_alloc_declared). */
int moe_experts_alloc(struct moe_experts *x, const struct moe_config *c, struct moe_err *e);
void moe_experts_free(struct moe_experts *x); /* accepts a zeroed struct */
/* Numbers that the router keeps per row and site beside logit and gate; 0 without a router. */
int moe_experts_keep(const struct moe_experts *x);
/* Are gates decided from a first pass without experts? x may be NULL. */
bool moe_experts_first_pass(const struct moe_experts *x);
int moe_experts_copy(struct moe_experts *to, const struct moe_experts *from, struct moe_err *e);

/* The view of A or B of the Linear of that cell (layer * 7 + linear); NULL when not adapted. */
const struct moe_view *moe_view_of(const struct moe_experts *x, size_t cell, enum moe_role role);
/* Expert e's part of A (rows first ..) or B (columns first ..): `rows` rows of `cols` numbers, `ld`
 * apart, from `off` of the block on. */
struct moe_part {
	size_t off, rows, cols, ld;
};
struct moe_part moe_view_part(const struct moe_experts *x, const struct moe_view *v, int expert);
/* Sum of squares of what owner o has in a block [n_param]: expert o, or (o = E) the router. */
double moe_experts_norm2(const struct moe_experts *x, const moe_real *block, int o);
/* The gradient of what is trained, from that of A and B, in place: constants get 0, a form its own.
 */
void moe_experts_chain(const struct moe_experts *x, moe_real *grad);
/* A and B anew from the form, where there is one: after an update of its tensors. */
void moe_experts_form(struct moe_experts *x);
/* Where the form's tensors of a Linear lie in `block`; NULL past the last. */
void moe_form_params(
	const struct moe_experts *x, moe_real *block, size_t cell, moe_real *p[MOE_FORM_TENSORS]);
/* Multiplies the presence of a bank's experts (bank -1: of all). False when it has none. */
bool moe_experts_scale_bank(struct moe_experts *x, int bank, double scale);
/* Are all experts off? Then the adapter computes what the base does. */
bool moe_experts_off(const struct moe_experts *x);

/* What the caller fixes for the rows of a pass, and asks of it. NULL arrays: see each. Borrowed. */
struct moe_gates {
	const moe_real *outer; /* [T, E] factor of every gate; NULL = 1 */
	const moe_real *mask;  /* [T, E] factor of the experts' parameter gradients; NULL = 1 */
	bool fixed;  /* the experts learn nothing: as a mask of zeros, without its products */
	bool detach; /* the mask multiplies everything that flows back through an expert's output:
			to its parameters, its gate and its input (Cloud et al. 2410.04332); else to
			the parameters alone (SGTM, Shilov et al. 2512.05648) */
	const unsigned char *routed; /* [T] 0 keeps the router out of a row; NULL = 1 */
	const int32_t
		*scope;         /* [T] rows with the same number >= 0, which stand together, compete
				   where   the router makes rows compete; NULL or -1 = a row is alone */
	const moe_real *replay; /* [S, T, n_routed] recorded r to use in place of the router's; such
				   gates are constants: the router gets no gradient. NULL = none */
	moe_real *douter; /* [T, E] receives (+=) the gradient of outer in the backward pass; or
			     NULL */
	const moe_real *learn;          /* [T] factor on what the router receives through the gates;
					   0 detaches; NULL = 1 */
	const moe_real *dgate, *dlogit; /* [S, T, n_routed] seeds: gradients of r and of the logits
					   from losses on them; not multiplied by learn. NULL = 0 */
};

#endif
