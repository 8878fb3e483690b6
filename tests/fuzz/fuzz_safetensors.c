/* fuzz_safetensors.c - any bytes as a safetensors file: every tensor handed out lies inside of it,
 * and a stream made of it can be read. */
#include "fuzz.h"

#include "formats/rec.h"
#include "formats/safetensors.h"
#include "inspect/st_bridge.h"

static void as_stream(const uint8_t *p, size_t n)
{
	const struct moe_writer_opts o = { .kind = "tensors", .tool = "fuzz" };
	struct moe_rec rec = { 0 };
	struct moe_err e = { 0 };
	struct moe_reader *r;
	char path[32];
	int fd = fuzz_fd(p, n), out = memfd_create("out", MFD_CLOEXEC), got;

	if (moe_safetensors_to_stream(fuzz_path(fd, path), out, "out", &o, &e)) {
		MUST(e.msg[0]);
	} else {
		MUST(lseek(out, 0, SEEK_SET) == 0);
		MUST((r = moe_reader_open_fd(out, "out", NULL, &e)));
		while ((got = moe_reader_next(r, &rec, &e)) == 1)
			;
		MUST(got == 0);
		moe_reader_close(r);
		moe_rec_free(&rec);
	}
	close(out);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_err e = { 0 };
	struct moe_st *s = moe_st_parse(p, n, "fuzz", &e);

	MUST(s || e.msg[0]);
	for (size_t i = 0; s && i < moe_st_count(s); i++) {
		const struct moe_st_tensor *t = moe_st_at(s, i);
		size_t count = 1;
		float f;

		MUST(t->name && t->rank >= 0 && t->rank <= MOE_ST_RANK_MAX);
		for (int k = 0; k < t->rank; k++)
			count *= t->shape[k];
		MUST(t->bytes == count * moe_dtype_bytes(t->dtype));
		MUST(!t->bytes ||
			((const uint8_t *)t->data >= p &&
				(const uint8_t *)t->data + t->bytes <= p + n));
		MUST(moe_st_find(s, t->name) == t);
		if (count)
			moe_st_floats(t, count - 1, 1, &f, &e);
	}
	if (s)
		moe_st_meta(s, "format");
	moe_st_close(s);
	as_stream(p, n);
	return 0;
}
