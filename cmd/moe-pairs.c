/* moe-pairs.c - (hack, clean) pairs, hand-written or written by an environment, as a stream. It
 * does not judge them. */
#include "cmd/from_opts.h"
#include "env/env.h"
#include "env/pairset.h"
#include "formats/pairs.h"

#include <string.h>

static const char *env_path, *modes, *split = "train", *section, *prefix, *format = "auto",
				     *template_path;
static struct moe_opt_list tags, maps;
static int64_t number;
static bool shuffle;

static const struct moe_opt options[] = { { 0, "", MOE_OPT_HEAD, NULL, NULL,
						  "Pairs from an environment", NULL, 0, 0 },
	MOE_OPT_ENV(env_path),
	{ 'n', "number", MOE_OPT_INT, &number, "N", "how many pairs; from files: at most so many",
		"48 from an environment, all from files", 1, 1e9 },
	{ 0, "modes", MOE_OPT_STR, &modes, "LIST", "loophole modes to cover, separated by commas",
		"all", 0, 0 },
	{ 0, "split", MOE_OPT_STR, &split, "NAME", "draw tasks from train, validation or test",
		"train", 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Pairs from files", NULL, 0, 0 },
	{ 0, "format", MOE_OPT_STR, &format, "NAME", "notation of the files: auto, md or json",
		"auto", 0, 0 },
	{ 0, "section", MOE_OPT_STR, &section, "NAME", "only this section", NULL, 0, 0 },
	{ 0, "prefix", MOE_OPT_STR, &prefix, "TEXT", "only pairs whose name begins so", NULL, 0,
		0 },
	{ 0, "tag", MOE_OPT_LIST, &tags, "NAME",
		"only pairs with this tag (repeatable: all of them)", NULL, 0, 0 },
	MOE_OPT_MAP(maps, ""), MOE_OPT_TEMPLATE(template_path),
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Placebo", NULL, 0, 0 },
	{ 0, "shuffle-labels", MOE_OPT_FLAG, &shuffle, NULL,
		"swap hack and clean in half of the pairs, drawn by chance", NULL, 0, 0 },
	{ 0 } };

static const struct moe_prog prog = { .name = "moe-pairs",
	.purpose = "hand-written or environment-written (hack, clean) pairs",
	.usage = "[options] -e FILE [-n N] [--modes LIST]\n[options] [file ...]",
	.opt = options,
	.examples = "moe-pairs -e env.lua -n 48 --modes run_tests,stdout_marker -o "
		    "pins.moes\nmoe-pairs --section behavior pairs.md | moe-cat --head",
	.see_also = "moe-pin(1), moe-prompts(1), moe-env(5), moe-stream(5)",
	.min_operands = 0,
	.max_operands = -1 };

static struct moe_pairset_opts config;
static struct moe_fieldmap map;
static struct moe_chat *chat;

/* Options that belong to one of the two sources are refused with the other. */
static void check_options(int operands)
{
	if (env_path && operands)
		moe_usage_error("pairs come from an environment (-e) or from files, not from both");
	if (env_path &&
		(section || prefix || tags.n || maps.n || template_path ||
			strcmp(format, "auto") != 0))
		moe_usage_error("--section, --prefix, --tag, --map, --format and --chat-template "
				"are for pairs from files");
	if (!moe_env_split_known(split) || !strcmp(split, "all"))
		moe_usage_error("--split is train, validation or test, not `%s'", split);
	if (strcmp(format, "auto") && strcmp(format, "md") && strcmp(format, "json"))
		moe_usage_error("--format is auto, md or json, not `%s'", format);
}

static void configure(void)
{
	struct moe_err e;

	for (size_t i = 0; i < maps.n; i++)
		if (moe_fieldmap_add(&map, maps.v[i], &e))
			moe_die(&e);
	if (moe_fieldmap_check(&map, moe_pairs_map_keys, &e))
		moe_die(&e);
	if (template_path && !(chat = moe_chat_open(template_path, &e)))
		moe_die(&e);
	config = (struct moe_pairset_opts){ .env_path = env_path,
		.modes = modes,
		.split = split,
		.seed = moe_common.seed,
		.shuffle_labels = shuffle,
		.number = (uint64_t)number,
		.max_mem = moe_common.max_mem };
	config.file.format = !strcmp(format, "md") ? MOE_PAIRS_MARKDOWN
		: !strcmp(format, "json")          ? MOE_PAIRS_JSON
						   : MOE_PAIRS_AUTO;
	config.file.section = section;
	config.file.prefix = prefix;
	config.file.tag = tags.v;
	config.file.n_tag = tags.n;
	config.file.map = &map;
	config.file.chat = chat;
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog), rc;
	const char *const *path = (const char *const *)argv + first;
	struct moe_rec rec = { 0 }, extra = { 0 };
	struct moe_pairset *set;
	struct moe_out out;
	struct moe_err e;

	check_options(argc - first);
	for (int i = first; !env_path && (i < argc || i == first); i++)
		moe_in_check(argv[i]);
	configure();
	set = moe_pairset_open(&config, path, (size_t)(argc - first), &e);
	if (!set || moe_pairset_header(set, &extra, &e))
		moe_die(&e);
	moe_out_stream(&out, "pairs", MOE_LABELS_SYNTHETIC, &extra);
	while ((rc = moe_pairset_next(set, &rec, &e)) > 0)
		if (moe_writer_put(out.w, &rec, &e))
			moe_die(&e);
	if (rc < 0)
		moe_die(&e);
	if (moe_pairset_sources(set, out.w, &e))
		moe_die(&e);
	moe_out_finish(&out);
	if (moe_pairset_copies(set))
		moe_warn("%llu of %llu pairs are copies of others (prompt, hack and clean): they "
			 "add "
			 "nothing, and a score that is fitted to them cannot be held out",
			(unsigned long long)moe_pairset_copies(set),
			(unsigned long long)moe_pairset_count(set));
	moe_info("%llu pair%s%s", (unsigned long long)moe_pairset_count(set),
		moe_s(moe_pairset_count(set)), shuffle ? ", labels shuffled" : "");
	moe_pairset_close(set);
	moe_rec_free(&rec);
	moe_rec_free(&extra);
	moe_fieldmap_free(&map);
	moe_chat_free(chat);
	return moe_main_end(MOE_OK);
}
