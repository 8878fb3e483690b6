/* config.c - names and shapes of the adapted Linears, and presets. Reading config.json is
 * elsewhere. */
#include "model/config.h"

#include <string.h>

const char *const moe_linear_names[MOE_LINEARS] = { "q", "k", "v", "o", "gate", "up", "down" };
const char *const moe_linear_modules[MOE_LINEARS] = { "self_attn.q_proj", "self_attn.k_proj",
	"self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj" };

const struct moe_group_def moe_groups[MOE_GROUPS] = { { 3, { MOE_Q, MOE_K, MOE_V } },
	{ 1, { MOE_O } }, { 2, { MOE_LIN_GATE, MOE_UP } }, { 1, { MOE_DOWN } } };

enum moe_group moe_group_of(enum moe_linear l)
{
	return l <= MOE_V       ? MOE_GROUP_QKV
		: l == MOE_O    ? MOE_GROUP_O
		: l == MOE_DOWN ? MOE_GROUP_DOWN
				: MOE_GROUP_GU;
}

void moe_linear_shape(const struct moe_config *c, enum moe_linear l, int *d_in, int *d_out)
{
	int attn = c->H * c->hd, kv = c->K * c->hd;

	*d_in = l == MOE_O ? attn : l == MOE_DOWN ? c->F : c->D;
	*d_out = l == MOE_Q                        ? attn
		: l == MOE_K || l == MOE_V         ? kv
		: l == MOE_LIN_GATE || l == MOE_UP ? c->F
						   : c->D;
}

/* The byte vocabulary's specials (formats/tokenizer/tokenizer.h): <|pad|> 256, <|bos|> 257, <|eos|>
 * 258. */
static const struct preset {
	const char *name;
	struct moe_config c;
} presets[] = {
	{ "tiny",
		{ .family = MOE_LLAMA,
			.V = 259,
			.D = 96,
			.L = 3,
			.H = 4,
			.K = 4,
			.hd = 24,
			.F = 256,
			.max_pos = 1024,
			.theta = 10000,
			.eps = 1e-5,
			.tied = true,
			.bos = 257,
			.pad = 256,
			.n_eos = 1,
			.eos = { 258 } } },
	{ "30m",
		{ .family = MOE_LLAMA,
			.V = 259,
			.D = 512,
			.L = 10,
			.H = 8,
			.K = 4,
			.hd = 64,
			.F = 1536,
			.max_pos = 2048,
			.theta = 10000,
			.eps = 1e-5,
			.tied = true,
			.bos = 257,
			.pad = 256,
			.n_eos = 1,
			.eos = { 258 } } },
	{ "smollm2-135m",
		{ .family = MOE_LLAMA,
			.V = 49152,
			.D = 576,
			.L = 30,
			.H = 9,
			.K = 3,
			.hd = 64,
			.F = 1536,
			.max_pos = 8192,
			.theta = 100000,
			.eps = 1e-5,
			.tied = true,
			.bos = 0,
			.pad = -1,
			.n_eos = 1,
			.eos = { 0 } } },
};

int moe_config_preset(const char *name, struct moe_config *c, struct moe_err *e)
{
	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
		if (!strcmp(name, presets[i].name)) {
			*c = presets[i].c;
			c->rope = MOE_ROPE_DEFAULT;
			c->rope_factor = 1;
			return 0;
		}
	return moe_fail(e, MOE_USAGE, "'%s' is not a preset: tiny, 30m, smollm2-135m", name);
}
