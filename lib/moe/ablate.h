/* ablate.h - the arms that are compared: one adapter with some of it switched off through
 * `present` (whole experts) and `alive` (random subspaces), never by changing A, B or a router.
 *
 * Arms, by name: on; BANK-off (shared, clean, quarantine); base (every expert off); scale:BANK=S
 * (that bank at scale S), also both after each other, joined by "+"
 * (quarantine-off+scale:clean=0.5); random-off-K: a random subspace of the same rank as the
 * quarantine, drawn per Linear, whose removed delta has the quarantine's Frobenius norm. For the
 * last, 64 candidate draws are made, the one whose norm is closest is kept, and its slots are
 * scaled by 1 - alpha (alpha = quarantine's norm / drawn norm), so that the norms match; what was
 * matched, how well, and how far the draw overlaps the quarantine is stored in the arm's `match`.
 * experts-off-K: a random set of whole experts, the nearest of 64 draws to the quarantine in rank,
 * norm and routed mass (mean gates in training, from the lineage): the matched control where
 * `deploy` hands a deleted expert's gate on, which a subspace cannot imitate.
 */
#ifndef MOE_MOE_ABLATE_H
#define MOE_MOE_ABLATE_H

#include "moe/adapter.h"

/* "on,quarantine-off,clean-off,random-off:19,base,scale:quarantine=0,0.25,0.5" cut into arm names,
 * one of them per element; a number after a scale is one more scale of that bank. *names is owned
 * by the caller: free each and the array. MOE_USAGE on an unknown arm. */
int moe_ablate_names(const char *arms, char ***names, size_t *n, struct moe_err *e);
/* Makes the arm `name` (one of the above) of `from`. */
int moe_ablate_make(struct moe_adapter *to, const struct moe_adapter *from, const char *name,
	uint64_t seed, struct moe_err *e);
/* Scales a bank of an arm where it stands: text is "BANK=X", as in scale:BANK=X. A new digest, and
 * the arm's name says so. MOE_USAGE when the text is malformed, MOE_DATA when the adapter has no
 * such bank. */
int moe_ablate_scale(struct moe_adapter *a, const char *text, struct moe_err *e);
/* "BANK=NUMBER" into its parts: the one grammar of banks with a value. MOE_USAGE otherwise. */
int moe_bank_value(const char *text, int *bank, double *value, struct moe_err *e);

#endif
