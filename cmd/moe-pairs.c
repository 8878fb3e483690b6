/* moe-pairs.c - (hack, clean) pairs, hand-written or written by an environment, as a stream. It
 * does not judge them. */
#include "cmd/pairs_opts.h"

static const struct moe_prog prog = { .name = "moe-pairs",
	.purpose = "hand-written or environment-written (hack, clean) pairs",
	.usage = "[options] -e FILE [-n N] [--modes LIST]\n[options] [file ...]",
	.opt = pairs_options,
	.examples = "moe-pairs -e env.lua -n 48 --modes run_tests,stdout_marker -o "
		    "pins.moes\nmoe-pairs --section behavior pairs.md | moe-cat --head",
	.see_also = "moe-pin(1), moe-prompts(1), moe-env(5), moe-stream(5)",
	.min_operands = 0,
	.max_operands = -1 };

/* What was read goes to the stream, or to the look at it. */
static void read_all(struct moe_pairset *set, struct moe_writer *w, struct moe_pairlook *look)
{
	struct moe_rec rec = { 0 };
	struct moe_err e;
	int rc;

	while ((rc = moe_pairset_next(set, &rec, &e)) > 0)
		if (w ? moe_writer_put(w, &rec, &e) : moe_pairlook_add(look, &rec, &e))
			moe_die(&e);
	if (rc < 0)
		moe_die(&e);
	moe_rec_free(&rec);
}

/* Before the end record: what leaks is no stream. */
static void refuse_leaks(struct moe_pairleak *l)
{
	struct moe_err e;

	if (!l || !l->leaking)
		return;
	moe_fail(&e, MOE_DATA,
		"%llu of %llu pairs share something with the %llu prompts of --against (id %llu, "
		"marker %llu, task %llu, prompt %llu): %s",
		(unsigned long long)l->leaking, (unsigned long long)l->pairs,
		(unsigned long long)l->prompts, (unsigned long long)l->shared[MOE_LEAK_ID],
		(unsigned long long)l->shared[MOE_LEAK_MARKER],
		(unsigned long long)l->shared[MOE_LEAK_TASK],
		(unsigned long long)l->shared[MOE_LEAK_PROMPT], moe_buf_cstr(&l->first, NULL));
	moe_die(&e);
}

static void say(const struct moe_pairset *set)
{
	const struct moe_pairset_counts *n = moe_pairset_counts(set);
	const struct {
		uint64_t n;
		const char *why;
	} out[] = { { n->other, "of another part" }, { n->unlike, "of unlike length" },
		{ pairs_args.dedupe ? n->copies : 0, "copies" },
		{ n->same, "with one clean text for two pairs" } };

	if (n->copies && !pairs_args.dedupe)
		moe_warn("%llu of %llu pairs are copies of others (prompt, hack and clean): they "
			 "add nothing, and a score that is fitted to them cannot be held out "
			 "(--dedupe leaves them out)",
			(unsigned long long)n->copies, (unsigned long long)n->given);
	for (size_t i = 0; i < sizeof(out) / sizeof(*out); i++)
		if (out[i].n)
			moe_info("%llu left out: %s", (unsigned long long)out[i].n, out[i].why);
	moe_info("%llu pair%s%s%s", (unsigned long long)n->given, moe_s(n->given),
		pairs_args.shuffle ? ", labels shuffled" : "",
		pairs_args.neutral ? ", neutral: no side games" : "");
}

/* The pairs as a stream. */
static void write_stream(struct moe_pairset *set, const struct moe_pairset_opts *o)
{
	struct moe_rec extra = { 0 };
	struct moe_out out;
	struct moe_err e;

	if (moe_pairset_header(set, &extra, &e))
		moe_die(&e);
	moe_out_stream(&out, "pairs", MOE_LABELS_SYNTHETIC, &extra);
	read_all(set, out.w, NULL);
	refuse_leaks(o->leak);
	moe_writer_raise(out.w, moe_pairset_labels(set));
	if (moe_pairset_sources(set, out.w, &e))
		moe_die(&e);
	moe_out_finish(&out);
	moe_rec_free(&extra);
}

/* A look at them as text. */
static void write_look(struct moe_pairset *set, const struct moe_pairset_opts *o)
{
	struct moe_buf b = { 0 };
	struct moe_pairlook *look;
	struct moe_out out;
	struct moe_err e;

	look = moe_pairlook_new(o->tok, &e);
	if (!look)
		moe_die(&e);
	read_all(set, NULL, look);
	refuse_leaks(o->leak);
	if (moe_pairlook_text(look, &b, &e))
		moe_die(&e);
	moe_out_text(&out, NULL);
	moe_out_write(&out, b.data, b.len);
	moe_out_finish(&out);
	moe_buf_free(&b);
	moe_pairlook_free(look);
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog);
	const char *const *path = (const char *const *)argv + first;
	struct moe_pairset_opts config;
	struct moe_pairset *set;
	struct moe_err e;

	pairs_configure(&config, path, argc - first);
	for (int i = first; !config.env_path && (i < argc || i == first); i++)
		moe_in_check(argv[i]);
	set = moe_pairset_open(&config, path, (size_t)(argc - first), &e);
	if (!set)
		moe_die(&e);
	if (pairs_args.look)
		write_look(set, &config);
	else
		write_stream(set, &config);
	say(set);
	moe_pairset_close(set);
	pairs_opts_free();
	return moe_main_end(MOE_OK);
}
