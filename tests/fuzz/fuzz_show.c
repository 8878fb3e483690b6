/* fuzz_show.c - JSON Lines as a stream through everything that moe-cat does with one: looked at,
 * checked, filtered, as msgpack-numpy, and as a safetensors file, which turns back into the same
 * bytes. */
#include "fuzz_records.h"

#include "inspect/completions.h"
#include "inspect/metric_log.h"
#include "inspect/show.h"
#include "inspect/st_bridge.h"

#include <fcntl.h>

static char dir[32], file[64];

static void clean(void)
{
	unlink(file);
	rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_folder(dir);
	snprintf(file, sizeof(file), "%s/a.safetensors", dir);
	atexit(clean);
	return 0;
}

/* As a run of training: tables of metrics, completions as text and as a page. */
static void look_at_run(struct moe_show *o, struct moe_reader *r, bool metrics)
{
	struct moe_metric_log l = { 0 };
	struct moe_completions *c;
	struct moe_err e = { 0 };

	if (metrics) {
		if (!moe_metric_log_read(&l, o, r, &e)) {
			MUST(!moe_metric_log_write(&l, MOE_METRIC_CSV, &o->out, &e));
			MUST(!moe_metric_log_write(&l, MOE_METRIC_WANDB, &o->out, &e));
			MUST(!moe_metric_log_write(&l, MOE_METRIC_TENSORBOARD, &o->out, &e) ||
				l.n_run > 1);
		}
		moe_metric_log_free(&l);
		return;
	}
	MUST((c = moe_completions_new(3, &e)));
	if (!moe_completions_read(c, o, r, &e)) {
		MUST(!moe_completions_text(c, true, &o->out, &e));
		MUST(!moe_completions_html(c, &o->out, &e));
	}
	moe_completions_free(c);
}

static void look(int fd, int what, int out)
{
	static const char *const condition[2][2] = { { "arm=on", "step>=1" },
		{ "t!=rollout", "route.decision=keep" } };
	struct moe_show o = { .fd = out,
		.name = "out",
		.tool = "fuzz",
		.kind = what == 7 || what == 8 ? "adapter" : NULL,
		.limited = what == 5,
		.limit = 2,
		.values = what == 6 };
	struct moe_reader *r = fuzz_read(fd);
	struct moe_lineage *l;
	struct moe_err e = { 0 };
	size_t missing;
	int rc = 0;

	fuzz_set(out, "", 0);
	switch (what) {
	case 0:
		rc = moe_show_numpy(&o, r, 1 << 20, &e);
		break;
	case 1:
		rc = moe_show_head(&o, r, "fuzz", &e);
		break;
	case 2:
		rc = moe_show_summary(&o, r, "fuzz", &e);
		break;
	case 3:
		MUST((l = moe_lineage_new(1 << 20, &e)));
		rc = moe_show_check(&o, r, "fuzz", l, &e);
		MUST(rc || !moe_lineage_print(l, &o.out, &missing, &e));
		moe_lineage_free(l);
		break;
	case 6:
		rc = moe_show_json(&o, r, &e);
		break;
	case 9:
	case 10:
		look_at_run(&o, r, what == 9);
		break;
	default:
		MUST((o.where = moe_where_new(condition[what & 1], 2, &e)));
		rc = moe_show_stream(&o, r, &e);
		moe_where_free(o.where);
	}
	MUST(!rc || e.msg[0]);
	moe_buf_free(&o.out);
	moe_reader_close(r);
}

/* Through a safetensors file. False when the stream is refused. */
static bool there_and_back(int fd, int out)
{
	struct moe_reader *r = fuzz_read(fd);
	struct moe_err e = { 0 };
	int spool = memfd_create("spool", MFD_CLOEXEC),
	    st = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600), rc;

	MUST(spool >= 0 && st >= 0);
	rc = moe_stream_to_safetensors(r, st, "st", spool, &e);
	MUST(!rc || e.msg[0]);
	close(spool);
	close(st);
	moe_reader_close(r);
	if (rc)
		return false;
	fuzz_set(out, "", 0);
	if (moe_safetensors_to_stream(file, out, "out", NULL, &e)) {
		fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	return true;
}

static void same(int x, int y)
{
	off_t n = lseek(x, 0, SEEK_END);
	void *a, *b;

	MUST(n > 0 && lseek(y, 0, SEEK_END) == n);
	a = mmap(NULL, (size_t)n, PROT_READ, MAP_SHARED, x, 0);
	b = mmap(NULL, (size_t)n, PROT_READ, MAP_SHARED, y, 0);
	MUST(a != MAP_FAILED && b != MAP_FAILED && !memcmp(a, b, (size_t)n));
	munmap(a, (size_t)n);
	munmap(b, (size_t)n);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	int fd = fuzz_stream("rollouts", p, n), out, again;

	if (fd < 0)
		return 0;
	out = memfd_create("out", MFD_CLOEXEC);
	again = memfd_create("again", MFD_CLOEXEC);
	for (int what = 0; what < 11; what++)
		look(fd, what, out);
	if (there_and_back(fd, out)) { /* joins chunks of tensors; after that the bytes stay */
		MUST(there_and_back(out, again));
		same(out, again);
	}
	close(again);
	close(out);
	close(fd);
	return 0;
}
