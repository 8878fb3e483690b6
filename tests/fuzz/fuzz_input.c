/* fuzz_input.c - any bytes as an input: members and lines of whatever libarchive makes of them. */
#include "fuzz.h"

#include "formats/source.h"

/* Lines of at most 64 KiB, 1 MiB of them at most. */
static int lines(struct moe_input *in, struct moe_err *e)
{
	struct moe_source src;
	struct moe_str line;
	uint64_t number;
	size_t n = 0;
	int rc;

	moe_source_from_input(&src, in, 1 << 16);
	while ((rc = moe_source_line(&src, &line, &number, e)) == 1 && n < 1 << 20)
		n += line.n + 1;
	moe_source_free(&src);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	int fd = fuzz_fd(p, n), rc = 0;
	struct moe_input *in = moe_input_open_fd(fd, "fuzz", &e);

	MUST(in);
	for (int members = 0; members < 20 && (rc = moe_input_next(in, &e)) == 1; members++) {
		MUST(moe_input_member(in));
		if (members & 1)
			rc = moe_input_slurp(in, &b, 1 << 20, &e);
		else
			rc = lines(in, &e);
		if (rc < 0)
			break;
	}
	MUST(rc >= 0 || e.msg[0]);
	moe_input_close(in);
	moe_buf_free(&b);
	close(fd);
	return 0;
}
