/* test_router_bits.c - routers in sampling and in training: the same bits, whatever else is
 * computed beside, for every router of the method table and a hard one of the test's own, at every
 * placement, narrow and wide. */
#include "model/sample.h"
#include "moe/method.h"
#include "nn/gate.h"
#include "util/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_REQ   3
#define MAX_NEW 12

/* softmax, then the one largest gate: the choice jumps, so its pass must be exact by itself */
static int top1_tensors(int d, int E, const double *set, struct moe_router_tensor out[])
{
	(void)set;
	out[0] = (struct moe_router_tensor){ "weight", MOE_ROLE_ROUTER, E, d };
	return 1;
}

static void top1_fwd(const struct moe_router_rows *r)
{
	moe_gate_linear(r->T, r->d, r->E, r->x, r->ldx, r->param[0], NULL, 1, r->logit);
	moe_gate_softmax(r->T, r->E, r->logit, r->gate);
	for (int t = 0; t < r->T; t++) {
		moe_real *g = r->gate + t * r->E;
		int best = 0;

		for (int e = 1; e < r->E; e++)
			best = g[e] > g[best] ? e : best;
		for (int e = 0; e < r->E; e++)
			g[e] = e == best ? g[e] : 0;
	}
}

static void no_bwd(const struct moe_router_rows *r, const struct moe_router_grads *g)
{
	(void)r;
	(void)g;
}

static const struct moe_router top1 = { .name = "top1",
	.hard = true,
	.tensors = top1_tensors,
	.fwd = top1_fwd,
	.bwd = no_bwd };

struct fixture {
	struct moe_model m;
	struct moe_experts x;
	int32_t ids[N_REQ][40];
	struct moe_sample_req req[N_REQ];
	struct moe_sample_opts o;
	moe_real outer[3];
};

static void make(struct fixture *f, int D, const struct moe_router *router, const double *set,
	enum moe_placement p)
{
	static const int len[N_REQ] = { 33, 1, 9 };
	struct moe_config c;
	struct moe_err e = { 0 };
	struct moe_rng k = moe_rng_key(11, "router-bits");

	memset(f, 0, sizeof(*f));
	assert_int_equal(moe_config_preset("tiny", &c, &e), 0);
	c.D = D;
	c.L = 2;
	assert_int_equal(moe_model_new(&f->m, &c, 3, 1, &e), 0);
	for (size_t i = 0; i < f->m.n_param; i++)
		f->m.param[i] *= f->m.param[i] == 1 ? 1 : 5;
	f->x = (struct moe_experts){ .E = 3,
		.scale = 2,
		.rank = { 2, 3, 1 },
		.bank = { MOE_BANK_CLEAN, MOE_BANK_QUARANTINE, MOE_BANK_QUARANTINE },
		.router = router,
		.placement = p,
		.deploy = MOE_DEPLOY_RENORM };
	if (set)
		memcpy(f->x.set, set, sizeof(f->x.set));
	for (int i = 0; i < MOE_LINEARS; i++)
		f->x.target[i] = i != MOE_V && i != MOE_UP;
	if (moe_experts_init(&f->x, &c, &e))
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < f->x.n_view; i++) {
		const struct moe_view *v = &f->x.view[i];
		bool state = v->role == MOE_ROLE_STATE; /* an alpha above 1, a bias */
		double sd = v->role == MOE_ROLE_ROUTER ? 0.3 : 0.05;

		for (size_t j = v->off; j < v->off + v->n; j++)
			f->x.param[j] = state ? 1.4f : (moe_real)(sd * moe_rng_normal(k, 1, j));
	}
	f->o = (struct moe_sample_opts){
		.max_new = MAX_NEW, .temperature = 1, .top_p = 1, .seed = 9
	};
	f->outer[0] = 1;
	f->outer[1] = 0.5f;
	for (int i = 0; i < N_REQ; i++) {
		for (int t = 0; t < len[i]; t++)
			f->ids[i][t] = (int32_t)moe_rng_below(
				k, (uint64_t)i, (uint64_t)t, (uint64_t)c.V);
		f->req[i] = (struct moe_sample_req){ .prompt = f->ids[i],
			.n_prompt = len[i],
			.key = 100 + (uint64_t)i,
			.n_samples = 4,
			.outer = i == 1 ? f->outer : NULL,
			.prompt_unrouted = i == 2 };
	}
}

/* One completion against the trainer's forward pass over prompt and completion. */
static void check_completion(const struct fixture *f, const struct moe_sample_req *q,
	const struct moe_completion *c, struct moe_acts *a)
{
	int32_t ids[60], row[MAX_NEW];
	int T = q->n_prompt + c->n, E = f->x.E;
	moe_real logp[MAX_NEW], outer[60 * 3];
	unsigned char routed[60];
	int rest = q->n_prompt - 1; /* the last prompt token is the completion's own */
	struct moe_seg seg[2] = { { 0, rest, -1, 0 }, { rest, c->n + 1, 0, rest } },
		       alone = { 0, T, -1, 0 };
	struct moe_batch b = { T, ids, rest ? 2 : 1, rest ? seg : &alone };
	struct moe_gates g = { .outer = q->outer ? outer : NULL, .routed = routed };
	struct moe_err e = { 0 };

	memcpy(ids, q->prompt, (size_t)q->n_prompt * sizeof(*ids));
	memcpy(ids + q->n_prompt, c->ids, (size_t)c->n * sizeof(*ids));
	for (int t = 0; t < T; t++) {
		routed[t] = !(q->prompt_unrouted && t < q->n_prompt);
		for (int i = 0; q->outer && i < E; i++)
			outer[t * E + i] = q->outer[i];
	}
	for (int t = 0; t < c->n; t++)
		row[t] = q->n_prompt + t - 1;
	assert_int_equal(moe_forward(&f->m, &f->x, &g, &b, a, &e), 0);
	assert_int_equal(moe_head_logp(&f->m, &b, a, c->n, row, c->ids, 1, logp, NULL, &e), 0);
	for (int t = 0; t < c->n; t++)
		if (c->logp[t] != (float)logp[t])
			fail_msg("%s per %s, width %d, token %d: sampled %.9g, trained %.9g",
				f->x.router->name, moe_placement_names[f->x.placement],
				f->m.config.D, t, (double)c->logp[t], (double)logp[t]);
	for (int i = 0; i < E; i++) {
		double sum = 0;

		/* the first token's row is a prompt row: kept out with the others */
		for (int t = q->prompt_unrouted; t < c->n; t++)
			for (int s = 0; s < f->x.S; s++)
				sum += (double)a->gates.gate[(s * T + row[t]) * E + i] / f->x.S;
		assert_true(fabs(sum / (c->n - q->prompt_unrouted) - (double)c->gate[i]) < 1e-6);
	}
}

static void check_bits(const struct moe_router *router, const double *set, int D)
{
	for (int p = MOE_PER_TOKEN; p < MOE_PLACEMENTS; p++)
		for (int threads = 1; threads < 3; threads++) {
			struct fixture f;
			struct moe_completion out[N_REQ * 4];
			struct moe_acts a = { .exact = !router->hard };
			struct moe_err e = { 0 };
			struct moe_pool *pool = moe_pool_new(threads, &e);

			make(&f, D, router, set, (enum moe_placement)p);
			if (moe_sample(&f.m, &f.x, &f.o, N_REQ, f.req, pool, out, &e))
				fail_msg("%s", e.msg);
			for (int i = 0; i < N_REQ * 4; i++) {
				check_completion(&f, &f.req[i / 4], &out[i], &a);
				moe_completion_free(&out[i]);
			}
			moe_acts_free(&a);
			moe_experts_free(&f.x);
			moe_model_free(&f.m);
			moe_pool_free(pool);
		}
}

static void settings_of(const struct moe_method *m, double set[MOE_ROUTER_SETTINGS])
{
	memset(set, 0, MOE_ROUTER_SETTINGS * sizeof(*set));
	for (size_t k = 0; k < moe_setting_count(m->settings); k++)
		set[k] = m->settings[k].def;
}

static void sampler_and_trainer_agree(void **state)
{
	double set[MOE_ROUTER_SETTINGS];

	(void)state;
	for (int D = 96; D <= 320; D += 224) {
		check_bits(&top1, NULL, D);
		for (size_t i = 0; moe_methods[i]; i++)
			if (moe_methods[i]->router) {
				settings_of(moe_methods[i], set);
				check_bits(moe_methods[i]->router, set, D);
			}
	}
}

/* Many rows give the bits of one row, at the widths of both kinds of model. */
static void check_rows(const struct moe_router *router, const double *set, int d)
{
	enum { T = 67, E = 5 };
	struct moe_router_tensor t[MOE_ROUTER_TENSORS];
	int n = router->tensors(d, E, set, t), keep = router->keep ? router->keep(E, set) : 0;
	moe_real *x = calloc((size_t)(T * d), sizeof(*x)), *p[MOE_ROUTER_TENSORS] = { 0 };
	moe_real *many = calloc((size_t)(T * (2 * E + keep)), sizeof(*many));
	moe_real *one = calloc((size_t)(2 * E + keep), sizeof(*one));
	struct moe_rng k = moe_rng_key(3, "rows");
	static const bool quarantine[E] = { false, true, true, false, true };
	struct moe_router_rows r = {
		.T = T, .d = d, .E = E, .set = set, .x = x, .ldx = d, .quarantine = quarantine
	};

	for (int i = 0; i < T * d; i++)
		x[i] = (moe_real)moe_rng_normal(k, 1, (uint64_t)i);
	for (int i = 0; i < n; i++) {
		p[i] = calloc((size_t)(t[i].rows * t[i].cols), sizeof(**p));
		for (int j = 0; j < t[i].rows * t[i].cols; j++)
			p[i][j] = t[i].role == MOE_ROLE_STATE
				? 1.4f
				: (moe_real)(0.3 * moe_rng_normal(k, 2 + (uint64_t)i, (uint64_t)j));
		r.param[i] = p[i];
	}
	r.logit = many;
	r.gate = many + T * E;
	r.kept = many + 2 * T * E;
	router->fwd(&r);
	r.T = 1;
	r.logit = one;
	r.gate = one + E;
	r.kept = one + 2 * E;
	for (int i = 0; i < T; i++) {
		r.x = x + i * d;
		router->fwd(&r);
		assert_memory_equal(r.gate, many + T * E + i * E, E * sizeof(*one));
		assert_memory_equal(r.logit, many + i * E, E * sizeof(*one));
	}
	for (int i = 0; i < n; i++)
		free(p[i]);
	free(x);
	free(many);
	free(one);
}

static void rows_do_not_see_each_other(void **state)
{
	double set[MOE_ROUTER_SETTINGS];

	(void)state;
	for (int d = 96; d <= 320; d += 224) {
		check_rows(&top1, NULL, d);
		for (size_t i = 0; moe_methods[i]; i++)
			if (moe_methods[i]->router) {
				settings_of(moe_methods[i], set);
				check_rows(moe_methods[i]->router, set, d);
			}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sampler_and_trainer_agree),
		cmocka_unit_test(rows_do_not_see_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
