/* peft.c - PEFT's adapter directories, read. The writer is peft_write.c; what the modules mean to a
 * model is not known here. */
#include "formats/peft.h"
#include "formats/file.h"
#include "formats/json.h"
#include "util/digest.h"
#include "util/mem.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX ((size_t)4 << 20)
#define PREFIX     "base_model.model."
#define NAME(s)    (s).n > 80 ? 80 : (int)(s).n, (s).p ? (s).p : ""

void moe_peft_close(struct moe_peft *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free((char *)(uintptr_t)p->pair[i].module);
		free(p->pair[i].a);
		free(p->pair[i].b);
	}
	free(p->pair);
	free(p->base);
	memset(p, 0, sizeof(*p));
}

static bool is_on(const struct moe_json *j)
{
	double f = 0;
	bool v = false;

	if (moe_json_bool(j, &v) || moe_json_f64(j, &f))
		return v || f != 0;
	return moe_json_len(j) > 0 || moe_json_str(j).n > 0;
}

/* Keys that do not change what an adapter computes, or that are looked at elsewhere. Any other that
 * is set is refused: PEFT grows variants. */
static bool is_known(const char *key)
{
	static const char *const known[] = { "alpha_pattern", "auto_mapping",
		"base_model_name_or_path", "bias", "ensure_weight_tying", "eva_config",
		"exclude_modules", "inference_mode", "init_lora_weights", "layers_pattern",
		"layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core", "peft_type",
		"peft_version", "qalora_group_size", "r", "rank_pattern", "revision",
		"runtime_config", "target_modules", "task_type", "use_rslora" };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(key, known[i]))
			return true;
	return false;
}

static int refuse(const struct moe_json *root, const char *path, struct moe_err *e)
{
	static const char *const init[] = { "gaussian", "eva", "orthogonal" };
	struct moe_str type = moe_json_str(moe_json_get(root, "peft_type")),
		       bias = moe_json_str(moe_json_get(root, "bias"));
	struct moe_str start = moe_json_str(moe_json_get(root, "init_lora_weights"));
	bool known = !start.p;
	const void *cursor = NULL;
	const struct moe_json *value;
	const char *key;

	if (!moe_str_eq(type, "LORA"))
		return moe_fail(e, MOE_DATA, "%s: peft_type \"%.*s\" is not supported (LORA is)",
			path, NAME(type));
	while (moe_json_next(root, &cursor, &key, &value))
		if (!is_known(key) && is_on(value))
			return moe_fail(e, MOE_DATA, "%s: \"%.80s\" is not supported", path, key);
	if (bias.p && !moe_str_eq(bias, "none"))
		return moe_fail(e, MOE_DATA, "%s: bias \"%.*s\" is not supported (none is)", path,
			NAME(bias));
	for (size_t i = 0; i < sizeof(init) / sizeof(init[0]); i++)
		known |= moe_str_eq(start, init[i]);
	return known ? 0
		     : moe_fail(e, MOE_DATA,
			       "%s: init_lora_weights \"%.*s\" alters the base's weights, which is "
			       "not supported",
			       path, NAME(start));
}

/* A pattern's key is a suffix of the module's name, at a dot. Keys that are regular expressions are
 * refused. */
static int pattern(const struct moe_json *map, const char *module, const char *path, double *out,
	struct moe_err *e)
{
	const void *cursor = NULL;
	const struct moe_json *v;
	const char *key;

	while (moe_json_next(map, &cursor, &key, &v)) {
		size_t n = strlen(key), m = strlen(module);

		if (strcspn(key, "^$*+?()[]{}|\\") != n)
			return moe_fail(e, MOE_DATA,
				"%s: the pattern '%.80s' is a regular expression, which is not "
				"supported",
				path, key);
		if (n && n <= m && !strcmp(module + m - n, key) &&
			(n == m || module[m - n - 1] == '.')) {
			if (!moe_json_f64(v, out) || !(*out > 0) || !isfinite(*out))
				return moe_fail(e, MOE_DATA,
					"%s: the pattern '%.80s' has no finite number above 0",
					path, key);
			return 0; /* the first that fits, as in PEFT */
		}
	}
	return 0;
}

static int take(const struct moe_st_tensor *t, float **out, struct moe_err *e)
{
	size_t n = (size_t)(t->shape[0] * t->shape[1]);

	if (t->rank != 2 || !n || t->shape[0] > INT_MAX || t->shape[1] > INT_MAX)
		return moe_fail(e, MOE_DATA, "tensor '%s' is not a matrix", t->name);
	*out = moe_alloc(n, sizeof(float), e);
	return *out ? moe_st_floats(t, 0, n, *out, e) : -1;
}

/* The pair whose A is t. */
static int take_pair(struct moe_peft *p, const struct moe_st *st, const struct moe_st_tensor *ta,
	const struct moe_json *root, const char *path, struct moe_err *e)
{
	struct moe_peft_pair *x = &p->pair[p->n++];
	size_t n = strlen(ta->name) - strlen(PREFIX) - strlen(".lora_A.weight");
	char *name = strdup(ta->name), *module = strndup(ta->name + strlen(PREFIX), n);
	const struct moe_st_tensor *tb;
	double r = p->r, alpha = p->alpha;

	x->module = module;
	if (!name || !module) {
		free(name);
		return moe_fail(e, MOE_SYSTEM, "%s: out of memory", path);
	}
	name[strlen(name) - strlen("A.weight")] = 'B';
	tb = moe_st_find(st, name);
	free(name);
	if (!tb)
		return moe_fail(e, MOE_DATA, "tensor '%s' has no lora_B", ta->name);
	if (take(ta, &x->a, e) || take(tb, &x->b, e) ||
		pattern(moe_json_get(root, "rank_pattern"), module, path, &r, e) ||
		pattern(moe_json_get(root, "alpha_pattern"), module, path, &alpha, e))
		return -1;
	x->r = (int)ta->shape[0];
	x->in = (int)ta->shape[1];
	x->out = (int)tb->shape[0];
	if ((double)x->r != r || tb->shape[1] != ta->shape[0])
		return moe_fail(e, MOE_DATA,
			"tensor '%s' has %d rows where the configuration says rank %g", ta->name,
			x->r, r);
	x->scale = is_on(moe_json_get(root, "use_rslora")) ? alpha / sqrt(r) : alpha / r;
	return 0;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

static int take_all(struct moe_peft *p, const struct moe_st *st, const struct moe_json *root,
	const char *path, struct moe_err *e)
{
	size_t n = moe_st_count(st), b = 0;

	p->pair = moe_alloc(n + 1, sizeof(*p->pair), e);
	if (!p->pair)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const struct moe_st_tensor *t = moe_st_at(st, i);
		bool a = ends_with(t->name, ".lora_A.weight");

		if (strncmp(t->name, PREFIX, strlen(PREFIX)) ||
			(!a && !ends_with(t->name, ".lora_B.weight")) ||
			strlen(t->name) <= strlen(PREFIX) + strlen(".lora_A.weight"))
			return moe_fail(e, MOE_DATA,
				"tensor '%s' is not part of a plain LoRA of Linears", t->name);
		if (a && take_pair(p, st, t, root, path, e))
			return -1;
		b += !a;
	}
	if (b != p->n || !b)
		return moe_fail(e, MOE_DATA, "there are %zu lora_A and %zu lora_B", p->n, b);
	return 0;
}

static int take_config(
	struct moe_peft *p, const struct moe_json *root, const char *path, struct moe_err *e)
{
	struct moe_str base = moe_json_str(moe_json_get(root, "base_model_name_or_path"));
	int64_t r = 8; /* PEFT's defaults, for files that leave them implicit */

	p->alpha = 8;
	if (moe_json_kind(root) != MOE_J_OBJECT)
		return moe_fail(e, MOE_DATA, "%s: not a JSON object", path);
	if (refuse(root, path, e))
		return -1;
	if ((moe_json_get(root, "r") && !moe_json_int(moe_json_get(root, "r"), &r)) || r < 1 ||
		r > 65536)
		return moe_fail(e, MOE_DATA, "%s: \"r\" is not a rank", path);
	if ((moe_json_get(root, "lora_alpha") &&
		    !moe_json_f64(moe_json_get(root, "lora_alpha"), &p->alpha)) ||
		!isfinite(p->alpha))
		return moe_fail(e, MOE_DATA, "%s: \"lora_alpha\" is not a number", path);
	p->r = (int)r;
	p->base = base.p ? moe_str_dup(base, e) : strdup("");
	return p->base ? 0 : -1;
}

static int take_origin(struct moe_peft_origin *o, const struct moe_st *st, struct moe_err *e)
{
	const char *labels = moe_st_meta(st, "moe.labels"), *base = moe_st_meta(st, "moe.base");

	o->told = labels;
	if (base && moe_sha256_is_hex(base, strlen(base)))
		memcpy(o->base, base, sizeof(o->base));
	return labels ? moe_labels_parse((struct moe_str){ labels, strlen(labels) }, &o->labels, e)
		      : 0;
}

int moe_peft_open(struct moe_peft *p, const char *dir, struct moe_err *e)
{
	char *path = moe_path_join(dir, "adapter_config.json", e);
	struct moe_json_doc *d = NULL;
	struct moe_buf text = { 0 };
	struct moe_st *st = NULL;
	int r = -1;

	memset(p, 0, sizeof(*p));
	if (path && !moe_file_read(path, &text, CONFIG_MAX, e))
		d = moe_json_parse((const char *)text.data, text.len, path, e);
	if (d && !take_config(p, moe_json_root(d), path, e))
		st = moe_st_open_dir(dir, "adapter_model", e);
	if (st) {
		r = take_all(p, st, moe_json_root(d), path, e) || take_origin(&p->origin, st, e)
			? -1
			: 0;
		if (r)
			moe_err_prefix(e, "%s", dir);
	}
	moe_st_close(st);
	moe_json_free(d);
	moe_buf_free(&text);
	free(path);
	if (r)
		moe_peft_close(p);
	return r;
}
