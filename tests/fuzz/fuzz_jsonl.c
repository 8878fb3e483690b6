/* fuzz_jsonl.c - any bytes as JSON Lines: a stream that is written whole can be read whole, and
 * gives JSON that gives it again. */
#include "fuzz.h"

#include "formats/jsonl.h"
#include "inspect/show.h"

#include <string.h>

static int to_stream(const uint8_t *p, size_t n, int out)
{
	struct moe_jsonl_opts o = { .kind = "rollouts", .tool = "fuzz", .name = "out" };
	struct moe_err e = { 0 };
	int fd = fuzz_fd(p, n), rc;
	struct moe_input *in = moe_input_open_fd(fd, "fuzz", &e);

	rc = moe_jsonl_to_stream(in, out, &o, NULL, &e);
	MUST(rc == 0 || e.msg[0]);
	moe_input_close(in);
	close(fd);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	int one = memfd_create("one", 0), two = memfd_create("two", 0),
	    text = memfd_create("text", 0);
	struct moe_show o = { .fd = text, .name = "text", .tool = "fuzz" };
	struct moe_reader *r;
	struct moe_err e = { 0 };

	if (!to_stream(p, n, one)) {
		off_t len, bytes = lseek(one, 0, SEEK_END);
		void *a, *b;

		lseek(one, 0, SEEK_SET);
		r = moe_reader_open_fd(one, "one", NULL, &e);
		if (moe_show_json(&o, r, &e)) {
			fprintf(stderr, "%s\n", e.msg);
			abort();
		}
		moe_reader_close(r);
		len = lseek(text, 0, SEEK_END);
		a = malloc((size_t)len);
		MUST(pread(text, a, (size_t)len, 0) == len);
		MUST(!to_stream(a, (size_t)len, two));
		MUST(lseek(two, 0, SEEK_END) == bytes);
		a = realloc(a, (size_t)bytes);
		b = malloc((size_t)bytes);
		MUST(pread(one, a, (size_t)bytes, 0) == bytes &&
			pread(two, b, (size_t)bytes, 0) == bytes && !memcmp(a, b, (size_t)bytes));
		free(a);
		free(b);
	}
	moe_buf_free(&o.out);
	close(one);
	close(two);
	close(text);
	return 0;
}
