/* fuzz_input.c - any bytes as an input: members and lines of whatever libarchive makes of them. */
#include "fuzz.h"

#include "formats/input.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_buf b = {0};
	struct moe_err e = {0};
	int fd = fuzz_fd(p, n), rc = 0;
	struct moe_input *in = moe_input_open_fd(fd, "fuzz", &e);

	MUST(in);
	for (int members = 0; members < 20 && (rc = moe_input_next(in, &e)) == 1; members++) {
		MUST(moe_input_member(in));
		if (members & 1)
			rc = moe_input_slurp(in, &b, 1 << 20, &e);
		else
			while (b.len < 1 << 20 && (rc = moe_input_line(in, &b, NULL, &e)) == 1)
				;
		if (rc < 0)
			break;
	}
	MUST(rc >= 0 || e.msg[0]);
	moe_input_close(in);
	moe_buf_free(&b);
	close(fd);
	return 0;
}
