/* score_state.h - the part of a fitted score that a method's refresh changes, as a map: what a
 * router that is stopped goes on with, and what a recording keeps of it.
 *
 * Each tensor of the score under its name (f32), and of its numbers `bias` and `gap`, where it has
 * them. The adapter keeps all else: names, folds, how well it did on held-out pairs when it was
 * pinned.
 */
#ifndef MOE_MOE_SCORE_STATE_H
#define MOE_MOE_SCORE_STATE_H

#include "moe/adapter.h"

/* Adds these keys to `to`. */
int moe_score_state_get(const struct moe_adapter *a, struct moe_rec *to, struct moe_err *e);
/* Overwrites them in a score of the same shape: MOE_DATA for another one, and `a` is then of no
 * use. */
int moe_score_state_set(struct moe_adapter *a, const struct moe_rec *from, struct moe_err *e);

#endif
