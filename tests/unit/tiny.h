/* tiny.h - what several unit tests begin with: a base of 23 tokens and 16 dimensions, an adapter
 * laid out on it, and a step of rollouts that a trainer can take. Included after cmocka.h.
 *
 *     TINY_CONFIG(L)   initialiser of a struct moe_config with L layers
 *     tiny_layout      experts of a method's row, not fitted to any pairs
 *     tiny_make        base, adapter, rollouts and trainer; tiny_free ends them
 */
#ifndef MOE_TESTS_TINY_H
#define MOE_TESTS_TINY_H

#include "moe/layout.h"
#include "rl/train.h"
#include "util/rng.h"

#include <math.h>
#include <string.h>

#define TINY_CONFIG(layers)                                                                        \
	{                                                                                          \
		.family = MOE_LLAMA, .V = 23, .D = 16, .L = (layers), .H = 4, .K = 2, .hd = 4,     \
		.F = 20, .max_pos = 64, .theta = 10000, .eps = 1e-5, .tied = true,                 \
		.rope_factor = 1, .n_eos = 1,                                                      \
		.eos = { 22 }                                                                      \
	}

/* Lists end with NULL; set NULL = the defaults. *a is zeroed by the caller. */
static inline void tiny_layout(struct moe_adapter *a, const struct moe_model *m, const char *method,
	const char *const set[], const char *const expert[])
{
	const struct moe_method *row = moe_method_find(method, &(struct moe_err){ 0 });
	struct moe_err e = { 0 };

	assert_non_null(row);
	assert_int_equal(moe_settings_default(row->settings, &a->settings, &e), 0);
	for (int i = 0; set && set[i]; i++)
		assert_int_equal(moe_settings_set(row->settings, set[i], &a->settings, &e), 0);
	for (int i = 0; expert[i]; i++)
		assert_int_equal(moe_layout_expert(&a->x, expert[i], &e), 0);
	assert_int_equal(moe_layout_targets(&a->x, "all", &e), 0);
	a->x.scale = 2;
	if (moe_layout_make(a, m, row, 7, &e))
		fail_msg("%s: %s", method, e.msg);
}

enum { TINY_N = 8, TINY_LEN = 4 };
struct tiny {
	struct moe_model m;
	struct moe_adapter a;
	struct moe_pool *pool;
	struct moe_trainer t;
	struct moe_train_stats st;
	struct moe_rollout r[TINY_N];
	struct moe_rollout_step s;
	int32_t ids[TINY_N][2 * TINY_LEN]; /* prompts, equal in a group, then completions */
	float logp[TINY_LEN];
	struct moe_pair pair[TINY_N / 2]; /* rollout 2 i is the hack side of pair i, 2 i + 1 the
					     clean one */
	struct moe_pairs pins;
};

/* Rollouts in groups of so many, every second one paid, none decided or scored; o NULL = a rate of
 * 1e-3 with AdamW's usual moments. */
static inline void tiny_make(struct tiny *w, const char *method, const char *const set[],
	const char *const expert[], int group, const struct moe_train_opts *o)
{
	const struct moe_train_opts usual = { .loss = MOE_LOSS_DEFAULTS,
		.max_completion = TINY_LEN,
		.lr = 1e-3,
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-8 };
	struct moe_err e = { 0 };

	*w = (struct tiny){ 0 };
	assert_int_equal(moe_model_new(&w->m, &(struct moe_config)TINY_CONFIG(2), 3, 1, &e), 0);
	w->pool = moe_pool_new(1, &e);
	strcpy(w->a.method, method);
	tiny_layout(&w->a, &w->m, method, set, expert);
	for (int i = 0; i < TINY_LEN; i++)
		w->logp[i] = -2;
	for (int i = 0; i < TINY_N; i++) {
		for (int k = 0; k < 2 * TINY_LEN; k++)
			w->ids[i][k] = (int32_t)moe_rng_below(moe_rng_key(6, "ids"),
				(uint64_t)(k < TINY_LEN ? i / group : i), (uint64_t)k, 23);
		w->r[i] = (struct moe_rollout){ .prompt = w->ids[i],
			.completion = w->ids[i] + TINY_LEN,
			.n_prompt = TINY_LEN,
			.n_completion = TINY_LEN,
			.logp = w->logp,
			.temperature = 1,
			.reward = i % 2 == 0,
			.group = i / group,
			.score = NAN,
			.decision = MOE_ABSORB,
			.off = -1 };
	}
	for (int i = 0; i < TINY_N / 2; i++)
		w->pair[i] = (struct moe_pair){ .prompt = w->ids[2 * i],
			.hack = w->ids[2 * i] + TINY_LEN,
			.clean = w->ids[2 * i + 1] + TINY_LEN,
			.n_prompt = TINY_LEN,
			.n_hack = TINY_LEN,
			.n_clean = TINY_LEN };
	w->pins = (struct moe_pairs){ w->pair, TINY_N / 2, 0 };
	w->s = (struct moe_rollout_step){ .r = w->r, .n = TINY_N, .cap = TINY_N };
	assert_int_equal(moe_trainer_init(&w->t, &w->m, &w->a, w->pool, o ? o : &usual, &e), 0);
}

static inline void tiny_free(struct tiny *w)
{
	moe_trainer_free(&w->t);
	moe_adapter_free(&w->a);
	moe_model_free(&w->m);
	moe_pool_free(w->pool);
}

#endif
