/* moe-route.c - a filter that adds a routing decision to each rollout, or explains it; it trains
 * nothing and grades nothing. */
#include "cmd/adapter_in.h"
#include "cmd/model_in.h"
#include "cmd/opt.h"
#include "formats/seal.h"
#include "moe/route.h"
#include "rl/checkpoint.h"
#include "rl/explain.h"

#include <stdlib.h>

static const char *base_dir, *adapter_path, *method_name, *resume_path;
static bool allow_oracle, explain;
static int64_t nulls = 19;

static const struct moe_opt options[] = { { 'm', "base", MOE_OPT_STR, &base_dir, "DIR",
						  "the base model's directory", NULL, 0, 0 },
	{ 'a', "adapter", MOE_OPT_STR, &adapter_path, "FILE",
		"the adapter that holds the fitted score", NULL, 0, 0 },
	{ 0, "method", MOE_OPT_STR, &method_name, "NAME",
		"decide as this row of the method table (default: the adapter's)", NULL, 0, 0 },
	{ 0, "resume", MOE_OPT_STR, &resume_path, "CHECKPOINT",
		"go on with the scores that moe-train's checkpoint holds, if there is one", NULL, 0,
		0 },
	{ 0, "nulls", MOE_OPT_INT, &nulls, "N",
		"score under N random directions as well, which the report holds the score against",
		"19", 0, 10000 },
	{ 0, "explain", MOE_OPT_FLAG, &explain, NULL,
		"write a stream of routes: scores per token, gates per token, site and expert",
		NULL, 0, 0 },
	{ 0, "allow-oracle", MOE_OPT_FLAG, &allow_oracle, NULL,
		"allow a method that opens the seals; its output is marked", NULL, 0, 0 },
	{ 0 } };

static const struct moe_prog prog = {
	.name = "moe-route",
	.purpose = "annotate rollouts with a routing decision",
	.usage = "-m DIR -a ADAPTER [options] [ROLLOUTS]",
	.opt = options,
	.examples = "moe-route -m base -a a0.moes < graded.moes > routed.moes",
	.see_also = "moe-pin(1), moe-grade(1), moe-train(1), moe-report(1), moe(7)",
	.min_operands = 0,
	.max_operands = 1,
};

/* What the whole run decided. */
struct sums {
	size_t n, decided[MOE_DECISIONS];
	double sec;
};

static void flush_step(struct moe_route_step *s, const struct moe_method *method,
	const struct moe_engine *g, struct moe_adapter *a, struct moe_writer *w, struct sums *sum)
{
	struct moe_explain x = { method, *g, a, moe_common.seed };
	double at = moe_clock_sec();
	struct moe_err e;

	if (explain ? moe_explain_step(&x, s, w, &e)
		    : s->n && moe_route_judge(s, method, g, a, moe_common.seed, &e))
		moe_die(&e);
	sum->sec += moe_clock_sec() - at;
	for (size_t i = 0; i < s->n; i++) {
		sum->n++;
		sum->decided[s->judged[i].decision]++;
		if (!explain && moe_writer_put(w, &s->rec[i], &e))
			moe_die(&e);
	}
	moe_route_step_clear(s);
}

/* A score is of one base's hidden states. */
static void check_base(const struct moe_rec *rec, const struct moe_model *m)
{
	struct moe_str base;
	struct moe_err e;

	if (!moe_rec_str(rec, "base", &base) || !base.n || moe_str_eq(base, m->digest))
		return;
	moe_fail(&e, MOE_DATA,
		"record %llu was sampled with another base (%.*s, not %.12s): route with the base "
		"that sampled",
		(unsigned long long)rec->number, (int)(base.n < 12 ? base.n : 12), base.p,
		m->digest);
	moe_die(&e);
}

/* Before the first step: the scores of those before it, where decisions depend on them. */
static void begin_with(struct moe_route_step *s, const struct moe_adapter *a)
{
	struct moe_train_at at = { 0 };
	struct moe_err e;

	if (s->step == 0 || !moe_method_remembers(a))
		return;
	if (!resume_path)
		moe_warn("the input begins with step %lld, and the thresholds depend on the scores "
			 "of all steps before: --resume CHECKPOINT goes on with those of a "
			 "training run",
			(long long)s->step);
	else if (moe_train_peek_past(resume_path, a, &s->past, &at, &e) < 0)
		moe_die(&e);
	else if (at.next != s->step) {
		moe_fail(&e, MOE_DATA,
			"the input begins with step %lld, and %s holds the scores of the steps "
			"before %lld",
			(long long)s->step, resume_path, (long long)at.next);
		moe_die(&e);
	}
}

static void filter(struct moe_reader *r, const struct moe_method *method,
	const struct moe_engine *g, struct moe_adapter *a, struct moe_writer *w, struct sums *sum)
{
	struct moe_route_step s = { .null = { .n = explain ? 0 : (int)nulls,
					    .seed = moe_common.seed } };
	struct moe_rec rec = { 0 };
	struct moe_err e;
	int got, begun = 0;

	while ((got = moe_reader_next(r, &rec, &e)) == 1) {
		if (moe_rec_is(&rec, "rollout")) {
			check_base(&rec, g->m);
			if (moe_route_add(&s, &rec, g->m->config.V, method->cheats, &e))
				moe_die(&e);
			continue;
		}
		if (s.n && !begun++)
			begin_with(&s, a);
		flush_step(&s, method, g, a, w, sum);
		moe_writer_raise(w, moe_seal_taint());
		/* among routes, steps are all that is passed on */
		if (((!explain || moe_rec_is(&rec, "step")) && moe_writer_put(w, &rec, &e)) ||
			(moe_rec_is(&rec, "step") && moe_writer_flush(w, &e)))
			moe_die(&e);
	}
	if (got < 0)
		moe_die(&e);
	flush_step(&s, method, g, a, w, sum);
	moe_route_step_free(&s);
	moe_rec_free(&rec);
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog);
	const struct moe_method *method;
	struct moe_adapter a = { 0 };
	struct moe_model m = { 0 };
	struct moe_engine g = { .m = &m };
	enum moe_labels labels;
	struct sums sum = { 0 };
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
	if (!method || !(g.pool = moe_pool_new(moe_common.threads, &e)) ||
		!(g.acts = moe_alloc((size_t)moe_common.threads, sizeof(*g.acts), &e)))
		moe_die(&e);
	if (method->cheats && !allow_oracle)
		moe_usage_error(
			"the method '%s' cheats: it opens the seals and needs --allow-oracle",
			method->name);
	if (method->cheats)
		labels = MOE_LABELS_ORACLE;
	r = moe_in_open(first < argc ? argv[first] : NULL, "rollouts");
	labels = moe_reader_labels(r) > labels ? moe_reader_labels(r) : labels;
	if (explain && moe_explain_header(&m, &a, &extra, &e))
		moe_die(&e);
	moe_out_stream(&out, explain ? "routes" : "rollouts", labels, explain ? &extra : NULL);
	filter(r, method, &g, &a, out.w, &sum);
	if (moe_writer_from_reader(out.w, r, &e) || moe_writer_from_reader(out.w, a_in, &e))
		moe_die(&e);
	moe_out_finish(&out);
	if (sum.n)
		moe_debug("%zu rollout%s: kept %.3f, absorbed %.3f, routed %.3f; %.2f s of scoring",
			sum.n, moe_s(sum.n), (double)sum.decided[MOE_KEEP] / (double)sum.n,
			(double)sum.decided[MOE_ABSORB] / (double)sum.n,
			(double)sum.decided[MOE_ROUTE] / (double)sum.n, sum.sec);
	moe_rec_free(&extra);
	moe_reader_close(r);
	moe_reader_close(a_in);
	moe_adapter_free(&a);
	for (int i = 0; i < moe_common.threads; i++)
		moe_acts_free(&g.acts[i]);
	free(g.acts);
	moe_pool_free(g.pool);
	moe_model_free(&m);
	return moe_main_end(MOE_OK);
}
