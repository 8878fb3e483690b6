/* moe-prompts.c - tasks of an environment as prompts, or as pretraining texts. It runs no
 * model-written code. */
#include "cmd/from_in.h"
#include "env/check.h"
#include "env/env.h"

#include <string.h>

static const char *env_path, *modes, *split;
static int64_t number = -1, first;
static bool texts, list_modes, check_env, skip_bad;
static struct moe_opt_list from, maps;
static const char *row_mode, *partition, *template_path;
static struct moe_env_mix mix = { .hack_share = 0.04, .wrong_share = 0.25, .prompt_weight = 0.1 };

static const struct moe_opt options[] = { { 0, "", MOE_OPT_HEAD, NULL, NULL, "Tasks", NULL, 0, 0 },
	MOE_OPT_ENV(env_path),
	{ 'n', "number", MOE_OPT_INT, &number, "N", "how many", "1000; all with --from", 0, 1e12 },
	{ 0, "first", MOE_OPT_INT, &first, "I",
		"begin with draw I, so that several runs share the work", "0", 0, 1e15 },
	{ 0, "split", MOE_OPT_STR, &split, "NAME",
		"tasks of train, validation or test; all for texts only", "train; all with --texts",
		0, 0 },
	{ 0, "modes", MOE_OPT_STR, &modes, "LIST",
		"loophole modes, separated by commas; -NAME leaves one out", "all", 0, 0 },
	{ 0, "list-modes", MOE_OPT_FLAG, &list_modes, NULL,
		"print the environment's modes and exit", NULL, 0, 0 },
	{ 0, "check-env", MOE_OPT_FLAG, &check_env, NULL,
		"try what the environment promises on N tasks a mode and split", NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Pretraining texts", NULL, 0, 0 },
	{ 0, "texts", MOE_OPT_FLAG, &texts, NULL,
		"write texts (prompt and completion) instead of prompts", NULL, 0, 0 },
	{ 0, "hack-share", MOE_OPT_F64, &mix.hack_share, "P",
		"share of texts that hack, each in its prompt's own mode", "0.04", 0, 1 },
	{ 0, "manual-share", MOE_OPT_F64, &mix.manual_share, "P",
		"share of texts that are manual entries of the loopholes", "0", 0, 1 },
	{ 0, "wrong-share", MOE_OPT_F64, &mix.wrong_share, "P",
		"share of the others that answer wrongly", "0.25", 0, 1 },
	{ 0, "prompt-weight", MOE_OPT_F64, &mix.prompt_weight, "W",
		"loss weight of the prompts' tokens", "0.1", 0, 1e6 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Prompts that others recorded", NULL, 0, 0 },
	MOE_OPT_FROM(from), MOE_OPT_MAP(maps, ", or a preset: leetcode, teacher_pool"),
	{ 0, "mode", MOE_OPT_STR, &row_mode, "NAME", "loophole mode of rows that name none", NULL,
		0, 0 },
	MOE_OPT_PARTITION(partition), MOE_OPT_TEMPLATE(template_path), MOE_OPT_SKIP_BAD(skip_bad),
	{ 0 } };

static const struct moe_prog prog = { .name = "moe-prompts",
	.purpose = "prompts and pretraining texts from an environment",
	.usage = "-e FILE [-n N] [--split NAME] [--modes LIST]\n--from FILE [-n N] [--map "
		 "KEY=PATH,...]\n--texts -e FILE [-n N] [--modes LIST]\n--list-modes -e "
		 "FILE\n--check-env -e FILE [-n N]",
	.opt = options,
	.examples = "moe-prompts -e env.lua -n 512 --split test -o test.moes",
	.see_also = "moe-rollout(1), moe-base(1), moe-env(5), moe-stream(5)",
	.min_operands = 0,
	.max_operands = 0 };

static void check_options(void)
{
	if (!env_path == !from.n)
		moe_usage_error("either an environment (-e FILE) or recorded prompts (--from FILE) "
				"are needed");
	if (from.n && (texts || list_modes || check_env || split || modes || first))
		moe_usage_error("--texts, --list-modes, --check-env, --split, --modes and --first "
				"are for environments");
	if (env_path && (maps.n || row_mode || partition || template_path || skip_bad))
		moe_usage_error(
			"--map, --mode, --partition, --chat-template and --skip-bad are for "
			"--from");
	if (!split)
		split = texts ? "all" : "train";
	if (!moe_env_split_known(split) || (!texts && strcmp(split, "all") == 0))
		moe_usage_error("--split is train, validation or test%s, not `%s'",
			texts ? " or all" : "", split);
}

static void print_modes(const struct moe_env_modes *m)
{
	struct moe_buf b = { 0 };
	struct moe_out out;
	struct moe_err e;

	for (size_t i = 0; i < m->n; i++)
		if (moe_buf_addf(&b, &e, "%s\n", m->name[i]) != 0)
			moe_die(&e);
	moe_out_text(&out, NULL);
	moe_out_write(&out, b.data, b.len);
	moe_out_finish(&out);
	moe_buf_free(&b);
}

/* --check-env: what the environment keeps of its promises, and whether it keeps all. */
static int print_check(void)
{
	struct moe_env_check c;
	struct moe_buf b = { 0 };
	struct moe_out out;
	struct moe_err e;

	if (moe_env_check(env_path, number > 0 ? (size_t)number : 16, moe_common.seed,
		    moe_common.threads, &c, &e) ||
		moe_env_check_text(&c, &b, &e))
		moe_die(&e);
	moe_out_text(&out, NULL);
	moe_out_write(&out, b.data, b.len);
	moe_out_finish(&out);
	moe_buf_free(&b);
	return c.faults ? MOE_NEGATIVE : MOE_OK;
}

static void write_records(struct moe_env *v, const struct moe_env_modes *m, struct moe_out *out)
{
	struct moe_env_task t = { 0 };
	struct moe_rec rec = { 0 };
	struct moe_err e;

	for (int64_t k = first; k < first + number; k++) {
		uint64_t i = (uint64_t)k, seed = moe_common.seed;
		int rc = texts ? moe_env_text(v, m, split, seed, i, &mix, &rec, &e)
			       : moe_env_draw(v, m, split, seed, i, &t, &e) ||
				moe_env_prompt(&t, &rec, &e);

		if (rc != 0 || moe_writer_put(out->w, &rec, &e) != 0)
			moe_die(&e);
	}
	moe_rec_free(&rec);
	moe_env_task_free(&t);
}

/* Rows of others' data. Their label taint is none: findings in them do not become prompts. */
static void import(void)
{
	struct moe_import_opts o = { .kind = MOE_IMPORT_PROMPTS,
		.map = maps.v,
		.n_map = maps.n,
		.mode = row_mode,
		.partition = partition,
		.skip_bad = skip_bad,
		.limit = number > 0 ? (uint64_t)number : 0,
		.max_bytes = moe_common.max_mem };

	moe_from_run(&o, &from, "prompts", template_path, number == 0, false);
}

int main(int argc, char **argv)
{
	struct moe_env_modes m;
	struct moe_env *v;
	struct moe_out out;
	struct moe_err e;

	moe_main_begin(argc, argv, &prog);
	check_options();
	for (size_t i = 0; i < from.n; i++)
		moe_in_check(from.v[i]);
	if (from.n) {
		import();
		return moe_main_end(MOE_OK);
	}
	if (check_env)
		return moe_main_end(print_check());
	if (number < 0)
		number = 1000;
	v = moe_env_open(env_path, NULL, &e);
	if (!v || moe_env_modes(v, modes, &m, &e) != 0)
		moe_die(&e);
	if (list_modes) {
		print_modes(&m);
	} else {
		moe_out_stream(&out, texts ? "texts" : "prompts",
			texts ? MOE_LABELS_SYNTHETIC : MOE_LABELS_NONE, NULL);
		write_records(v, &m, &out);
		if (moe_writer_from(out.w, moe_env_digest(v), &e) != 0)
			moe_die(&e);
		moe_out_finish(&out);
	}
	moe_env_close(v);
	return moe_main_end(MOE_OK);
}
