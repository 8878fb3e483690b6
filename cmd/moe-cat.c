/* moe-cat.c - looks into, checks, filters and converts streams. The work is in formats/; here are
 * options and files. */
#include "cmd/convert.h"
#include "cmd/opt.h"
#include "cmd/peft_io.h"
#include "formats/bundle.h"
#include "inspect/samples.h"
#include "inspect/show.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool head, json, values, check, lineage, stream, from_json, numpy, to_st, from_st, pack,
	unbuffered, truncated, samples;
static const char *kind, *unpack, *peft, *from_peft, *base, *bank;
static int64_t limit = -1;
static struct moe_opt_list where;

static const struct moe_opt options[] = { { 0, NULL, MOE_OPT_HEAD, NULL, NULL,
						  "What to do (default: a summary)", NULL, 0, 0 },
	{ 0, "head", MOE_OPT_FLAG, &head, NULL, "show the first records (-n, default 3) for people",
		NULL, 0, 0 },
	{ 0, "samples", MOE_OPT_FLAG, &samples, NULL,
		"show rollouts to read, grouped by arm and mode (-n of each, default 2)", NULL, 0,
		0 },
	{ 0, "json", MOE_OPT_FLAG, &json, NULL, "write JSON Lines", NULL, 0, 0 },
	{ 0, "values", MOE_OPT_FLAG, &values, NULL,
		"with --json: tensors as numbers, which --from-json does not turn back", NULL, 0,
		0 },
	{ 0, "from-json", MOE_OPT_FLAG, &from_json, NULL,
		"read JSON Lines (as --json writes them, or any with --kind), write a stream", NULL,
		0, 0 },
	{ 0, "check", MOE_OPT_FLAG, &check, NULL,
		"verify counts and checksums of all; a line per file", NULL, 0, 0 },
	{ 0, "lineage", MOE_OPT_FLAG, &lineage, NULL,
		"with --check: exit 1 unless every input that a stream names, stream or not, is "
		"among the files",
		NULL, 0, 0 },
	{ 's', "stream", MOE_OPT_FLAG, &stream, NULL,
		"write a stream: the inputs, filtered and joined", NULL, 0, 0 },
	{ 0, "numpy", MOE_OPT_FLAG, &numpy, NULL,
		"write records as plain MessagePack with tensors as Python's msgpack-numpy has "
		"them",
		NULL, 0, 0 },
	{ 0, "safetensors", MOE_OPT_FLAG, &to_st, NULL,
		"write the tensors of one input, and all else as metadata, to the safetensors file "
		"-o",
		NULL, 0, 0 },
	{ 0, "from-safetensors", MOE_OPT_FLAG, &from_st, NULL,
		"turn a safetensors file into a stream (its own, or of kind tensors)", NULL, 0, 0 },
	{ 0, "peft", MOE_OPT_STR, &peft, "DIR",
		"write the experts of an adapter into DIR, each as a PEFT adapter directory", NULL,
		0, 0 },
	{ 0, "from-peft", MOE_OPT_STR, &from_peft, "DIR",
		"turn a PEFT adapter directory into an adapter of one expert (with -m)", NULL, 0,
		0 },
	{ 0, "pack", MOE_OPT_FLAG, &pack, NULL,
		"pack files and folders into one .tar.zst with a manifest of digests", NULL, 0, 0 },
	{ 0, "unpack", MOE_OPT_STR, &unpack, "DIR",
		"unpack such a bundle into DIR, verifying the digests", NULL, 0, 0 },
	{ 0, NULL, MOE_OPT_HEAD, NULL, NULL, "Which records", NULL, 0, 0 },
	{ 'k', "kind", MOE_OPT_STR, &kind, "KIND",
		"only segments of this kind; with --from-json: the kind of lines without a header",
		NULL, 0, 0 },
	{ 'w', "where", MOE_OPT_LIST, &where, "KEY=VALUE",
		"only records of which this holds (also != < <= > >=; dots reach into maps); may "
		"be repeated",
		NULL, 0, 0 },
	{ 'n', "limit", MOE_OPT_INT, &limit, "N", "at most N records", "all", 0, 9e18 },
	{ 0, NULL, MOE_OPT_HEAD, NULL, NULL, "How", NULL, 0, 0 },
	{ 'u', "unbuffered", MOE_OPT_FLAG, &unbuffered, NULL, "write after every record", NULL, 0,
		0 },
	{ 'm', "base", MOE_OPT_STR, &base, "DIR",
		"the base model: read for --from-peft, named in the configurations by --peft", NULL,
		0, 0 },
	{ 0, "bank", MOE_OPT_STR, &bank, "BANK", "with --from-peft: shared, clean, quarantine",
		"clean", 0, 0 },
	{ 0, "allow-truncated", MOE_OPT_FLAG, &truncated, NULL, "take a missing end for the end",
		NULL, 0, 0 },
	{ 0 } };

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

/* One input of the chosen kind of work; failures of --check go on to the next file. */
static int one(struct moe_show *o, const char *path, struct moe_lineage *l, struct moe_samples *m)
{
	struct moe_err e;
	struct moe_reader *r = moe_convert_open(path, truncated, lineage, &e);
	int rc = r ? 0 : -1;

	if (rc)
		;
	else if (m)
		rc = moe_samples_read(m, o, r, &e);
	else if (json)
		rc = moe_show_json(o, r, &e);
	else if (stream)
		rc = moe_show_stream(o, r, &e);
	else if (numpy)
		rc = moe_show_numpy(o, r, moe_common.max_mem, &e);
	else if (check)
		rc = (!truncated && moe_convert_check_bundle(o, path, &e)) ||
				moe_show_check(o, r, moe_convert_display(path), l, &e)
			? -1
			: 0;
	else if (head)
		rc = moe_show_head(o, r, moe_convert_display(path), &e);
	else
		rc = moe_show_summary(o, r, moe_convert_display(path), &e);
	moe_reader_close(r);
	if (rc && !check)
		moe_die(&e);
	if (rc)
		moe_error("%s", e.msg);
	return rc ? (int)e.code : 0;
}

static int finish_lineage(struct moe_show *o, struct moe_lineage *l)
{
	size_t missing = 0;
	struct moe_err e;
	int rc = moe_lineage_print(l, &o->out, &missing, &e);

	if (moe_show_flush(o, rc ? NULL : &e) || rc)
		moe_die(&e);
	return missing ? MOE_NEGATIVE : 0;
}

/* Colours only where a terminal shows them and nobody asked for none (no-color.org). */
static struct moe_samples *new_samples(const struct moe_out *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	bool colour = !(no && *no) && term && strcmp(term, "dumb") && isatty(out->fd);
	struct moe_err e;
	struct moe_samples *m = moe_samples_new(limit < 0 ? 2 : (uint64_t)limit, colour, &e);

	if (!m)
		moe_die(&e);
	return m;
}

static int walk(int argc, char **argv, int first, struct moe_out *out)
{
	struct moe_show o = { .kind = kind,
		.limited = limit >= 0,
		.limit = (uint64_t)limit,
		.values = values,
		.unbuffered = unbuffered,
		.fd = out->fd,
		.name = out->path ? out->path : "standard output",
		.tool = prog.name,
		.argv = (const char *const *)moe_common.argv,
		.argc = moe_common.argc };
	struct moe_lineage *l;
	struct moe_err e;
	int code = 0;

	if (where.n && !(o.where = moe_where_new(where.v, where.n, &e)))
		moe_die(&e);
	l = lineage ? moe_lineage_new(moe_common.max_mem, &e) : NULL;
	if (lineage && !l)
		moe_die(&e);
	struct moe_samples *m = samples ? new_samples(out) : NULL;
	for (int i = first; i < argc || i == first; i++) {
		int rc = one(&o, i < argc ? argv[i] : NULL, l, m);

		if (!code)
			code = rc;
	}
	if (lineage && !code)
		code = finish_lineage(&o, l);
	if (m && (moe_samples_print(m, &o.out, &e) || moe_show_flush(&o, &e)))
		moe_die(&e);
	moe_samples_free(m);
	if (moe_show_found(&o, &e))
		moe_die(&e); /* so that no file is replaced by nothing */
	moe_lineage_free(l);
	moe_where_free(o.where);
	moe_buf_free(&o.out);
	return code;
}

/* The one operand of a conversion. */
static const char *only(int argc, char **argv, int first)
{
	if (argc > first + 1)
		moe_usage_error("one file at a time for this");
	return first < argc ? argv[first] : NULL;
}

/* An option that would do nothing is refused: whoever gave it expects something. */
static void check_options(bool operands)
{
	int tasks = head + samples + json + check + stream + from_json + numpy + to_st + from_st +
		pack + (unpack != NULL) + (peft != NULL) + (from_peft != NULL);
	bool records = head || samples || json || stream || numpy;

	if (tasks > 1)
		moe_usage_error("only one of the options that say what to do");
	if (from_peft && operands)
		moe_usage_error("--from-peft takes no operand");
	if (lineage && !check)
		moe_usage_error("--lineage goes with --check");
	if (values && !json)
		moe_usage_error("--values goes with --json");
	if ((where.n && tasks && !records) || (kind && tasks && !records && !from_json))
		moe_usage_error("--kind and --where choose what is shown, or written by --json, "
				"--stream and --numpy");
	if (limit >= 0 && !records)
		moe_usage_error(
			"--limit goes with --head, --samples, --json, --stream and --numpy");
	if (truncated && tasks && !records && !check)
		moe_usage_error(
			"--allow-truncated is for looking, --check, --json, --stream and --numpy");
	if ((base && !peft && !from_peft) || (bank && !from_peft))
		moe_usage_error("--base goes with --peft and --from-peft, --bank with --from-peft");
	if (moe_common.output && (peft || unpack))
		moe_usage_error("--peft and --unpack write into their own folder, not to -o");
	if (to_st && (!moe_common.output || !strcmp(moe_common.output, "-")))
		moe_usage_error("--safetensors needs a file: name it with -o");
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog), code = 0;
	struct moe_out out;
	struct moe_err e;

	check_options(first < argc);
	if (unpack || peft || from_peft) {
		if (peft)
			moe_peft_out(only(argc, argv, first), base, peft);
		else if (from_peft)
			moe_peft_in(from_peft, base, bank ? bank : "clean");
		else
			moe_convert_unpack(only(argc, argv, first), unpack);
		return moe_main_end(0);
	}
	if (stream || from_json || numpy || to_st || from_st || pack)
		moe_out_binary(&out, !numpy && !to_st && !pack);
	else
		moe_out_text(&out, NULL);
	if (to_st)
		moe_convert_to_safetensors(only(argc, argv, first), &out);
	else if (from_st)
		moe_convert_from_safetensors(only(argc, argv, first), &out);
	else if (pack) {
		if (moe_bundle_pack((const char *const *)argv + first, (size_t)(argc - first),
			    out.fd, out.path ? out.path : "standard output", &e))
			moe_die(&e);
	} else if (from_json)
		for (int i = first; i < argc || i == first; i++)
			moe_convert_from_json(i < argc ? argv[i] : NULL, kind, unbuffered, &out);
	else
		code = walk(argc, argv, first, &out);
	moe_out_finish(&out);
	return moe_main_end(code);
}
