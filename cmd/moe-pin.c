/* moe-pin.c - lays out the experts of a base and fits their routing score to (hack, clean) pairs;
 * it trains no expert. */
#include "cmd/model_in.h"
#include "cmd/report_files.h"
#include "cmd/opt.h"
#include "formats/tokenizer/tokenizer.h"
#include "cmd/pin_methods.h"
#include "moe/layout.h"
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *uat_path;
static const char *base_dir, *method_name, *placebo_of, *targets = "all";
static int64_t clean_rank = 8, quarantine_rank = 8, nth = 1;
static double scale = 2;
static struct moe_opt_list experts, plan, settings;
static bool allow_oracle, list_methods;

static const struct moe_opt options[] = { { 'm', "base", MOE_OPT_STR, &base_dir, "DIR",
						  "the base model's directory", NULL, 0, 0 },
	{ 0, "method", MOE_OPT_STR, &method_name, "NAME",
		"row of the method table (default: its first)", NULL, 0, 0 },
	{ 0, "placebo-of", MOE_OPT_STR, &placebo_of, "NAME",
		"the placebo of that method, in its place", NULL, 0, 0 },
	{ 0, "nth", MOE_OPT_INT, &nth, "N",
		"the N-th run of this method and seed, which records call METHOD-N", "1", 1, 1e6 },
	{ 0, "set", MOE_OPT_LIST, &settings, "NAME=VALUE",
		"a setting of the method (--list-methods); may be repeated", NULL, 0, 0 },
	{ 0, "list-methods", MOE_OPT_FLAG, &list_methods, NULL,
		"print the method table with settings and citations, and exit", NULL, 0, 0 },
	{ 0, "clean-rank", MOE_OPT_INT, &clean_rank, "R", "rank of the clean expert (0: none)", "8",
		0, 4096 },
	{ 0, "quarantine-rank", MOE_OPT_INT, &quarantine_rank, "R",
		"rank of the quarantine, which some methods cut up (0: none)", "8", 0, 4096 },
	{ 0, "expert", MOE_OPT_LIST, &experts, "BANK:RANK[:NAME]",
		"one expert instead of the two above; may be repeated", NULL, 0, 0 },
	{ 0, "targets", MOE_OPT_STR, &targets, "LIST", "adapted Linears among q,k,v,o,gate,up,down",
		"all", 0, 0 },
	{ 0, "scale", MOE_OPT_F64, &scale, "S", "scale of the experts' output", "2", 0, 0 },
	{ 0, "plan", MOE_OPT_LIST, &plan, "D.BANK=G/M",
		"override an entry of the method's plan: gate and mask; may be repeated", NULL, 0,
		0 },
	{ 'u', "uat", MOE_OPT_STR, &uat_path, "FILE",
		"conditions fixed beforehand, whose digest all headers from here on name", NULL, 0,
		0 },
	{ 0, "allow-oracle", MOE_OPT_FLAG, &allow_oracle, NULL, "allow a method that cheats", NULL,
		0, 0 },
	{ 0 } };

static const struct moe_prog prog = {
	.name = "moe-pin",
	.purpose = "lay out the experts and fit their routing score to the pairs",
	.usage = "-m DIR [options] [PAIRS]",
	.opt = options,
	.examples = "moe-pairs -e env.lua -n 48 --modes run_tests,stdout_marker | moe-pin -m base "
		    "-o a0.moes",
	.see_also = "moe-pairs(1), moe-route(1), moe-train(1), moe(7)",
	.min_operands = 0,
	.max_operands = 1,
};

/* Standard input counts as given when something can come from it. */
static bool stdin_is_given(void)
{
	struct stat st;

	return fstat(STDIN_FILENO, &st) == 0 &&
		(S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
			(S_ISREG(st.st_mode) && st.st_size > 0));
}

/* Defaults, then --set; the row says whether they fit together and to the experts. */
static void apply_settings(struct moe_adapter *a, const struct moe_method *method)
{
	double set[MOE_ROUTER_SETTINGS];
	struct moe_err e;

	if (moe_settings_default(method->settings, &a->settings, &e))
		moe_die(&e);
	for (size_t i = 0; i < settings.n; i++)
		if (moe_settings_set(method->settings, settings.v[i], &a->settings, &e))
			moe_die(&e);
	if (moe_method_settings(method, a, set, &e) ||
		(method->check && method->check(set, &a->x, &e)))
		moe_die(&e);
}

static void lay_out(
	struct moe_adapter *a, const struct moe_model *m, const struct moe_method *method)
{
	struct moe_err e;

	for (size_t i = 0; i < experts.n; i++)
		if (moe_layout_expert(&a->x, experts.v[i], &e))
			moe_die(&e);
	if (experts.n == 0 &&
		moe_layout_banks(&a->x, method, (int)clean_rank, (int)quarantine_rank, &e))
		moe_die(&e);
	if (a->x.E == 0)
		moe_usage_error("there is no expert: both ranks are 0");
	a->x.scale = scale;
	apply_settings(a, method);
	if (moe_layout_targets(&a->x, targets, &e) ||
		moe_layout_make(a, m, method, moe_common.seed, &e))
		moe_die(&e);
	moe_adapter_set_nth(a, (int)nth);
	if (moe_method_override(method, a, plan.v, plan.n, &e))
		moe_die(&e);
}

static struct moe_reader *read_pairs(struct moe_pairs *p, const char *path,
	const struct moe_method *method, const char *name, int32_t bos)
{
	struct moe_reader *r;
	struct moe_tokenizer *t;
	struct moe_err e;

	if (!method->needs_pairs && !path && !stdin_is_given())
		return NULL;
	r = moe_in_open(path, "pairs");
	t = moe_tokenizer_open(base_dir, &e);
	if (!t || moe_pairs_read(p, r, t, bos, &e) ||
		moe_method_pairs(name, moe_common.seed, p, &e))
		moe_die(&e);
	pin_check_pairs(r, name, allow_oracle);
	moe_tokenizer_free(t);
	if (method->needs_pairs && p->n == 0) {
		moe_fail(&e, MOE_DATA, "the method '%s' needs pairs, and the input holds none",
			name);
		moe_die(&e);
	}
	return r;
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog);
	const struct moe_method *method;
	struct moe_adapter a = { 0 };
	struct moe_pairs pairs = { 0 };
	struct moe_model m = { 0 };
	struct moe_reader *r;
	const char *name;
	struct moe_engine g = { .m = &m };
	struct moe_uat uat;
	struct moe_out out;
	struct moe_err e;

	if (list_methods) {
		pin_print_methods();
		return moe_main_end(MOE_OK);
	}
	if (!base_dir)
		moe_usage_error("-m DIR is needed");
	name = pin_method_name(method_name, placebo_of);
	method = moe_method_find(name, &e);
	if (!method)
		moe_usage_error("%s", e.msg);
	if (method->cheats && !allow_oracle)
		moe_usage_error("the method '%s' cheats: it needs --allow-oracle", name);
	moe_model_in(&m, base_dir);
	if (!(g.pool = moe_pool_new(moe_common.threads, &e)))
		moe_die(&e);
	if (uat_path) {
		moe_read_uat(&uat, uat_path, NULL);
		moe_out_conditions(uat.digest);
	}
	lay_out(&a, &m, method);
	snprintf(a.method, sizeof(a.method), "%s", name);
	r = read_pairs(&pairs, first < argc ? argv[first] : NULL, method, name, m.config.bos);
	if (method->init && method->init(&g, &pairs, &a, &e))
		moe_die(&e);
	pin_report(method, &a, pairs.n);
	if (moe_lineage_add(&a, NULL, r && moe_reader_digests(r) ? moe_reader_digest(r, 0) : NULL,
		    moe_common.argc, moe_common.argv, &e))
		moe_die(&e);
	moe_out_stream(&out, "adapter", r ? moe_reader_labels(r) : MOE_LABELS_NONE, NULL);
	if ((r && moe_writer_from_reader(out.w, r, &e)) || moe_adapter_write(out.w, &a, &e))
		moe_die(&e);
	moe_out_finish(&out);
	moe_info("%s: %d expert%s, rank %d in all, %zu parameters, digest %.12s", a.method, a.x.E,
		moe_s((uint64_t)a.x.E), a.x.R, a.x.n_param, a.digest);
	if (r)
		moe_reader_close(r);
	moe_pairs_free(&pairs);
	moe_adapter_free(&a);
	moe_pool_free(g.pool);
	moe_model_free(&m);
	return moe_main_end(MOE_OK);
}
