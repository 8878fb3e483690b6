/* config.h - the shape of a base model, as read from config.json or made by a preset. Plain data.
 */
#ifndef MOE_MODEL_CONFIG_H
#define MOE_MODEL_CONFIG_H

#include "util/err.h"

#include <stdbool.h>
#include <stdint.h>

enum moe_family { MOE_LLAMA, MOE_MISTRAL, MOE_QWEN2, MOE_QWEN3 };
enum moe_rope_type {
	MOE_ROPE_DEFAULT,
	MOE_ROPE_LINEAR,
	MOE_ROPE_LLAMA3,
	MOE_ROPE_YARN,
	MOE_ROPE_DYNAMIC
};

#define MOE_EOS_MAX 512
/* A temperature below this takes the best token: 1/T would overflow a float, and every other
 * probability is 0 anyway. */
#define MOE_GREEDY  1e-30

struct moe_config {
	enum moe_family family;
	int V;             /* vocabulary */
	int D;             /* hidden_size */
	int L;             /* layers */
	int H, K;          /* query heads, key/value heads; K divides H */
	int hd;            /* head_dim, even; not always D/H */
	int F;             /* intermediate_size */
	int max_pos;       /* max_position_embeddings */
	double theta, eps; /* rope base, rms_norm_eps */
	bool tied;         /* lm_head = embedding */
	bool qkv_bias, o_bias, mlp_bias, qk_norm;
	enum moe_rope_type rope;
	double rope_factor, rope_low,
		rope_high; /* llama3: factor, low/high_freq_factor; linear: factor */
	double rope_orig;  /* original_max_position_embeddings */
	int bos, pad, n_eos, eos[MOE_EOS_MAX]; /* -1 = none; eos[0] is written behind a text */
};

/* The adapted Linears of a layer, in the order of adapters and tensors. */
enum moe_linear { MOE_Q, MOE_K, MOE_V, MOE_O, MOE_LIN_GATE, MOE_UP, MOE_DOWN, MOE_LINEARS };
extern const char
	*const moe_linear_names[MOE_LINEARS]; /* "q", "k", "v", "o", "gate", "up", "down" */
extern const char
	*const moe_linear_modules[MOE_LINEARS]; /* "self_attn.q_proj", ... "mlp.down_proj" */
/* Linears with a common input: q k v | o | gate up | down. The only table of them. */
enum moe_group { MOE_GROUP_QKV, MOE_GROUP_O, MOE_GROUP_GU, MOE_GROUP_DOWN, MOE_GROUPS };
#define MOE_GROUP_MAX 3
extern const struct moe_group_def {
	int n;
	enum moe_linear lin[MOE_GROUP_MAX]; /* [n] in enum order, without gaps */
} moe_groups[MOE_GROUPS];
enum moe_group moe_group_of(enum moe_linear l);
/* d_in and d_out of one of them. */
void moe_linear_shape(const struct moe_config *c, enum moe_linear l, int *d_in, int *d_out);

/* Presets for moe-base --new: "tiny" (d 96, 3 layers, 4 heads, ffn 256, byte vocabulary), "30m",
 * "smollm2-135m" (shape only). */
int moe_config_preset(const char *name, struct moe_config *c, struct moe_err *e);

#endif
