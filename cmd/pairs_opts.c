/* pairs_opts.c - the options of moe-pairs. What is done with pairs is lib/env's. */
#include "cmd/pairs_opts.h"
#include "cmd/from_opts.h"
#include "env/env.h"

#include <string.h>

struct pairs_args pairs_args = { .format = "auto" };
#define A pairs_args

const struct moe_opt pairs_options[] = { { 0, "", MOE_OPT_HEAD, NULL, NULL,
						 "Pairs from an environment", NULL, 0, 0 },
	MOE_OPT_ENV(A.env_path),
	{ 'n', "number", MOE_OPT_INT, &A.number, "N", "how many pairs; from files: at most so many",
		"48 from an environment, all from files", 1, 1e9 },
	{ 0, "modes", MOE_OPT_STR, &A.modes, "LIST", "loophole modes to cover, separated by commas",
		"all", 0, 0 },
	{ 0, "split", MOE_OPT_STR, &A.split, "NAME",
		"train, validation or test: of the tasks; of files, so much of their pairs",
		"train; all from files", 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Pairs from files", NULL, 0, 0 },
	{ 0, "format", MOE_OPT_STR, &A.format, "NAME",
		"notation of the files: auto, md, json or stream", "auto", 0, 0 },
	{ 0, "section", MOE_OPT_STR, &A.section, "NAME", "only this section", NULL, 0, 0 },
	{ 0, "prefix", MOE_OPT_STR, &A.prefix, "TEXT", "only pairs whose name begins so", NULL, 0,
		0 },
	{ 0, "tag", MOE_OPT_LIST, &A.tags, "NAME",
		"only pairs with this tag (repeatable: all of them)", NULL, 0, 0 },
	MOE_OPT_MAP(A.maps, ""), MOE_OPT_TEMPLATE(A.template_path),
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Filters and checks", NULL, 0, 0 },
	{ 0, "dedupe", MOE_OPT_FLAG, &A.dedupe, NULL,
		"leave out copies: texts that are equal but for white space", NULL, 0, 0 },
	{ 0, "match-length", MOE_OPT_F64, &A.length_ratio, "R",
		"leave out pairs whose longer side is over R times the other", NULL, 1, 1e6 },
	{ 0, "against", MOE_OPT_LIST, &A.against, "PROMPTS",
		"fail if a pair shares id, marker, task or prompt with them (repeatable)", NULL, 0,
		0 },
	{ 0, "look", MOE_OPT_FLAG, &A.look, NULL,
		"print what tells the sides apart (lengths, words), not a stream", NULL, 0, 0 },
	{ 'm', "base", MOE_OPT_STR, &A.tokenizer, "DIR",
		"for these: count the tokens of this model, not words", NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Placebos", NULL, 0, 0 },
	{ 0, "shuffle-labels", MOE_OPT_FLAG, &A.shuffle, NULL,
		"swap hack and clean in half of the pairs, drawn by chance", NULL, 0, 0 },
	{ 0, "neutral", MOE_OPT_FLAG, &A.neutral, NULL,
		"two clean sides in each pair; which is called hack, chance says", NULL, 0, 0 },
	{ 0 } };

static struct moe_fieldmap map;
static struct moe_chat *chat;
static struct moe_tokenizer *tokenizer;
static struct moe_pairleak leak;

/* Options that belong to one of the two sources are refused with the other. */
static void check(int operands, bool stdin_is_pairs)
{
	if (A.env_path && operands)
		moe_usage_error("pairs come from an environment (-e) or from files, not from both");
	if (A.env_path &&
		(A.section || A.prefix || A.tags.n || A.maps.n || A.template_path ||
			strcmp(A.format, "auto") != 0))
		moe_usage_error("--section, --prefix, --tag, --map, --format and --chat-template "
				"are for pairs from files");
	if (A.split && (!moe_env_split_known(A.split) || !strcmp(A.split, "all")))
		moe_usage_error("--split is train, validation or test, not `%s'", A.split);
	if (strcmp(A.format, "auto") && strcmp(A.format, "md") && strcmp(A.format, "json") &&
		strcmp(A.format, "stream"))
		moe_usage_error("--format is auto, md, json or stream, not `%s'", A.format);
	for (size_t i = 0; i < A.against.n; i++)
		if (!strcmp(A.against.v[i], "-") && !A.env_path && stdin_is_pairs)
			moe_usage_error("--against - and the pairs would both be standard input");
	if (A.shuffle && A.neutral)
		moe_usage_error("--shuffle-labels and --neutral are two placebos: one of them");
	if (A.tokenizer && !A.look && A.length_ratio <= 0)
		moe_usage_error("-m DIR counts tokens for --match-length and --look");
}

/* The prompts that pairs are held against. */
static void read_prompts(const char *path)
{
	struct moe_reader *r = moe_in_open(path, "prompts");
	uint64_t before = leak.prompts;
	struct moe_err e;

	if (moe_pairleak_prompts(&leak, r, &e))
		moe_die(&e);
	if (leak.prompts == before) {
		moe_fail(&e, MOE_DATA, "%s holds no prompts: nothing can be held against it", path);
		moe_die(&e);
	}
	moe_reader_close(r);
}

void pairs_configure(struct moe_pairset_opts *o, const char *const *path, int operands)
{
	bool stdin_is_pairs = operands == 0;
	struct moe_err e;

	for (int i = 0; i < operands; i++)
		stdin_is_pairs |= !strcmp(path[i], "-");
	check(operands, stdin_is_pairs);
	for (size_t i = 0; i < A.maps.n; i++)
		if (moe_fieldmap_add(&map, A.maps.v[i], &e))
			moe_die(&e);
	if (moe_fieldmap_check(&map, moe_pairs_map_keys, &e))
		moe_die(&e);
	if (A.template_path && !(chat = moe_chat_open(A.template_path, &e)))
		moe_die(&e);
	if (A.tokenizer && !(tokenizer = moe_tokenizer_open(A.tokenizer, &e)))
		moe_die(&e);
	for (size_t i = 0; i < A.against.n; i++)
		read_prompts(A.against.v[i]);
	*o = (struct moe_pairset_opts){ .env_path = A.env_path,
		.modes = A.modes,
		.split = A.split,
		.seed = moe_common.seed,
		.shuffle_labels = A.shuffle,
		.neutral = A.neutral,
		.dedupe = A.dedupe,
		.length_ratio = A.length_ratio,
		.tok = tokenizer,
		.leak = A.against.n ? &leak : NULL,
		.number = (uint64_t)A.number,
		.max_mem = moe_common.max_mem };
	o->file.format = !strcmp(A.format, "md") ? MOE_PAIRS_MARKDOWN
		: !strcmp(A.format, "json")      ? MOE_PAIRS_JSON
		: !strcmp(A.format, "stream")    ? MOE_PAIRS_STREAM
						 : MOE_PAIRS_AUTO;
	o->file.section = A.section;
	o->file.prefix = A.prefix;
	o->file.tag = A.tags.v;
	o->file.n_tag = A.tags.n;
	o->file.map = &map;
	o->file.chat = chat;
}

void pairs_opts_free(void)
{
	moe_fieldmap_free(&map);
	moe_chat_free(chat);
	moe_tokenizer_free(tokenizer);
	moe_pairleak_free(&leak);
}
