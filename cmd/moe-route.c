/* moe-route.c - a filter that adds a routing decision to each rollout, or explains it; it trains
 * nothing and grades nothing. */
#include "cmd/adapter_in.h"
#include "cmd/model_in.h"
#include "cmd/opt.h"
#include "cmd/route_run.h"
#include "rl/explain.h"

#include <stdlib.h>

static const char *base_dir, *adapter_path, *method_name;
static struct route_args args = { .wait_sec = 600, .nulls = 19 };
static bool allow_oracle;

static const struct moe_opt options[] = { { 'm', "base", MOE_OPT_STR, &base_dir, "DIR",
						  "the base model's directory", NULL, 0, 0 },
	{ 'a', "adapter", MOE_OPT_STR, &adapter_path, "FILE",
		"the adapter that holds the fitted score", NULL, 0, 0 },
	{ 0, "method", MOE_OPT_STR, &method_name, "NAME",
		"decide as this row of the method table (default: the adapter's)", NULL, 0, 0 },
	{ 0, "resume", MOE_OPT_STR, &args.resume, "CHECKPOINT",
		"go on with the scores that moe-train's checkpoint holds, if there is one", NULL, 0,
		0 },
	{ 0, "pin", MOE_OPT_STR, &args.pin, "PAIRS",
		"the pairs, for a score that is made anew (refresh)", NULL, 0, 0 },
	{ 0, "follow", MOE_OPT_STR, &args.follow, "FIFO",
		"the weights of later steps, for such a score", NULL, 0, 0 },
	{ 0, "wait", MOE_OPT_INT, &args.wait_sec, "SEC",
		"how long to wait for the trainer; 0 = for ever", "600", 0, 1e9 },
	{ 0, "nulls", MOE_OPT_INT, &args.nulls, "N",
		"score under N random directions as well, which the report holds the score against",
		"19", 0, 10000 },
	{ 0, "explain", MOE_OPT_FLAG, &args.explain, NULL,
		"write a stream of routes: scores per token, gates per token, site and expert",
		NULL, 0, 0 },
	{ 0, "allow-oracle", MOE_OPT_FLAG, &allow_oracle, NULL,
		"allow a method that opens the seals; its output is marked", NULL, 0, 0 },
	{ 0 } };

static const struct moe_prog prog = {
	.name = "moe-route",
	.purpose = "annotate rollouts with a routing decision",
	.usage = "-m DIR -a ADAPTER [options] [ROLLOUTS]\n-m DIR -a ADAPTER --pin PAIRS --follow "
		 "FIFO [options] [ROLLOUTS]",
	.opt = options,
	.examples = "moe-route -m base -a a0.moes < graded.moes > routed.moes",
	.see_also = "moe-pin(1), moe-grade(1), moe-train(1), moe-report(1), moe(7)",
	.min_operands = 0,
	.max_operands = 1,
};

/* Shares and times, with -v. */
static void tell(const struct route_sums *sum)
{
	if (sum->n)
		moe_debug("%zu rollout%s: kept %.3f, absorbed %.3f, routed %.3f; the score made "
			  "anew %zu time%s; %.2f s of scoring",
			sum->n, moe_s(sum->n), (double)sum->decided[MOE_KEEP] / (double)sum->n,
			(double)sum->decided[MOE_ABSORB] / (double)sum->n,
			(double)sum->decided[MOE_ROUTE] / (double)sum->n, sum->made,
			moe_s(sum->made), sum->sec);
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog);
	struct route_run run = { .o = &args };
	struct moe_adapter a = { 0 };
	struct moe_model m = { 0 };
	struct moe_engine *g = &run.g;
	const struct moe_method *method;
	enum moe_labels labels;
	struct moe_reader *r, *a_in;
	struct moe_rec extra = { 0 };
	struct moe_out out;
	struct moe_err e;

	if (!base_dir || !adapter_path)
		moe_usage_error("-m DIR and -a ADAPTER are needed");
	moe_model_in(&m, base_dir);
	a_in = moe_adapter_in(&a, adapter_path, &m, false);
	labels = moe_reader_labels(a_in);
	method = moe_method_find(method_name ? method_name : a.method, &e);
	g->m = &m;
	if (!method || !(g->pool = moe_pool_new(moe_common.threads, &e)) ||
		!(g->acts = moe_alloc((size_t)moe_common.threads, sizeof(*g->acts), &e)))
		moe_die(&e);
	if (method->cheats && !allow_oracle)
		moe_usage_error(
			"the method '%s' cheats: it opens the seals and needs --allow-oracle",
			method->name);
	if (method->cheats)
		labels = MOE_LABELS_ORACLE;
	run.f.method = method;
	run.f.a = &a;
	route_open(&run, base_dir);
	if (run.pins && moe_reader_labels(run.pins) > labels)
		labels = moe_reader_labels(run.pins);
	r = moe_in_open(first < argc ? argv[first] : NULL, "rollouts");
	labels = moe_reader_labels(r) > labels ? moe_reader_labels(r) : labels;
	if (args.explain && moe_explain_header(&m, &a, &extra, &e))
		moe_die(&e);
	moe_out_stream(
		&out, args.explain ? "routes" : "rollouts", labels, args.explain ? &extra : NULL);
	run.w = out.w;
	route_all(&run, r);
	if (moe_writer_from_reader(out.w, r, &e) || moe_writer_from_reader(out.w, a_in, &e) ||
		(run.pins && moe_writer_from_reader(out.w, run.pins, &e)))
		moe_die(&e);
	moe_out_finish(&out);
	tell(&run.sum);
	moe_rec_free(&extra);
	moe_reader_close(r);
	moe_reader_close(a_in);
	route_close(&run);
	moe_adapter_free(&a);
	for (int i = 0; i < moe_common.threads; i++)
		moe_acts_free(&g->acts[i]);
	free(g->acts);
	moe_pool_free(g->pool);
	moe_model_free(&m);
	return moe_main_end(MOE_OK);
}
