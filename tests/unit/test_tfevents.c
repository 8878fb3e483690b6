/* test_tfevents.c - checksums and bytes of TensorBoard event files. */
#include "formats/tfevents.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* RFC 3720, B.4: 32 bytes of 0 have CRC-32C 0x8a9136aa; "123456789" has 0xe3069283 (Williams'
 * catalogue). Masked by the rule of TFRecord. */
static void test_crc(void **state)
{
	static const uint8_t zeros[32];
	const uint32_t a = 0x8a9136aa, b = 0xe3069283;

	(void)state;
	assert_int_equal(
		moe_crc32c_masked(zeros, 32), (uint32_t)((a >> 15 | a << 17) + 0xa282ead8));
	assert_int_equal(
		moe_crc32c_masked("123456789", 9), (uint32_t)((b >> 15 | b << 17) + 0xa282ead8));
}

/* As tensorboard.summary.writer wrote it: SummaryWriter of package tensorboard 2.21,
 * Event(wall_time = 1.5, step = 300, summary = Summary(value = [Value(tag = "kl", simple_value =
 * 0.25)])). */
static void test_event(void **state)
{
	static const uint8_t want[] = { 0x19, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x8b, 0xf1,
		0x08, 0x28, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x3f, 0x10, 0xac, 0x02,
		0x2a, 0x0b, 0x0a, 0x09, 0x0a, 0x02, 0x6b, 0x6c, 0x15, 0x00, 0x00, 0x80, 0x3e, 0x19,
		0xa4, 0x36, 0xcb };
	struct moe_buf out = { 0 }, s = { 0 };
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_tfevents_put(&out, &s, 1.5, 300, &e), 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(moe_tfevents_scalar(&s, "kl", 0.25, &e), 0);
	assert_int_equal(moe_tfevents_put(&out, &s, 1.5, 300, &e), 0);
	assert_int_equal(out.len, sizeof(want));
	assert_memory_equal(out.data, want, sizeof(want));
	moe_buf_free(&out);
	moe_buf_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
