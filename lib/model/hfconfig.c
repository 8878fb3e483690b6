/* hfconfig.c - config.json of transformers 4 and 5 to and from struct moe_config. It touches no
 * weights. */
#include "formats/file.h"
#include "formats/json.h"
#include "formats/tokenizer/special.h"
#include "model/load.h"
#include "util/elementary.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#define CONFIG_MAX ((size_t)1 << 20) /* bytes of a config.json that are read */

/* What every getter below reads from; name is the file's, for messages. */
struct from {
	const struct moe_json *root;
	const char *name;
	struct moe_err *e;
};

/* With what the classes of transformers fill in for keys that are missing (configuration_*.py); kv
 * 0 = as many as heads. */
static const struct family {
	const char *type, *architecture;
	int max_pos, kv;
} families[] = {
	[MOE_LLAMA] = { "llama", "LlamaForCausalLM", 2048, 0 },
	[MOE_MISTRAL] = { "mistral", "MistralForCausalLM", 131072, 8 },
	[MOE_QWEN2] = { "qwen2", "Qwen2ForCausalLM", 32768, 32 },
	[MOE_QWEN3] = { "qwen3", "Qwen3ForCausalLM", 32768, 32 },
};
#define WINDOW_DEFAULT 4096 /* of Mistral and Qwen */

static bool absent(const struct moe_json *j)
{
	return moe_json_kind(j) == MOE_J_NULL; /* missing or null */
}

/* null is not the same as missing where a class has a default: a key that is missing gets the
 * default, one that is null turns the thing off (sliding_window) or means something of its own
 * (num_key_value_heads). */
static bool is_there(const struct from *f, const char *want)
{
	const void *cursor = NULL;
	const struct moe_json *value;
	const char *key;

	while (moe_json_next(f->root, &cursor, &key, &value))
		if (!strcmp(key, want))
			return true;
	return false;
}

/* A whole number in [lo, INT_MAX]; absent: def, or an error when def < 0. */
static int get_int(const struct from *f, const char *key, int lo, int def, int *out)
{
	const struct moe_json *j = moe_json_get(f->root, key);
	int64_t v;

	if (absent(j) && def >= 0) {
		*out = def;
		return 0;
	}
	if (absent(j))
		return moe_fail(f->e, MOE_DATA, "%s: \"%s\" is missing", f->name, key);
	if (!moe_json_int(j, &v) || v < lo || v > INT_MAX)
		return moe_fail(f->e, MOE_DATA, "%s: \"%s\" is not a whole number from %d on",
			f->name, key, lo);
	*out = (int)v;
	return 0;
}

/* A number above 0 under a key of `in`, the root or an object in it; absent: def. */
static int get_f64(
	const struct from *f, const struct moe_json *in, const char *key, double def, double *out)
{
	const struct moe_json *j = moe_json_get(in, key);

	*out = def;
	if (absent(j))
		return 0;
	if (!moe_json_f64(j, out) || !isfinite(*out) || *out <= 0)
		return moe_fail(f->e, MOE_DATA, "%s: \"%s\" is not a number above 0", f->name, key);
	return 0;
}

/* Absent: false, which is what every class has for the keys that are asked for here. */
static int get_bool(const struct from *f, const char *key, bool *out)
{
	const struct moe_json *j = moe_json_get(f->root, key);

	*out = false;
	if (!absent(j) && !moe_json_bool(j, out))
		return moe_fail(f->e, MOE_DATA, "%s: \"%s\" is not true or false", f->name, key);
	return 0;
}

static int get_family(const struct from *f, struct moe_config *c)
{
	struct moe_str t = moe_json_str(moe_json_get(f->root, "model_type"));

	if (!t.p)
		return moe_fail(f->e, MOE_DATA, "%s: \"model_type\" is missing", f->name);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (moe_str_eq(t, families[i].type)) {
			c->family = (enum moe_family)i;
			return 0;
		}
	return moe_fail(f->e, MOE_DATA,
		"%s: model_type \"%.*s\" is not supported (llama, mistral, qwen2, qwen3 are)",
		f->name, t.n > 40 ? 40 : (int)t.n, t.p);
}

/* V, D, L, H, K, hd, F and max_pos. q is [H hd, D], k and v [K hd, D]: hd need not be D / H, and
 * each of the K key/value heads serves H / K query heads (grouped-query attention). */
static int get_shape(const struct from *f, struct moe_config *c)
{
	const struct family *y = &families[c->family];
	int hd_default, kv_default;

	if (get_int(f, "vocab_size", 1, -1, &c->V) || get_int(f, "hidden_size", 1, -1, &c->D) ||
		get_int(f, "num_hidden_layers", 1, -1, &c->L) ||
		get_int(f, "num_attention_heads", 1, -1, &c->H) ||
		get_int(f, "intermediate_size", 1, -1, &c->F) ||
		get_int(f, "max_position_embeddings", 1, y->max_pos, &c->max_pos))
		return -1;
	/* null is as many as heads in every class */
	kv_default = is_there(f, "num_key_value_heads") || !y->kv ? c->H : y->kv;
	if (get_int(f, "num_key_value_heads", 1, kv_default, &c->K))
		return -1;
	/* Qwen3's class has a fixed default, the others divide. */
	hd_default = c->family == MOE_QWEN3 ? 128 : c->D / c->H;
	if (get_int(f, "head_dim", 1, hd_default, &c->hd))
		return -1;
	/* rope turns dimensions j and j + hd/2 of a head together */
	if (c->hd < 2 || c->hd % 2)
		return moe_fail(
			f->e, MOE_DATA, "%s: a head dimension of %d is not even", f->name, c->hd);
	if (c->H % c->K)
		return moe_fail(f->e, MOE_DATA,
			"%s: %d query heads can not share %d key/value heads evenly", f->name, c->H,
			c->K);
	/* widths and counts of cells are ints in the engine */
	if ((int64_t)c->H * c->hd > INT_MAX || (int64_t)c->L > 100000)
		return moe_fail(f->e, MOE_DATA, "%s: its sizes are too large", f->name);
	return 0;
}

/* Rope parameters lie in "rope_parameters" (transformers 5) or at the top level with "rope_scaling"
 * (4), which wins when it says anything. */
static const struct moe_json *rope_object(const struct from *f)
{
	const struct moe_json *s = moe_json_get(f->root, "rope_scaling");
	bool empty = absent(s) || (moe_json_kind(s) == MOE_J_OBJECT && !moe_json_len(s));

	return empty ? moe_json_get(f->root, "rope_parameters") : s;
}

/* Parameters that no rope type here knows; where there is no type (`plain`), those of a type. */
static int check_rope_keys(const struct from *f, const struct moe_json *j, bool plain)
{
	static const char *const known[] = { "rope_type", "type", "rope_theta",
		"partial_rotary_factor", "original_max_position_embeddings", "factor",
		"low_freq_factor", "high_freq_factor", "beta_slow", "beta_fast", "attention_factor",
		"truncate", "mscale", "mscale_all_dim" };
	const size_t n_known = sizeof(known) / sizeof(known[0]), n_plain = 5;
	const struct moe_json *value;
	const void *cursor = NULL;
	const char *key;

	while (moe_json_next(j, &cursor, &key, &value)) {
		size_t i = 0, n = plain ? n_plain : n_known;

		while (i < n && strcmp(known[i], key) != 0)
			i++;
		if (i == n && !absent(value))
			return moe_fail(f->e, MOE_DATA,
				"%s: \"%.40s\" of its rope parameters is not supported%s", f->name,
				key, plain ? " without a rope_type that it belongs to" : "");
	}
	return 0;
}

/* Rope: theta and the type of its scaling. Pair j of a head is turned by the angle pos * f_j, and
 * f_j = theta^(-2j/hd). With s = factor the types make of it (prep.c, moe_rope_freqs):
 *     default  f_j
 *     linear   f_j / s: positions are squeezed into the length of the first training
 *     llama3   f_j / s for waves 2 pi / f_j longer than orig / low, f_j for those shorter than orig
 *              / high, a straight line between
 *     yarn     the same idea with a ramp over j, and cos and sin are multiplied by 0.1 ln s + 1
 *     dynamic  f_j up to max_pos; beyond, theta would grow with the length: refused there
 * orig = original_max_position_embeddings, the length of the first training. */
static int get_rope(const struct from *f, struct moe_config *c)
{
	const struct moe_json *j = rope_object(f), *value;
	const void *cursor = NULL;
	const char *key;
	struct moe_str type;
	double theta, partial;

	if (!absent(j) && moe_json_kind(j) != MOE_J_OBJECT)
		return moe_fail(
			f->e, MOE_DATA, "%s: its rope parameters are not an object", f->name);
	/* in its object first, else at the top level, else the default of all four classes */
	if (get_f64(f, f->root, "rope_theta", 10000, &theta) ||
		get_f64(f, j, "rope_theta", theta, &c->theta) ||
		get_f64(f, f->root, "partial_rotary_factor", 1, &partial) ||
		get_f64(f, j, "partial_rotary_factor", partial, &partial))
		return -1;
	if (partial != 1)
		return moe_fail(f->e, MOE_DATA,
			"%s: a partial_rotary_factor of %g is not supported", f->name, partial);
	/* all of a head is turned from here on: hd / 2 pairs */
	type = moe_json_str(moe_json_get(j, "rope_type"));
	if (!type.p) /* an older name of the key */
		type = moe_json_str(moe_json_get(j, "type"));
	c->rope_factor = 1;
	c->rope_orig = c->max_pos;
	if (!type.p || moe_str_eq(type, "default")) {
		c->rope = MOE_ROPE_DEFAULT;
		while (moe_json_next(j, &cursor, &key, &value))
			if (moe_json_kind(value) == MOE_J_OBJECT)
				return moe_fail(f->e, MOE_DATA,
					"%s: rope parameters that differ by layer are not "
					"supported",
					f->name);
		return check_rope_keys(f, j, true);
	}
	if (moe_str_eq(type, "linear"))
		c->rope = MOE_ROPE_LINEAR;
	else if (moe_str_eq(type, "llama3"))
		c->rope = MOE_ROPE_LLAMA3;
	else if (moe_str_eq(type, "yarn"))
		c->rope = MOE_ROPE_YARN;
	else if (moe_str_eq(type, "dynamic"))
		c->rope = MOE_ROPE_DYNAMIC;
	else
		return moe_fail(f->e, MOE_DATA,
			"%s: rope type \"%.*s\" is not supported (default, linear, dynamic, "
			"llama3, yarn are)",
			f->name, type.n > 40 ? 40 : (int)type.n, type.p);
	if (check_rope_keys(f, j, false))
		return -1;
	if (absent(moe_json_get(j, "factor")))
		return moe_fail(f->e, MOE_DATA, "%s: \"factor\" of its rope parameters is missing",
			f->name);
	/* the one at the top level wins, as in transformers 5 */
	if ((c->rope == MOE_ROPE_LLAMA3 || c->rope == MOE_ROPE_YARN) &&
		(get_f64(f, j, "original_max_position_embeddings", c->rope_orig, &c->rope_orig) ||
			get_f64(f, f->root, "original_max_position_embeddings", c->rope_orig,
				&c->rope_orig)))
		return -1;
	return get_f64(f, j, "factor", 1, &c->rope_factor);
}

/* The further parameters of llama3 and yarn. rope_low and rope_high count turns of a pair over orig
 * positions: what turns less often than low is scaled by 1 / factor, what turns more often than
 * high is left as it is. Llama 3 calls them low/high_freq_factor, yarn beta_slow/beta_fast. */
static int get_rope_more(const struct from *f, struct moe_config *c)
{
	const struct moe_json *j = rope_object(f);
	double att, want;
	bool truncate = true;

	if (c->rope == MOE_ROPE_LLAMA3) {
		if (absent(moe_json_get(j, "low_freq_factor")) ||
			absent(moe_json_get(j, "high_freq_factor")))
			return moe_fail(f->e, MOE_DATA,
				"%s: rope type llama3 needs low_freq_factor and high_freq_factor",
				f->name);
		if (get_f64(f, j, "low_freq_factor", 1, &c->rope_low) ||
			get_f64(f, j, "high_freq_factor", 4, &c->rope_high))
			return -1;
		/* the line between the two divides by high - low */
		if (c->rope_high <= c->rope_low)
			return moe_fail(f->e, MOE_DATA,
				"%s: high_freq_factor must be above low_freq_factor", f->name);
	}
	if (c->rope != MOE_ROPE_YARN)
		return 0;
	/* YaRN's factor on cos and sin (Peng et al. 2309.00071, sqrt(1/t)): moe_rope_freqs makes
	 * this one and no other, so a file may say it but not change it */
	want = c->rope_factor > 1 ? 0.1 * moe_log(c->rope_factor) + 1 : 1;
	if (get_f64(f, j, "beta_slow", 1, &c->rope_low) ||
		get_f64(f, j, "beta_fast", 32, &c->rope_high) ||
		get_f64(f, j, "attention_factor", want, &att))
		return -1;
	moe_json_bool(moe_json_get(j, "truncate"), &truncate);
	if (fabs(att - want) > 1e-9 || !truncate || !absent(moe_json_get(j, "mscale")) ||
		!absent(moe_json_get(j, "mscale_all_dim")))
		return moe_fail(f->e, MOE_DATA,
			"%s: rope type yarn is supported with the default attention_factor, "
			"truncate and mscale only; without it the model works up to the length it "
			"was first trained at",
			f->name);
	return 0;
}

/* The end tokens; eos[0] is the one that is written behind a text. */
void moe_config_special(struct moe_config *c, const struct moe_special *s)
{
	c->n_eos = s->n_end;
	memcpy(c->eos, s->end, (size_t)s->n_end * sizeof(*c->eos));
	c->bos = s->bos >= 0 ? s->bos : c->bos;
}

/* bos and pad: an id outside of the vocabulary counts as none (-1). End tokens: one or several. */
static int get_tokens(const struct from *f, struct moe_config *c)
{
	struct moe_special s = { .bos = -1 };
	int64_t v;

	c->bos = c->pad = -1;
	if (moe_json_int(moe_json_get(f->root, "bos_token_id"), &v) && v >= 0 && v < c->V)
		c->bos = (int)v;
	if (moe_json_int(moe_json_get(f->root, "pad_token_id"), &v) && v >= 0 && v < c->V)
		c->pad = (int)v;
	if (moe_special_take(f->root, f->name, c->V, &s, f->e))
		return -1;
	moe_config_special(c, &s);
	return 0;
}

/* Biases and norms: by configuration in Llama and Qwen3, hard-wired in Qwen2 (configuration_*.py).
 */
static int get_extras(const struct from *f, struct moe_config *c)
{
	bool attention = false;

	if (get_bool(f, "tie_word_embeddings", &c->tied))
		return -1;
	if ((c->family == MOE_LLAMA || c->family == MOE_QWEN3) &&
		get_bool(f, "attention_bias", &attention))
		return -1;
	if (c->family == MOE_LLAMA && get_bool(f, "mlp_bias", &c->mlp_bias))
		return -1;
	/* Qwen2: q, k, v always, o never; Qwen3: RMSNorm of each head's q and k before rope */
	c->qkv_bias = attention || c->family == MOE_QWEN2;
	c->o_bias = attention;
	c->qk_norm = c->family == MOE_QWEN3;
	return 0;
}

/* Attention over a window is full attention as long as the window holds all positions: only w <
 * max_pos is refused. Which layers have a window:
 *     mistral     all, unless sliding_window is null; missing means 4,096
 *     qwen2, 3    layers from max_window_layers on, if use_sliding_window
 *     llama       none; but a sliding_window that is named is taken at its word
 * Where layer_types is there it names them one by one, and wins; mistral's class does not read it.
 * `use`: is there any; `from`: the first such layer; w: tokens of the window. */
static int refuse_window(const struct from *f, const struct moe_config *c)
{
	const struct moe_json *types = moe_json_get(f->root, "layer_types"),
			      *size = moe_json_get(f->root, "sliding_window");
	bool use = c->family == MOE_MISTRAL;
	int w = INT_MAX, from = 0;

	if (c->family == MOE_LLAMA) /* its class knows no window: one that is named is meant */
		use = !absent(size);
	if (c->family != MOE_MISTRAL && c->family != MOE_LLAMA &&
		(get_bool(f, "use_sliding_window", &use) ||
			get_int(f, "max_window_layers", 0, 28, &from)))
		return -1;
	/* w stays INT_MAX, no window, where the key is null, or missing in a llama */
	if ((!absent(size) || (!is_there(f, "sliding_window") && c->family != MOE_LLAMA)) &&
		get_int(f, "sliding_window", 1, WINDOW_DEFAULT, &w))
		return -1;
	/* one layer that is not full counts as all of them: the answer is the same */
	if (c->family != MOE_MISTRAL && !absent(types)) {
		from = c->L;
		for (size_t i = 0; i < moe_json_len(types); i++)
			if (!moe_str_eq(moe_json_str(moe_json_at(types, i)), "full_attention"))
				from = 0;
		use |= from == 0;
	}
	if (!use || from >= c->L || w >= c->max_pos)
		return 0;
	return moe_fail(f->e, MOE_DATA,
		"%s: sliding-window attention is not supported; texts of up to %d tokens do not "
		"need it: set \"sliding_window\" to null, \"layer_types\" too, and "
		"\"max_position_embeddings\" to %d",
		f->name, w, w);
}

/* Keys that change what a model computes, and the value with which they change nothing: other
 * families have them, and forks of these. */
static const struct {
	const char *key;
	double neutral; /* true counts as 1, false as 0; NAN: no value does */
} changes[] = { { "is_causal", 1 }, { "use_bidirectional_attention", 0 }, { "use_rope", 1 },
	{ "alibi", 0 }, { "use_alibi", 0 }, { "rope_interleaved", 0 }, { "no_rope_layers", NAN },
	{ "no_rope_layer_interval", 0 }, { "attention_chunk_size", NAN }, { "logit_scale", 1 },
	{ "logits_scaling", 1 }, { "logits_scale", 1 }, { "embedding_multiplier", 1 },
	{ "embedding_scale", 1 }, { "scale_emb", 1 }, { "scale_depth", NAN },
	{ "residual_multiplier", 1 }, { "attention_multiplier", NAN },
	{ "query_pre_attn_scalar", NAN }, { "final_logit_softcapping", 0 },
	{ "attn_logit_softcapping", 0 }, { "clip_qkv", 0 }, { "qk_layernorm", 0 },
	{ "use_qk_norm", 0 }, { "parallel_attn", 0 }, { "add_cross_attention", 0 },
	{ "num_local_experts", 0 }, { "num_experts", 0 }, { "n_routed_experts", 0 },
	{ "rotary_pct", 1 }, { "rotary_percent", 1 }, { "softmax_scale", NAN },
	{ "attention_scale", NAN }, { "output_multiplier_scale", 1 },
	{ "embedding_multiplier_scale", 1 }, { "logits_soft_cap", 0 }, { "normalize_embedding", 0 },
	{ "lm_head_bias", 0 } };

/* Layers of kinds that are not computed; windows are refuse_window's. */
static int refuse_layers(const struct from *f, const struct moe_config *c)
{
	const struct moe_json *types = moe_json_get(f->root, "layer_types");

	for (size_t i = 0; i < moe_json_len(types); i++) {
		struct moe_str t = moe_json_str(moe_json_at(types, i));

		if (!moe_str_eq(t, "full_attention") &&
			(c->family == MOE_LLAMA || !moe_str_eq(t, "sliding_attention")))
			return moe_fail(f->e, MOE_DATA,
				"%s: \"layer_types\" has %.*s, which is not supported", f->name,
				t.n > 40 ? 40 : (int)t.n, t.p ? t.p : "something else than names");
	}
	return 0;
}

/* Every key of the list above, where it has a value that changes something; and biases in
 * families whose classes have none. */
static int refuse_changes(const struct from *f, const struct moe_config *c)
{
	bool has = false;

	if (refuse_layers(f, c))
		return -1;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct moe_json *j = moe_json_get(f->root, changes[i].key);
		double v = NAN;
		bool b;

		/* an empty array names no layer */
		if (absent(j) || ((moe_json_kind(j) == MOE_J_ARRAY) && !moe_json_len(j)))
			continue;
		if (moe_json_bool(j, &b))
			v = b;
		else
			moe_json_f64(j, &v);
		/* not v != neutral: a string, or a neutral that is NAN, is refused too */
		if (!(v == changes[i].neutral))
			return moe_fail(f->e, MOE_DATA,
				"%s: \"%s\" changes what a model computes, and is not supported "
				"with this value",
				f->name, changes[i].key);
	}
	if (c->family == MOE_MISTRAL && (get_bool(f, "attention_bias", &has) || has))
		return has
			? moe_fail(f->e, MOE_DATA,
				  "%s: \"attention_bias\" is not supported in a mistral", f->name)
			: -1;
	if (c->family != MOE_LLAMA && (get_bool(f, "mlp_bias", &has) || has))
		return has ? moe_fail(f->e, MOE_DATA,
				     "%s: \"mlp_bias\" is supported in a llama alone", f->name)
			   : -1;
	return 0;
}

/* Whatever would change the computation in a way that the engine does not have. */
static int refuse(const struct from *f, const struct moe_config *c)
{
	struct moe_str act = moe_json_str(moe_json_get(f->root, "hidden_act"));

	if (!absent(moe_json_get(f->root, "hidden_act")) && !moe_str_eq(act, "silu") &&
		!moe_str_eq(act, "swish"))
		return moe_fail(f->e, MOE_DATA,
			"%s: hidden_act \"%.*s\" is not supported (silu is)", f->name,
			act.n > 40 ? 40 : (int)act.n, act.p ? act.p : "");
	if (!absent(moe_json_get(f->root, "quantization_config")))
		return moe_fail(f->e, MOE_DATA,
			"%s: quantised weights are not supported; take the model in float16, "
			"bfloat16 or float32",
			f->name);
	return refuse_changes(f, c) ? -1 : refuse_window(f, c);
}

/* Order matters: the family has the defaults of the shape, the shape those of rope (orig = max_pos)
 * and the bound of token ids (V); what is refused is looked for when everything is known. */
int moe_config_parse(
	const char *p, size_t n, const char *name, struct moe_config *c, struct moe_err *e)
{
	struct moe_json_doc *d = moe_json_parse(p, n, name, e);
	struct from f = { NULL, name, e };
	int r = -1;

	if (!d)
		return -1;
	f.root = moe_json_root(d);
	memset(c, 0, sizeof(*c));
	if (moe_json_kind(f.root) != MOE_J_OBJECT)
		moe_fail(e, MOE_DATA, "%s: not a JSON object", name);
	else if (!get_family(&f, c) && !get_shape(&f, c) &&
		!get_f64(&f, f.root, "rms_norm_eps", 1e-6, &c->eps) && !get_rope(&f, c) &&
		!get_rope_more(&f, c) && !get_tokens(&f, c) && !get_extras(&f, c))
		r = refuse(&f, c);
	moe_json_free(d);
	return r;
}

int moe_config_read(const char *path, struct moe_config *c, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	int r = moe_file_read(path, &b, CONFIG_MAX, e);

	if (!r)
		r = moe_config_parse((const char *)b.data, b.len, path, c, e);
	moe_buf_free(&b);
	return r;
}

/* Rope in transformers 4's form, which transformers 5 reads too: theta at the top level and the
 * scaling in an object. %.17g: a double that is read back is the same double. */
static int write_rope(const struct moe_config *c, struct moe_buf *o, struct moe_err *e)
{
	static const char *const name[] = {
		[MOE_ROPE_LINEAR] = "linear",
		[MOE_ROPE_LLAMA3] = "llama3",
		[MOE_ROPE_YARN] = "yarn",
		[MOE_ROPE_DYNAMIC] = "dynamic",
	};

	if (moe_buf_addf(o, e, "  \"rope_theta\": %.17g,\n", c->theta))
		return -1;
	if (c->rope == MOE_ROPE_DEFAULT)
		return moe_buf_addf(o, e, "  \"rope_scaling\": null,\n");
	if (moe_buf_addf(o, e, "  \"rope_scaling\": {\"rope_type\": \"%s\", \"factor\": %.17g",
		    name[c->rope], c->rope_factor))
		return -1;
	if (c->rope == MOE_ROPE_LLAMA3 &&
		moe_buf_addf(o, e, ", \"low_freq_factor\": %.17g, \"high_freq_factor\": %.17g",
			c->rope_low, c->rope_high))
		return -1;
	if (c->rope == MOE_ROPE_YARN &&
		moe_buf_addf(o, e, ", \"beta_slow\": %.17g, \"beta_fast\": %.17g", c->rope_low,
			c->rope_high))
		return -1;
	/* llama3 and yarn measure turns by it; where it is max_pos it is written all the same */
	if (c->rope != MOE_ROPE_LINEAR && c->rope != MOE_ROPE_DYNAMIC &&
		moe_buf_addf(o, e, ", \"original_max_position_embeddings\": %.17g", c->rope_orig))
		return -1;
	return moe_buf_addf(o, e, "},\n");
}

static int write_id(struct moe_buf *o, const char *key, int id, struct moe_err *e)
{
	return id < 0 ? moe_buf_addf(o, e, "  \"%s\": null,\n", key)
		      : moe_buf_addf(o, e, "  \"%s\": %d,\n", key, id);
}

/* eos_token_id is a number, an array of several, or null. */
static int write_tokens(const struct moe_config *c, struct moe_buf *o, struct moe_err *e)
{
	if (write_id(o, "bos_token_id", c->bos, e) || write_id(o, "pad_token_id", c->pad, e))
		return -1;
	if (c->n_eos <= 1)
		return write_id(o, "eos_token_id", c->n_eos ? c->eos[0] : -1, e);
	for (int i = 0; i < c->n_eos; i++)
		if (moe_buf_addf(o, e, "%s%d", i ? ", " : "  \"eos_token_id\": [", c->eos[i]))
			return -1;
	return moe_buf_addf(o, e, "],\n");
}

/* Shape, rope and tokens are written even where they are the default of a class: the defaults
 * differ by family (`families` above). */
int moe_config_write(const struct moe_config *c, struct moe_buf *o, struct moe_err *e)
{
	const struct family *f = &families[c->family];

	if (moe_buf_addf(o, e,
		    "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n  "
		    "\"vocab_size\": %d,\n  \"hidden_size\": %d,\n"
		    "  \"intermediate_size\": %d,\n  \"num_hidden_layers\": %d,\n  "
		    "\"num_attention_heads\": %d,\n  \"num_key_value_heads\": %d,\n"
		    "  \"head_dim\": %d,\n  \"hidden_act\": \"silu\",\n  "
		    "\"max_position_embeddings\": %d,\n  \"rms_norm_eps\": %.17g,\n",
		    f->architecture, f->type, c->V, c->D, c->F, c->L, c->H, c->K, c->hd, c->max_pos,
		    c->eps))
		return -1;
	if (write_rope(c, o, e) || write_tokens(c, o, e))
		return -1;
	/* the switches that the family's class has; elsewhere biases are hard-wired (get_extras) */
	if ((c->family == MOE_LLAMA || c->family == MOE_QWEN3) &&
		moe_buf_addf(o, e, "  \"attention_bias\": %s,\n", c->qkv_bias ? "true" : "false"))
		return -1;
	if (c->family == MOE_LLAMA &&
		moe_buf_addf(o, e, "  \"mlp_bias\": %s,\n", c->mlp_bias ? "true" : "false"))
		return -1;
	/* left out it would be a window of 4,096 */
	if (c->family == MOE_MISTRAL && moe_buf_addf(o, e, "  \"sliding_window\": null,\n"))
		return -1;
	return moe_buf_addf(o, e,
		"  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"float32\"\n}\n",
		c->tied ? "true" : "false");
}
