/* moe-grade.c - runs the environment's graders over rollouts: the reward visible, the oracle's
 * findings sealed. It decides nothing itself. */
#include "cmd/opt.h"
#include "env/exec.h"
#include "env/grade.h"
#include "formats/seal.h"
#include "util/rng.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH_MAX 4096

static const char *env_path, *registration;
static int64_t batch = 512, steps = 100000;
static size_t memory = (size_t)4 << 20;
static double cpu_sec = 0.5, wall_sec = 10;
static const char *pay = "grade";
static bool in_process, pays_oracle;
static struct moe_exec_opts exec_opts = { .wall_sec = 60,
	.box = { .mem_bytes = (size_t)2 << 30, .file_bytes = (size_t)256 << 20 } };
static struct moe_exec *exec;
static const char *exec_box = "auto";
static struct moe_opt_list exec_env;

static const struct moe_opt options[] = {
	{ 'e', "env", MOE_OPT_STR, &env_path, "FILE",
		"environment script whose graders run, see moe-env(5)", NULL, 0, 0 },
	{ 0, "batch", MOE_OPT_INT, &batch, "N",
		"grade at most N rollouts at a time (a step's end is never waited past)", "512", 1,
		BATCH_MAX },
	{ 0, "registration", MOE_OPT_STR, &registration, "FILE",
		"registration that this evaluation belongs to (moe-report --register)", NULL, 0,
		0 },
	{ 0, "pay", MOE_OPT_STR, &pay, "WHAT",
		"grade, or oracle: for what really solves (a bound, and marked as one)", "grade", 0,
		0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Limits for one completion", NULL, 0, 0 },
	{ 0, "steps", MOE_OPT_INT, &steps, "N", "Lua instructions in one sandbox", "100k", 1000,
		1e12 },
	{ 0, "memory", MOE_OPT_SIZE, &memory, "SIZE", "memory of one sandbox", "4M", 262144,
		4294967296.0 },
	{ 0, "cpu", MOE_OPT_F64, &cpu_sec, "SECONDS", "CPU time before the process is killed",
		"0.5", 0.001, 1e6 },
	{ 0, "wall", MOE_OPT_F64, &wall_sec, "SECONDS", "wall time before the process is killed",
		"10", 0.001, 1e6 },
	{ 0, "no-processes", MOE_OPT_FLAG, &in_process, NULL,
		"grade in this process, without its protection (to measure what that costs)", NULL,
		0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Grading with a program of your own", NULL, 0, 0 },
	{ 'x', "exec", MOE_OPT_STR, &exec_opts.box.command, "CMD",
		"shell command that reads rollouts and writes answers, one JSON a line", NULL, 0,
		0 },
	{ 0, "exec-once", MOE_OPT_FLAG, &exec_opts.once, NULL,
		"run the command anew for each rollout", NULL, 0, 0 },
	{ 0, "exec-wall", MOE_OPT_F64, &exec_opts.wall_sec, "SECONDS",
		"wall time for one rollout before the command is killed", "60", 0.01, 1e6 },
	{ 0, "exec-cpu", MOE_OPT_F64, &exec_opts.box.cpu_sec, "SECONDS",
		"CPU time of each of its processes; 0 = no limit", "0", 0, 1e9 },
	{ 0, "exec-memory", MOE_OPT_SIZE, &exec_opts.box.mem_bytes, "SIZE",
		"address space of each of its processes", "2G", 1048576, 1e15 },
	{ 0, "exec-files", MOE_OPT_SIZE, &exec_opts.box.file_bytes, "SIZE",
		"size of a file, and of its temporary directory", "256M", 4096, 1e15 },
	{ 0, "exec-box", MOE_OPT_STR, &exec_box, "KIND",
		"namespaces, bwrap, limits, or auto: the first of these that works", "auto", 0, 0 },
	{ 0, "exec-env", MOE_OPT_LIST, &exec_env, "NAME",
		"environment variable to pass on (repeatable)", NULL, 0, 0 },
	{ 0, "exec-network", MOE_OPT_FLAG, &exec_opts.box.network, NULL, "leave it the network",
		NULL, 0, 0 },
	{ 0, "exec-writable", MOE_OPT_FLAG, &exec_opts.box.writable, NULL,
		"leave it the file system to write to", NULL, 0, 0 },
	{ 0 }
};

static const struct moe_prog prog = { .name = "moe-grade",
	.purpose = "grade rollouts in a sandbox: reward visible, oracle sealed",
	.usage = "-e FILE [options] [rollouts]\n-x CMD [options] [rollouts]",
	.opt = options,
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
		(!moe_rec_bin(to, "completion", &item->completion) &&
			moe_rec_str_req(to, "completion", &item->completion, &e) != 0))
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
				exec ? "--exec" : env_path,
				exec ? moe_exec_note(exec) : w->grade[i].note);
		if (pays_oracle && !exec)
			moe_grader_pay_oracle(g, &w->grade[i]);
		if ((!exec && moe_grade_apply(&w->grade[i], &w->rec[i], &e) != 0) ||
			moe_writer_put(out->w, &w->rec[i], &e) != 0)
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
			if (w->n == (size_t)batch)
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
	if (strcmp(pay, "grade") != 0 && strcmp(pay, "oracle") != 0)
		moe_usage_error("--pay is grade or oracle, not `%s'", pay);
	pays_oracle = *pay == 'o';
	if (pays_oracle && g && !moe_grader_earns(g))
		moe_usage_error("%s has no table \"earned\", which says what --pay oracle pays: "
				"see moe-env(5)",
			env_path);
	if (pays_oracle)
		moe_seal_raise(MOE_LABELS_ORACLE);
}

static void open_exec(void)
{
	static const struct {
		const char *name;
		enum moe_box_kind kind;
	} kinds[] = { { "auto", MOE_BOX_AUTO }, { "bwrap", MOE_BOX_BWRAP },
		{ "namespaces", MOE_BOX_NAMESPACES }, { "limits", MOE_BOX_PLAIN } };
	struct moe_err e;
	size_t i = 0;

	while (i < 4 && strcmp(kinds[i].name, exec_box) != 0)
		i++;
	if (i == 4)
		moe_usage_error(
			"--exec-box is auto, namespaces, bwrap or limits, not `%s'", exec_box);
	exec_opts.box.kind = kinds[i].kind;
	exec_opts.box.keep_env = exec_env.v;
	exec_opts.box.n_keep_env = exec_env.n;
	exec_opts.workers = moe_common.threads;
	exec = moe_exec_open(&exec_opts, &e);
	if (!exec)
		moe_die(&e);
	if (geteuid() == 0 && !moe_exec_box(exec).nobody)
		moe_warn("the box runs as root, whom no limit of processes holds and who reads "
			 "every file of root's: %s",
			exec_opts.box.writable ? "--exec-writable asks for that"
					       : "nobody cannot enter the working directory");
}

/* Dies when nothing was graded: before the end record, so that who reads the output stops too. */
static void check_answers(void)
{
	struct moe_err e;

	if (!count || faults[MOE_GRADE_FINE])
		return;
	if (exec)
		moe_fail(&e, MOE_DATA,
			"none of %llu rollouts could be graded: %s (does the grader exist, answer "
			"each "
			"line with a line, and flush its output after it?)",
			(unsigned long long)count, moe_exec_note(exec));
	else if (faults[MOE_GRADE_ERROR])
		moe_fail(&e, MOE_DATA,
			"none of %llu rollouts could be graded: are they of this environment, and "
			"does the grader work?",
			(unsigned long long)count);
	else
		return;
	moe_die(&e);
}

/* What is wrong with the grades, or depended on the machine. */
static void check_grades(const struct moe_grader *g)
{
	uint64_t near_limit = g ? moe_grader_near_limit(g) : 0;

	check_answers();
	if (faults[MOE_GRADE_ERROR])
		moe_warn("%llu of %llu rollouts could not be graded and got 0",
			(unsigned long long)faults[MOE_GRADE_ERROR], (unsigned long long)count);
	if (exec && faults[MOE_GRADE_TIME] + faults[MOE_GRADE_DIED])
		moe_warn(
			"%llu of %llu rollouts got no answer from the grader, and 0; the first, %s",
			(unsigned long long)(faults[MOE_GRADE_TIME] + faults[MOE_GRADE_DIED]),
			(unsigned long long)count, moe_exec_note(exec));
	if (faults[MOE_GRADE_TIME] + near_limit)
		moe_warn(
			"%llu grade%s depended on time: %llu ran into a time limit, %llu used more "
			"than half of it; on another machine they may differ",
			(unsigned long long)(faults[MOE_GRADE_TIME] + near_limit),
			moe_s(faults[MOE_GRADE_TIME] + near_limit),
			(unsigned long long)faults[MOE_GRADE_TIME], (unsigned long long)near_limit);
}

int main(int argc, char **argv)
{
	moe_box_guard(argc, argv); /* never comes back in a box */
	int at = moe_main_begin(argc, argv, &prog);
	struct moe_grader_opts o = { .workers = moe_common.threads,
		.mem_bytes = memory,
		.steps = (uint64_t)steps,
		.cpu_sec = cpu_sec,
		.wall_sec = wall_sec,
		.seed = moe_common.seed,
		.in_process = in_process };
	struct moe_reader *in;
	struct moe_grader *g = NULL;
	struct moe_out out;
	struct moe_err e;

	if (env_path && exec_opts.box.command)
		moe_usage_error("an environment (-e) and a command (--exec) are two graders: one "
				"of them, not both");
	if (!env_path && !exec_opts.box.command)
		moe_usage_error(
			"either an environment (-e FILE) or a command (--exec CMD) is needed");
	if (exec_opts.box.command)
		open_exec();
	else if (!(g = moe_grader_open(env_path, &o, &e)))
		moe_die(&e);
	open_oracle(g);
	in = moe_in_open(argv[at], "rollouts");
	moe_out_stream(
		&out, "rollouts", pays_oracle ? MOE_LABELS_ORACLE : moe_reader_labels(in), NULL);
	grade_stream(in, g, &out);
	check_grades(g);
	if (moe_writer_from_reader(out.w, in, &e) != 0 ||
		(g && moe_writer_from(out.w, moe_grader_digest(g), &e) != 0))
		moe_die(&e);
	if (registration)
		moe_out_name_input(&out, registration, "registration");
	moe_out_finish(&out);
	moe_info("%llu rollout%s; %llu ran for too long, %llu ended their process, %llu could not "
		 "be graded; %s",
		(unsigned long long)count, moe_s(count), (unsigned long long)faults[MOE_GRADE_TIME],
		(unsigned long long)faults[MOE_GRADE_DIED],
		(unsigned long long)faults[MOE_GRADE_ERROR],
		exec                 ? moe_box_name(moe_exec_box(exec).kind)
			: in_process ? "no processes"
				     : moe_grader_filter(g));
	moe_reader_close(in);
	moe_grader_close(g);
	moe_exec_close(exec);
	return moe_main_end(MOE_OK);
}
