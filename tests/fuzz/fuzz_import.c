/* fuzz_import.c - any bytes as a file of others' rollouts or prompts. */
#include "fuzz.h"

#include "data/import.h"

static void import(enum moe_import_kind kind, const char *path)
{
	static const char *const map[] = { "env.x=a.0.b,seal.y=c,rewards.z=reward|score" };
	struct moe_import_opts o = { .kind = kind,
		.map = map,
		.n_map = 1,
		.per_step = 2,
		.limit = 1000,
		.max_bytes = 1 << 16 };
	struct moe_err e = { 0 };
	struct moe_rec r = { 0 };
	struct moe_import *im = moe_import_open(&o, &path, 1, &e);
	struct moe_buf out = { 0 };

	while (im && moe_import_next(im, &r, &e) > 0) {
		out.len = 0;
		if (moe_rec_emit(&r, &out, &e))
			abort();
	}
	moe_buf_free(&out);
	moe_rec_free(&r);
	moe_import_close(im);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[32];
	int fd = fuzz_fd(data, size);

	import(MOE_IMPORT_ROLLOUTS, fuzz_path(fd, path));
	import(MOE_IMPORT_PROMPTS, path);
	close(fd);
	return 0;
}
