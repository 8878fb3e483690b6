/* test_adamw.c - the update against a scalar reference, frozen owners bit for bit, clipping,
 * schedules. */
#include "nn/adamw.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static const struct moe_region table[] = {
	{ 0, 1, 4, 4, 0, 1, 1 },   /* owner 0: elements 0-3 */
	{ 4, 2, 2, 3, 1, 1, 0.5 }, /* owner 1: 4, 5, 7, 8 */
	{ 6, 2, 1, 3, 2, 0, 1 },   /* owner 2: 6, 9 */
};

static void start(struct moe_adamw *o, moe_real *p, moe_real *g)
{
	struct moe_err e;

	assert_int_equal(moe_adamw_init(o, 10, table, 3, 3, &e), 0);
	o->beta1 = 0.8;
	o->beta2 = 0.95;
	o->wd = 0.1;
	for (int i = 0; i < 10; i++) {
		p[i] = (moe_real)(0.3 * i - 1);
		g[i] = (moe_real)(0.5 - 0.17 * i);
	}
}

/* split: the second moment takes another gradient than the first. */
static void against_scalar(bool split)
{
	struct moe_adamw o;
	moe_real p[10], g[10], h[10], ref[10];
	double x[10], m[10] = { 0 }, v[10] = { 0 };
	static const double lr_of[10] = { 1, 1, 1, 1, .5, .5, 1, .5, .5, 1 },
			    wd_of[10] = { 1, 1, 1, 1, 1, 1, 0, 1, 1, 0 };

	start(&o, p, g);
	o.second = split ? h : NULL;
	for (int i = 0; i < 10; i++) {
		x[i] = (double)p[i];
		ref[i] = (moe_real)(0.1 * i);
	}
	for (int t = 1; t <= 7; t++) {
		for (int i = 0; i < 10; i++)
			h[i] = split ? (moe_real)(0.2 + 0.1 * i * t) : g[i];
		moe_adamw_step(&o, p, g, ref, 0.01);
		for (int i = 0; i < 10; i++) {
			double d = (double)g[i], q = (double)h[i], lr = 0.01 * lr_of[i];

			x[i] -= lr * 0.1 * wd_of[i] * (x[i] - (double)ref[i]);
			m[i] = 0.8 * m[i] + 0.2 * d;
			v[i] = 0.95 * v[i] + 0.05 * q * q;
			x[i] -= lr * m[i] / (1 - pow(0.8, t)) /
				(sqrt(v[i] / (1 - pow(0.95, t))) + 1e-8);
			g[i] = (moe_real)(-0.6 * d + 0.05);
		}
	}
	for (int i = 0; i < 10; i++)
		if (fabs(x[i] - (double)p[i]) > 2e-6)
			fail_msg("parameter %d: %.9g, reference %.9g", i, (double)p[i], x[i]);
	moe_adamw_free(&o);
}

static void test_against_scalar(void **state)
{
	(void)state;
	against_scalar(false);
	against_scalar(true);
}

static void test_frozen_stands_still(void **state)
{
	struct moe_adamw o, q;
	moe_real p[10], g[10], a[10], b[10];

	(void)state;
	start(&o, p, g);
	moe_adamw_step(&o, p, g, NULL, 0.01);
	memcpy(a, p, sizeof(a));
	q = o;
	o.frozen[1] = true;
	for (int i = 0; i < 5; i++)
		moe_adamw_step(&o, p, g, NULL, 0.01);
	for (int i = 0; i < 10; i++) {
		bool mine = i == 4 || i == 5 || i == 7 || i == 8;

		assert_int_equal(!memcmp(&p[i], &a[i], sizeof(p[i])), mine);
	}
	assert_int_equal(o.step[0], 6);
	assert_int_equal(o.step[1], 1);
	/* and goes on as if the frozen steps had never been */
	o.frozen[1] = false;
	moe_adamw_step(&o, p, g, NULL, 0.01);
	start(&q, b, g);
	moe_adamw_step(&q, b, g, NULL, 0.01);
	moe_adamw_step(&q, b, g, NULL, 0.01);
	assert_memory_equal(&p[4], &b[4], 2 * sizeof(*p));
	assert_memory_equal(&p[7], &b[7], 2 * sizeof(*p));
	moe_adamw_free(&o);
	moe_adamw_free(&q);
}

static void test_norm_and_clip(void **state)
{
	struct moe_adamw o;
	moe_real p[10], g[10] = { 3, 0, 0, 0, 4, 0, 12, 0, 0, 0 };

	(void)state;
	start(&o, p, p);
	assert_true(fabs(moe_grad_norm(10, g) - 13) < 1e-12);
	assert_true(fabs(moe_adamw_norm(&o, g) - 13) < 1e-12);
	o.frozen[2] = true;
	assert_true(fabs(moe_adamw_norm(&o, g) - 5) < 1e-12);
	assert_true(moe_grad_clip(10, g, 13, 20) == 1);
	assert_true(g[0] == 3);
	assert_true(fabs(moe_grad_clip(10, g, 13, 1) - 1.0 / 13) < 1e-6);
	assert_true(fabs((double)g[6] - 12.0 / 13) < 1e-6);
	moe_adamw_free(&o);
}

static void test_schedule(void **state)
{
	enum moe_schedule s;
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_schedule_parse("cosine", &s, &e), 0);
	assert_true(fabs(moe_schedule_factor(s, 0, 110, 10) - 0.1) < 1e-12);
	assert_true(fabs(moe_schedule_factor(s, 10, 110, 10) - 1) < 1e-12);
	assert_true(fabs(moe_schedule_factor(s, 60, 110, 10) - 0.5) < 1e-12);
	assert_true(fabs(moe_schedule_factor(MOE_LINEAR, 85, 110, 10) - 0.25) < 1e-12);
	assert_true(moe_schedule_factor(MOE_LINEAR, 200, 110, 10) == 0);
	assert_true(moe_schedule_factor(MOE_CONSTANT, 200, 110, 0) == 1);
	assert_int_equal(moe_schedule_parse("cubic", &s, &e), -1);
	assert_int_equal(e.code, MOE_USAGE);
}

static void test_bad_region(void **state)
{
	struct moe_region r = { 8, 1, 3, 3, 0, 1, 1 };
	struct moe_adamw o;
	struct moe_err e;

	(void)state;
	assert_int_equal(moe_adamw_init(&o, 10, &r, 1, 1, &e), -1);
	r.off = 7;
	r.owner = 1;
	assert_int_equal(moe_adamw_init(&o, 10, &r, 1, 1, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_scalar),
		cmocka_unit_test(test_frozen_stands_still),
		cmocka_unit_test(test_norm_and_clip),
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_bad_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
