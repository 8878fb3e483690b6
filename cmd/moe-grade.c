/* moe-grade.c - runs the environment's graders over rollouts: the reward visible, the oracle's
 * findings sealed. It decides nothing itself. */
#include "cmd/grade_opts.h"
#include "env/exec.h"
#include "env/grade.h"
#include "formats/seal.h"
#include "util/rng.h"
#include "formats/rollout.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_MAX 4096

static struct moe_exec *exec;

static const struct moe_prog prog = { .name = "moe-grade",
	.purpose = "grade rollouts in a sandbox: reward visible, oracle sealed",
	.usage = "-e FILE [options] [rollouts]\n-x CMD [options] [rollouts]",
	.opt = grade_options,
	.examples = "moe-rollout -m base prompts.moes | moe-grade -e env.lua -o graded.moes",
	.see_also = "moe-rollout(1), moe-report(1), moe-env(5), moe-stream(5)",
	.min_operands = 0,
	.max_operands = 1 };

/* Rollouts read and not yet written, in the order of the stream. */
struct waiting {
	struct moe_rec rec[BATCH_MAX], env[BATCH_MAX];
	struct moe_grade_item item[BATCH_MAX];
	struct moe_grade grade[BATCH_MAX];
	struct moe_rec *ptr[BATCH_MAX];
	enum moe_grade_fault fault[BATCH_MAX];
	size_t n;
};

static uint64_t count, faults[MOE_GRADE_FAULTS];

static void add(struct waiting *w, struct moe_rec *rec)
{
	struct moe_rec *to = &w->rec[w->n], *env = &w->env[w->n];
	struct moe_grade_item *item = &w->item[w->n];
	struct moe_str id = { 0 };
	struct moe_err e;

	if (moe_rec_copy(to, rec, &e) != 0 || moe_rec_str_req(to, "id", &id, &e) != 0 ||
		(!moe_rec_bin(to, MOE_ROLLOUT_COMPLETION, &item->completion) &&
			moe_rec_str_req(to, MOE_ROLLOUT_COMPLETION, &item->completion, &e) != 0))
		moe_die(&e);
	w->ptr[w->n] = to;
	moe_rec_free(env);
	if (!exec && !moe_rec_map(to, "env", env)) {
		moe_fail(&e, MOE_DATA,
			"rollout %.*s has no map \"env\": its prompt does not come from an "
			"environment",
			(int)id.n, id.p);
		moe_die(&e);
	}
	item->env = env;
	item->key = moe_hash64(id.p, id.n);
	w->n++;
}

static void grade_all(struct waiting *w, struct moe_grader *g, struct moe_out *out)
{
	struct moe_err e;

	if (w->n &&
		(exec ? moe_exec_run(exec, w->ptr, w->n, w->fault, &e)
		      : moe_grader_run(g, w->item, w->n, w->grade, &e)) != 0)
		moe_die(&e);
	for (size_t i = 0; i < w->n; i++) {
		enum moe_grade_fault fault = exec ? w->fault[i] : w->grade[i].fault;

		faults[fault]++;
		if (fault == MOE_GRADE_ERROR && faults[MOE_GRADE_ERROR] == 1)
			moe_warn("%s: a rollout could not be graded and gets 0: %s",
				exec ? "--exec" : grade_args.env_path,
				exec ? moe_exec_note(exec) : w->grade[i].note);
		if (grade_args.pays_oracle && !exec)
			moe_grader_pay_oracle(g, &w->grade[i]);
		if ((!exec && moe_grade_apply(&w->grade[i], &w->rec[i], &e) != 0) ||
			moe_writer_put(out->w, &w->rec[i], &e) != 0 ||
			(i % 8 == 7 && moe_writer_flush(out->w, &e) != 0))
			moe_die(&e);
	}
	count += w->n;
	w->n = 0;
}

static void grade_stream(struct moe_reader *in, struct moe_grader *g, struct moe_out *out)
{
	struct waiting *w = calloc(1, sizeof *w);
	struct moe_rec rec = { 0 };
	struct moe_err e;
	int rc;

	if (!w) {
		moe_fail(&e, MOE_SYSTEM, "out of memory");
		moe_die(&e);
	}
	while ((rc = moe_reader_next(in, &rec, &e)) > 0) {
		if (moe_rec_is(&rec, "rollout")) {
			add(w, &rec);
			if (w->n == (size_t)grade_args.batch)
				grade_all(w, g, out);
			continue;
		}
		grade_all(w, g, out);
		if (moe_writer_put(out->w, &rec, &e) != 0 ||
			(moe_rec_is(&rec, "step") && moe_writer_flush(out->w, &e) != 0))
			moe_die(&e);
	}
	if (rc < 0)
		moe_die(&e);
	grade_all(w, g, out);
	for (size_t i = 0; i < BATCH_MAX; i++) {
		moe_rec_free(&w->rec[i]);
		moe_rec_free(&w->env[i]);
	}
	moe_rec_free(&rec);
	free(w);
}

/* The reward is to come from the oracle: whoever is paid by it is marked, from the header on. */
static void open_oracle(const struct moe_grader *g)
{
	if (strcmp(grade_args.pay, "grade") != 0 && strcmp(grade_args.pay, "oracle") != 0)
		moe_usage_error("--pay is grade or oracle, not `%s'", grade_args.pay);
	grade_args.pays_oracle = *grade_args.pay == 'o';
	if (grade_args.pays_oracle && g && !moe_grader_earns(g))
		moe_usage_error("%s has no table \"earned\", which says what --pay oracle pays: "
				"see moe-env(5)",
			grade_args.env_path);
	if (grade_args.pays_oracle)
		moe_seal_raise(MOE_LABELS_ORACLE);
}

int main(int argc, char **argv)
{
	moe_box_guard(argc, argv); /* never comes back in a box */
	int at = moe_main_begin(argc, argv, &prog);
	struct moe_grader_opts o = { .workers = moe_common.threads,
		.mem_bytes = grade_args.memory,
		.steps = (uint64_t)grade_args.steps,
		.cpu_sec = grade_args.cpu_sec,
		.wall_sec = grade_args.wall_sec,
		.seed = moe_common.seed,
		.in_process = grade_args.in_process };
	struct moe_reader *in;
	struct moe_grader *g = NULL;
	struct moe_out out;
	struct moe_err e;

	if (grade_args.env_path && grade_args.exec_opts.box.command)
		moe_usage_error("an environment (-e) and a command (--exec) are two graders: one "
				"of them, not both");
	if (!grade_args.env_path && !grade_args.exec_opts.box.command)
		moe_usage_error(
			"either an environment (-e FILE) or a command (--exec CMD) is needed");
	if (grade_args.exec_opts.box.command)
		exec = grade_open_exec();
	else if (!(g = moe_grader_open(grade_args.env_path, &o, &e)))
		moe_die(&e);
	open_oracle(g);
	in = moe_in_open(argv[at], "rollouts");
	moe_out_stream(&out, "rollouts",
		grade_args.pays_oracle ? MOE_LABELS_ORACLE : moe_reader_labels(in), NULL);
	grade_stream(in, g, &out);
	grade_check(g, exec, count, faults);
	if (moe_writer_from_reader(out.w, in, &e) != 0 ||
		(g && moe_writer_from(out.w, moe_grader_digest(g), &e) != 0))
		moe_die(&e);
	if (grade_args.registration)
		moe_out_name_input(&out, grade_args.registration, "registration");
	moe_out_finish(&out);
	moe_info("%llu rollout%s; %llu ran for too long, %llu ended their process, %llu could not "
		 "be graded; %s",
		(unsigned long long)count, moe_s(count), (unsigned long long)faults[MOE_GRADE_TIME],
		(unsigned long long)faults[MOE_GRADE_DIED],
		(unsigned long long)faults[MOE_GRADE_ERROR],
		exec                            ? moe_box_name(moe_exec_box(exec).kind)
			: grade_args.in_process ? "no processes"
						: moe_grader_filter(g));
	moe_reader_close(in);
	moe_grader_close(g);
	moe_exec_close(exec);
	return moe_main_end(MOE_OK);
}
