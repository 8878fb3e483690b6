/* model_in.h - opens a base model for a program: it dies where that fails, and warns of what its
 * files leave open. */
#ifndef MOE_CMD_MODEL_IN_H
#define MOE_CMD_MODEL_IN_H

#include "model/model.h"

void moe_model_in(struct moe_model *m, const char *dir);

#endif
