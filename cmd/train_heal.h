/* train_heal.h - moe-train's last words to the clean bank: the pairs' clean sides. */
#ifndef MOE_CMD_TRAIN_HEAL_H
#define MOE_CMD_TRAIN_HEAL_H

#include "rl/train.h"

/* With --heal: the clean bank of the trained adapter learns the clean sides of the pairs in the
 * deployed state, the quarantine's gate at 0; the lineage says so (heal). Returns the labels of the
 * pairs. */
enum moe_labels train_heal(struct moe_trainer *t);

#endif
