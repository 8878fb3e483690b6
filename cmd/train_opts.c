/* train_opts.c - the option table of moe-train, apart from its main for length. */
#include "cmd/train_opts.h"
#include "cmd/train_trl.h"
#include "util/claim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct train_args train_args = { .eps_low = NAN,
	.eps_high = NAN,
	.beta = NAN,
	.lr = NAN, /* by the width, choose_lr */
	.beta1 = NAN,
	.beta2 = NAN,
	.decay = NAN,
	.clip = NAN,
	.max_completion = -1,
	.warmup = -1,
	.iterations = -1,
	.accumulate = -1,
	.o = { .loss = MOE_LOSS_DEFAULTS,
		.lr = NAN,
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
	{ 0, "publish", MOE_OPT_LIST, &A.publish, "FIFO",
		"write the adapter there each step; may be repeated", NULL, 0, 0 },
	{ 0, "metrics", MOE_OPT_STR, &A.metrics, "FILE",
		"write a stream of metrics, a record a step", NULL, 0, 0 },
	{ 0, "checkpoint", MOE_OPT_STR, &A.checkpoint, "FILE",
		"where --save-every and --resume keep the run", NULL, 0, 0 },
	{ 0, "save-every", MOE_OPT_INT, &A.save_every, "N", "steps between checkpoints; 0: none",
		"0", 0, 1e9 },
	{ 0, "resume", MOE_OPT_FLAG, &A.resume, NULL, "go on from the checkpoint, if there is one",
		NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Loss", NULL, 0, 0 },
	{ 0, "trl-config", MOE_OPT_STR, &A.trl, "FILE",
		"a GRPOConfig, JSON or YAML; options go first", NULL, 0, 0 },
	{ 0, "loss", MOE_OPT_STR, &A.loss, "TYPE", "one of TRL's, as dapo, cispo", "dr_grpo", 0,
		0 },
	{ 0, "level", MOE_OPT_STR, &A.level, "HOW", "ratios per token or per sequence", "token", 0,
		0 },
	{ 0, "ratio", MOE_OPT_STR, &A.ratio, "HOW", "to the sampler: min(1, ratio), clip or none",
		"min", 0, 0 },
	{ 0, "epsilon", MOE_OPT_F64, &A.eps_low, "X", "lower clip of the ratio", "0.2", 0, 1 },
	{ 0, "epsilon-high", MOE_OPT_F64, &A.eps_high, "X", "upper clip of the ratio", "0.2", 0,
		100 },
	{ 0, "beta", MOE_OPT_F64, &A.beta, "X", "weight of the KL toward the base", "0", 0, 1e6 },
	{ 0, "scale-rewards", MOE_OPT_STR, &A.scale, "HOW",
		"advantages by the std of none, group, batch", "none", 0, 0 },
	{ 0, "baseline", MOE_OPT_STR, &A.baseline, "HOW", "group, split or kept",
		"split for methods that decide", 0, 0 },
	{ 0, "max-completion-length", MOE_OPT_INT, &A.max_completion, "N",
		"dr_grpo's constant; 0: longest of the first step", "0", 0, 1e9 },
	{ 0, "iterations", MOE_OPT_INT, &A.iterations, "N",
		"times that a step's rollouts are gone through", "1", 1, 1e6 },
	{ 0, "accumulate", MOE_OPT_INT, &A.accumulate, "N", "steps that make one update", "1", 1,
		1e6 },
	{ 0, "plan", MOE_OPT_LIST, &A.plan, "D.BANK=G/M",
		"override an entry of the plan; may be repeated", NULL, 0, 0 },
	{ 0, "masking", MOE_OPT_STR, &A.masking, "WHAT", "what a mask cuts: parameters or outputs",
		"the method's", 0, 0 },
	{ 0, "exact", MOE_OPT_FLAG, &A.o.exact, NULL,
		"the sampler's bits; always so up to width 256", NULL, 0, 0 },
	{ 0, "recompute", MOE_OPT_FLAG, &A.o.recompute, NULL,
		"less memory, more work, the same result", NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Optimiser", NULL, 0, 0 },
	{ 0, "lr", MOE_OPT_F64, &A.lr, "X", "learning rate", "0.002, less above width 128", 0,
		1e30 },
	{ 0, "schedule", MOE_OPT_STR, &A.schedule, "WHICH",
		"constant, linear:N or cosine:N updates", "constant", 0, 0 },
	{ 0, "warmup", MOE_OPT_INT, &A.warmup, "N", "updates of linear warm-up", "0", 0, 1e9 },
	{ 0, "adam-beta1", MOE_OPT_F64, &A.beta1, "X", "AdamW's beta1", "0.9", 0, 0.999999 },
	{ 0, "adam-beta2", MOE_OPT_F64, &A.beta2, "X", "AdamW's beta2", "0.95", 0, 0.99999999 },
	{ 0, "weight-decay", MOE_OPT_F64, &A.decay, "X",
		"AdamW's decay, toward the adapter as given", "0", 0, 1e6 },
	{ 0, "max-grad-norm", MOE_OPT_F64, &A.clip, "X", "clip of the gradient's norm; 0: none",
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

static void given(double v, double *to)
{
	if (!isnan(v))
		*to = v;
}

static int once_or(int64_t v, int was)
{
	return v > 0 ? (int)v : was > 0 ? was : 1;
}

/* NAME or NAME:UPDATES */
static void schedule(const char *given)
{
	char name[16] = "";
	size_t n = strcspn(given, ":");
	char *end = NULL;
	struct moe_err e;

	memcpy(name, given, n < sizeof(name) ? n : sizeof(name) - 1);
	if (moe_schedule_parse(name, &A.o.schedule, &e))
		moe_usage_error("%s", e.msg);
	A.o.total = given[n] ? strtoull(given + n + 1, &end, 10) : 0;
	if (end && (*end || !A.o.total || given[n + 1] == '-'))
		moe_usage_error("--schedule %s: the number of updates is missing", given);
}

/* What was given by name, over what stands in A.o. */
static void names(void)
{
	struct moe_err e;

	if ((A.loss && moe_loss_type_parse(A.loss, &A.o.loss.type, &e)) ||
		(A.level && moe_level_parse(A.level, &A.o.loss.level, &e)) ||
		(A.ratio && moe_ratio_parse(A.ratio, &A.o.loss.ratio, &e)) ||
		(A.scale && moe_adv_scale_parse(A.scale, &A.o.adv.scale, &e)))
		moe_usage_error("%s", e.msg);
	if (A.schedule)
		schedule(A.schedule);
	if (A.ratio && A.trl) { /* `min' is min(1, ratio), whatever a vLLM's correction was */
		A.o.loss.correction = MOE_TOKEN_TRUNCATE;
		A.o.loss.c_min = 0;
		A.o.loss.c_max = 1;
	}
}

static void numbers(void)
{
	given(A.eps_low, &A.o.loss.eps_low);
	given(A.eps_high, &A.o.loss.eps_high);
	given(A.beta, &A.o.loss.beta);
	given(A.lr, &A.o.lr);
	given(A.beta1, &A.o.beta1);
	given(A.beta2, &A.o.beta2);
	given(A.decay, &A.o.decay);
	given(A.clip, &A.o.clip);
	if (A.max_completion >= 0)
		A.o.max_completion = (size_t)A.max_completion;
	if (A.warmup >= 0)
		A.o.warmup = (uint64_t)A.warmup;
	A.o.iterations = once_or(A.iterations, A.o.iterations);
	A.o.updates = once_or(-1, A.o.updates);
	A.o.accumulate = once_or(A.accumulate, A.o.accumulate);
}

/* The learning rate of a run that names none. */
static void choose_lr(const struct moe_config *c)
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

void train_settle(const struct moe_method *method, const struct moe_config *c)
{
	if (A.trl)
		train_trl_config(A.trl, &A.o);
	names();
	numbers();
	if (A.baseline && strcmp(A.baseline, "group") != 0 && strcmp(A.baseline, "split") != 0 &&
		strcmp(A.baseline, "kept") != 0)
		moe_usage_error("--baseline is group, split or kept");
	if (A.masking && strcmp(A.masking, "parameters") != 0 && strcmp(A.masking, "outputs") != 0)
		moe_usage_error("--masking is parameters or outputs");
	A.o.detach = A.masking ? *A.masking == 'o' : method->detaches;
	if ((A.save_every > 0 || A.resume) && !A.checkpoint)
		moe_usage_error("--save-every and --resume need --checkpoint FILE");
	if (method->not_causal && A.o.loss.ratio != MOE_RATIO_MIN)
		moe_usage_error("the method '%s' is not causal: its gates in training differ from "
				"those that it sampled with, which only --ratio min bounds",
			method->name);
	/* TRL knows the group's baseline alone */
	A.o.adv.split = A.baseline ? *A.baseline == 's' : method->decide != NULL && !A.trl;
	A.o.adv.kept = A.baseline && *A.baseline == 'k';
	if ((A.o.adv.split || A.o.adv.kept) && A.o.adv.over_batch)
		moe_usage_error("--baseline %s does not go with normalize_then_sum",
			A.o.adv.kept ? "kept" : "split");
	if (A.o.accumulate > 1 && (A.o.iterations > 1 || A.o.updates > 1))
		moe_usage_error("--accumulate goes with one iteration and one update a step");
	if (A.o.schedule != MOE_CONSTANT && A.o.total == 0) {
		if (A.schedule)
			moe_usage_error("--schedule %s needs the updates of the whole run, %s:N",
				A.schedule, A.schedule);
		moe_warn("%s: its schedule ends at max_steps, which it does not say (--schedule): "
			 "the rate stays constant",
			A.trl);
		A.o.schedule = MOE_CONSTANT;
	}
	choose_lr(c);
}

void train_claim(void)
{
	const char *path[] = { A.checkpoint, A.metrics, moe_common.output };
	static const char *const what[] = { "checkpoint", "file of metrics", "output" };
	struct moe_err e;

	for (size_t i = 0; i < 3; i++)
		if (moe_claim(path[i], what[i], &e))
			moe_usage_error("%s", e.msg);
	for (size_t i = 0; i < A.publish.n; i++)
		if (moe_claim(A.publish.v[i], "FIFO", &e))
			moe_usage_error("%s", e.msg);
}

void train_last_words(int64_t steps, int64_t saved)
{
	const char *s = moe_s((uint64_t)steps);

	if (saved)
		moe_last_words(
			"stopped after %lld step%s; %s holds the first %lld: --resume goes on from "
			"there",
			(long long)steps, s, A.checkpoint, (long long)saved);
	else
		moe_last_words(
			"stopped after %lld step%s, and no checkpoint holds them (--checkpoint "
			"FILE --save-every N)",
			(long long)steps, s);
}
