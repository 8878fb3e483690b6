/* ablate.h - the arms that are compared: one adapter with some of it switched off.
 *
 * Most change `present` (whole experts) or `alive` (subspaces) alone, never A, B or a router. By
 * name:
 *
 *   on
 *   BANK-off          shared, clean, quarantine
 *   base              every expert off
 *   scale:BANK=S      that bank at scale S; also both after each other, joined by "+"
 *                     (quarantine-off+scale:clean=0.5)
 *   random-off-K      a random subspace of the same rank as the quarantine, drawn per Linear, whose
 *                     removed delta has the quarantine's Frobenius norm: 64 draws are made, the one
 *                     whose norm is closest is kept, and its slots are scaled by 1 - alpha (alpha =
 *                     quarantine's norm / drawn norm). What was matched, how well, and how far the
 * draw overlaps the quarantine is stored in the arm's `match`. experts-off-K     a random set of
 * whole experts, the nearest of 64 draws to the quarantine in rank, norm and routed mass (mean
 * gates in training, from the lineage): the matched control where `deploy` hands a deleted expert's
 * gate on, which a subspace cannot imitate. damage-off-K      the subspace of random-off-K, but
 * alpha is such that the arm is as far from `on` as quarantine-off is: KL(on || arm), mean over the
 * completion tokens of texts. No seal is opened for it. Needs the base and texts.
 *
 * Two change the weights, and retrain nothing:
 *
 *   trajectory-out=K  B <- (I - U U') B for every Linear: its K leading output directions U of the
 *                     adapter's own trajectory, the leading eigenvectors of sum_t D_t D_t',
 *                     D_t = delta_t - delta_(t-1), delta = s B A of the adapter after step t. In
 * the manner of trajectory diffing; SVD of parameter changes as in 2605.25189. Needs the
 * trajectory. pairs-out         what every Linear that writes to the residual stream (o, down)
 * writes along v is taken away: W + delta <- (I - v v')(W + delta), the base's own weights
 * included, by one more expert of rank 1 in the bank shared (abliteration, Arditi et al.
 *                     2406.11717; the embedding, which no adapter reaches, is left). v is the unit
 *                     mean of hack - clean over the pairs' pooled states after one layer: the layer
 * at which such a direction tells held-out pairs apart best (heldout.h, margin). Needs the base and
 * pairs.
 */
#ifndef MOE_MOE_ABLATE_H
#define MOE_MOE_ABLATE_H

#include "moe/adapter.h"
#include "moe/method.h"
#include "moe/pack.h"

#define MOE_ABLATE_PAIRS      "pairs-out"
#define MOE_ABLATE_TRAJECTORY "trajectory-out="
#define MOE_ABLATE_DIRECTIONS 64 /* K at most */

/* The adapters of one training run in the order of its steps, as moe-train publishes them. */
struct moe_trajectory {
	struct moe_experts *x; /* [n] owned */
	int64_t *step;         /* [n] owned */
	size_t n, cap, bytes;
};
/* Appends a copy. MOE_DATA when its layout is not that of the ones before, its step does not follow
 * theirs, or the copies would take more than max_mem bytes (0 = no limit). */
int moe_trajectory_add(
	struct moe_trajectory *t, const struct moe_adapter *a, size_t max_mem, struct moe_err *e);
void moe_trajectory_free(struct moe_trajectory *t); /* accepts a zeroed struct */

/* How far arms of one adapter are from it: KL(on || arm), mean over the completion tokens of texts,
 * whole vocabulary, gates as while sampling. */
struct moe_damage;
/* Runs a, whose arm is on, over the texts (prompts of at least one token with completions; those
 * without one are passed over; borrowed) and notes how far quarantine-off is. All is borrowed. NULL
 * and *e on failure; MOE_DATA without any completion token. */
struct moe_damage *moe_damage_new(const struct moe_engine *g, const struct moe_adapter *a,
	const struct moe_seq *seq, size_t n_seq, struct moe_err *e);
void moe_damage_free(struct moe_damage *d); /* accepts NULL */
/* KL(on || arm) in nats per token; arm is an arm of the same adapter. */
int moe_damage_of(
	const struct moe_damage *d, const struct moe_adapter *arm, double *kl, struct moe_err *e);

/* What some arms are made with beside the adapter; NULL and 0 where it is not there. Borrowed. */
struct moe_ablate_aids {
	const struct moe_engine *g;
	const struct moe_pairs *pairs;
	const struct moe_trajectory *path;
	const struct moe_damage *damage;
};
enum moe_ablate_need { MOE_NEED_BASE, MOE_NEED_PAIRS, MOE_NEED_TEXTS, MOE_NEED_TRAJECTORY };
bool moe_ablate_needs(const char *name, enum moe_ablate_need need);

/* "on,quarantine-off,clean-off,random-off:19,base,scale:quarantine=0,0.25,0.5" cut into arm names,
 * one of them per element; a number after a scale is one more scale of that bank. *names is owned
 * by the caller: free each and the array. MOE_USAGE on an unknown arm. */
int moe_ablate_names(const char *arms, char ***names, size_t *n, struct moe_err *e);
/* Makes the arm `name` (one of the above) of `from`. MOE_USAGE when it needs an aid that is not
 * there (aids may be NULL). */
int moe_ablate_make(struct moe_adapter *to, const struct moe_adapter *from, const char *name,
	uint64_t seed, const struct moe_ablate_aids *aids, struct moe_err *e);
/* Scales a bank of an arm where it stands: text is "BANK=X", as in scale:BANK=X. A new digest, and
 * the arm's name says so. MOE_USAGE when the text is malformed, MOE_DATA when the adapter has no
 * such bank. */
int moe_ablate_scale(struct moe_adapter *a, const char *text, struct moe_err *e);
/* "BANK=NUMBER" into its parts: the one grammar of banks with a value. MOE_USAGE otherwise. */
int moe_bank_value(const char *text, int *bank, double *value, struct moe_err *e);

#endif
