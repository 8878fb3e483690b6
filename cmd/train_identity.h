/* train_identity.h - moe-train's words about whose rollouts it trains on (rl/identity.h). */
#ifndef MOE_CMD_TRAIN_IDENTITY_H
#define MOE_CMD_TRAIN_IDENTITY_H

#include "rl/identity.h"
#include "rl/train.h"

/* Before a step: dies of what is refused, warns of each oddity when it is met first. */
void train_identity_check(
	struct moe_identity *d, const struct moe_rollout_step *s, const struct moe_trainer *t);
/* After the last: the numbers. */
void train_identity_report(const struct moe_identity *d, const struct moe_adapter *a);

#endif
