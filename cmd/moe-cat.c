/* moe-cat.c - looks into, checks, filters and converts streams. The work is in formats/; here are options and files. */
#include "cmd/opt.h"
#include "formats/input.h"
#include "formats/jsonl.h"
#include "formats/show.h"

#include <string.h>

static bool head, json, values, check, lineage, stream, from_json, unbuffered, truncated;
static const char *kind;
static int64_t limit;
static struct moe_opt_list where;

static const struct moe_opt options[] = {
	{0, "What to do (default: a summary)", MOE_OPT_HEAD, NULL, NULL, NULL, NULL, 0, 0},
	{0, "head", MOE_OPT_FLAG, &head, NULL, "show the first records (-n, default 3) in readable form", NULL, 0, 0},
	{0, "json", MOE_OPT_FLAG, &json, NULL, "write JSON Lines", NULL, 0, 0},
	{0, "values", MOE_OPT_FLAG, &values, NULL, "with --json: tensors as arrays of numbers, which --from-json does not turn back", NULL, 0, 0},
	{0, "from-json", MOE_OPT_FLAG, &from_json, NULL, "read JSON Lines (as --json writes them, or any with --kind), write a stream", NULL, 0, 0},
	{0, "check", MOE_OPT_FLAG, &check, NULL, "read everything, verify counts and checksums; one line per file", NULL, 0, 0},
	{0, "lineage", MOE_OPT_FLAG, &lineage, NULL, "with --check: every input named by a stream must be among the files; exit 1 if not", NULL, 0, 0},
	{'s', "stream", MOE_OPT_FLAG, &stream, NULL, "write a stream: the inputs, filtered and joined", NULL, 0, 0},
	{0, "Which records", MOE_OPT_HEAD, NULL, NULL, NULL, NULL, 0, 0},
	{'k', "kind", MOE_OPT_STR, &kind, "KIND", "only segments of this kind; with --from-json: the kind of lines without a header", NULL, 0, 0},
	{'w', "where", MOE_OPT_LIST, &where, "KEY=VALUE", "only records of which this holds (also != < <= > >=; dots reach into maps); may be repeated", NULL, 0, 0},
	{'n', "limit", MOE_OPT_INT, &limit, "N", "at most N records", "all", 0, 9e18},
	{0, "How", MOE_OPT_HEAD, NULL, NULL, NULL, NULL, 0, 0},
	{'u', "unbuffered", MOE_OPT_FLAG, &unbuffered, NULL, "write after every record", NULL, 0, 0},
	{0, "allow-truncated", MOE_OPT_FLAG, &truncated, NULL, "take a missing end for the end", NULL, 0, 0},
	{0}};

static const struct moe_prog prog = {
	.name = "moe-cat",
	.purpose = "Looks into, checks, filters and converts streams.",
	.usage = "[OPTION]... [FILE]...",
	.opt = options,
	.examples = "  moe-cat run.moes                              what is in it\n"
		    "  moe-cat --json run.moes | jq .reward          as JSON Lines\n"
		    "  moe-cat -s -w arm=on a.moes b.moes > on.moes  join and filter\n"
		    "  moe-cat --check *.moes                        are they whole?\n",
	.see_also = "moe-stream(5), moe(7)",
	.min_operands = 0,
	.max_operands = -1,
};

static const char *display(const char *path)
{
	return !path || !strcmp(path, "-") ? "standard input" : path;
}

static struct moe_reader *open_input(const char *path)
{
	struct moe_reader_opts o = {.max_mem = moe_common.max_mem, .allow_truncated = truncated};
	struct moe_reader *r;
	struct moe_err e;

	moe_in_not_terminal(path);
	r = moe_reader_open_path(path ? path : "-", &o, &e);
	if (!r)
		moe_die(&e);
	return r;
}

static void read_json(const char *path, struct moe_out *out)
{
	struct moe_jsonl_opts o = {.kind = kind, .tool = prog.name, .argv = (const char *const *)moe_common.argv, .argc = moe_common.argc,
		.name = out->path ? out->path : "standard output"};
	struct moe_input *in;
	struct moe_err e;

	moe_in_not_terminal(path);
	in = moe_input_open(path ? path : "-", &e);
	if (!in || moe_jsonl_to_stream(in, out->fd, &o, &e))
		moe_die(&e);
	moe_input_close(in);
}

/* One input of the chosen kind of work; failures of --check go on to the next file. */
static int one(struct moe_show *o, const char *path, struct moe_lineage *l)
{
	struct moe_reader *r = open_input(path);
	struct moe_err e;
	int rc;

	if (json)
		rc = moe_show_json(o, r, &e);
	else if (stream)
		rc = moe_show_stream(o, r, &e);
	else if (check)
		rc = moe_show_check(o, r, display(path), l, &e);
	else if (head)
		rc = moe_show_head(o, r, display(path), &e);
	else
		rc = moe_show_summary(o, r, display(path), &e);
	moe_reader_close(r);
	if (rc && !check)
		moe_die(&e);
	if (rc)
		moe_warn("%s", e.msg);
	return rc ? (int)e.code : 0;
}

static int finish_lineage(struct moe_show *o, const struct moe_lineage *l)
{
	size_t missing = 0;
	struct moe_err e;

	if (moe_lineage_print(l, &o->out, &missing, &e) || moe_show_flush(o, &e))
		moe_die(&e);
	return missing ? MOE_NEGATIVE : 0;
}

static int walk(int argc, char **argv, int first, struct moe_out *out)
{
	struct moe_show o = {.kind = kind, .limit = (uint64_t)limit, .values = values, .unbuffered = unbuffered, .fd = out->fd,
		.name = out->path ? out->path : "standard output", .tool = prog.name, .argv = (const char *const *)moe_common.argv, .argc = moe_common.argc};
	struct moe_lineage *l;
	struct moe_err e;
	int code = 0;

	if (where.n && !(o.where = moe_where_new(where.v, where.n, &e)))
		moe_die(&e);
	l = moe_lineage_new(&e);
	if (!l)
		moe_die(&e);
	for (int i = first; i < argc || i == first; i++) {
		int rc = one(&o, i < argc ? argv[i] : NULL, l);

		if (!code)
			code = rc;
	}
	if (lineage && !code)
		code = finish_lineage(&o, l);
	moe_lineage_free(l);
	moe_where_free(o.where);
	moe_buf_free(&o.out);
	return code;
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog), code = 0;
	struct moe_out out;

	if (head + json + check + stream + from_json > 1)
		moe_usage_error("--head, --json, --from-json, --check and --stream exclude one another");
	if (stream || from_json)
		moe_out_binary(&out);
	else
		moe_out_text(&out, NULL);
	if (from_json)
		for (int i = first; i < argc || i == first; i++)
			read_json(i < argc ? argv[i] : NULL, &out);
	else
		code = walk(argc, argv, first, &out);
	moe_out_finish(&out);
	return moe_main_end(code);
}
