/* pretrain.h - language-model training of all weights on a corpus in memory.
 *
 * A step is `batch` texts, cut into runs of about shard_tokens tokens. Runs are tasks of the pool,
 * each with its own activations; their gradients are added in run order, so every number of threads
 * gives the same bits. The order of texts is a permutation keyed by (seed, epoch). Held-out texts
 * are those whose hashed id falls into the share; they are never trained on. Loss: weighted mean of
 * the negative log-likelihood in nats. A checkpoint holds weights, moments and the history, and
 * continuing from one gives the same bits as never having stopped. Not thread-safe.
 */
#ifndef MOE_MODEL_PRETRAIN_H
#define MOE_MODEL_PRETRAIN_H

#include "model/corpus.h"
#include "nn/adamw.h"
#include "util/pool.h"

struct moe_pretrain_opts {
	uint64_t seed;
	int batch;      /* texts a step */
	uint64_t steps; /* 0 = `epochs` passes over the corpus */
	double epochs;
	double lr, beta1, beta2, eps, decay, clip; /* clip 0 = none */
	uint64_t warmup;
	enum moe_schedule schedule;
	double heldout;      /* share of texts, 0 .. 0.5 */
	uint64_t eval_every; /* steps; 0 = only at the end */
	int shard_tokens;    /* 0 = 384 up to width 256, else 1024. Part of the result's bits, as
				threads are not */
	bool recompute; /* keep only the layers' inputs for the backward pass: less memory, a third
			   more work, the same bits */
};
void moe_pretrain_defaults(struct moe_pretrain_opts *o);

/* One line of the history. NaN = not measured at that step. */
struct moe_pretrain_row {
	float loss, grad_norm, lr, heldout_loss, tokens;
};

struct moe_pretrain {
	struct moe_pretrain_opts o;
	struct moe_model *m;        /* borrowed; trainable */
	const struct moe_corpus *c; /* borrowed */
	struct moe_pool *pool;      /* borrowed */
	struct moe_adamw adam;
	uint32_t *train, *held; /* texts of either kind, owned */
	size_t n_train, n_held;
	uint64_t step, total;         /* done; of */
	struct moe_pretrain_row *row; /* [step] history, owned */
	uint64_t cap_row;
	double gemm_sec, engine_sec; /* summed over threads */
	void *priv;
};

int moe_pretrain_init(struct moe_pretrain *p, const struct moe_pretrain_opts *o,
	struct moe_model *m, const struct moe_corpus *c, struct moe_pool *pool, struct moe_err *e);
void moe_pretrain_free(struct moe_pretrain *p); /* accepts a zeroed struct */
/* One step (step < total); its row is p->row[p->step - 1] afterwards. MOE_NUMERIC when the loss is
 * not finite. */
int moe_pretrain_step(struct moe_pretrain *p, struct moe_err *e);
/* Loss over the held-out texts; NaN when there are none. */
int moe_pretrain_eval(struct moe_pretrain *p, double *loss, struct moe_err *e);

/* dir/step-N (written as step-N.tmp, synced, renamed), then the link dir/latest. dir is made when
 * missing; the checkpoint before the previous one is removed. key says what a run is (options,
 * corpus, base): one with another key is refused when loading. */
int moe_pretrain_save(
	const struct moe_pretrain *p, const char *dir, const char *key, struct moe_err *e);
/* 1 = continued from dir/latest, 0 = there is none, -1 = error. */
int moe_pretrain_load(struct moe_pretrain *p, const char *dir, const char *key, struct moe_err *e);

#endif
