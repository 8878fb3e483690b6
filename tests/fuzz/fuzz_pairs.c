/* fuzz_pairs.c - any bytes as pairs: Markdown, JSON, a stream, or recognised; handed out in pieces
 * whose size the first byte chooses. */
#include "fuzz.h"

#include "formats/pairs.h"

struct feed {
	const uint8_t *p;
	size_t n, step;
};

static ssize_t from_feed(void *ctx, void *p, size_t n, struct moe_err *e)
{
	struct feed *f = ctx;
	size_t k = f->n < f->step ? f->n : f->step;

	(void)e;
	k = k < n ? k : n;
	if (k)
		memcpy(p, f->p, k);
	f->p += k;
	f->n -= k;
	return (ssize_t)k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum moe_pairs_format format[4] = { MOE_PAIRS_AUTO, MOE_PAIRS_MARKDOWN,
		MOE_PAIRS_JSON, MOE_PAIRS_STREAM };

	for (int i = 0; i < 4; i++) {
		struct feed f = { data, size, size ? 1 + (size_t)data[0] * 3 : 1 };
		struct moe_source src = {
			.read = from_feed, .ctx = &f, .name = "fuzz", .max_bytes = 1 << 16
		};
		struct moe_pairs_opts o = { .format = format[i], .max_bytes = 1 << 16 };
		struct moe_err e = { 0 };
		struct moe_rec r = { 0 };
		struct moe_pairs *p = moe_pairs_open(&src, &o, &e);
		struct moe_str hack, clean;
		int rc = -1;

		while (p && (rc = moe_pairs_next(p, &r, &e)) > 0)
			if (!moe_rec_str(&r, "hack", &hack) || !moe_rec_str(&r, "clean", &clean) ||
				!hack.n || !clean.n)
				abort(); /* what comes out is a contrast */
		if (p && rc < 0 && !e.msg[0])
			abort();
		moe_rec_free(&r);
		moe_pairs_close(p);
		moe_source_free(&src);
	}
	return 0;
}
