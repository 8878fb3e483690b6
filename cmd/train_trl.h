/* train_trl.h - the fields of TRL's GRPOConfig as options of moe-train. */
#ifndef MOE_CMD_TRAIN_TRL_H
#define MOE_CMD_TRAIN_TRL_H

#include "rl/train.h"

/* Sets o from a JSON or YAML file of GRPOConfig's fields (TRL 1.16); those that it does not name
 * have TRL's defaults. o->total is max_steps, 0 = not said. Says on standard error which fields are
 * honoured elsewhere or not at all; dies on what is no field, or no value of one. */
void train_trl_config(const char *path, struct moe_train_opts *o);

#endif
