/* fuzz_report.c - JSON Lines as the streams that moe-report reads (graded rollouts, metrics,
 * adapters, recordings, pairs): refused, or analysed and audited to the end. */
#include "fuzz_records.h"

#include "stat/audit.h"
#include "stat/report.h"

static struct moe_pool *pool;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct moe_err e;

	(void)argc;
	(void)argv;
	MUST((pool = moe_pool_new(1, &e)));
	return 0;
}

static void report(const char *path, bool run)
{
	static struct moe_report r;
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	struct moe_uat u;
	int rc;

	moe_uat_default(&u);
	u.draws = 100;
	u.min_prompts = 2;
	u.min_seeds = 1;
	u.min_random = 0;
	rc = moe_report_load(&r, path, 1 << 20, &e);
	if (!rc && run)
		rc = moe_report_run(&r, path, 1 << 20, &e);
	rc = rc || moe_report_analyse(&r, &u, 1, pool, &e);
	MUST(!rc || e.msg[0]);
	if (!rc) {
		MUST(!moe_report_text(&r, &b, &e) && b.len);
		b.len = 0;
		MUST(!moe_report_json(&r, &b, &e) && b.len);
		b.len = 0;
		MUST(!moe_report_tsv(&r, &b, &e));
	}
	moe_buf_free(&b);
	moe_report_free(&r);
}

static void audit(const char *path)
{
	struct moe_audit a = { 0 };
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	bool passed;

	if (moe_audit_load(&a, path, 1 << 20, &e))
		MUST(e.msg[0]);
	else {
		struct moe_err more = { 0 };

		if (moe_audit_run(&a, path, 1 << 20, &more) == 0)
			moe_audit_run(&a, path, 1 << 20, &more);
		else
			moe_audit_flipped(&a, path, 1 << 20, &more);
		MUST(!moe_audit_check(&a, &passed, &e) && !moe_audit_text(&a, &b, &e));
	}
	moe_buf_free(&b);
	moe_audit_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char path[32];
	int fd = fuzz_stream("rollouts", p, n);

	if (fd < 0)
		return 0;
	fuzz_path(fd, path);
	report(path, false);
	report(path, true);
	audit(path);
	close(fd);
	return 0;
}
