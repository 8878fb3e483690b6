/* grade_opts.c - moe-grade's option table, the start of an external grader, and the warnings. */
#include "cmd/grade_opts.h"

#include <string.h>
#include <unistd.h>

struct grade_args grade_args = { .pay = "grade",
	.exec_box = "auto",
	.batch = 512,
	.steps = 100000,
	.memory = (size_t)4 << 20,
	.cpu_sec = 0.5,
	.wall_sec = 10,
	.exec_opts = { .wall_sec = 60,
		.box = { .mem_bytes = (size_t)2 << 30, .file_bytes = (size_t)256 << 20 } } };

const struct moe_opt grade_options[] = {
	{ 'e', "env", MOE_OPT_STR, &grade_args.env_path, "FILE",
		"environment script whose graders run, see moe-env(5)", NULL, 0, 0 },
	{ 0, "batch", MOE_OPT_INT, &grade_args.batch, "N",
		"grade at most N rollouts at a time (a step's end is never waited past)", "512", 1,
		BATCH_MAX },
	{ 0, "registration", MOE_OPT_STR, &grade_args.registration, "FILE",
		"registration that this evaluation belongs to (moe-report --register)", NULL, 0,
		0 },
	{ 0, "pay", MOE_OPT_STR, &grade_args.pay, "WHAT",
		"grade, or oracle: for what really solves (a bound, and marked as one)", "grade", 0,
		0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Limits for one completion", NULL, 0, 0 },
	{ 0, "steps", MOE_OPT_INT, &grade_args.steps, "N", "Lua instructions in one sandbox",
		"100k", 1000, 1e12 },
	{ 0, "memory", MOE_OPT_SIZE, &grade_args.memory, "SIZE", "memory of one sandbox", "4M",
		262144, 4294967296.0 },
	{ 0, "cpu", MOE_OPT_F64, &grade_args.cpu_sec, "SECONDS",
		"CPU time before the process is killed", "0.5", 0.001, 1e6 },
	{ 0, "wall", MOE_OPT_F64, &grade_args.wall_sec, "SECONDS",
		"wall time before the process is killed", "10", 0.001, 1e6 },
	{ 0, "no-processes", MOE_OPT_FLAG, &grade_args.in_process, NULL,
		"grade in this process, without its protection (to measure what that costs)", NULL,
		0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "Grading with a program of your own", NULL, 0, 0 },
	{ 'x', "exec", MOE_OPT_STR, &grade_args.exec_opts.box.command, "CMD",
		"shell command that reads rollouts and writes answers, one JSON a line", NULL, 0,
		0 },
	{ 0, "exec-once", MOE_OPT_FLAG, &grade_args.exec_opts.once, NULL,
		"run the command anew for each rollout", NULL, 0, 0 },
	{ 0, "exec-wall", MOE_OPT_F64, &grade_args.exec_opts.wall_sec, "SECONDS",
		"wall time for one rollout before the command is killed", "60", 0.01, 1e6 },
	{ 0, "exec-cpu", MOE_OPT_F64, &grade_args.exec_opts.box.cpu_sec, "SECONDS",
		"CPU time of each of its processes; 0 = no limit", "0", 0, 1e9 },
	{ 0, "exec-memory", MOE_OPT_SIZE, &grade_args.exec_opts.box.mem_bytes, "SIZE",
		"address space of each of its processes", "2G", 1048576, 1e15 },
	{ 0, "exec-files", MOE_OPT_SIZE, &grade_args.exec_opts.box.file_bytes, "SIZE",
		"size of a file, and of its temporary directory", "256M", 4096, 1e15 },
	{ 0, "exec-box", MOE_OPT_STR, &grade_args.exec_box, "KIND",
		"namespaces, bwrap, limits, or auto: the first of these that works", "auto", 0, 0 },
	{ 0, "exec-env", MOE_OPT_LIST, &grade_args.exec_env, "NAME",
		"environment variable to pass on (repeatable)", NULL, 0, 0 },
	{ 0, "exec-network", MOE_OPT_FLAG, &grade_args.exec_opts.box.network, NULL,
		"leave it the network", NULL, 0, 0 },
	{ 0, "exec-writable", MOE_OPT_FLAG, &grade_args.exec_opts.box.writable, NULL,
		"leave it the file system to write to", NULL, 0, 0 },
	{ 0 }
};

struct moe_exec *grade_open_exec(void)
{
	static const struct {
		const char *name;
		enum moe_box_kind kind;
	} kinds[] = { { "auto", MOE_BOX_AUTO }, { "bwrap", MOE_BOX_BWRAP },
		{ "namespaces", MOE_BOX_NAMESPACES }, { "limits", MOE_BOX_PLAIN } };
	struct moe_exec *exec;
	struct moe_err e;
	size_t i = 0;

	while (i < 4 && strcmp(kinds[i].name, grade_args.exec_box) != 0)
		i++;
	if (i == 4)
		moe_usage_error("--exec-box is auto, namespaces, bwrap or limits, not `%s'",
			grade_args.exec_box);
	grade_args.exec_opts.box.kind = kinds[i].kind;
	grade_args.exec_opts.box.keep_env = grade_args.exec_env.v;
	grade_args.exec_opts.box.n_keep_env = grade_args.exec_env.n;
	grade_args.exec_opts.workers = moe_common.threads;
	exec = moe_exec_open(&grade_args.exec_opts, &e);
	if (!exec)
		moe_die(&e);
	if (geteuid() == 0 && !moe_exec_box(exec).nobody)
		moe_warn("the box runs as root, whom no limit of processes holds and who reads "
			 "every file of root's: %s",
			grade_args.exec_opts.box.writable
				? "--exec-writable asks for that"
				: "nobody cannot enter the working directory");
	return exec;
}

/* Dies when nothing was graded: before the end record, so that who reads the output stops too. */
static void check_answers(
	const struct moe_exec *exec, uint64_t count, const uint64_t faults[MOE_GRADE_FAULTS])
{
	struct moe_err e;

	if (!count || faults[MOE_GRADE_FINE])
		return;
	if (exec)
		moe_fail(&e, MOE_DATA,
			"none of %llu rollouts could be graded: %s (does the grader exist, answer "
			"each line with a line, and flush its output after it?)",
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
void grade_check(const struct moe_grader *g, const struct moe_exec *exec, uint64_t count,
	const uint64_t faults[MOE_GRADE_FAULTS])
{
	uint64_t near_limit = g ? moe_grader_near_limit(g) : 0;

	check_answers(exec, count, faults);
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
