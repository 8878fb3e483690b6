/* test_router_golden.c - gates and losses of nn/gate.h against PyTorch autograd, the entmax package
 * and transformers (tests/golden/make_router_golden.py). */
#include "nn/gate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/golden/router_golden.h"

#define TOL 1e-6 /* float against PyTorch's float64; values are about 1 */

static moe_real z[GOLD_TE], c[GOLD_TE], p[GOLD_TE], y[GOLD_TE], dp[GOLD_TE], dz[GOLD_TE];
static uint8_t pick[GOLD_TE];
static double f[GOLD_E];

static int setup(void **state)
{
	(void)state;
	for (int i = 0; i < GOLD_TE; i++) {
		z[i] = (moe_real)gold_z[i];
		c[i] = (moe_real)gold_c[i];
		p[i] = y[i] = dp[i] = dz[i] = 0;
	}
	return 0;
}

static void same(const char *what, const moe_real *got, const double *want, int n)
{
	for (int i = 0; i < n; i++)
		if (!(fabs((double)got[i] - want[i]) <= TOL))
			fail_msg("%s %d: %.9g instead of %.9g", what, i, (double)got[i], want[i]);
}

static void test_softmax(void **state)
{
	(void)state;
	moe_gate_softmax(GOLD_T, GOLD_E, z, p);
	moe_gate_softmax_bwd(GOLD_T, GOLD_E, p, c, dz);
	same("softmax", p, gold_softmax, GOLD_TE);
	same("its gradient", dz, gold_d_softmax, GOLD_TE);
}

static void test_topk(void **state)
{
	(void)state;
	for (int renorm = 0; renorm < 2; renorm++) {
		memset(dp, 0, sizeof(dp));
		memset(dz, 0, sizeof(dz));
		moe_gate_softmax(GOLD_T, GOLD_E, z, p);
		moe_gate_topk(GOLD_T, GOLD_E, GOLD_K, renorm, p, y, pick);
		moe_gate_topk_bwd(GOLD_T, GOLD_E, renorm, p, y, pick, c, dp);
		moe_gate_softmax_bwd(GOLD_T, GOLD_E, p, dp, dz);
		same("top-k", y, renorm ? gold_topk_renorm : gold_topk, GOLD_TE);
		same("its gradient", dz, renorm ? gold_d_topk_renorm : gold_d_topk, GOLD_TE);
	}
}

static void test_entmax(void **state)
{
	static const double *const want[] = { gold_entmax_125, gold_entmax_150, gold_entmax_175,
		gold_entmax_200 };
	static const double *const slope[] = { gold_d_entmax_125, gold_d_entmax_150,
		gold_d_entmax_175, gold_d_entmax_200 };

	(void)state;
	for (int k = 0; k < GOLD_ALPHAS; k++) {
		double d_alpha = 0;

		memset(dz, 0, sizeof(dz));
		moe_gate_entmax(GOLD_T, GOLD_E, gold_alpha[k], z, p);
		moe_gate_entmax_bwd(GOLD_T, GOLD_E, gold_alpha[k], p, c, dz, &d_alpha);
		same("entmax", p, want[k], GOLD_TE);
		same("its gradient", dz, slope[k], GOLD_TE);
		/* (p - q) / (alpha-1)^2 of float p: a few digits fewer */
		if (!(fabs(d_alpha - gold_d_alpha[k]) < 2e-5))
			fail_msg("alpha %g: %.9g instead of %.9g", gold_alpha[k], d_alpha,
				gold_d_alpha[k]);
	}
}

static void test_balance(void **state)
{
	double loss;

	(void)state;
	moe_gate_softmax(GOLD_T, GOLD_E, z, p);
	moe_gate_topk(GOLD_T, GOLD_E, 1, false, p, y, pick);
	moe_gate_shares(GOLD_T, GOLD_E, pick, f);
	loss = moe_gate_balance(GOLD_T, GOLD_E, 1, f, p, 1, dp);
	moe_gate_softmax_bwd(GOLD_T, GOLD_E, p, dp, dz);
	assert_true(fabs(loss - gold_switch[0]) < TOL);
	same("Switch's gradient", dz, gold_d_switch, GOLD_TE);

	memset(dp, 0, sizeof(dp));
	memset(dz, 0, sizeof(dz));
	moe_gate_topk(GOLD_T, GOLD_E, GOLD_K, false, p, y, pick);
	moe_gate_shares(GOLD_T, GOLD_E, pick, f);
	loss = moe_gate_balance(GOLD_T, GOLD_E, GOLD_K, f, p, GOLD_K, dp);
	moe_gate_softmax_bwd(GOLD_T, GOLD_E, p, dp, dz);
	assert_true(fabs(loss - gold_mixtral[0]) < TOL);
	same("Mixtral's gradient", dz, gold_d_mixtral, GOLD_TE);
}

static void test_sequence(void **state)
{
	double loss;

	(void)state;
	moe_gate_sigmoid(GOLD_T, GOLD_E, z, p);
	moe_gate_topk(GOLD_T, GOLD_E, GOLD_K, false, p, y, pick);
	moe_gate_shares(GOLD_T, GOLD_E, pick, f);
	loss = moe_gate_balance_sequence(GOLD_T, GOLD_E, GOLD_K, f, p, 1, dp);
	moe_gate_sigmoid_bwd(GOLD_T, GOLD_E, p, dp, dz);
	assert_true(fabs(loss - gold_sequence[0]) < TOL);
	same("the sequence-wise loss's gradient", dz, gold_d_sequence, GOLD_TE);
}

static void test_z_loss(void **state)
{
	double loss = moe_gate_z_loss(GOLD_T, GOLD_E, z, 1, dz);

	(void)state;
	assert_true(fabs(loss - gold_z_loss[0]) < TOL);
	same("the z-loss's gradient", dz, gold_d_z_loss, GOLD_TE);
}

static void test_relu(void **state)
{
	double loss;

	(void)state;
	moe_gate_relu(GOLD_T, GOLD_E, z, y);
	moe_gate_relu_bwd(GOLD_T, GOLD_E, y, c, dz);
	same("relu", y, gold_relu, GOLD_TE);
	same("its gradient", dz, gold_d_relu, GOLD_TE);
	memset(dz, 0, sizeof(dz));
	for (int i = 0; i < GOLD_TE; i++)
		pick[i] = y[i] > 0;
	moe_gate_shares(GOLD_T, GOLD_E, pick, f);
	loss = moe_gate_balance(GOLD_T, GOLD_E, GOLD_K, f, y, 1, dp);
	moe_gate_relu_bwd(GOLD_T, GOLD_E, y, dp, dz);
	assert_true(fabs(loss - gold_remoe[0]) < TOL);
	same("ReMoE's gradient", dz, gold_d_remoe, GOLD_TE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_softmax, setup),
		cmocka_unit_test_setup(test_topk, setup),
		cmocka_unit_test_setup(test_entmax, setup),
		cmocka_unit_test_setup(test_balance, setup),
		cmocka_unit_test_setup(test_sequence, setup),
		cmocka_unit_test_setup(test_z_loss, setup),
		cmocka_unit_test_setup(test_relu, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
