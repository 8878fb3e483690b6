/* moe-train.c - GRPO on the experts of an adapter, from rollouts that others sampled, graded and
 * routed. It opens no seal. */
#include "cmd/adapter_in.h"
#include "cmd/model_in.h"
#include "cmd/train_heal.h"
#include "cmd/train_identity.h"
#include "cmd/train_opts.h"
#include "cmd/train_pins.h"
#include "cmd/train_run.h"
#include "rl/metrics.h"

#include <string.h>

static const struct moe_prog prog = {
	.name = "moe-train",
	.purpose = "GRPO on the experts of an adapter",
	.usage = "-m DIR -a ADAPTER [options] [ROLLOUTS]",
	.opt = train_options,
	.examples = "moe-train -m base -a a0.moes --metrics m.moes -o a1.moes < run.moes",
	.see_also = "moe-rollout(1), moe-grade(1), moe-route(1), moe-ablate(1), moe(7)",
	.min_operands = 0,
	.max_operands = 1,
	.ranks = true,
};

static void die_unless(bool ok, const struct moe_err *e)
{
	if (!ok)
		moe_die(e);
}

static void prepare(
	struct moe_adapter *a, struct moe_identity *who, const struct moe_method *method)
{
	char given[sizeof(a->digest)];
	struct moe_err e;

	memcpy(given, a->digest, sizeof(given));

	if (moe_method_override(method, a, train_args.plan.v, train_args.plan.n, &e))
		moe_usage_error("%s", e.msg);
	die_unless(
		moe_lineage_add(a, a->digest, NULL, moe_common.argc, moe_common.argv, &e) == 0, &e);
	die_unless(moe_adapter_digest(a, &e) == 0, &e); /* with the overrides */
	a->train_seed = moe_common.seed;
	moe_identity_begin(who, a, method, given);
}

static void loop(struct moe_trainer *t, const struct moe_method *method, struct moe_reader *r,
	struct moe_metrics_file *metrics, struct train_run *run)
{
	struct moe_rollout_step s = { 0 };
	struct moe_train_stats st;
	struct moe_rec rec = { 0 };
	struct moe_progress bar;
	char line[256];
	double start = moe_clock_sec(), at;
	struct moe_err e;
	int got;

	moe_progress_begin(&bar, "step", 0);
	while ((got = moe_rollout_step_read(&s, r, t->m->config.V, &e)) == 1) {
		run->tokens += moe_rollout_step_tokens(&s, t->m->config.max_pos, &run->beyond);
		if (s.step < run->at.next) {
			die_unless(moe_identity_skip(&run->who, &s, &e) == 0, &e);
			run->steps++;
			continue;
		}
		if (run->steps == 0 && s.step > run->at.next && run->at.next > 0)
			moe_die(&(struct moe_err){ .code = MOE_DATA,
				.msg = "the input begins after the step that the checkpoint would "
				       "go on with: steps are missing" });
		at = moe_clock_sec();
		train_refuse_oracle(moe_reader_labels(r));
		train_need_oracle(method, moe_reader_labels(r));
		die_unless(
			!method->decide || moe_rollout_step_need_routes(&s, t->a->method, &e) == 0,
			&e);
		train_identity_check(&run->who, &s, t);
		die_unless(moe_train_step(t, &s, &st, &e) == 0, &e);
		train_keep(t, run, s.step, moe_reader_labels(r));
		run->steps++;
		run->dead += !st.updated;
		run->routed += st.share[MOE_ROUTE] > 0;
		if (!st.updated)
			moe_warn("step %lld: the rewards of every group are all equal: nothing to "
				 "learn, no update",
				(long long)s.step);
		moe_train_line(line, sizeof(line), &s, &st, moe_clock_sec() - at);
		moe_debug("%s", line);
		die_unless(moe_train_metrics(&rec, t->a, &s, &st, run->tokens, moe_clock_sec() - at,
				   metrics->before_sec + moe_clock_sec() - start, &e) == 0 &&
				(!t->a->decided_by[0] ||
					moe_rec_set_str(&rec, "method", t->a->decided_by, &e) ==
						0) &&
				moe_metrics_put(metrics, &rec, &e) == 0,
			&e);
		moe_progress_at(&bar, (double)run->steps, "reward %.3f", st.adv.mean);
	}
	die_unless(got == 0 && moe_train_flush(t, &e) == 0, &e);
	train_refuse_oracle(moe_reader_labels(r));
	moe_progress_end(&bar);
	moe_rec_free(&rec);
	moe_rollout_step_free(&s);
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog);
	struct moe_metrics_file metrics;
	const struct moe_method *method;
	struct moe_adapter a = { 0 };
	struct moe_pairs pins = { 0 };
	struct moe_trainer t = { 0 };
	struct moe_model m = { 0 };
	enum moe_labels labels;
	struct moe_pool *pool;
	struct moe_reader *r, *a_in;
	struct train_run run = { 0 };
	struct moe_out out;
	struct moe_err e;

	if (!train_args.base || !train_args.adapter)
		moe_usage_error("-m DIR and -a ADAPTER are needed");
	moe_ignore_sigpipe();
	train_claim();
	moe_model_in(&m, train_args.base);
	a_in = moe_adapter_in(&a, train_args.adapter, &m, train_args.any_base);
	labels = moe_reader_labels(a_in);
	die_unless((method = moe_method_find(a.method, &e)) != NULL, &e);
	train_settle(method, &m.config);
	prepare(&a, &run.who, method);
	train_refuse_oracle(labels);
	r = moe_in_open(first < argc ? argv[first] : NULL, "rollouts");
	labels = moe_reader_labels(r) > labels ? moe_reader_labels(r) : labels;
	moe_out_stream(&out, "adapter", labels, NULL);
	train_publish_begin(&run, prog.name, first < argc ? argv[first] : NULL, labels);
	pool = moe_pool_new(moe_common.threads, &e);
	die_unless(pool && moe_trainer_init(&t, &m, &a, pool, &train_args.o, &e) == 0, &e);
	moe_writer_raise(out.w, train_read_pins(&t, &pins));
	train_resume(&t, &run);
	die_unless(moe_metrics_open(&metrics, train_args.metrics, &a, &run.w, run.at.next, &e) == 0,
		&e);
	loop(&t, method, r, &metrics, &run);
	train_conclude(&run, &t, moe_reader_labels(r));
	moe_writer_raise(out.w, train_heal(&t));
	train_identity_report(&run.who, &a);
	moe_writer_raise(out.w, run.who.cheated ? MOE_LABELS_ORACLE : run.at.labels);
	die_unless(moe_identity_lineage(&run.who, &a, &e) == 0 &&
			moe_adapter_write(out.w, &a, &e) == 0 &&
			moe_writer_from_reader(out.w, r, &e) == 0 &&
			moe_writer_from_reader(out.w, a_in, &e) == 0,
		&e);
	moe_out_finish(&out);
	die_unless(moe_metrics_end(&metrics, moe_reader_labels(r), &e) == 0, &e);
	moe_info("%zu step%s, %.0f tokens; digest %.12s", run.steps, moe_s(run.steps), run.tokens,
		a.digest);
	train_publish_end(&run);
	moe_reader_close(r);
	moe_reader_close(a_in);
	moe_trainer_free(&t);
	moe_pairs_free(&pins);
	moe_pool_free(pool);
	moe_adapter_free(&a);
	moe_model_free(&m);
	return moe_main_end(MOE_OK);
}
