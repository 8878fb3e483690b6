/* rollout_opts.c - moe-rollout's option table, and which options go together. */
#include "cmd/rollout_opts.h"
#include "cmd/from_in.h"

struct rollout_args rollout_args = { .group = 8,
	.max_new = 256,
	.wait_sec = 600,
	.temperature = 1,
	.top_p = 1,
	.teacher_ratio = 0.25 };

const struct moe_opt rollout_options[] = { { 0, "", MOE_OPT_HEAD, NULL, NULL, "Model", NULL, 0, 0 },
	{ 'm', "base", MOE_OPT_STR, &rollout_args.base_dir, "DIR", "the base model's directory",
		NULL, 0, 0 },
	{ 'a', "adapter", MOE_OPT_STR, &rollout_args.adapters, "FILE",
		"adapter stream; each in it is an arm", "none", 0, 0 },
	{ 0, "scale", MOE_OPT_LIST, &rollout_args.scales, "BANK=X",
		"scale a bank's experts by X; may be repeated", NULL, 0, 0 },
	{ 0, "any-base", MOE_OPT_FLAG, &rollout_args.any_base, NULL,
		"take adapters of another base of the same shape", NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Sampling", NULL, 0, 0 },
	{ 'g', "group", MOE_OPT_INT, &rollout_args.group, "G", "rollouts of a prompt", "8", 1,
		1e6 },
	{ 0, "max-new", MOE_OPT_INT, &rollout_args.max_new, "N", "tokens of a completion at most",
		"256", 1, 1e6 },
	{ 0, "temperature", MOE_OPT_F64, &rollout_args.temperature, "T",
		"temperature; 0 takes the best token", "1", 0, 1e4 },
	{ 0, "top-k", MOE_OPT_INT, &rollout_args.top_k, "K",
		"draw among the K best tokens; 0 = all", "0", 0, 1e9 },
	{ 0, "top-p", MOE_OPT_F64, &rollout_args.top_p, "P",
		"draw among the best that reach probability P", "1", 1e-9, 1 },
	{ 0, "stop", MOE_OPT_LIST, &rollout_args.stops, "TOKEN",
		"a stop token beside the model's own; may be repeated", NULL, 0, 0 },
	{ 0, "off-share", MOE_OPT_STR, &rollout_args.off_text, "BANK=P",
		"sample a share P with the gate of a bank at 0", NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Steps of training", NULL, 0, 0 },
	{ 0, "per-step", MOE_OPT_INT, &rollout_args.per_step, "P",
		"prompts of a step; 0 = all prompts are one step", "0", 0, 1e9 },
	{ 0, "steps", MOE_OPT_INT, &rollout_args.steps, "N",
		"stop after N steps; 0 = when the prompts end", "0", 0, 1e12 },
	{ 0, "follow", MOE_OPT_STR, &rollout_args.follow_path, "FIFO",
		"read the weights of later steps from FIFO", NULL, 0, 0 },
	{ 0, "lag", MOE_OPT_INT, &rollout_args.lag, "N",
		"sample with weights N steps old, to overlap with training", "0", 0, 1 },
	{ 0, "resume", MOE_OPT_STR, &rollout_args.resume_path, "FILE",
		"go on where the trainer's checkpoint FILE ends, if there is one", NULL, 0, 0 },
	{ 0, "wait", MOE_OPT_INT, &rollout_args.wait_sec, "SEC",
		"how long to wait for the trainer; 0 = for ever", "600", 0, 1e9 },
	{ 0, "teacher", MOE_OPT_STR, &rollout_args.teacher_path, "FILE",
		"recorded rollouts that replace a share of each group", NULL, 0, 0 },
	{ 0, "teacher-ratio", MOE_OPT_F64, &rollout_args.teacher_ratio, "R", "that share", "0.25",
		0, 1 },
	{ 0, "teacher-logp", MOE_OPT_FLAG, &rollout_args.teacher_logp, NULL,
		"keep their logp where made at these settings", NULL, 0, 0 },
	{ 0, "teacher-until", MOE_OPT_INT, &rollout_args.teacher_until, "STEP",
		"none of them from this step on; 0 = always", "0", 0, 1e12 },
	MOE_OPT_SKIP_BAD(rollout_args.skip_bad),
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Rollouts that others recorded", NULL, 0, 0 },
	MOE_OPT_FROM(rollout_args.from),
	MOE_OPT_MAP(rollout_args.map, ", or a preset: teacher_pool, substrate"),
	MOE_OPT_PARTITION(rollout_args.partition), MOE_OPT_TEMPLATE(rollout_args.template_path),
	{ 0, "limit", MOE_OPT_INT, &rollout_args.limit, "N", "stop after N rollouts; 0 = all", "0",
		0, 1e15 },
	{ 0 } };

void rollout_check_options(void)
{
	if (rollout_args.from.n &&
		(rollout_args.adapters || rollout_args.follow_path || rollout_args.teacher_path ||
			rollout_args.off_text || rollout_args.scales.n))
		moe_usage_error("--from samples nothing: -a, --follow, --teacher, --off-share and "
				"--scale do not go with it");
	if (!rollout_args.from.n &&
		(rollout_args.map.n || rollout_args.partition || rollout_args.limit ||
			rollout_args.template_path))
		moe_usage_error("--map, --partition, --chat-template and --limit belong to --from");
	if (rollout_args.teacher_logp && !rollout_args.teacher_path)
		moe_usage_error("--teacher-logp belongs to --teacher");
	if (!rollout_args.from.n && !rollout_args.base_dir)
		moe_usage_error("a base model is needed (-m DIR)");
	if (rollout_args.follow_path && (!rollout_args.adapters || !rollout_args.per_step))
		moe_usage_error("--follow needs the weights of the first step (-a FILE) and the "
				"size of a step (--per-step P)");
	if (rollout_args.resume_path && (!rollout_args.follow_path || rollout_args.lag))
		moe_usage_error("--resume goes with --follow, and not with --lag: a checkpoint "
				"holds the last weights alone");
}
