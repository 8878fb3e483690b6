/* fuzz_stream.c - any bytes as a stream, plain, compressed or archived: read to the end or refused,
 * in little memory; what was read whole can be summarised. */
#include "fuzz.h"

#include "inspect/show.h"
#include "formats/stream.h"
#include "inspect/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_reader_opts o = { .max_mem = 1 << 20 };
	struct moe_summary *s = moe_summary_new(NULL);
	struct moe_rec rec = { 0 };
	struct moe_buf text = { 0 };
	struct moe_err e = { 0 };
	struct moe_reader *r;
	char path[32];
	int fd = fuzz_fd(p, n), rc;

	fuzz_path(fd, path);
	r = n & 1 ? moe_reader_open_path(path, &o, &e) : moe_reader_open_fd(fd, "fuzz", &o, &e);
	MUST(r);
	while ((rc = moe_reader_next(r, &rec, &e)) == 1) {
		MUST(!moe_summary_add(s, &rec, &e));
		text.len = 0;
		MUST(!moe_summary_record(&rec, &text, &e));
	}
	MUST(rc == 0 || (e.code != MOE_OK && e.msg[0]));
	text.len = 0;
	MUST(!moe_summary_print(s, &text, &e));
	moe_reader_close(r);
	moe_rec_free(&rec);
	moe_summary_free(s);
	moe_buf_free(&text);
	close(fd);
	return 0;
}
