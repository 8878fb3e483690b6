/* test_stream.c - segments: round trip, truncation at every byte, damage at every byte, promptness,
 * bounds, big tensors. */
#include "formats/stream.h"
#include "util/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct moe_err e;

static const char *const argv_[] = { "tool", "-x" };

static struct moe_writer *writer(int fd)
{
	struct moe_writer_opts o = { .kind = "rollouts",
		.tool = "tool",
		.argv = argv_,
		.argc = 2,
		.seed = UINT64_MAX,
		.labels = MOE_LABELS_NONE };
	struct moe_writer *w = moe_writer_open_fd(fd, "out", &o, NULL, &e);

	assert_non_null(w);
	return w;
}

static void put(struct moe_writer *w, int64_t i, size_t text)
{
	struct moe_rec r = { 0 };
	char *s = calloc(1, text + 1);

	memset(s, 'a', text);
	assert_int_equal(moe_rec_set_str(&r, "t", "rollout", &e), 0);
	assert_int_equal(moe_rec_set_int(&r, "i", i, &e), 0);
	assert_int_equal(moe_rec_set_str(&r, "s", s, &e), 0);
	assert_int_equal(moe_writer_put(w, &r, &e), 0);
	moe_rec_free(&r);
	free(s);
}

/* A file that vanishes when closed. */
static int temporary(void)
{
	char name[] = "/tmp/moe-test-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	return fd;
}

static size_t contents(int fd, unsigned char *buf, size_t cap)
{
	ssize_t n;

	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	n = read(fd, buf, cap);
	assert_true(n >= 0);
	return (size_t)n;
}

static size_t sample(unsigned char *buf, size_t cap, int records)
{
	int fd = temporary();
	struct moe_writer *w = writer(fd);
	size_t n;

	for (int i = 0; i < records; i++)
		put(w, i, 10);
	moe_writer_raise(w, MOE_LABELS_SYNTHETIC);
	assert_int_equal(
		moe_writer_from(
			w, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", &e),
		0);
	assert_int_equal(moe_writer_end(w, NULL, &e), 0);
	moe_writer_close(w);
	n = contents(fd, buf, cap);
	close(fd);
	return n;
}

/* Reads all of p[n]: 0 or -1, and the records. */
static uint64_t
	not_vouched_for; /* segments whose end's `bound' is wrong or missing, of the last read */

static int read_all(
	const unsigned char *p, size_t n, uint64_t *records, const struct moe_reader_opts *o)
{
	int fd = temporary(), rc;
	struct moe_reader *r;
	struct moe_rec rec = { 0 };

	assert_int_equal(write(fd, p, n), n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	r = moe_reader_open_fd(fd, "in", o, &e);
	assert_non_null(r);
	memset(&e, 0, sizeof(e));
	while ((rc = moe_reader_next(r, &rec, &e)) == 1)
		;
	*records = moe_reader_records(r);
	not_vouched_for = moe_reader_edited(r) + moe_reader_unbound(r);
	moe_reader_close(r);
	moe_rec_free(&rec);
	close(fd);
	return rc;
}

static void round_trip(void **state)
{
	unsigned char buf[4096], two[8192];
	size_t n = sample(buf, sizeof(buf), 5);
	uint64_t records;
	int fd = temporary();
	struct moe_reader *r;
	struct moe_rec rec = { 0 };
	char hex[MOE_SHA256_HEX];
	size_t end = n;

	(void)state;
	assert_int_equal(read_all(buf, n, &records, NULL), 0);
	assert_int_equal(records, 5);
	memcpy(two, buf, n);
	memcpy(two + n, buf, n);
	assert_int_equal(read_all(two, 2 * n, &records, NULL), 0);
	assert_int_equal(records, 10);
	assert_int_equal(write(fd, buf, n), n);
	lseek(fd, 0, SEEK_SET);
	r = moe_reader_open_fd(fd, "in", NULL, &e);
	assert_int_equal(moe_reader_peek_header(r, &e), 1);
	assert_int_equal(moe_reader_labels(r), MOE_LABELS_NONE);
	assert_true(moe_str_eq(moe_reader_kind(r), "rollouts"));
	while (moe_reader_next(r, &rec, &e) == 1)
		assert_true(rec.number >= 1 && rec.number <= 5 && buf[rec.byte] == 0x83);
	assert_int_equal(moe_reader_labels(r), MOE_LABELS_SYNTHETIC);
	/* the digest is SHA-256 of everything before the end map, as any other program would
	 * compute it */
	while (memcmp(buf + end - 6,
		       "\xa1t\xa3"
		       "end",
		       6) != 0)
		end--;
	moe_sha256_of(buf, end - 7, hex);
	assert_int_equal(moe_reader_digests(r), 1);
	assert_string_equal(moe_reader_digest(r, 0), hex);
	assert_int_equal(moe_rec_array_len(moe_reader_end_record(r), "from"), 1);
	moe_reader_close(r);
	moe_rec_free(&rec);
	close(fd);
}

static void truncated_at_every_byte(void **state)
{
	unsigned char buf[8192];
	size_t n = sample(buf, sizeof(buf) / 2, 5);
	struct moe_reader_opts allow = { .allow_truncated = true };
	uint64_t records;
	bool header = false;

	(void)state;
	memcpy(buf + n, buf,
		n); /* two segments: a cut between them is no truncation, every other is */
	for (size_t cut = 0; cut < 2 * n; cut++) {
		int rc = read_all(buf, cut, &records, NULL);

		if ((rc == 0) != (cut == n))
			fail_msg("cut at byte %zu: %d", cut, rc);
		if (rc < 0 &&
			(e.code != MOE_DATA || !strstr(e.msg, cut ? "truncated: record" : "empty")))
			fail_msg("cut at byte %zu: %s", cut, e.msg);
		/* where that is allowed, all that is wanted is a header */
		header = header || read_all(buf, cut, &records, &allow) == 0;
		if (header ? read_all(buf, cut, &records, &allow) != 0
			   : !strstr(e.msg, "not even a stream's header"))
			fail_msg("cut at byte %zu, allowed: %s", cut, e.msg);
		if (header && records > 10)
			fail_msg("cut at byte %zu: %u records", cut, (unsigned)records);
	}
	assert_true(header);
}

static void damaged_at_every_byte(void **state)
{
	unsigned char buf[4096];
	size_t n = sample(buf, sizeof(buf), 5);
	uint64_t records;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		unsigned char keep = buf[i];

		buf[i] ^= 1;
		/* what the checksum can not cover, the end's own keys, its `bound' does */
		if (read_all(buf, n, &records, NULL) == 0 && !not_vouched_for)
			fail_msg("a flipped bit in byte %zu of %zu was not found", i, n);
		buf[i] = keep;
	}
	assert_int_equal(read_all(buf, n, &records, NULL), 0);
	assert_int_equal(not_vouched_for, 0);
}

static void records_arrive_at_once(void **state)
{
	int fd[2];
	struct moe_writer *w;
	struct moe_reader *r;
	struct moe_rec rec = { 0 };
	int64_t i;

	(void)state;
	assert_int_equal(pipe(fd), 0);
	w = writer(fd[1]);
	assert_int_equal(moe_writer_flush(w, &e), 0);
	r = moe_reader_open_fd(fd[0], "pipe", NULL, &e);
	/* one process plays both ends: were the reader to wait for more than one record, this test
	 * would hang */
	alarm(20);
	for (int k = 0; k < 3; k++) {
		put(w, k, 3);
		assert_int_equal(moe_writer_flush(w, &e), 0);
		assert_int_equal(moe_reader_next(r, &rec, &e), 1);
		assert_true(moe_rec_int(&rec, "i", &i) && i == k);
	}
	assert_int_equal(moe_writer_end(w, NULL, &e), 0);
	assert_int_equal(moe_reader_next_in_segment(r, &rec, &e), 0); /* the pipe is still open */
	moe_writer_close(w);
	w = writer(fd[1]);
	put(w, 7, 3);
	assert_int_equal(moe_writer_end(w, NULL, &e), 0);
	assert_int_equal(moe_reader_next_in_segment(r, &rec, &e), 1);
	assert_int_equal(moe_reader_next_in_segment(r, &rec, &e), 0);
	close(fd[1]);
	assert_int_equal(moe_reader_peek_header(r, &e), 0);
	alarm(0);
	moe_writer_close(w);
	moe_reader_close(r);
	moe_rec_free(&rec);
	close(fd[0]);
}

static void bounded(void **state)
{
	static const unsigned char huge[] = "\x82\xa1t\xa1x\xa1"
					    "b\xc6\xff\xff\xff\xff";
	unsigned char buf[4096];
	size_t n = sample(buf, sizeof(buf), 0), head = n;
	struct moe_reader_opts o = { .max_mem = 1 << 20 };
	uint64_t records;

	(void)state;
	while (memcmp(buf + head - 6,
		       "\xa1t\xa3"
		       "end",
		       6) != 0)
		head--;
	head -= 7;
	memcpy(buf + head, huge, sizeof(huge) - 1);
	assert_int_equal(read_all(buf, head + sizeof(huge) - 1, &records, &o), -1);
	assert_non_null(strstr(e.msg, "--max-mem"));
}

static void big_tensors(void **state)
{
	enum { N = 5 << 20 }; /* 20 MiB of floats: two chunks */
	float *v = malloc(N * sizeof(*v)), *back = calloc(N, sizeof(*v));
	uint64_t shape[2] = { 5, 1 << 20 };
	int fd = temporary(), rc;
	struct moe_writer *w = writer(fd);
	struct moe_reader *r;
	struct moe_rec rec = { 0 };
	size_t chunks = 0, bytes = 0;

	(void)state;
	for (size_t i = 0; i < N; i++)
		v[i] = (float)i;
	put(w, 1, 100);
	assert_int_equal(moe_writer_tensor(w, "x", "F32", 2, shape, v, NULL, &e), 0);
	put(w, 2, (size_t)3 << 20);
	shape[0] = 0;
	assert_int_equal(moe_writer_tensor(w, "empty", "F32", 2, shape, v, NULL, &e), 0);
	assert_int_equal(moe_writer_tensor(w, "scalar", "F32", 0, NULL, v, NULL, &e), 0);
	assert_int_equal(moe_writer_end(w, NULL, &e), 0);
	moe_writer_close(w);
	lseek(fd, 0, SEEK_SET);
	r = moe_reader_open_fd(fd, "in", NULL, &e);
	while ((rc = moe_reader_next(r, &rec, &e)) == 1) {
		struct moe_str name, data;
		int64_t at;

		if (!moe_rec_is(&rec, "tensor") || !moe_rec_str(&rec, "name", &name) ||
			!moe_str_eq(name, "x"))
			continue;
		assert_true(moe_rec_bin(&rec, "data", &data) && moe_rec_int(&rec, "offset", &at));
		assert_true(data.n <= MOE_CHUNK_BYTES && (size_t)at + data.n <= N * sizeof(*v));
		memcpy((char *)back + at, data.p, data.n);
		bytes += data.n;
		chunks++;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(moe_reader_records(r), 6);
	assert_int_equal(chunks, 2);
	assert_int_equal(bytes, N * sizeof(*v));
	assert_memory_equal(v, back, N * sizeof(*v));
	moe_reader_close(r);
	moe_rec_free(&rec);
	free(v);
	free(back);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(truncated_at_every_byte),
		cmocka_unit_test(damaged_at_every_byte),
		cmocka_unit_test(records_arrive_at_once),
		cmocka_unit_test(bounded),
		cmocka_unit_test(big_tensors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
