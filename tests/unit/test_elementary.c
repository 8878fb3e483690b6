/* test_elementary.c - exp, log and the like against the C library's in long double, and their
 * special values. That the bits are the same elsewhere is what golden digests show (tests/golden).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "util/elementary.h"
#include "util/rng.h"

#include <math.h>

enum { TRIES = 200000 };

/* Distance in units in the last place of a double. */
static double ulps(double got, long double want)
{
	double w = fabs((double)want), unit = nextafter(w, INFINITY) - w;

	return (double)(fabsl((long double)got - want) / (long double)unit);
}

#define CHECK(name, x, bound)                                                                      \
	do {                                                                                       \
		double x_ = (x), u_ = ulps(moe_##name(x_), name##l((long double)x_));              \
		if (!(u_ < (bound)))                                                               \
			fail_msg(#name "(%.17g) is off by %g units", x_, u_);                      \
	} while (0)

static void test_errors(void **state)
{
	struct moe_rng key = moe_rng_key(7, "elementary");

	(void)state;
	for (uint64_t i = 0; i < TRIES; i++) {
		double u = moe_rng_uniform(key, i, 0), v = moe_rng_uniform(key, i, 1), w = u - 0.5;

		CHECK(exp, w * 1400, 3);
		CHECK(exp, w * v, 3);
		CHECK(log, ldexp(u + 1e-9, (int)(v * 200 - 100)), 3);
		CHECK(log, 1 + w * v * v, 3);
		CHECK(log1p, w * v * 1.9, 3.5);
		CHECK(sin, w * pow(10, v * 6), 3);
		CHECK(cos, w * pow(10, v * 6), 3);
		if (ulps(moe_pow(1e6, -u), powl(1e6L, -(long double)u)) > 20)
			fail_msg("pow(1e6, %.17g) is off", -u);
	}
}

static void test_special(void **state)
{
	(void)state;
	assert_true(
		moe_exp(-INFINITY) == 0 && moe_exp(INFINITY) == INFINITY && isnan(moe_exp(NAN)));
	assert_true(moe_exp(0) == 1 && moe_exp(-746) == 0 && moe_exp(711) == INFINITY);
	assert_true(moe_exp(-745.1) > 0); /* a subnormal */
	assert_true(moe_log(0) == -INFINITY && moe_log(INFINITY) == INFINITY && moe_log(1) == 0);
	assert_true(isnan(moe_log(-1)) && isnan(moe_log(NAN)));
	assert_true(moe_log1p(0) == 0 && moe_log1p(-1) == -INFINITY);
	assert_true(moe_sin(0) == 0 && moe_cos(0) == 1 && isnan(moe_sin(INFINITY)));
	assert_true(moe_pow(2, 10) == 1024 && moe_pow(3, 0) == 1);
	assert_true(fabs(moe_sin(1e15)) <= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_errors),
		cmocka_unit_test(test_special) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
