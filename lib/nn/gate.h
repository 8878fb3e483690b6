/* gate.h - what turns a router's logits into gates, forward and backward, and the losses that
 * routers add. No parameters, no routing policy, no batches: plain functions of arrays.
 *
 * Letters: T rows (tokens), D width of the router's input, E experts. Arrays are row-major without
 * gaps unless a row stride (ld...) is given. Contract: a row's numbers depend on that row alone,
 * never on T or on the other rows, so one token decoded by itself gets the bits that it has in a
 * training batch; the losses are the only functions that look at several rows. Every backward
 * function *adds* to the gradients that it is handed. Sums are in double. Thread-safe.
 */
#ifndef MOE_NN_GATE_H
#define MOE_NN_GATE_H

#include "tensor/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- logits from the input ---- */

/* z[T,E] = scale * (x w' + b)       x [T,D] row stride ldx, w [E,D], b [E] or NULL */
void moe_gate_linear(int T, int D, int E, const moe_real *x, int ldx, const moe_real *w,
	const moe_real *b, double scale, moe_real *z);
/* dx [T,D] stride lddx, dw [E,D], db [E]; each may be NULL. dz [T,E] */
void moe_gate_linear_bwd(int T, int D, int E, const moe_real *dz, const moe_real *x, int ldx,
	const moe_real *w, double scale, moe_real *dx, int lddx, moe_real *dw, moe_real *db);

/* z[t,e] = scale * u_t.w_e / (|u_t| |w_e|), u_t = x_t - m; m [D] or NULL for 0. Norms below 1e-12
 * count as 1e-12. */
void moe_gate_cosine(int T, int D, int E, const moe_real *x, int ldx, const moe_real *m,
	const moe_real *w, double scale, moe_real *z);
/* As above; m is a constant. With c = u.w/(|u||w|):  dc/dx = (w/|w| - c u/|u|) / |u|, and the same
 * for w. */
void moe_gate_cosine_bwd(int T, int D, int E, const moe_real *dz, const moe_real *x, int ldx,
	const moe_real *m, const moe_real *w, double scale, moe_real *dx, int lddx, moe_real *dw);

/* ---- gates from logits; all arrays [T,E] ---- */

/* p = softmax(z);  dz += p (dp - sum p dp) */
void moe_gate_softmax(int T, int E, const moe_real *z, moe_real *p);
void moe_gate_softmax_bwd(int T, int E, const moe_real *p, const moe_real *dp, moe_real *dz);

/* Keeps the k largest of each row (of equal ones the earlier), the others become 0. renorm divides
 * by the sum of what was kept. pick receives 1 for kept, 0 for the others. The choice itself has no
 * gradient: dp of what was not kept is 0 without renorm and with it. */
void moe_gate_topk(int T, int E, int k, bool renorm, const moe_real *p, moe_real *y, uint8_t *pick);
void moe_gate_topk_bwd(int T, int E, bool renorm, const moe_real *p, const moe_real *y,
	const uint8_t *pick, const moe_real *dy, moe_real *dp);

/* DeepSeek-V3's limit to groups (2412.19437): the E scores of a row are cut into equal groups; a
 * group counts by the sum of its two largest; outside of the `top` best groups scores become -inf.
 * groups divides E; E <= 64. */
void moe_gate_groups(int E, int groups, int top, moe_real *score);

/* alpha-entmax (Peters, Niculae & Martins 2019; deep-spin/entmax):
 *     p_i = [(alpha-1) z_i - tau]_+ ^ (1/(alpha-1)),  tau such that sum p = 1
 * by 50 bisections of tau and one division by the sum. alpha 1 = softmax, 2 = sparsemax; alpha
 * >= 1. Backward, with s_i = p_i^(2-alpha) on the support, q = s / sum s, H = sum p log p: dz += s
 * (dp - sum q dp) dp/dalpha = (p - q)/(alpha-1)^2 - (p log p - q H)/(alpha-1),  at alpha = 1 its
 * limit p/2 (sum p log^2 p - log^2 p) Outside the support both an expert and its logit get exactly
 * 0: what is at 0 stays there unless a floor or a loss on the logits brings it back. dalpha (NULL =
 * not wanted) loses digits as alpha nears 1. */
void moe_gate_entmax(int T, int E, double alpha, const moe_real *z, moe_real *p);
void moe_gate_entmax_bwd(int T, int E, double alpha, const moe_real *p, const moe_real *dp,
	moe_real *dz, double *dalpha);

/* y = (1 - E eps) p + eps: no gate is below eps, and a row that sums to 1 still does. 0 <= eps <=
 * 1/E */
void moe_gate_floor(int T, int E, double eps, const moe_real *p, moe_real *y);
void moe_gate_floor_bwd(int T, int E, double eps, const moe_real *dy, moe_real *dp);

/* y = 1/(1 + exp(-z));  dz += dy y (1 - y) */
void moe_gate_sigmoid(int T, int E, const moe_real *z, moe_real *y);
void moe_gate_sigmoid_bwd(int T, int E, const moe_real *y, const moe_real *dy, moe_real *dz);

/* y = max(z, 0);  dz += dy where y > 0 */
void moe_gate_relu(int T, int E, const moe_real *z, moe_real *y);
void moe_gate_relu_bwd(int T, int E, const moe_real *y, const moe_real *dy, moe_real *dz);

/* ---- losses: each returns its value and adds its gradient. The rows are those of one scope: of
 * one rollout, so that no result depends on what a batch was packed with. ---- */

/* f[E] = share of the T rows that picked each expert: what balance losses are told. */
void moe_gate_shares(int T, int E, const uint8_t *pick, double *f);
/* Load balance of Switch (Fedus et al. 2101.03961, eq. 4-6) and, for k > 1, DeepSeekMoE's expert
 * balance (2401.06066):
 *     coef * E/k * sum_i f_i P_i,  f_i = share of rows that picked i (no gradient), P_i = mean p_i
 * transformers' load_balancing_loss_func of Switch is the case k = 1; that of Mixtral is k times
 * this. f [E]; p, dp [T,E]; dp may be NULL. Smallest at an even load, where it is coef. A sum over
 * rows: the rows of a scope may be handed over in parts, each with coef times its share of rows. */
double moe_gate_balance(
	int T, int E, int k, const double *f, const moe_real *p, double coef, moe_real *dp);
/* DeepSeek-V3's sequence-wise form: the same of scores divided by their row's sum (sigmoid scores
 * do not sum to 1), within one sequence. s, ds [T,E]; scores are > 0. */
double moe_gate_balance_sequence(
	int T, int E, int k, const double *f, const moe_real *s, double coef, moe_real *ds);

/* Router z-loss of ST-MoE (Zoph et al. 2202.08906): coef * mean_t (log sum_j exp z_tj)^2. */
double moe_gate_z_loss(int T, int E, const moe_real *z, double coef, moe_real *dz);

/* ReMoE (2412.14711) weights the L1 of its gates y as moe_gate_balance does p, with f = the share
 * of rows at which a gate is not 0 (no gradient), and a coefficient that is not constant. The next
 * step's: times 1.2 while the share of zeros is below its target (1 - k/E), else divided. */
double moe_gate_remoe_coef(double coef, double target, double zero_share);

/* Localised balance of LoRAMoE (Dou et al. 2312.09979): coef * var(c q) / mean(c q)^2 of E amounts
 * q with coefficients c, the variance over E - 1 (their code). It is smallest where c q is even:
 * the larger c, the less of q. 0 for E = 1 or amounts that sum to 0. dq [E]. */
double moe_gate_spread(int E, const double *q, const double *c, double coef, double *dq);

/* ---- choices that look at several rows ---- */

/* A column takes the n rows of its largest scores, of equal ones the earlier: mark = 1 for these,
 * else 0 (Expert Choice, Zhou et al. 2202.09368). score, mark [T], rows ld and ld_mark apart. */
void moe_gate_take(int T, int n, const moe_real *score, int ld, moe_real *mark, int ld_mark);
/* Sinkhorn's iteration (Cuturi 2013): potentials v [E] such that the plan, the softmax of score /
 * eps
 * + v in each row, has columns that sum to T/E. A row goes to its largest entry: the smaller eps,
 * the nearer to the even assignment of the largest sum (BASE, Lewis et al. 2103.16716). score
 * [T,E], rows ld apart; E <= 64. */
void moe_gate_sinkhorn(
	int T, int E, const moe_real *score, int ld, double eps, int rounds, double *v);
/* The largest entry of a row, of equal ones the first. */
int moe_gate_sinkhorn_pick(int E, const moe_real *score, double eps, const double *v);

/* ---- pins ---- */

/* Pin loss: cross-entropy of the mass that softmax(z) gives to the experts of `in` [E], against
 * `hot`: coef * mean_t -log M_t with M = sum over in (hot) or over the others (not hot). It acts on
 * logits, whatever makes gates of them, so that an expert at gate 0 can come back. 0 when no expert
 * or every expert is in. */
double moe_gate_pin(
	int T, int E, const moe_real *z, const bool *in, bool hot, double coef, moe_real *dz);

#endif
