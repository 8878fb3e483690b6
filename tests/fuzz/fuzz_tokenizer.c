/* fuzz_tokenizer.c - the first line is a text, the rest a tokenizer.json: it is refused, or encodes the text (and decodes what it gave)
 * without harm. */
#include "fuzz.h"

#include "formats/tokenizer.h"

#include <fcntl.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static char dir[] = "/tmp/moe-fuzz-XXXXXX", path[64];
	const uint8_t *nl = memchr(p, '\n', n);
	size_t len = nl ? (size_t)(nl - p) : 0, skip = nl ? len + 1 : 0;
	struct moe_tokenizer *t;
	struct moe_err e = {0};
	int fd;

	if (!path[0]) {
		MUST(mkdtemp(dir));
		snprintf(path, sizeof(path), "%s/tokenizer.json", dir);
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	MUST(fd >= 0 && write(fd, p + skip, n - skip) == (ssize_t)(n - skip));
	close(fd);
	t = moe_tokenizer_open(dir, &e);
	MUST(t || e.msg[0]);
	if (t) {
		struct moe_buf back = {0};
		int32_t *ids = NULL;
		size_t count = 0;

		if (!moe_tokenizer_encode(t, (const char *)p, len, true, &ids, &count, &e)) {
			for (size_t i = 0; i < count; i++)
				MUST(ids[i] >= 0 && ids[i] < moe_tokenizer_vocab(t));
			moe_tokenizer_decode(t, ids, count, false, &back, &e);
		}
		free(ids);
		moe_buf_free(&back);
		moe_tokenizer_free(t);
	}
	return 0;
}
