/* stream_bench.c - the two ends of a pipe for tests/bench/stream.sh: writes or reads a tensor
 * stream of N MiB, or raw bytes. Not a test: it measures. usage: stream_bench write|read|raw MIB
 * digest|nodigest */
#include "formats/stream.h"
#include "util/fd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int write_stream(size_t mib, bool digest, struct moe_err *e)
{
	struct moe_writer_opts o = {
		.kind = "tensors", .tool = "stream_bench", .no_digest = !digest
	};
	struct moe_writer *w = moe_writer_open_fd(1, "standard output", &o, NULL, e);
	size_t chunk = 64; /* MiB a tensor: four chunks */
	uint64_t shape[1] = { chunk << 18 };
	uint32_t *data = malloc(chunk << 20);
	int rc = w && data ? 0 : -1;

	for (size_t i = 0; data && i < chunk << 18; i++)
		data[i] = (uint32_t)i * 2654435761U;
	for (size_t i = 0; !rc && i < mib / chunk; i++) {
		char name[32];

		snprintf(name, sizeof(name), "t%zu", i);
		rc = moe_writer_tensor(w, name, "U32", 1, shape, data, NULL, e);
	}
	rc = rc || moe_writer_end(w, NULL, e);
	moe_writer_close(w);
	free(data);
	return rc;
}

static int read_stream(size_t mib, bool digest, struct moe_err *e)
{
	struct moe_reader_opts o = { .no_digest = !digest };
	struct moe_reader *r = moe_reader_open_fd(0, "standard input", &o, e);
	struct moe_rec rec = { 0 };
	struct moe_str data;
	size_t bytes = 0;
	int rc = r ? 1 : -1;

	while (rc == 1 && (rc = moe_reader_next(r, &rec, e)) == 1)
		if (moe_rec_bin(&rec, "data", &data))
			bytes += data.n;
	moe_reader_close(r);
	moe_rec_free(&rec);
	if (!rc && bytes != mib << 20)
		return moe_fail(e, MOE_DATA, "%zu bytes came", bytes);
	return rc;
}

static int write_raw(size_t mib)
{
	static char block[1 << 20];

	moe_pipe_widen(1); /* the same pipe as for streams */
	for (size_t i = 0; i < mib; i++)
		for (size_t at = 0; at < sizeof(block);) {
			ssize_t put = write(1, block + at, sizeof(block) - at);

			if (put < 0)
				return -1;
			at += (size_t)put;
		}
	return 0;
}

int main(int argc, char **argv)
{
	struct moe_err e = { 0 };
	size_t mib = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
	bool digest = argc == 4 && !strcmp(argv[3], "digest");
	int rc;

	if (!mib)
		return 2;
	rc = !strcmp(argv[1], "write")     ? write_stream(mib, digest, &e)
		: !strcmp(argv[1], "read") ? read_stream(mib, digest, &e)
					   : write_raw(mib);
	if (rc)
		fprintf(stderr, "stream_bench: %s\n", e.msg);
	return rc ? 1 : 0;
}
