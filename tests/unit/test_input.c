/* test_input.c - inputs: plain, compressed, archives, nested compression, lines, promptness,
 * damage. Makes its files with libarchive. */
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

/* content as one compressed file, or (names given) as an archive of that content under each name.
 */
static void make(struct made *out, int filter, int format, const char *const *names,
	const char *content, size_t n)
{
	struct archive *a = archive_write_new();
	static const char *const lone[] = { "data", NULL };
	bool raw = !names;

	assert_int_equal(archive_write_add_filter(a, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_set_format(a, format), ARCHIVE_OK);
	archive_write_set_bytes_per_block(a, 0);
	assert_int_equal(
		archive_write_open_memory(a, out->data, sizeof(out->data), &out->n), ARCHIVE_OK);
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

static int input_fd; /* of the last open_bytes: borrowed by its input */

static struct moe_input *open_bytes(const void *p, size_t n)
{
	int fd[2];
	struct moe_input *in;

	assert_int_equal(pipe(fd), 0);
	assert_int_equal(write(fd[1], p, n), n); /* all tests stay below a pipe's 64 KiB */
	close(fd[1]);
	in = moe_input_open_fd(fd[0], "pipe", &e);
	assert_non_null(in);
	input_fd = fd[0];
	return in;
}

static void holds(
	const void *p, size_t n, const char *const *names, const char *content, size_t len)
{
	struct moe_input *in = open_bytes(p, n);
	struct moe_buf b = { 0 };
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
static const char *const lone[] = { "pipe", NULL };

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
	static const char *const in[] = { "b/one.txt", "a.txt", NULL },
				 *const out[] = { "pipe:b/one.txt", "pipe:a.txt", NULL };
	static const int filter[] = { ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP,
		ARCHIVE_FILTER_ZSTD };
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
	static const char *const want[] = { "line one", "line two", "", "last" };
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
	struct moe_buf b = { 0 };
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

/* Names are UTF-8 in any locale (this test runs in "C"), whether the archive says so or not. */
static void names_beyond_ascii(void **state)
{
	static const char *const in[] = { "##.txt", NULL },
				 *const out[] = { "pipe:\xc3\xbc.txt", NULL };
	static struct made m;

	(void)state;
	for (int says = 0; says < 2; says++) {
		make(&m, ARCHIVE_FILTER_NONE, ARCHIVE_FORMAT_ZIP, in, text, sizeof(text) - 1);
		for (size_t i = 0; i + 1 < m.n; i++)
			if (!memcmp(m.data + i, "##", 2))
				memcpy(m.data + i, "\xc3\xbc", 2);
		if (says)
			m.data[7] |= 8; /* bit 11 of the flags */
		holds(m.data, m.n, out, text, sizeof(text) - 1);
	}
}

/* Reads all members, or passes over them: 0, or -1 with e. */
static int take_all(const void *p, size_t n, bool pass_over)
{
	struct moe_input *in = open_bytes(p, n);
	struct moe_buf b = { 0 };
	int rc;

	memset(&e, 0, sizeof(e));
	while ((rc = moe_input_next(in, &e)) == 1)
		if (!pass_over && moe_input_slurp(in, &b, 1 << 20, &e))
			break;
	moe_buf_free(&b);
	close(input_fd);
	moe_input_close(in);
	return rc ? -1 : 0;
}

static int read_all(const void *p, size_t n)
{
	return take_all(p, n, false);
}

/* Whatever is cut behind byte `from` and before byte `to` must be found. */
static void every_cut(const char *what, const struct made *m, size_t from, size_t to)
{
	bool archive = strstr(what, "tar") || strstr(what, "zip,");

	assert_int_equal(read_all(m->data, to), 0);
	for (size_t cut = from; cut < to; cut++) {
		if (!read_all(m->data, cut))
			fail_msg("%s cut at byte %zu of %zu was accepted", what, cut, m->n);
		assert_int_equal(e.code, MOE_DATA);
		if (archive && !take_all(m->data, cut, true))
			fail_msg("%s cut at byte %zu of %zu was accepted by a reader of names",
				what, cut, m->n);
	}
}

static void append(struct made *m, const void *p, size_t n)
{
	assert_true(m->n + n <= sizeof(m->data));
	memcpy(m->data + m->n, p, n);
	m->n += n;
}

static void cut_anywhere(void **state)
{
	char name1[301], name2[301];
	const char *const lengthy[] = { memset(name1, 'n', 300), memset(name2, 'm', 300), NULL };
	static const char *const in[] = { "b/one.txt", "a.txt", NULL };
	static struct made a, b;
	size_t first, n = sizeof(text) - 1;

	(void)state;
	name1[300] = name2[300] = 0;
	make(&a, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_RAW, NULL, text, n);
	first = a.n;
	b = a;
	append(&a, b.data, b.n);
	every_cut("the first of two gzip members", &a, 2, first);
	every_cut("the second of two gzip members", &a, first + 1, a.n);
	make(&a, ARCHIVE_FILTER_ZSTD, ARCHIVE_FORMAT_RAW, NULL, text, n);
	first = a.n;
	b = a;
	append(&a, b.data, b.n);
	every_cut("the second of two zstd frames", &a, first + 1, a.n);
	make(&a, ARCHIVE_FILTER_NONE, ARCHIVE_FORMAT_TAR_USTAR, in, text, n);
	every_cut("a tar", &a, 512, 4 * 512 + 1024);
	make(&a, ARCHIVE_FILTER_NONE, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE, lengthy, text,
		n); /* its names are in headers before the headers */
	every_cut("a pax tar", &a, 512, a.n);
	make(&a, ARCHIVE_FILTER_NONE, ARCHIVE_FORMAT_TAR_GNUTAR, lengthy, text, n);
	every_cut("a GNU tar", &a, 512, a.n);
	make(&a, ARCHIVE_FILTER_NONE, ARCHIVE_FORMAT_ZIP, in, text, n);
	every_cut("a zip, stored", &a, 4, a.n);
	make(&a, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_TAR_USTAR, in, text, n);
	every_cut("a tar.gz", &a, 2, a.n);
	make(&b, ARCHIVE_FILTER_NONE, ARCHIVE_FORMAT_TAR_USTAR, in, text, n);
	make(&a, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_RAW, NULL, b.data, 4 * 512);
	assert_int_equal(read_all(a.data, a.n), -1); /* cut before it was compressed */
	assert_non_null(strstr(e.msg, "byte 2048"));
}

/* gzip's CRC-32 finds what changed the data; what else its header holds (a time, a system) may
 * differ. */
static void every_bit_of_gzip(void **state)
{
	static struct made m;
	struct moe_buf b = { 0 };
	size_t n = sizeof(text) - 1, refused = 0;

	(void)state;
	make(&m, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_RAW, NULL, text, n);
	for (size_t bit = 16; bit < 8 * m.n; bit++) {
		struct moe_input *in;
		int rc;

		m.data[bit / 8] ^= (char)(1 << bit % 8);
		in = open_bytes(m.data, m.n);
		b.len = 0;
		rc = moe_input_next(in, &e) != 1 || moe_input_slurp(in, &b, 1 << 20, &e);
		if (!rc && (b.len != n || memcmp(b.data, text, n) != 0))
			fail_msg("bit %zu of a gzip file changed the data, and was not noticed",
				bit);
		if (rc)
			assert_int_equal(e.code, MOE_DATA);
		if (bit >= 8 * (m.n - 8)) /* the trailer, at which no more bytes are to come */
			assert_non_null(strstr(e.msg,
				bit < 8 * (m.n - 4) ? "incorrect data check"
						    : "incorrect length check"));
		refused += rc != 0;
		m.data[bit / 8] ^= (char)(1 << bit % 8);
		moe_input_close(in);
		close(input_fd);
	}
	assert_true(refused >= 8 * (m.n - 10)); /* all but the ten bytes of the header */
	moe_buf_free(&b);
}

static void something_behind(void **state)
{
	static const char *const in[] = { "a.txt", NULL };
	static const int filter[] = { ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_NONE,
		ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP };
	static const int format[] = { ARCHIVE_FORMAT_RAW, ARCHIVE_FORMAT_RAW,
		ARCHIVE_FORMAT_TAR_USTAR, ARCHIVE_FORMAT_ZIP, ARCHIVE_FORMAT_TAR_USTAR };
	static const char zeros[100000];
	static struct made all[5], m, inner;
	struct moe_input *in_none;
	struct moe_buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < 5; i++)
		make(&all[i], filter[i], format[i], format[i] == ARCHIVE_FORMAT_RAW ? NULL : in,
			text, sizeof(text) - 1);
	for (size_t i = 0; i < 5; i++) {
		m = all[i];
		append(&m, "x", 1);
		assert_int_equal(read_all(m.data, m.n), -1);
		assert_int_equal(e.code, MOE_DATA);
		for (size_t j = 0; j < 5; j++) { /* gzip behind gzip and zstd behind zstd go on, and
						    nothing else does */
			m = all[i];
			append(&m, all[j].data, all[j].n);
			if (!read_all(m.data, m.n) != (i < 2 && filter[i] == filter[j]))
				fail_msg("content %zu behind content %zu: %s", j, i, e.msg);
		}
	}
	for (size_t i = 0; i < 5; i += 2) { /* padding: gzip, tar, tar.gz */
		m = all[i];
		append(&m, zeros, sizeof(m.data) - m.n);
		assert_int_equal(read_all(m.data, 50000), 0);
		m.data[49999] = 1;
		assert_int_equal(read_all(m.data, 50000), -1);
	}
	m = all[0];
	append(&m, "x", 1);
	make(&inner, ARCHIVE_FILTER_NONE, ARCHIVE_FORMAT_TAR_USTAR, in, m.data, m.n);
	assert_int_equal(read_all(inner.data, inner.n), -1); /* within a member */
	assert_non_null(
		strstr(e.msg, "pipe:a.txt: after the gzip data something else follows at byte"));
	make(&m, ARCHIVE_FILTER_GZIP, ARCHIVE_FORMAT_RAW, NULL, all[0].data, all[0].n);
	assert_int_equal(
		read_all(m.data, m.n), -1); /* twice compressed: its inner end can not be seen */
	make(&m, ARCHIVE_FILTER_NONE, ARCHIVE_FORMAT_ZIP, in + 1, NULL, 0);
	assert_int_equal(read_all(m.data, m.n), 0); /* no member at all */
	in_none = open_bytes(m.data, m.n);
	assert_int_equal(moe_input_next(in_none, &e), 0);
	assert_int_equal(moe_input_slurp(in_none, &b, 1, &e), 0);
	moe_input_close(in_none);
	m = all[3];
	m.data[m.n - 12]++; /* a zip that says that it has another member */
	assert_int_equal(read_all(m.data, m.n), -1);
	moe_buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(single),
		cmocka_unit_test(several_members_of_gzip), cmocka_unit_test(archives),
		cmocka_unit_test(lines), cmocka_unit_test(lines_arrive_at_once),
		cmocka_unit_test(damaged), cmocka_unit_test(names_beyond_ascii),
		cmocka_unit_test(cut_anywhere), cmocka_unit_test(every_bit_of_gzip),
		cmocka_unit_test(something_behind) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
