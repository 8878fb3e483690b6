/* train_pins.h - moe-train's pairs: read for methods whose router learns from them in each step. */
#ifndef MOE_CMD_TRAIN_PINS_H
#define MOE_CMD_TRAIN_PINS_H

#include "rl/train.h"

/* Reads --pin for the adapter and hands it to the trainer; notes the pairs' digest in the adapter's
 * lineage. Dies when the method needs pairs and there are none, or when there are some and the
 * method takes none. p: the caller's, to be freed after training. Returns the labels of the pairs.
 */
enum moe_labels train_read_pins(struct moe_trainer *t, struct moe_pairs *p);

#endif
