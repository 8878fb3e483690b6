/* moe-base.c - make, pretrain, check, describe, try and score a base model directory. The work is
 * in base_*.c and the libraries. */
#include "cmd/base.h"

#include <string.h>

static struct base_opts o = { .max_length = 0,
	.max_new = 128,
	.samples = 1,
	.temperature = 1,
	.top_p = 1 };
static int64_t batch = 64, steps, warmup = 100, eval_every = 100;
static const char *schedule = "linear";

static const struct moe_opt options[] = {
	{ 0, NULL, MOE_OPT_HEAD, NULL, NULL, "What to do, and with which model", NULL, 0, 0 },
	{ 'm', "base", MOE_OPT_STR, &o.dir, "DIR", "the model's directory", NULL, 0, 0 },
	{ 0, "new", MOE_OPT_STR, &o.new_from, "SHAPE",
		"a random model: tiny, 30m, smollm2-135m, config.json", NULL, 0, 0 },
	{ 0, "from-gguf", MOE_OPT_STR, &o.from_gguf, "FILE",
		"a model as llama.cpp has it: llama, qwen2, qwen3", NULL, 0, 0 },
	{ 0, "tokenizer", MOE_OPT_STR, &o.tokenizer, "FILE", "with --new: its tokenizer.json",
		"bytes, if V is 259", 0, 0 },
	{ 0, "pretrain", MOE_OPT_FLAG, &o.pretrain, NULL, "train all weights on a stream of texts",
		NULL, 0, 0 },
	{ 0, "merge", MOE_OPT_FLAG, &o.merge, NULL, "an adapter's arm and its base as one model",
		NULL, 0, 0 },
	{ 0, "info", MOE_OPT_FLAG, &o.info, NULL, "describe the model", NULL, 0, 0 },
	{ 0, "check", MOE_OPT_FLAG, &o.check, NULL,
		"look for broken weights; status 1 when there are any", NULL, 0, 0 },
	{ 0, "generate", MOE_OPT_FLAG, &o.generate, NULL, "complete the operands, for a look", NULL,
		0, 0 },
	{ 0, "score", MOE_OPT_FLAG, &o.score, NULL, "log-probabilities of texts, rollouts, pairs",
		NULL, 0, 0 },
	{ 0, NULL, MOE_OPT_HEAD, NULL, NULL, "With --pretrain", NULL, 0, 0 },
	{ 0, "batch", MOE_OPT_INT, &batch, "N", "texts a step", "64", 1, 1e6 },
	{ 0, "epochs", MOE_OPT_F64, &o.train.epochs, "X", "passes over the texts", "1", 0, 1e6 },
	{ 0, "steps", MOE_OPT_INT, &steps, "N", "steps, in place of --epochs", NULL, 0, 1e12 },
	{ 0, "max-length", MOE_OPT_INT, &o.max_length, "N", "longest text in tokens",
		"max_position_embeddings", 2, 1e7 },
	{ 0, "lr", MOE_OPT_F64, &o.train.lr, "X", "learning rate", "0.004", 0, 10 },
	{ 0, "schedule", MOE_OPT_STR, &schedule, "NAME", "after warm-up: linear, cosine, constant",
		"linear", 0, 0 },
	{ 0, "warmup", MOE_OPT_INT, &warmup, "N", "steps of linear warm-up", "100", 0, 1e9 },
	{ 0, "adam-beta1", MOE_OPT_F64, &o.train.beta1, "X", "AdamW's beta1", "0.9", 0, 0.999999 },
	{ 0, "adam-beta2", MOE_OPT_F64, &o.train.beta2, "X", "AdamW's beta2", "0.98", 0,
		0.99999999 },
	{ 0, "weight-decay", MOE_OPT_F64, &o.train.decay, "X", "AdamW's decay of matrices", "0.01",
		0, 100 },
	{ 0, "max-grad-norm", MOE_OPT_F64, &o.train.clip, "X",
		"clip of the gradient's norm; 0: none", "1", 0, 1e9 },
	{ 0, "recompute", MOE_OPT_FLAG, &o.train.recompute, NULL,
		"less memory, more work, the same result", NULL, 0, 0 },
	{ 0, "heldout", MOE_OPT_F64, &o.train.heldout, "X",
		"share of the texts kept for the held-out loss", "0.02", 0, 0.5 },
	{ 0, "eval-every", MOE_OPT_INT, &eval_every, "N",
		"steps between held-out losses; 0: the last", "100", 0, 1e12 },
	{ 0, "metrics", MOE_OPT_STR, &o.metrics, "FILE",
		"write a stream of metrics, a record a step", NULL, 0, 0 },
	{ 0, "checkpoint", MOE_OPT_STR, &o.checkpoint, "DIR",
		"directory of --save-every and --resume", "OUTPUT.ckpt", 0, 0 },
	{ 0, "save-every", MOE_OPT_INT, &o.save_every, "N", "steps between checkpoints; 0: none",
		"0", 0, 1e12 },
	{ 0, "resume", MOE_OPT_FLAG, &o.resume, NULL,
		"go on from the last checkpoint, if there is one", NULL, 0, 0 },
	{ 0, NULL, MOE_OPT_HEAD, NULL, NULL, "With --generate and --score", NULL, 0, 0 },
	{ 'a', "adapter", MOE_OPT_STR, &o.adapter, "FILE", "under the first arm of this adapter",
		NULL, 0, 0 },
	{ 0, "arm", MOE_OPT_STR, &o.arm, "NAME", "under this arm of the adapter", NULL, 0, 0 },
	{ 0, "any-base", MOE_OPT_FLAG, &o.any_base, NULL,
		"accept an adapter of another base of this shape", NULL, 0, 0 },
	{ 0, "temperature", MOE_OPT_F64, &o.temperature, "X",
		"divides logits; 0 (--generate): the likeliest", "1", 0, 1e6 },
	{ 0, "top-k", MOE_OPT_INT, &o.top_k, "K", "draw from the K likeliest tokens; 0: from all",
		"0", 0, 1e9 },
	{ 0, "top-p", MOE_OPT_F64, &o.top_p, "P", "draw from the likeliest of this probability",
		"1", 0.000001, 1 },
	{ 'n', "number", MOE_OPT_INT, &o.samples, "N", "completions for each prompt", "1", 1, 1e6 },
	{ 0, "max-new", MOE_OPT_INT, &o.max_new, "N", "longest completion in tokens", "128", 1,
		1e7 },
	{ 0, "text", MOE_OPT_FLAG, &o.text, NULL, "scores as a table of text", NULL, 0, 0 }, { 0 }
};

static const struct moe_prog prog = {
	.name = "moe-base",
	.purpose = "make, pretrain, check or describe a base model directory",
	.usage = "--new SHAPE | --from-gguf FILE [options] -o DIR\n"
		 "--pretrain | --merge -m DIR [-a ADAPTER] [options] -o DIR [TEXTS]\n"
		 "--info | --check | --generate | --score -m DIR [-a ADAPTER] [options] [OPERANDS]",
	.opt = options,
	.examples =
		"moe-prompts -e env.lua --texts -n 40000 | moe-base --pretrain -m base.new -o base",
	.see_also = "moe-prompts(1), moe-pin(1), moe-rollout(1), moe-stream(5), moe(7)",
	.min_operands = 0,
	.max_operands = -1,
};

static void check_options(int operands)
{
	int jobs = (o.new_from != NULL) + (o.from_gguf != NULL) + o.merge + o.pretrain + o.info +
		o.check + o.generate + o.score;

	if (jobs != 1)
		moe_usage_error("one of --new, --from-gguf, --merge, --pretrain, --info, --check, "
				"--generate and --score is needed");
	if (!o.new_from && !o.from_gguf && !o.dir)
		moe_usage_error("-m DIR is needed");
	if ((o.new_from || o.from_gguf || o.merge || o.pretrain) &&
		(!moe_common.output || !strcmp(moe_common.output, "-")))
		moe_usage_error("-o DIR is needed: the result is a directory");
	if ((o.new_from || o.from_gguf || o.merge || o.info || o.check) && operands)
		moe_usage_error("there are no operands with --new, --from-gguf, --merge, --info "
				"and --check");
	if (o.merge && !o.adapter)
		moe_usage_error("--merge needs an adapter: -a FILE");
	if ((o.pretrain || o.score) && operands > 1)
		moe_usage_error("one stream at most");
	if (o.generate && !operands)
		moe_usage_error("--generate completes its operands: there are none");
	if (o.score && !(o.temperature >= MOE_GREEDY))
		moe_usage_error("--score needs a --temperature of at least %g", MOE_GREEDY);
}

int main(int argc, char **argv)
{
	int first, code = MOE_OK;
	struct moe_err e;

	moe_pretrain_defaults(&o.train);
	first = moe_main_begin(argc, argv, &prog);
	check_options(argc - first);
	o.train.seed = moe_common.seed;
	o.train.batch = (int)batch;
	o.train.steps = (uint64_t)steps;
	o.train.warmup = (uint64_t)warmup;
	o.train.eval_every = (uint64_t)eval_every;
	if (moe_schedule_parse(schedule, &o.train.schedule, &e))
		moe_usage_error("%s", e.msg);
	if (o.new_from)
		base_new(&o);
	else if (o.from_gguf)
		base_from_gguf(&o);
	else if (o.merge)
		base_merge(&o);
	else if (o.pretrain)
		base_pretrain(&o, argv[first]);
	else if (o.info)
		base_info(&o);
	else if (o.check)
		code = base_check(&o);
	else if (o.generate)
		base_generate(&o, argc - first, argv + first);
	else
		base_score(&o, argv[first]);
	return moe_main_end(code);
}
