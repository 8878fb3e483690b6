/* moe-rollout.c - completions for prompts, one pass for each arm; or rollouts that others recorded.
 * It grades nothing. */
#include "cmd/from_in.h"
#include "cmd/model_in.h"
#include "cmd/rollout_opts.h"
#include "moe/ablate.h"
#include "rl/rollout_loop.h"
#include "util/claim.h"

static const struct moe_prog prog = { .name = "moe-rollout",
	.purpose = "sample completions, one pass for each arm",
	.usage = "-m DIR [-a FILE] [options] [PROMPTS]\n-m DIR -a FILE --follow FIFO --per-step P "
		 "[options] [PROMPTS]\n--from FILE... [--map MAP] [-m DIR] [options]",
	.opt = rollout_options,
	.examples = "moe-prompts -e env.lua -n 512 --split test |\n  moe-rollout -m base -a "
		    "arms.moes | moe-grade -e env.lua > graded.moes",
	.see_also =
		"moe-prompts(1), moe-grade(1), moe-train(1), moe-ablate(1), moe(7), moe-stream(5)",
	.min_operands = 0,
	.max_operands = 1,
	.ranks = true };

/* What a run of sampling holds. */
struct job {
	struct moe_model m;
	struct moe_teacher teacher;
	struct moe_gen g;
	struct moe_rollout_loop r;
	struct moe_reader *arms, *pool;
	struct moe_out out;
	struct moe_progress progress;
};

static void fail_if(bool failed, const struct moe_err *e)
{
	if (failed)
		e->code == MOE_USAGE ? moe_usage_error("%s", e->msg) : moe_die(e);
}

static double rate(const struct moe_gen *g)
{
	return g->sample_sec > 0 ? (double)g->n_tokens / g->sample_sec : 0.0;
}

static void say(void *ctx, const struct moe_rollout_loop *r, int64_t step, int arm)
{
	struct moe_progress *p = ctx;

	if (arm == -2)
		moe_info("step %lld: still nobody has opened %s for writing; a program between "
			 "this one and moe-train that waits for a full buffer holds the step "
			 "(moe-stream(5), FILTERS)",
			(long long)step, rollout_args.follow_path);
	else if (arm == -1)
		moe_progress_at(p, (double)r->n_prompts, "waiting for the weights of step %lld",
			(long long)step);
	else
		moe_progress_at(p, r->done, "step %lld, arm %d of %zu, %.0f tokens/s",
			(long long)step, arm + 1, r->n_arm ? r->n_arm : 1, rate(r->g));
}

static void open_model(struct job *j)
{
	struct moe_err e;

	moe_model_in(&j->m, rollout_args.base_dir);
	j->g = (struct moe_gen){ .m = &j->m,
		.group = (int)rollout_args.group,
		.off_bank = -1,
		.teacher_ratio = rollout_args.teacher_ratio,
		.teacher_logp = rollout_args.teacher_logp,
		.sample = { .max_new = (int)rollout_args.max_new,
			.temperature = rollout_args.temperature,
			.top_k = (int)rollout_args.top_k,
			.top_p = rollout_args.top_p,
			.seed = moe_common.seed } };
	fail_if(!(j->g.tok = moe_tokenizer_open(rollout_args.base_dir, &e)) ||
			!(j->g.pool = moe_pool_new(moe_common.threads, &e)),
		&e);
	fail_if(moe_gen_stops(&j->g, rollout_args.stops.v, rollout_args.stops.n, &e), &e);
	fail_if(rollout_args.off_text &&
			moe_bank_value(rollout_args.off_text, &j->g.off_bank, &j->g.off_share, &e),
		&e);
	if (!(j->g.off_share >= 0 && j->g.off_share <= 1))
		moe_usage_error("--off-share: a share lies between 0 and 1");
}

/* Adapters, recorded rollouts, the FIFO, and the prompts, which are not read yet: what is not there
 * is missed before a header is sent. */
static void open_inputs(struct job *j, const char *prompts)
{
	struct moe_err e;

	if (rollout_args.adapters) {
		j->arms = moe_in_open(rollout_args.adapters, "adapter");
		fail_if(moe_follow_arms(j->arms, false, &j->r.arm, &j->r.n_arm, &e), &e);
		fail_if(!j->r.n_arm,
			&(struct moe_err){
				.code = MOE_DATA, .msg = "the adapter stream holds no adapter" });
		j->r.labels = moe_reader_labels(j->arms);
		fail_if((rollout_args.resume_path &&
				moe_rollout_loop_resume(&j->r, rollout_args.resume_path, &e)) ||
				moe_rollout_loop_fit(&j->r, &e),
			&e);
	}
	if (rollout_args.teacher_path) {
		j->pool = moe_in_open(rollout_args.teacher_path, "rollouts");
		fail_if(moe_teacher_load(&j->teacher, j->pool, &e), &e);
		j->g.teacher = &j->teacher;
		if (moe_reader_labels(j->pool) > j->r.labels)
			j->r.labels = moe_reader_labels(j->pool);
	}
	fail_if(rollout_args.follow_path &&
			moe_claim(rollout_args.follow_path, "FIFO to follow", &e),
		&e);
	fail_if(rollout_args.follow_path &&
			!(j->r.follow = moe_follow_open(
				  rollout_args.follow_path, moe_common.max_mem, &e)),
		&e);
	j->r.prompts = moe_in_open(prompts, NULL);
}

static void sample(struct job *j, const char *prompts)
{
	struct moe_rec extra = { 0 };
	struct moe_err e;

	open_model(j);
	j->r = (struct moe_rollout_loop){ .g = &j->g,
		.any_base = rollout_args.any_base,
		.scale = rollout_args.scales.v,
		.n_scale = rollout_args.scales.n,
		.per_step = rollout_args.per_step,
		.steps = rollout_args.steps,
		.skip_bad = rollout_args.skip_bad ||
			!rollout_args.follow_path, /* nothing is trained on what is left out */
		.teacher_until = rollout_args.teacher_until,
		.lag = rollout_args.lag,
		.wait_sec = (double)rollout_args.wait_sec,
		.say = say,
		.ctx = &j->progress };
	open_inputs(j, prompts);
	fail_if(moe_gen_describe(&j->g, &extra, &e),
		&e); /* how the rollouts come about, for the header */
	moe_out_stream(&j->out, "rollouts", j->r.labels, &extra);
	moe_rec_free(&extra);
	j->g.out = j->out.w;
	j->r.out_fd = j->out.fd;
	fail_if(moe_reader_expect(j->r.prompts, "prompts", &e), &e);
	moe_progress_begin(&j->progress, "prompts", 0);
	fail_if(moe_rollout_loop_run(&j->r, &e), &e);
	moe_progress_end(&j->progress);
	if (j->r.n_bad)
		moe_warn("%ju prompt%s left out; the first: %s", (uintmax_t)j->r.n_bad,
			j->r.n_bad == 1 ? " was" : "s were", j->r.first_bad.msg);
	moe_in_rest(
		j->r.prompts); /* --steps may leave some: their end has the digest and the taint */
	fail_if(moe_writer_from_reader(j->out.w, j->r.prompts, &e) ||
			(j->arms && moe_writer_from_reader(j->out.w, j->arms, &e)) ||
			(j->pool && moe_writer_from_reader(j->out.w, j->pool, &e)),
		&e);
	moe_out_finish(&j->out);
	moe_debug("%ju rollout%s of %ju prompt%s in %ju step%s: %ju tokens, %.0f tokens/s while "
		  "sampling (%.2f s); %.1f%% stopped; %ju recorded; %.2f s waiting for weights",
		(uintmax_t)j->g.n_rollouts, moe_s(j->g.n_rollouts), (uintmax_t)j->r.n_prompts,
		moe_s(j->r.n_prompts), (uintmax_t)j->r.n_steps, moe_s(j->r.n_steps),
		(uintmax_t)j->g.n_tokens, rate(&j->g), j->g.sample_sec,
		j->g.n_rollouts ? 100.0 * (double)j->g.n_stopped / (double)j->g.n_rollouts : 0.0,
		(uintmax_t)j->g.n_teacher, j->r.waited_sec);
}

static void import(void)
{
	struct moe_import_opts o = { .kind = MOE_IMPORT_ROLLOUTS,
		.map = rollout_args.map.v,
		.n_map = rollout_args.map.n,
		.partition = rollout_args.partition,
		.per_step = (uint64_t)rollout_args.per_step,
		.skip_bad = rollout_args.skip_bad,
		.limit = (uint64_t)rollout_args.limit,
		.max_bytes = moe_common.max_mem };
	struct moe_from_model m;

	moe_from_model(&m, rollout_args.base_dir, &o);
	moe_from_run(&o, &rollout_args.from, "rollouts", rollout_args.template_path, false, true);
	moe_tokenizer_free(m.tok);
}

int main(int argc, char **argv)
{
	static struct job j;
	int first = moe_main_begin(argc, argv, &prog);

	rollout_check_options();
	for (size_t i = 0; i < rollout_args.from.n; i++)
		moe_in_check(rollout_args.from.v[i]);
	rollout_args.from.n ? import() : sample(&j, first < argc ? argv[first] : NULL);
	return moe_main_end(MOE_OK);
}
