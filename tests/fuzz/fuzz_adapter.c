/* fuzz_adapter.c - JSON Lines as a stream of adapters: every arm that is read is written to what is
 * read as the same arm, and routes rollouts on a base that it fits, or is refused. */
#include "fuzz_records.h"

#include "moe/method.h"
#include "moe/route.h"

#include <math.h>

static struct moe_model base;
static struct moe_pool *pool;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct moe_err e;

	(void)argc;
	(void)argv;
	fuzz_base(&base);
	MUST((pool = moe_pool_new(1, &e)));
	return 0;
}

static bool all_modest(int fd)
{
	struct moe_reader *r = fuzz_read(fd);
	struct moe_rec rec = { 0 };
	struct moe_err e;
	bool fine = true;

	while (fine && moe_reader_next(r, &rec, &e) == 1)
		fine = fuzz_modest(&rec);
	moe_rec_free(&rec);
	moe_reader_close(r);
	return fine;
}

static void write_and_read(struct moe_adapter *a)
{
	const struct moe_writer_opts o = { .kind = "adapter", .tool = "fuzz" };
	struct moe_adapter b = { 0 };
	struct moe_err e = { 0 };
	int fd = memfd_create("again", MFD_CLOEXEC);
	struct moe_writer *w = moe_writer_open_fd(fd, "again", &o, NULL, &e);
	struct moe_reader *r;
	char digest[65];

	MUST(w);
	memcpy(digest, a->digest, sizeof(digest));
	if (!moe_adapter_write(w, a, &e)) {
		MUST(!moe_writer_end(w, NULL, &e));
		r = fuzz_read(fd);
		MUST(moe_adapter_read(r, false, &b, &e) == 1);
		MUST(!strcmp(a->digest, b.digest) && !strcmp(a->arm, b.arm) &&
			a->x.n_param == b.x.n_param && a->n_tensor == b.n_tensor);
		moe_reader_close(r);
		moe_adapter_free(&b);
		MUST(!moe_adapter_copy(&b, a, &e) && !moe_adapter_digest(&b, &e) &&
			!strcmp(a->digest, b.digest));
	} else
		MUST(e.code == MOE_NUMERIC);
	moe_writer_close(w);
	close(fd);
	moe_adapter_free(&b);
}

/* Two rollouts through a method that scores by the arm's own tensors. */
static void route(const struct moe_adapter *a)
{
	static const int32_t ids[4] = { 'a', 'b', 'c', 258 };
	struct moe_engine g = { .m = &base, .pool = pool };
	struct moe_seen seen[2] = { { ids, ids + 1, 2, 3, 0, -1, NULL },
		{ ids, ids + 2, 1, 1, 0, 1, NULL } };
	struct moe_judged j[2];
	float score[2 * 3];
	struct moe_nulls null = { 3, 1, score };
	const struct moe_turn turn = { 1, 1, NULL };
	struct moe_err e = { 0 };

	for (size_t i = 0; moe_methods[i]; i++)
		if (moe_method_route(moe_methods[i], &g, a, seen, 2, &turn, j, &null, &e))
			MUST(e.msg[0]);
		else
			MUST((unsigned)j[0].decision < MOE_DECISIONS &&
				(unsigned)j[1].decision < MOE_DECISIONS);
}

/* One pass with the arm's experts. */
static void forward(const struct moe_adapter *a)
{
	static const int32_t ids[4] = { 'a', 'b', 'c', 258 };
	const struct moe_seg seg = { 0, 4, -1, 0 };
	const struct moe_batch b = { 4, ids, 1, &seg };
	struct moe_acts acts = { 0 };
	struct moe_err e = { 0 };

	if (moe_forward(&base, &a->x, NULL, &b, &acts, &e))
		MUST(e.msg[0]);
	moe_acts_free(&acts);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_adapter a = { 0 };
	struct moe_err e = { 0 };
	struct moe_reader *r;
	int fd = fuzz_stream("adapter", p, n), got = 0;

	if (fd < 0)
		return 0;
	r = all_modest(fd) ? fuzz_read(fd) : NULL;
	for (int arms = 0; r && arms < 4 && (got = moe_adapter_read(r, n & 1, &a, &e)) == 1;
		arms++) {
		write_and_read(&a);
		if (!moe_adapter_check(&a, &base.config, "", false, &e)) {
			route(&a);
			forward(&a);
		}
	}
	MUST(got >= 0 || e.msg[0]);
	moe_reader_close(r);
	moe_adapter_free(&a);
	close(fd);
	return 0;
}
