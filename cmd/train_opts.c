/* train_opts.c - the option table of moe-train, apart from its main for length. */
#include "cmd/train_opts.h"
#include "util/claim.h"

#include <math.h>
#include <string.h>

struct train_args train_args = { .loss = "dr_grpo",
	.ratio = "min",
	.scale = "none",
	.o = { .loss = { .eps_low = 0.2, .eps_high = 0.2 },
		.lr = NAN, /* by the width, train_choose_lr */
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-8,
		.clip = 1 },
	.heal_steps = 20 };

/* The default suits the small models of the examples. Wider ones break at it in one step
 * (SmolLM2-135M: width 576, perplexity 10.1 to 15.8), so it falls with the width: 2.1e-4 there,
 * 3e-5 at 2048. */
#define LR_SMALL 2e-3
#define LR_WIDTH 128.0

#define A        train_args
const struct moe_opt train_options[] = {
	{ 'm', "base", MOE_OPT_STR, &A.base, "DIR", "the base model's directory", NULL, 0, 0 },
	{ 'a', "adapter", MOE_OPT_STR, &A.adapter, "FILE", "the adapter to start from", NULL, 0,
		0 },
	{ 0, "pin", MOE_OPT_STR, &A.pin, "PAIRS", "pairs that the router learns from in each step",
		NULL, 0, 0 },
	{ 0, "heal", MOE_OPT_STR, &A.heal, "PAIRS",
		"at the end, the clean bank learns their clean sides", NULL, 0, 0 },
	{ 0, "heal-steps", MOE_OPT_INT, &A.heal_steps, "N", "steps of that, all pairs in each",
		"20", 1, 1e6 },
	{ 0, "publish", MOE_OPT_STR, &A.publish, "FIFO", "write the adapter there after each step",
		NULL, 0, 0 },
	{ 0, "metrics", MOE_OPT_STR, &A.metrics, "FILE",
		"write a stream of metrics, a record a step", NULL, 0, 0 },
	{ 0, "checkpoint", MOE_OPT_STR, &A.checkpoint, "FILE",
		"where --save-every and --resume keep the run", NULL, 0, 0 },
	{ 0, "save-every", MOE_OPT_INT, &A.save_every, "N", "steps between checkpoints; 0: none",
		"0", 0, 1e9 },
	{ 0, "resume", MOE_OPT_FLAG, &A.resume, NULL, "go on from the checkpoint, if there is one",
		NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Loss", NULL, 0, 0 },
	{ 0, "loss", MOE_OPT_STR, &A.loss, "TYPE", "dr_grpo, grpo, bnpo or dapo", "dr_grpo", 0, 0 },
	{ 0, "scale-rewards", MOE_OPT_STR, &A.scale, "HOW",
		"none, group or batch: advantages over the std of rewards", "none", 0, 0 },
	{ 0, "baseline", MOE_OPT_STR, &A.baseline, "HOW",
		"group, split or kept; default: split for a method that decides", NULL, 0, 0 },
	{ 0, "ratio", MOE_OPT_STR, &A.ratio, "HOW",
		"weight toward the sampling policy: min(1, ratio), clip (PPO) or none", "min", 0,
		0 },
	{ 0, "epsilon", MOE_OPT_F64, &A.o.loss.eps_low, "X", "lower clip of the ratio", "0.2", 0,
		1 },
	{ 0, "epsilon-high", MOE_OPT_F64, &A.o.loss.eps_high, "X", "upper clip of the ratio", "0.2",
		0, 100 },
	{ 0, "beta", MOE_OPT_F64, &A.o.loss.beta, "X", "weight of the KL toward the base", "0", 0,
		1e6 },
	{ 0, "max-completion-length", MOE_OPT_INT, &A.max_completion, "N",
		"constant of dr_grpo; 0: of the first step", "0", 0, 1e9 },
	{ 0, "plan", MOE_OPT_LIST, &A.plan, "D.BANK=G/M",
		"override an entry of the plan; may be repeated", NULL, 0, 0 },
	{ 0, "masking", MOE_OPT_STR, &A.masking, "WHAT", "what a mask cuts: parameters or outputs",
		"the method's", 0, 0 },
	{ 0, "exact", MOE_OPT_FLAG, &A.o.exact, NULL,
		"the sampler's bits; always so up to width 256", NULL, 0, 0 },
	{ 0, "recompute", MOE_OPT_FLAG, &A.o.recompute, NULL,
		"less memory, more work, the same result", NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Optimiser", NULL, 0, 0 },
	{ 0, "lr", MOE_OPT_F64, &A.o.lr, "X", "learning rate", "0.002, less above width 128", 0,
		1e30 },
	{ 0, "warmup", MOE_OPT_INT, &A.warmup, "N", "steps of linear warm-up, of this run", "0", 0,
		1e9 },
	{ 0, "adam-beta1", MOE_OPT_F64, &A.o.beta1, "X", "AdamW's beta1", "0.9", 0, 0.999999 },
	{ 0, "adam-beta2", MOE_OPT_F64, &A.o.beta2, "X", "AdamW's beta2", "0.95", 0, 0.99999999 },
	{ 0, "weight-decay", MOE_OPT_F64, &A.o.decay, "X",
		"AdamW's decay, toward the adapter as given", "0", 0, 1e6 },
	{ 0, "max-grad-norm", MOE_OPT_F64, &A.o.clip, "X", "clip of the gradient's norm; 0: none",
		"1", 0, 1e9 },
	{ 0, "split-moments", MOE_OPT_FLAG, &A.o.split_moments, NULL,
		"second moments without masks; one more pass", NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Safety", NULL, 0, 0 },
	{ 0, "allow-oracle", MOE_OPT_FLAG, &A.allow_oracle, NULL,
		"accept rollouts that sealed labels have touched", NULL, 0, 0 },
	{ 0, "any-base", MOE_OPT_FLAG, &A.any_base, NULL,
		"accept an adapter of another base of this shape", NULL, 0, 0 },
	{ 0 }
};

void train_parse_names(const struct moe_method *method)
{
	struct moe_err e;

	if (moe_loss_type_parse(A.loss, &A.o.loss.type, &e) ||
		moe_ratio_parse(A.ratio, &A.o.loss.ratio, &e) ||
		moe_adv_scale_parse(A.scale, &A.o.adv.scale, &e))
		moe_usage_error("%s", e.msg);
	if (A.baseline && strcmp(A.baseline, "group") != 0 && strcmp(A.baseline, "split") != 0 &&
		strcmp(A.baseline, "kept") != 0)
		moe_usage_error("--baseline is group, split or kept");
	if (A.masking && strcmp(A.masking, "parameters") != 0 && strcmp(A.masking, "outputs") != 0)
		moe_usage_error("--masking is parameters or outputs");
	A.o.detach = A.masking ? *A.masking == 'o' : method->detaches;
	if ((A.save_every > 0 || A.resume) && !A.checkpoint)
		moe_usage_error("--save-every and --resume need --checkpoint FILE");
	A.o.adv.split = A.baseline ? *A.baseline == 's' : method->decide != NULL;
	A.o.adv.kept = A.baseline && *A.baseline == 'k';
	A.o.max_completion = (size_t)A.max_completion;
	A.o.warmup = (int)A.warmup;
}

void train_choose_lr(const struct moe_config *c)
{
	double d = c->D;

	if (!isnan(A.o.lr))
		return;
	A.o.lr = LR_SMALL * (d > LR_WIDTH ? pow(LR_WIDTH / d, 1.5) : 1);
	if (d > LR_WIDTH)
		moe_info("learning rate %.2g, chosen for a model of width %d (--lr): watch kl and "
			 "entropy of the first steps",
			A.o.lr, c->D);
}

void train_claim(void)
{
	const char *path[] = { A.checkpoint, A.publish, A.metrics, moe_common.output };
	static const char *const what[] = { "checkpoint", "FIFO", "file of metrics", "output" };
	struct moe_err e;

	for (size_t i = 0; i < 4; i++)
		if (moe_claim(path[i], what[i], &e))
			moe_usage_error("%s", e.msg);
}

void train_last_words(int64_t steps, int64_t saved)
{
	const char *s = moe_s((uint64_t)steps);

	if (saved)
		moe_last_words(
			"stopped after %lld step%s; %s holds the first %lld: --resume goes on "
			"from there",
			(long long)steps, s, A.checkpoint, (long long)saved);
	else
		moe_last_words(
			"stopped after %lld step%s, and no checkpoint holds them (--checkpoint "
			"FILE --save-every N)",
			(long long)steps, s);
}
