/* moe-rollout.c - completions for prompts, one pass for each arm; or rollouts that others recorded.
 * It grades nothing. */
#include "cmd/from_in.h"
#include "cmd/model_in.h"
#include "moe/ablate.h"
#include "rl/roll.h"
#include "util/claim.h"

static const char *base_dir, *adapters, *follow_path, *resume_path, *teacher_path, *off_text,
	*partition, *template_path;
static int64_t group = 8, per_step, steps, max_new = 256, top_k, lag, teacher_until, wait_sec = 600,
	       limit;
static double temperature = 1, top_p = 1, teacher_ratio = 0.25;
static struct moe_opt_list scales, stops, from, map;
static bool any_base, skip_bad, teacher_logp;
static const struct moe_opt options[] = { { 0, "", MOE_OPT_HEAD, NULL, NULL, "Model", NULL, 0, 0 },
	{ 'm', "base", MOE_OPT_STR, &base_dir, "DIR", "the base model's directory", NULL, 0, 0 },
	{ 'a', "adapter", MOE_OPT_STR, &adapters, "FILE", "adapter stream; each in it is an arm",
		"none", 0, 0 },
	{ 0, "scale", MOE_OPT_LIST, &scales, "BANK=X",
		"scale a bank's experts by X; may be repeated", NULL, 0, 0 },
	{ 0, "any-base", MOE_OPT_FLAG, &any_base, NULL,
		"take adapters of another base of the same shape", NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Sampling", NULL, 0, 0 },
	{ 'g', "group", MOE_OPT_INT, &group, "G", "rollouts of a prompt", "8", 1, 1e6 },
	{ 0, "max-new", MOE_OPT_INT, &max_new, "N", "tokens of a completion at most", "256", 1,
		1e6 },
	{ 0, "temperature", MOE_OPT_F64, &temperature, "T", "temperature; 0 takes the best token",
		"1", 0, 1e4 },
	{ 0, "top-k", MOE_OPT_INT, &top_k, "K", "draw among the K best tokens; 0 = all", "0", 0,
		1e9 },
	{ 0, "top-p", MOE_OPT_F64, &top_p, "P", "draw among the best that reach probability P", "1",
		1e-9, 1 },
	{ 0, "stop", MOE_OPT_LIST, &stops, "TOKEN",
		"a stop token beside the model's own; may be repeated", NULL, 0, 0 },
	{ 0, "off-share", MOE_OPT_STR, &off_text, "BANK=P",
		"sample a share P with the gate of a bank at 0", NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Steps of training", NULL, 0, 0 },
	{ 0, "per-step", MOE_OPT_INT, &per_step, "P",
		"prompts of a step; 0 = all prompts are one step", "0", 0, 1e9 },
	{ 0, "steps", MOE_OPT_INT, &steps, "N", "stop after N steps; 0 = when the prompts end", "0",
		0, 1e12 },
	{ 0, "follow", MOE_OPT_STR, &follow_path, "FIFO",
		"read the weights of later steps from FIFO", NULL, 0, 0 },
	{ 0, "lag", MOE_OPT_INT, &lag, "N",
		"sample with weights N steps old, to overlap with training", "0", 0, 1 },
	{ 0, "resume", MOE_OPT_STR, &resume_path, "FILE",
		"go on where the trainer's checkpoint FILE ends, if there is one", NULL, 0, 0 },
	{ 0, "wait", MOE_OPT_INT, &wait_sec, "SEC",
		"how long to wait for the trainer; 0 = for ever", "600", 0, 1e9 },
	{ 0, "teacher", MOE_OPT_STR, &teacher_path, "FILE",
		"recorded rollouts that replace a share of each group", NULL, 0, 0 },
	{ 0, "teacher-ratio", MOE_OPT_F64, &teacher_ratio, "R", "that share", "0.25", 0, 1 },
	{ 0, "teacher-logp", MOE_OPT_FLAG, &teacher_logp, NULL,
		"keep their logp where made at these settings", NULL, 0, 0 },
	{ 0, "teacher-until", MOE_OPT_INT, &teacher_until, "STEP",
		"none of them from this step on; 0 = always", "0", 0, 1e12 },
	MOE_OPT_SKIP_BAD(skip_bad),
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Rollouts that others recorded", NULL, 0, 0 },
	MOE_OPT_FROM(from), MOE_OPT_MAP(map, ", or a preset: teacher_pool, substrate"),
	MOE_OPT_PARTITION(partition), MOE_OPT_TEMPLATE(template_path),
	{ 0, "limit", MOE_OPT_INT, &limit, "N", "stop after N rollouts; 0 = all", "0", 0, 1e15 },
	{ 0 } };
static const struct moe_prog prog = { .name = "moe-rollout",
	.purpose = "sample completions, one pass for each arm",
	.usage = "-m DIR [-a FILE] [options] [PROMPTS]\n-m DIR -a FILE --follow FIFO --per-step P "
		 "[options] [PROMPTS]\n--from FILE... [--map MAP] [-m DIR] [options]",
	.opt = options,
	.examples = "moe-prompts -e env.lua -n 512 --split test |\n  moe-rollout -m base -a "
		    "arms.moes | moe-grade -e env.lua > graded.moes",
	.see_also =
		"moe-prompts(1), moe-grade(1), moe-train(1), moe-ablate(1), moe(7), moe-stream(5)",
	.min_operands = 0,
	.max_operands = 1 };

/* What a run of sampling holds. */
struct job {
	struct moe_model m;
	struct moe_teacher teacher;
	struct moe_gen g;
	struct moe_roll r;
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

static void say(void *ctx, const struct moe_roll *r, int64_t step, int arm)
{
	struct moe_progress *p = ctx;

	if (arm == -2)
		moe_info("step %lld: still nobody has opened %s for writing; a program between "
			 "this one and moe-train that waits for a full buffer holds the step "
			 "(moe-stream(5), FILTERS)",
			(long long)step, follow_path);
	else if (arm == -1)
		moe_progress_at(p, (double)r->n_prompts, "waiting for the weights of step %lld",
			(long long)step);
	else
		moe_progress_at(p, r->done, "step %lld, arm %d of %zu, %.0f tokens/s",
			(long long)step, arm + 1, r->n_arm ? r->n_arm : 1, rate(r->g));
}

static void check_options(void)
{
	if (from.n && (adapters || follow_path || teacher_path || off_text || scales.n))
		moe_usage_error("--from samples nothing: -a, --follow, --teacher, --off-share and "
				"--scale do not go with it");
	if (!from.n && (map.n || partition || limit || template_path))
		moe_usage_error("--map, --partition, --chat-template and --limit belong to --from");
	if (teacher_logp && !teacher_path)
		moe_usage_error("--teacher-logp belongs to --teacher");
	if (!from.n && !base_dir)
		moe_usage_error("a base model is needed (-m DIR)");
	if (follow_path && (!adapters || !per_step))
		moe_usage_error("--follow needs the weights of the first step (-a FILE) and the "
				"size of a step (--per-step P)");
	if (resume_path && (!follow_path || lag))
		moe_usage_error("--resume goes with --follow, and not with --lag: a checkpoint "
				"holds the last weights alone");
}

static void open_model(struct job *j)
{
	struct moe_err e;

	moe_model_in(&j->m, base_dir);
	j->g = (struct moe_gen){ .m = &j->m,
		.group = (int)group,
		.off_bank = -1,
		.teacher_ratio = teacher_ratio,
		.teacher_logp = teacher_logp,
		.sample = { .max_new = (int)max_new,
			.temperature = temperature,
			.top_k = (int)top_k,
			.top_p = top_p,
			.seed = moe_common.seed } };
	fail_if(!(j->g.tok = moe_tokenizer_open(base_dir, &e)) ||
			!(j->g.pool = moe_pool_new(moe_common.threads, &e)),
		&e);
	fail_if(moe_gen_stops(&j->g, stops.v, stops.n, &e), &e);
	fail_if(off_text && moe_bank_value(off_text, &j->g.off_bank, &j->g.off_share, &e), &e);
	if (!(j->g.off_share >= 0 && j->g.off_share <= 1))
		moe_usage_error("--off-share: a share lies between 0 and 1");
}

/* Adapters, recorded rollouts, the FIFO, and the prompts, which are not read yet: what is not there
 * is missed before a header is sent. */
static void open_inputs(struct job *j, const char *prompts)
{
	struct moe_err e;

	if (adapters) {
		j->arms = moe_in_open(adapters, "adapter");
		fail_if(moe_follow_arms(j->arms, false, &j->r.arm, &j->r.n_arm, &e), &e);
		fail_if(!j->r.n_arm,
			&(struct moe_err){
				.code = MOE_DATA, .msg = "the adapter stream holds no adapter" });
		j->r.labels = moe_reader_labels(j->arms);
		fail_if((resume_path && moe_roll_resume(&j->r, resume_path, &e)) ||
				moe_roll_fit(&j->r, &e),
			&e);
	}
	if (teacher_path) {
		j->pool = moe_in_open(teacher_path, "rollouts");
		fail_if(moe_teacher_load(&j->teacher, j->pool, &e), &e);
		j->g.teacher = &j->teacher;
		if (moe_reader_labels(j->pool) > j->r.labels)
			j->r.labels = moe_reader_labels(j->pool);
	}
	fail_if(follow_path && moe_claim(follow_path, "FIFO to follow", &e), &e);
	fail_if(follow_path &&
			!(j->r.follow = moe_follow_open(follow_path, moe_common.max_mem, &e)),
		&e);
	j->r.prompts = moe_in_open(prompts, NULL);
}

static void sample(struct job *j, const char *prompts)
{
	struct moe_rec extra = { 0 };
	struct moe_err e;

	open_model(j);
	j->r = (struct moe_roll){ .g = &j->g,
		.any_base = any_base,
		.scale = scales.v,
		.n_scale = scales.n,
		.per_step = per_step,
		.steps = steps,
		.skip_bad = skip_bad || !follow_path, /* nothing is trained on what is left out */
		.teacher_until = teacher_until,
		.lag = lag,
		.wait_sec = (double)wait_sec,
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
	fail_if(moe_roll_run(&j->r, &e), &e);
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
		  "sampling (%.2f s); %.1f%% stopped; %ju recorded; "
		  "%.2f s waiting for weights",
		(uintmax_t)j->g.n_rollouts, moe_s(j->g.n_rollouts), (uintmax_t)j->r.n_prompts,
		moe_s(j->r.n_prompts), (uintmax_t)j->r.n_steps, moe_s(j->r.n_steps),
		(uintmax_t)j->g.n_tokens, rate(&j->g), j->g.sample_sec,
		j->g.n_rollouts ? 100.0 * (double)j->g.n_stopped / (double)j->g.n_rollouts : 0.0,
		(uintmax_t)j->g.n_teacher, j->r.waited_sec);
}

static void import(void)
{
	struct moe_import_opts o = { .kind = MOE_IMPORT_ROLLOUTS,
		.map = map.v,
		.n_map = map.n,
		.partition = partition,
		.per_step = (uint64_t)per_step,
		.skip_bad = skip_bad,
		.limit = (uint64_t)limit,
		.max_bytes = moe_common.max_mem };
	struct moe_from_model m;

	moe_from_model(&m, base_dir, &o);
	moe_from_run(&o, &from, "rollouts", template_path, false, true);
	moe_tokenizer_free(m.tok);
}

int main(int argc, char **argv)
{
	static struct job j;
	int first = moe_main_begin(argc, argv, &prog);

	check_options();
	for (size_t i = 0; i < from.n; i++)
		moe_in_check(from.v[i]);
	from.n ? import() : sample(&j, first < argc ? argv[first] : NULL);
	return moe_main_end(MOE_OK);
}
