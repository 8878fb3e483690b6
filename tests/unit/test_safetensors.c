/* test_safetensors.c - the reader's checks one by one, the writer, shards, and the 16-bit
 * conversions. */
#include "formats/file.h"
#include "formats/safetensors.h"
#include "util/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A file from a header text and n data bytes. */
static size_t make(uint8_t *out, const char *header, size_t n)
{
	size_t len = strlen(header);

	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(len >> 8 * i);
	memcpy(out + 8, header, len);
	for (size_t i = 0; i < n; i++)
		out[8 + len + i] = (uint8_t)i;
	return 8 + len + n;
}

static void good(const char *header, size_t n, size_t tensors)
{
	uint8_t b[1024];
	struct moe_err e = { 0 };
	struct moe_st *s = moe_st_parse(b, make(b, header, n), "t", &e);

	if (!s)
		fail_msg("%s: %s", header, e.msg);
	assert_int_equal(moe_st_count(s), tensors);
	moe_st_close(s);
}

static void bad(const char *header, size_t n, const char *why)
{
	uint8_t b[1024];
	struct moe_err e = { 0 };
	struct moe_st *s = moe_st_parse(b, make(b, header, n), "t", &e);

	if (s || e.code != MOE_DATA || !strstr(e.msg, why))
		fail_msg("%s: expected '%s', got '%s'", header, why, s ? "success" : e.msg);
}

static void accepts(void **state)
{
	(void)state;
	good("{}", 0, 0);
	good("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}   ", 8, 1);
	good("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, 1);
	good("{\"a\":{\"dtype\":\"U8\",\"shape\":[0,5],\"data_offsets\":[0,0]},\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}",
		3, 2);
	good("{\"__metadata__\":{\"a:b\\\":\":\"x:y\"},\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}",
		8, 1);
}

static void refuses(void **state)
{
	(void)state;
	bad("[]", 0, "does not begin with '{'");
	bad(" {}", 0, "does not begin with '{'");
	bad("{", 0, "t: ");
	bad("{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1,
		"dtype 'F4' is not supported");
	bad("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "need 8 bytes");
	bad("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8,
		"\"shape\" holds");
	bad("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4,
		"\"shape\" holds");
	bad("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}",
		0, "overflows");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}", 8, "beyond the end");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}", 9,
		"truncated or with a tail");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3, "a hole");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
		3, "overlaps");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,2]}}", 3,
		"not [begin, end]");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
		"rank 9");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "not an object of");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
		1, "same key twice in one object: \"a\"");
	bad("{\"a\":{\"dtype\":\"I8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
		"same key twice in one object: \"dtype\"");
	bad("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
		"has a NUL");
	bad("{\"__metadata__\":{\"a\":1}}", 0, "strings only");
}

static void length_field(void **state)
{
	uint8_t b[16] = { 255, 255, 255, 255, 0, 0, 0, 0, '{', '}' };
	struct moe_err e;

	(void)state;
	assert_null(moe_st_parse(b, 7, "t", &e));
	assert_non_null(strstr(e.msg, "too few"));
	assert_null(moe_st_parse(b, 10, "t", &e));
	assert_non_null(strstr(e.msg, "not a safetensors file"));
	b[1] = b[2] = b[3] = 0;
	assert_null(moe_st_parse(b, 10, "t", &e));
	assert_non_null(strstr(e.msg, "truncated"));
}

static char *temp_dir(void)
{
	const char *t = getenv("TMPDIR");
	char *p = malloc(4096);

	snprintf(p, 4096, "%s/moe-st-XXXXXX", t ? t : "/tmp");
	assert_non_null(mkdtemp(p));
	return p;
}

static void remove_all(char *dir)
{
	static const char *const names[] = { "a.safetensors", "x-1.safetensors", "x-2.safetensors",
		"x.safetensors.index.json" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *p = moe_path_join(dir, names[i], NULL);
		unlink(p);
		free(p);
	}
	assert_int_equal(rmdir(dir), 0); /* so a temporary left behind fails the test */
	free(dir);
}

static const float f3[3] = { 1, -2, 0.5f };
static const uint8_t u2[2] = { 7, 9 };

static struct moe_st_tensor tensor(
	const char *name, const char *dtype, uint64_t n, const void *data, size_t bytes)
{
	struct moe_st_tensor t = {
		.name = name, .rank = 1, .shape = { n }, .data = data, .bytes = bytes
	};

	memcpy(t.dtype, dtype, strlen(dtype) + 1);
	return t;
}

static void write_and_read(void **state)
{
	static const char *const meta[1][2] = { { "format", "p\"t" } };
	struct moe_st_tensor t[2] = { tensor("u", "U8", 2, u2, 2), tensor("f", "F32", 3, f3, 12) };
	char *dir = temp_dir(), *path = moe_path_join(dir, "a.safetensors", NULL);
	const struct moe_st_tensor *g;
	struct moe_err e = { 0 };
	struct moe_st *s;
	float back[2];

	(void)state;
	assert_int_equal(moe_st_write(path, t, 2, meta, 1, &e), 0);
	s = moe_st_open(path, &e);
	assert_non_null(s);
	assert_string_equal(moe_st_meta(s, "format"), "p\"t");
	assert_null(moe_st_meta(s, "x"));
	g = moe_st_find(s, "f");
	assert_non_null(g);
	assert_memory_equal(g->data, f3, sizeof(f3));
	assert_int_equal((uintptr_t)g->data % 4, 0);
	assert_int_equal(moe_st_floats(g, 1, 2, back, &e), 0);
	assert_true(back[0] == -2 && back[1] == 0.5f);
	assert_int_equal(moe_st_floats(moe_st_find(s, "u"), 0, 1, back, &e), -1);
	assert_memory_equal(moe_st_find(s, "u")->data, u2, 2);
	assert_null(moe_st_find(s, "g"));
	moe_st_close(s);
	t[1].bytes = 8;
	assert_int_equal(moe_st_write(path, t, 2, NULL, 0, &e), -1);
	s = moe_st_open(path, &e); /* the old file is untouched */
	assert_non_null(s);
	moe_st_close(s);
	free(path);
	remove_all(dir);
}

static void put_text(const char *dir, const char *name, const char *text)
{
	char *path = moe_path_join(dir, name, NULL);

	assert_int_equal(moe_file_replace(path, text, strlen(text), NULL), 0);
	free(path);
}

static void shards(void **state)
{
	struct moe_st_tensor t1[2] = { tensor("f", "F32", 3, f3, 12),
		tensor("old", "U8", 2, u2, 2) },
			     t2 = tensor("u", "U8", 2, u2, 2);
	char *dir = temp_dir(), *p1 = moe_path_join(dir, "x-1.safetensors", NULL),
	     *p2 = moe_path_join(dir, "x-2.safetensors", NULL);
	struct moe_err e = { 0 };
	struct moe_st *s;

	(void)state;
	assert_null(moe_st_open_dir(dir, "x", &e));
	assert_non_null(strstr(e.msg, "neither"));
	assert_int_equal(moe_st_write(p1, t1, 2, NULL, 0, &e), 0);
	assert_int_equal(moe_st_write(p2, &t2, 1, NULL, 0, &e), 0);
	put_text(dir, "x.safetensors.index.json",
		"{\"metadata\":{\"total_size\":14},\"weight_map\":{\"u\":\"x-2.safetensors\",\"f\":\"x-1.safetensors\"}}");
	s = moe_st_open_dir(dir, "x", &e);
	assert_non_null(s);
	assert_int_equal(moe_st_count(s), 2);
	assert_int_equal(moe_st_files(s), 2);
	assert_null(moe_st_find(s, "old"));
	assert_memory_equal(moe_st_find(s, "f")->data, f3, 12);
	moe_st_close(s);
	put_text(dir, "x.safetensors.index.json",
		"{\"weight_map\":{\"u\":\"x-1.safetensors\",\"f\":\"x-1.safetensors\"}}");
	assert_null(moe_st_open_dir(dir, "x", &e));
	assert_non_null(strstr(e.msg, "'u' is not in the file"));
	put_text(
		dir, "x.safetensors.index.json", "{\"weight_map\":{\"u\":\"../x-1.safetensors\"}}");
	assert_null(moe_st_open_dir(dir, "x", &e));
	assert_non_null(strstr(e.msg, "same directory"));
	free(p1);
	free(p2);
	remove_all(dir);
}

/* Every 16-bit pattern against arithmetic on its fields. */
static void sixteen_bits(void **state)
{
	(void)state;
	for (uint32_t h = 0; h < 65536; h++) {
		int exp = (int)(h >> 10 & 31), man = (int)(h & 1023);
		double want = exp == 31 ? (man ? NAN : INFINITY)
			: exp           ? ldexp(1024 + man, exp - 25)
					: ldexp(man, -24);
		float f = moe_f32_from_f16((uint16_t)h), b = moe_f32_from_bf16((uint16_t)h);

		if (h >> 15)
			want = -want;
		assert_true(isnan(want) ? isnan(f) : f == (float)want && !signbit(f) == !(h >> 15));
		if (!isnan(b))
			assert_int_equal(moe_bf16_from_f32(b), h);
		else
			assert_true(isnan(moe_f32_from_bf16(moe_bf16_from_f32(b))));
	}
	assert_int_equal(moe_bf16_from_f32(1.00390625f), 0x3f80); /* a tie, to even */
	assert_int_equal(moe_bf16_from_f32(1.01171875f), 0x3f82); /* a tie, to even */
	assert_int_equal(moe_bf16_from_f32(1.00390637f), 0x3f81);
	assert_int_equal(moe_bf16_from_f32(3.4e38f), 0x7f80); /* overflows to infinity */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(length_field),
		cmocka_unit_test(write_and_read),
		cmocka_unit_test(shards),
		cmocka_unit_test(sixteen_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
