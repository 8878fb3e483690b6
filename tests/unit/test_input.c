/* test_input.c - inputs: plain, compressed, archives, nested compression, lines, promptness, damage. Makes its files with libarchive. */
#include "formats/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

static struct moe_err e;

struct made {
	char data[1 << 16];
	size_t n;
};

/* content as one compressed file, or (names given) as an archive of that content under each name. */
static void make(struct made *out, int filter, int format, const char *const *names, const char *content, size_t n)
{
	struct archive *a = archive_write_new();
	static const char *const lone[] = {"data", NULL};
	bool raw = !names;

	assert_int_equal(archive_write_add_filter(a, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_set_format(a, format), ARCHIVE_OK);
	archive_write_set_bytes_per_block(a, 0);
	assert_int_equal(archive_write_open_memory(a, out->data, sizeof(out->data), &out->n), ARCHIVE_OK);
	for (names = raw ? lone : names; *names; names++) {
		struct archive_entry *x = archive_entry_new();

		archive_entry_set_pathname(x, *names);
		archive_entry_set_filetype(x, AE_IFREG);
		archive_entry_set_perm(x, 0644);
		archive_entry_set_size(x, (la_int64_t)n);
		assert_int_equal(archive_write_header(a, x), ARCHIVE_OK);
		assert_int_equal(archive_write_data(a, content, n), n);
		archive_entry_free(x);
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
}

static struct moe_input *open_bytes(const void *p, size_t n)
{
	int fd[2];
	struct moe_input *in;

	assert_int_equal(pipe(fd), 0);
	assert_int_equal(write(fd[1], p, n), n); /* all tests stay below a pipe's 64 KiB */
	close(fd[1]);
	in = moe_input_open_fd(fd[0], "pipe", &e);
	assert_non_null(in);
	return in; /* the descriptor leaks on purpose: it is borrowed */
}

static void holds(const void *p, size_t n, const char *const *names, const char *content, size_t len)
{
	struct moe_input *in = open_bytes(p, n);
	struct moe_buf b = {0};
	int rc;

	for (; *names; names++) {
		rc = moe_input_next(in, &e);
		if (rc != 1)
			fail_msg("member %s: %d %s", *names, rc, e.msg);
		assert_string_equal(moe_input_member(in), *names);
		b.len = 0;
		if (moe_input_slurp(in, &b, 1 << 20, &e))
			fail_msg("%s", e.msg);
		assert_int_equal(b.len, len);
		assert_memory_equal(b.data, content, len);
	}
	rc = moe_input_next(in, &e);
	if (rc)
		fail_msg("after the last member: %d %s", rc, e.msg);
	moe_buf_free(&b);
	moe_input_close(in);
}

static const char text[] = "line one\nline two\n\nlast";
static const char *const lone[] = {"pipe", NULL};

static void single(void **state)
{
	static struct made m;

	(void)state;
	holds(text, sizeof(text) - 1, lone, text, sizeof(text) - 1);
	holds("x", 1, lone, "x", 1);
	holds("", 0, lone, "", 0);
	holds("\x1f", 1, lone, "\x1f", 1); /* half a magic */
	make(&m, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_RAW, NULL, text, sizeof(text) - 1);
	holds(m.data, m.n, lone, text, sizeof(text) - 1);
	make(&m, ARCHIVE_FILTER_ZSTD, ARCHIVE_FORMAT_RAW, NULL, text, sizeof(text) - 1);
	holds(m.data, m.n, lone, text, sizeof(text) - 1);
	make(&m, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_RAW, NULL, "", 0);
	holds(m.data, m.n, lone, "", 0);
}

static void several_members_of_gzip(void **state)
{
	static struct made a;
	static char two[1 << 16], twice[64];
	size_t n = sizeof(text) - 1;

	(void)state;
	make(&a, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_RAW, NULL, text, n);
	memcpy(two, a.data, a.n);
	memcpy(two + a.n, a.data, a.n);
	memcpy(twice, text, n);
	memcpy(twice + n, text, n);
	holds(two, 2 * a.n, lone, twice, 2 * n);
}

static void archives(void **state)
{
	static const char *const in[] = {"b/one.txt", "a.txt", NULL}, *const out[] = {"pipe:b/one.txt", "pipe:a.txt", NULL};
	static const int filter[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD};
	static struct made m, inner;

	(void)state;
	for (int k = 0; k < 3; k++) {
		make(&m, filter[k], ARCHIVE_FORMAT_TAR_USTAR, in, text, sizeof(text) - 1);
		holds(m.data, m.n, out, text, sizeof(text) - 1);
		make(&m, filter[k], ARCHIVE_FORMAT_TAR_PAX_RESTRICTED, in, text, sizeof(text) - 1);
		holds(m.data, m.n, out, text, sizeof(text) - 1);
	}
	make(&m, ARCHIVE_FILTER_NONE, ARCHIVE_FORMAT_ZIP, in, text, sizeof(text) - 1);
	holds(m.data, m.n, out, text, sizeof(text) - 1);
	/* compressed members are decompressed as well */
	make(&inner, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_RAW, NULL, text, sizeof(text) - 1);
	make(&m, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_TAR_USTAR, in, inner.data, inner.n);
	holds(m.data, m.n, out, text, sizeof(text) - 1);
	make(&inner, ARCHIVE_FILTER_ZSTD, ARCHIVE_FORMAT_RAW, NULL, text, sizeof(text) - 1);
	make(&m, ARCHIVE_FILTER_NONE, ARCHIVE_FORMAT_ZIP, in, inner.data, inner.n);
	holds(m.data, m.n, out, text, sizeof(text) - 1);
}

static void lines(void **state)
{
	static const char *const want[] = {"line one", "line two", "", "last"};
	struct moe_input *in = open_bytes(text, sizeof(text) - 1);
	struct moe_source src;
	struct moe_str line;
	uint64_t number = 0;

	(void)state;
	assert_int_equal(moe_input_next(in, &e), 1);
	moe_source_from_input(&src, in, 0);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(moe_source_line(&src, &line, &number, &e), 1);
		assert_true(moe_str_eq(line, want[i]));
		assert_int_equal(number, i + 1);
	}
	assert_int_equal(moe_source_line(&src, &line, &number, &e), 0);
	assert_int_equal(moe_source_line(&src, &line, &number, &e), 0);
	moe_source_free(&src);
	moe_input_close(in);
}

static void lines_arrive_at_once(void **state)
{
	struct moe_source src;
	struct moe_str line;
	struct moe_input *in;
	uint64_t number;
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	alarm(20); /* waiting for more than a line would hang */
	assert_int_equal(write(fd[1], "{\"a\":1}\n", 8), 8);
	in = moe_input_open_fd(fd[0], "pipe", &e);
	assert_int_equal(moe_input_next(in, &e), 1);
	moe_source_from_input(&src, in, 0);
	assert_int_equal(moe_source_line(&src, &line, &number, &e), 1);
	assert_int_equal(write(fd[1], "second\n", 7), 7);
	assert_int_equal(moe_source_line(&src, &line, &number, &e), 1);
	assert_true(moe_str_eq(line, "second"));
	close(fd[1]);
	assert_int_equal(moe_source_line(&src, &line, &number, &e), 0);
	alarm(0);
	moe_source_free(&src);
	moe_input_close(in);
	close(fd[0]);
}

static void damaged(void **state)
{
	static struct made m;
	static char noise[4000];
	struct moe_buf b = {0};
	struct moe_input *in;
	uint32_t x = 1;
	int rc;

	(void)state;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)((x = x * 1664525U + 1013904223U) >> 24);
	make(&m, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_RAW, NULL, noise, sizeof(noise));
	for (size_t cut = 3; cut < m.n; cut += 97) {
		in = open_bytes(m.data, cut);
		memset(&e, 0, sizeof(e));
		rc = moe_input_next(in, &e);
		if (rc == 1)
			rc = moe_input_slurp(in, &b, 1 << 20, &e);
		if (rc != -1)
			fail_msg("a gzip file cut at byte %zu of %zu was accepted", cut, m.n);
		assert_int_equal(e.code, MOE_DATA);
		moe_input_close(in);
	}
	in = open_bytes(text, sizeof(text) - 1);
	assert_int_equal(moe_input_next(in, &e), 1);
	b.len = 0;
	assert_int_equal(moe_input_slurp(in, &b, 5, &e), -1);
	moe_input_close(in);
	moe_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(single), cmocka_unit_test(several_members_of_gzip), cmocka_unit_test(archives), cmocka_unit_test(lines),
		cmocka_unit_test(lines_arrive_at_once), cmocka_unit_test(damaged)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
