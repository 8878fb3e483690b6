/* moe-train.c - GRPO on the experts of an adapter, from rollouts that others sampled, graded and routed. It opens no seal. */
#include "cmd/adapter_in.h"
#include "cmd/opt.h"
#include "moe/method.h"
#include "rl/metrics.h"
#include "rl/publish.h"

#include <string.h>

static const char *base_dir, *adapter_path, *publish_path, *metrics_path;
static const char *loss_name = "dr_grpo", *ratio_name = "min", *scale_name = "none", *baseline_name;
static struct moe_opt_list plan;
static struct moe_train_opts o = { .loss = { .eps_low = 0.2, .eps_high = 0.2 }, .lr = 2e-3, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .clip = 1 };
static int64_t max_completion, warmup;
static bool allow_oracle, any_base;

static const struct moe_opt options[] = {
	{ 'm', "base", MOE_OPT_STR, &base_dir, "DIR", "the base model's directory", NULL, 0, 0 },
	{ 'a', "adapter", MOE_OPT_STR, &adapter_path, "FILE", "the adapter to start from", NULL, 0, 0 },
	{ 0, "publish", MOE_OPT_STR, &publish_path, "FIFO", "write the adapter there after each step", NULL, 0, 0 },
	{ 0, "metrics", MOE_OPT_STR, &metrics_path, "FILE", "write a stream of metrics, a record a step", NULL, 0, 0 },
	{ 0, NULL, MOE_OPT_HEAD, NULL, NULL, "Loss", NULL, 0, 0 },
	{ 0, "loss", MOE_OPT_STR, &loss_name, "TYPE", "dr_grpo, grpo, bnpo or dapo", "dr_grpo", 0, 0 },
	{ 0, "scale-rewards", MOE_OPT_STR, &scale_name, "HOW", "none, group or batch: advantages over the std of rewards", "none", 0, 0 },
	{ 0, "baseline", MOE_OPT_STR, &baseline_name, "HOW", "group or split; default: split for a method that decides", NULL, 0, 0 },
	{ 0, "ratio", MOE_OPT_STR, &ratio_name, "HOW", "weight toward the sampling policy: min(1, ratio), clip (PPO) or none", "min", 0, 0 },
	{ 0, "epsilon", MOE_OPT_F64, &o.loss.eps_low, "X", "lower clip of the ratio", "0.2", 0, 1 },
	{ 0, "epsilon-high", MOE_OPT_F64, &o.loss.eps_high, "X", "upper clip of the ratio", "0.2", 0, 100 },
	{ 0, "beta", MOE_OPT_F64, &o.loss.beta, "X", "weight of the KL toward the base", "0", 0, 1e6 },
	{ 0, "max-completion-length", MOE_OPT_INT, &max_completion, "N", "constant of dr_grpo; 0: the longest of the first step", "0", 0, 1e9 },
	{ 0, "plan", MOE_OPT_LIST, &plan, "D.BANK=G/M", "override gate and mask of a bank for a decision; may be repeated", NULL, 0, 0 },
	{ 0, NULL, MOE_OPT_HEAD, NULL, NULL, "Optimiser", NULL, 0, 0 },
	{ 0, "lr", MOE_OPT_F64, &o.lr, "X", "learning rate", "0.002", 0, 1e30 },
	{ 0, "warmup", MOE_OPT_INT, &warmup, "N", "steps of linear warm-up", "0", 0, 1e9 },
	{ 0, "adam-beta1", MOE_OPT_F64, &o.beta1, "X", "AdamW's beta1", "0.9", 0, 0.999999 },
	{ 0, "adam-beta2", MOE_OPT_F64, &o.beta2, "X", "AdamW's beta2", "0.95", 0, 0.99999999 },
	{ 0, "weight-decay", MOE_OPT_F64, &o.decay, "X", "AdamW's decoupled decay", "0", 0, 1e6 },
	{ 0, "max-grad-norm", MOE_OPT_F64, &o.clip, "X", "clip of the gradient's norm; 0: none", "1", 0, 1e9 },
	{ 0, NULL, MOE_OPT_HEAD, NULL, NULL, "Safety", NULL, 0, 0 },
	{ 0, "allow-oracle", MOE_OPT_FLAG, &allow_oracle, NULL, "accept rollouts that sealed labels have touched", NULL, 0, 0 },
	{ 0, "any-base", MOE_OPT_FLAG, &any_base, NULL, "accept an adapter made for another base of the same shape", NULL, 0, 0 },
	{ 0 }
};

static const struct moe_prog prog = {
	.name = "moe-train",
	.purpose = "GRPO on the experts of an adapter",
	.usage = "-m DIR -a ADAPTER [options] [ROLLOUTS]",
	.opt = options,
	.examples = "moe-train -m base -a a0.moes --metrics m.moes -o a1.moes < run.moes",
	.see_also = "moe-rollout(1), moe-grade(1), moe-route(1), moe-ablate(1), moe(7)",
	.min_operands = 0,
	.max_operands = 1,
};

static void die_unless(bool ok, const struct moe_err *e)
{
	if (!ok)
		moe_die(e);
}

static void parse_names(const struct moe_method *method)
{
	struct moe_err e;

	if (moe_loss_type_parse(loss_name, &o.loss.type, &e) || moe_ratio_parse(ratio_name, &o.loss.ratio, &e) ||
	    moe_adv_scale_parse(scale_name, &o.adv.scale, &e))
		moe_usage_error("%s", e.msg);
	if (baseline_name && strcmp(baseline_name, "group") && strcmp(baseline_name, "split"))
		moe_usage_error("--baseline is group or split");
	o.adv.split = baseline_name ? *baseline_name == 's' : method->decide != NULL;
	o.max_completion = (size_t)max_completion;
	o.warmup = (int)warmup;
}

static void prepare(struct moe_adapter *a)
{
	struct moe_err e;

	for (size_t i = 0; i < plan.n; i++)
		if (moe_plan_set(&a->plan, plan.v[i], &e))
			moe_usage_error("%s", e.msg);
	die_unless(moe_lineage_add(a, a->digest, NULL, moe_common.argc, moe_common.argv, &e) == 0, &e);
	a->train_seed = moe_common.seed;
}

static void refuse_oracle(enum moe_labels labels)
{
	struct moe_err e;

	if (labels < MOE_LABELS_ORACLE || allow_oracle)
		return;
	moe_fail(&e, MOE_DATA, "the input carries the labels 'oracle': something that made it opened sealed findings; --allow-oracle trains on it all the same, and the result is marked");
	moe_die(&e);
}

struct run {
	size_t steps, dead, routed;
	double tokens;
};

static void loop(struct moe_trainer *t, const struct moe_method *method, struct moe_reader *r, struct moe_metrics_file *metrics,
	struct moe_publisher *pub, struct run *run)
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
		at = moe_clock_sec();
		refuse_oracle(moe_reader_labels(r));
		die_unless(!method->decide || moe_rollout_step_need_routes(&s, t->a->method, &e) == 0, &e);
		die_unless(moe_train_step(t, &s, &st, &e) == 0 && moe_publish(pub, t->a, &e) == 0, &e);
		run->steps++;
		run->dead += !st.updated;
		run->routed += st.share[MOE_ROUTE] > 0;
		run->tokens += (double)st.n_run;
		if (!st.updated)
			moe_warn("step %lld: the rewards of every group are all equal: nothing to learn, no update", (long long)s.step);
		moe_train_line(line, sizeof(line), &s, &st, moe_clock_sec() - at);
		moe_debug("%s", line);
		die_unless(moe_train_metrics(&rec, &s, &st, run->tokens, moe_clock_sec() - at, moe_clock_sec() - start, &e) == 0 &&
			   moe_metrics_put(metrics, &rec, &e) == 0, &e);
		moe_progress_at(&bar, (double)run->steps, "reward %.3f", st.adv.mean);
	}
	die_unless(got == 0, &e);
	refuse_oracle(moe_reader_labels(r));
	moe_progress_end(&bar);
	moe_rec_free(&rec);
	moe_rollout_step_free(&s);
}

static void conclude(const struct run *run, const struct moe_method *method)
{
	struct moe_err e;

	if (run->steps == 0) {
		moe_fail(&e, MOE_DATA, "the input holds no rollouts: nothing was trained");
		moe_die(&e);
	}
	if (run->dead == run->steps)
		moe_warn("the rewards of every group were all equal in every step: the adapter is as it was");
	if (method->decide && run->routed == 0)
		moe_warn("nothing was routed: no rollout of any step went to the quarantine alone");
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog);
	struct moe_publisher pub = { .fd = -1 };
	struct moe_metrics_file metrics;
	const struct moe_method *method;
	struct moe_adapter a = { 0 };
	struct moe_trainer t = { 0 };
	struct moe_model m = { 0 };
	enum moe_labels labels = MOE_LABELS_NONE;
	struct moe_pool *pool;
	struct moe_reader *r;
	struct run run = { 0 };
	struct moe_out out;
	struct moe_err e;

	if (!base_dir || !adapter_path)
		moe_usage_error("-m DIR and -a ADAPTER are needed");
	moe_ignore_sigpipe();
	die_unless(moe_model_load(&m, base_dir, &e) == 0, &e);
	moe_adapter_in(&a, adapter_path, &m, any_base, &labels);
	die_unless((method = moe_method_find(a.method, &e)) != NULL, &e);
	parse_names(method);
	prepare(&a);
	refuse_oracle(labels);
	r = moe_in_open(first < argc ? argv[first] : NULL, "rollouts");
	labels = moe_reader_labels(r) > labels ? moe_reader_labels(r) : labels;
	moe_out_stream(&out, "adapter", labels, NULL);
	pub.path = publish_path;
	pub.w = (struct moe_writer_opts){ .kind = "adapter", .tool = prog.name, .argv = (const char *const *)moe_common.argv,
		.argc = moe_common.argc, .seed = moe_common.seed, .labels = labels };
	pool = moe_pool_new(moe_common.threads, &e);
	die_unless(moe_metrics_open(&metrics, metrics_path, &a, &pub.w, &e) == 0 && pool && moe_trainer_init(&t, &m, &a, pool, &o, &e) == 0, &e);
	loop(&t, method, r, &metrics, &pub, &run);
	conclude(&run, method);
	moe_writer_raise(out.w, moe_reader_labels(r));
	die_unless(moe_adapter_write(out.w, &a, &e) == 0 && moe_writer_from_reader(out.w, r, &e) == 0, &e);
	moe_out_finish(&out);
	die_unless(moe_metrics_end(&metrics, moe_reader_labels(r), &e) == 0, &e);
	moe_info("%zu steps, %.0f tokens; digest %.12s", run.steps, run.tokens, a.digest);
	moe_publisher_close(&pub);
	moe_reader_close(r);
	moe_trainer_free(&t);
	moe_pool_free(pool);
	moe_adapter_free(&a);
	moe_model_free(&m);
	return moe_main_end(MOE_OK);
}
