/* train_opts.h - moe-train's options and their variables. */
#ifndef MOE_CMD_TRAIN_OPTS_H
#define MOE_CMD_TRAIN_OPTS_H

#include "cmd/opt.h"
#include "moe/method.h"
#include "rl/train.h"

struct train_args {
	const char *base, *adapter, *metrics, *checkpoint, *pin, *heal;
	const char *trl; /* a GRPOConfig */
	const char *loss, *ratio, *level, *scale, *baseline, *schedule,
		*masking;                                              /* names; NULL = not given */
	double eps_low, eps_high, beta, lr, beta1, beta2, decay, clip; /* NaN = not given */
	int64_t max_completion, warmup, iterations, accumulate;        /* -1 = not given */
	struct moe_opt_list plan, publish;
	struct moe_train_opts o; /* what all of these come to */
	int64_t save_every, heal_steps;
	bool allow_oracle, any_base, resume;
};
extern struct train_args train_args;
extern const struct moe_opt train_options[];
/* All options in train_args.o: defaults, or a GRPOConfig, and over them what was given; dies on a
 * wrong name or what does not go together. The method decides which baseline is the default, the
 * model's width which learning rate, which is said when it is not 0.002. */
void train_settle(const struct moe_method *method, const struct moe_config *c);

/* Dies when another run that is under way writes what this one would write. */
void train_claim(void);
/* What an interrupt says from now on, after so many steps, of which the checkpoint holds `saved`.
 */
void train_last_words(int64_t steps, int64_t saved);

#endif
