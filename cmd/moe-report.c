/* moe-report.c - verdict, tables, plots and audit over graded rollouts. The work is in lib/stat. It
 * opens seals: what it prints is for reading, never for training. */
#include "cmd/report_audit.h"
#include "cmd/report_bring.h"
#include "cmd/report_files.h"
#include "cmd/report_leakage.h"
#include "cmd/rerun.h"
#include "stat/report.h"
#include "util/pool.h"

#include <string.h>

static const char *uat_path, *register_path, *method, *placebo, *html_path, *plots_dir;
static struct moe_opt_list runs, from, map;
static bool as_json, as_tsv, audit, flip_seals, plan_prompts;
static const char *rerun_path, *leakage;
static struct audit_args A = { .every = 1 };

static const struct moe_opt options[] = { { 0, "", MOE_OPT_HEAD, NULL, NULL, "What is tested", NULL,
						  0, 0 },
	{ 'u', "uat", MOE_OPT_STR, &uat_path, "FILE",
		"conditions fixed beforehand: method, placebo, margins, least numbers", NULL, 0,
		0 },
	{ 0, "method", MOE_OPT_STR, &method, "NAME", "the tested method, instead of the file's",
		NULL, 0, 0 },
	{ 0, "placebo", MOE_OPT_STR, &placebo, "NAME", "its placebos, instead of the file's", NULL,
		0, 0 },
	{ 0, "run", MOE_OPT_LIST, &runs, "FILE",
		"recorded training run, graded and routed: quality of the gate", NULL, 0, 0 },
	{ 0, "from", MOE_OPT_LIST, &from, "FILE",
		"outcomes that others recorded: JSON Lines, JSON, archives, Parquet", NULL, 0, 0 },
	{ 0, "map", MOE_OPT_LIST, &map, "KEY=PATH,...",
		"where in their rows is what; or trl, lm-eval, inspect", NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "What is written", NULL, 0, 0 },
	{ 0, "html", MOE_OPT_STR, &html_path, "FILE",
		"also a page in one file, with plots by gnuplot", NULL, 0, 0 },
	{ 0, "plots", MOE_OPT_STR, &plots_dir, "DIR", "also each plot's data and gnuplot script",
		NULL, 0, 0 },
	{ 0, "json", MOE_OPT_FLAG, &as_json, NULL, "JSON instead of text", NULL, 0, 0 },
	{ 0, "tsv", MOE_OPT_FLAG, &as_tsv, NULL, "rates as tab-separated lines instead of text",
		NULL, 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "No cheating", NULL, 0, 0 },
	{ 0, "register", MOE_OPT_STR, &register_path, "FILE",
		"write the registration of these conditions, before their seeds are run", NULL, 0,
		0 },
	{ 0, "audit", MOE_OPT_FLAG, &audit, NULL,
		"check lineage, disjointness and the flip test instead of judging outcomes", NULL,
		0, 0 },
	{ 0, "flipped", MOE_OPT_LIST, &A.flipped, "FILE",
		"for --audit: adapter trained from flipped seals", NULL, 0, 0 },
	{ 'm', "base", MOE_OPT_STR, &A.base, "DIR",
		"for --audit: the base, to decide anew about the recorded rollouts", NULL, 0, 0 },
	{ 'e', "env", MOE_OPT_STR, &A.env, "FILE",
		"for --audit: the environment, to grade all rollouts anew", NULL, 0, 0 },
	{ 0, "every", MOE_OPT_INT, &A.every, "N",
		"make every Nth rollout or step anew, not all of them", "1", 1, 1e9 },
	{ 0, "rerun", MOE_OPT_STR, &rerun_path, "BUNDLE",
		"repeat a packed experiment in the new folder DIR, say where it first differs",
		NULL, 0, 0 },
	{ 0, "plan-prompts", MOE_OPT_FLAG, &plan_prompts, NULL,
		"print the digest of the evaluation's prompts, as a line of uat.conf", NULL, 0, 0 },
	{ 0, "flip-seals", MOE_OPT_FLAG, &flip_seals, NULL,
		"copy rollouts with every seal negated and no routes, to route and train anew",
		NULL, 0, 0 },
	{ 0, "leakage", MOE_OPT_STR, &leakage, "LOSSES",
		"how many hacks got past the labels of the first run, held against the others",
		NULL, 0, 0 },
	{ 0 } };

static const struct moe_prog prog = { .name = "moe-report",
	.purpose = "verdict on a quarantine: paired ablations, controls, intervals",
	.usage = "[-u FILE] [--html FILE] [--json | --tsv] [--from FILE [--map MAP]] "
		 "[STREAM ...]\n--audit [-m DIR] [-e FILE] "
		 "[-u FILE] [--run FILE] [--flipped FILE] STREAM ...\n--flip-seals -o FILE "
		 "[STREAM]\n--rerun BUNDLE [DIR]\n--plan-prompts [STREAM ...]\n"
		 "--register FILE -o FILE [STREAM ...]\n--leakage LOSSES RUN STANDARD ...",
	.opt = options,
	.examples = "moe-report -u uat.conf --html report.html */eval.moes */metrics.moes",
	.see_also = "moe-grade(1), moe-ablate(1), moe-train(1), moe(7)",
	.min_operands = 0,
	.max_operands = -1 };

/* --method and --placebo, checked as the file's keys are. */
static void name_methods(struct moe_uat *u)
{
	const struct {
		const char *key, *value;
	} v[] = { { "method", method }, { "placebo", placebo } };
	struct moe_err e;

	for (size_t i = 0; i < 2; i++)
		if (v[i].value && moe_uat_set(u, v[i].key, v[i].value, &e))
			moe_usage_error("%s", e.msg);
}

static void load(struct moe_report *r, int n, char **path)
{
	struct moe_err e;

	if (from.n)
		report_bring(r, &from, &map);
	if (!n && !from.n)
		moe_in_allowed(NULL);
	if (!n && !from.n && moe_report_load(r, "-", moe_common.max_mem, &e))
		moe_die(&e);
	for (int i = 0; i < n; i++)
		if (moe_report_load(r, path[i], moe_common.max_mem, &e))
			moe_die(&e);
	for (size_t i = 0; i < runs.n; i++)
		if (moe_report_run(r, runs.v[i], moe_common.max_mem, &e))
			moe_die(&e);
}

static void write_text(const char *path, const struct moe_buf *b)
{
	struct moe_out out;

	moe_out_text(&out, path);
	moe_out_write(&out, b->data, b->len);
	moe_out_finish(&out);
}

static int judge(int n, char **path)
{
	static struct moe_report r;
	struct moe_uat u;
	struct moe_buf b = { 0 }, page = { 0 };
	struct moe_err e;

	moe_uat_default(&u);
	if (uat_path)
		moe_read_uat(&u, uat_path, NULL);
	name_methods(&u);
	load(&r, n, path);
	struct moe_pool *pool = moe_pool_new(moe_common.threads, &e);
	if (!pool || moe_report_analyse(&r, &u, moe_common.seed, pool, &e) ||
		(as_json                 ? moe_report_json
				: as_tsv ? moe_report_tsv
					 : moe_report_text)(&r, &b, &e))
		moe_die(&e);
	write_text(NULL, &b); /* whatever becomes of the page */
	if (html_path) {
		if (moe_report_html(&r, &page, &e))
			moe_die(&e);
		write_text(html_path, &page);
	}
	if (plots_dir && moe_report_plots(&r, plots_dir, &e))
		moe_die(&e);
	int code = r.a.verdict.kind == MOE_SUPPORTED || r.a.verdict.kind == MOE_RATES_ALONE
		? MOE_OK
		: MOE_NEGATIVE;
	moe_buf_free(&b);
	moe_buf_free(&page);
	moe_pool_free(pool);
	moe_report_free(&r);
	return code;
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog), n = argc - first;

	if (rerun_path) {
		if (as_json || as_tsv || audit || flip_seals || register_path || n > 1)
			moe_usage_error(
				"--rerun BUNDLE takes one operand at most, a folder to make");
		return moe_main_end(rerun(rerun_path, n ? argv[first] : NULL));
	}
	if (as_json + as_tsv + audit + flip_seals + (register_path != NULL) > 1)
		moe_usage_error(
			"--json, --tsv, --audit, --flip-seals and --register exclude each other");
	if (leakage)
		return moe_main_end(report_leakage(leakage, n, argv + first));
	if (plan_prompts)
		return moe_main_end(report_prompts(n, argv + first));
	if (map.n && !from.n)
		moe_usage_error("--map goes with --from");
	if (from.n && (audit || flip_seals || register_path))
		moe_usage_error(
			"--from is for a report: other tools' files have no lineage to check");
	if ((A.flipped.n || A.base || A.env) && !audit)
		moe_usage_error("--flipped, --base and --env go with --audit");
	if (audit && !n)
		moe_usage_error("--audit wants the files of an experiment");
	moe_uat_default(&A.uat);
	if (audit && uat_path)
		moe_read_uat(&A.uat, uat_path, NULL);
	A.runs = &runs;
	if (register_path)
		moe_write_registration(register_path, n, argv + first);
	return moe_main_end(audit       ? report_audit(&A, n, argv + first)
			: flip_seals    ? report_flip(n, argv + first)
			: register_path ? MOE_OK
					: judge(n, argv + first));
}
