/* moe-cat.c - looks into, checks, filters and converts streams. The work is in formats/; here are
 * options and files. */
#include "cmd/cat_opts.h"
#include "cmd/cat_runs.h"
#include "cmd/convert.h"
#include "cmd/peft_io.h"
#include "formats/bundle.h"
#include "inspect/samples.h"
#include "inspect/show.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct moe_prog prog = {
	.name = "moe-cat",
	.purpose = "Looks into, checks, filters and converts streams.",
	.usage = "[OPTION]... [FILE]...",
	.opt = cat_options,
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
	struct moe_reader *r = moe_convert_open(path, cat_args.truncated, cat_args.lineage, &e);
	int rc = r ? 0 : -1;

	if (rc)
		;
	else if (m)
		rc = moe_samples_read(m, o, r, &e);
	else if (cat_args.json)
		rc = moe_show_json(o, r, &e);
	else if (cat_args.stream)
		rc = moe_show_stream(o, r, &e);
	else if (cat_args.numpy)
		rc = moe_show_numpy(o, r, moe_common.max_mem, &e);
	else if (cat_args.check)
		rc = (!cat_args.truncated && moe_convert_check_bundle(o, path, &e)) ||
				moe_show_check(o, r, moe_convert_display(path), l, &e)
			? -1
			: 0;
	else if (cat_args.head)
		rc = moe_show_head(o, r, moe_convert_display(path), &e);
	else
		rc = moe_show_summary(o, r, moe_convert_display(path), &e);
	moe_reader_close(r);
	if (rc && !cat_args.check)
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
static bool colours(const struct moe_out *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && *no) && term && strcmp(term, "dumb") && isatty(out->fd);
}

static struct moe_samples *new_samples(const struct moe_out *out)
{
	struct moe_err e;
	struct moe_samples *m = moe_samples_new(
		cat_args.limit < 0 ? 2 : (uint64_t)cat_args.limit, colours(out), &e);

	if (!m)
		moe_die(&e);
	return m;
}

static int walk(int argc, char **argv, int first, struct moe_out *out)
{
	struct moe_show o = { .kind = cat_args.kind,
		.limited = cat_args.limit >= 0,
		.limit = (uint64_t)cat_args.limit,
		.values = cat_args.values,
		.unbuffered = cat_args.unbuffered,
		.fd = out->fd,
		.name = out->path ? out->path : "standard output",
		.tool = prog.name,
		.argv = (const char *const *)moe_common.argv,
		.argc = moe_common.argc };
	struct moe_lineage *l;
	struct moe_err e;
	int code = 0;

	if (cat_args.where.n && !(o.where = moe_where_new(cat_args.where.v, cat_args.where.n, &e)))
		moe_die(&e);
	l = cat_args.lineage ? moe_lineage_new(moe_common.max_mem, &e) : NULL;
	if (cat_args.lineage && !l)
		moe_die(&e);
	struct moe_samples *m = cat_args.samples ? new_samples(out) : NULL;
	if (cat_args.metrics)
		cat_metrics(&o, cat_args.metrics, argc - first, argv + first);
	else if (cat_args.completions)
		cat_completions(&o, cat_args.html, colours(out), argc - first, argv + first);
	for (int i = first; !cat_args.metrics && !cat_args.completions && (i < argc || i == first);
		i++) {
		int rc = one(&o, i < argc ? argv[i] : NULL, l, m);

		if (!code)
			code = rc;
	}
	if (cat_args.lineage && !code)
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

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog), code = 0;
	struct moe_out out;
	struct moe_err e;

	cat_check_options(first < argc);
	if (cat_args.unpack || cat_args.peft || cat_args.from_peft) {
		if (cat_args.peft)
			moe_peft_out(only(argc, argv, first), cat_args.base, cat_args.peft);
		else if (cat_args.from_peft)
			moe_peft_in(cat_args.from_peft, cat_args.base,
				cat_args.bank ? cat_args.bank : "clean");
		else
			moe_convert_unpack(only(argc, argv, first), cat_args.unpack);
		return moe_main_end(0);
	}
	bool events = cat_args.metrics && !strcmp(cat_args.metrics, "tensorboard");
	if (cat_args.stream || cat_args.from_json || events || cat_args.numpy || cat_args.to_st ||
		cat_args.from_st || cat_args.pack || cat_args.gguf_lora)
		moe_out_binary(&out,
			!cat_args.numpy && !cat_args.to_st && !cat_args.pack &&
				!cat_args.gguf_lora && !events);
	else
		moe_out_text(&out, NULL);
	if (cat_args.watch)
		cat_watch(out.fd, colours(&out), cat_args.limit < 0 ? 0 : cat_args.limit,
			argc - first, argv + first);
	else if (cat_args.to_st)
		moe_convert_to_safetensors(only(argc, argv, first), &out);
	else if (cat_args.from_st)
		moe_convert_from_safetensors(only(argc, argv, first), &out);
	else if (cat_args.gguf_lora)
		moe_gguf_lora_out(only(argc, argv, first), cat_args.base, &out);
	else if (cat_args.pack) {
		if (moe_bundle_pack((const char *const *)argv + first, (size_t)(argc - first),
			    out.fd, out.path ? out.path : "standard output", &e))
			moe_die(&e);
	} else if (cat_args.from_json)
		for (int i = first; i < argc || i == first; i++)
			moe_convert_from_json(i < argc ? argv[i] : NULL, cat_args.kind,
				cat_args.unbuffered, &out);
	else
		code = walk(argc, argv, first, &out);
	moe_out_finish(&out);
	return moe_main_end(code);
}
