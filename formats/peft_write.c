/* peft_write.c - PEFT's adapter directories, written: the values that PEFT would otherwise take
 * from its defaults are all spelled out. */
#include "formats/file.h"
#include "formats/json.h"
#include "formats/peft.h"
#include "util/mem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *leaf(const char *module)
{
	const char *dot = strrchr(module, '.');

	return dot ? dot + 1 : module;
}

/* target_modules: the last parts of the names, each once. */
static int add_targets(const struct moe_peft *p, struct moe_buf *o, struct moe_err *e)
{
	bool any = false;

	for (size_t i = 0; i < p->n; i++) {
		const char *name = leaf(p->pair[i].module);
		size_t k = 0;

		while (k < i && strcmp(leaf(p->pair[k].module), name))
			k++;
		if (k < i)
			continue;
		if ((any && moe_buf_add(o, ", ", 2, e)) || moe_json_quote(o, name, strlen(name), e))
			return -1;
		any = true;
	}
	return 0;
}

static int make_config(const struct moe_peft *p, struct moe_buf *o, struct moe_err *e)
{
	const char *base = p->base && *p->base ? p->base : NULL;

	if (moe_buf_addf(o, e,
		    "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\",\n  "
		    "\"base_model_name_or_path\": "))
		return -1;
	if (base ? moe_json_quote(o, base, strlen(base), e) : moe_buf_addf(o, e, "null"))
		return -1;
	if (moe_buf_addf(o, e,
		    ",\n  \"r\": %d,\n  \"lora_alpha\": %.17g,\n  \"lora_dropout\": 0.0,\n  "
		    "\"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n"
		    "  \"use_rslora\": false,\n  \"use_dora\": false,\n  \"inference_mode\": "
		    "true,\n  \"target_modules\": [",
		    p->r, p->alpha))
		return -1;
	return add_targets(p, o, e) || moe_buf_addf(o, e, "]\n}\n") ? -1 : 0;
}

static int set(struct moe_st_tensor *t, const struct moe_peft_pair *x, bool b, struct moe_err *e)
{
	struct moe_buf name = { 0 };

	if (moe_buf_addf(
		    &name, e, "base_model.model.%s.lora_%c.weight", x->module, b ? 'B' : 'A') ||
		!moe_buf_cstr(&name, e)) {
		moe_buf_free(&name);
		return -1;
	}
	*t = (struct moe_st_tensor){
		.name = (char *)name.data, .dtype = "F32", .rank = 2, .data = b ? x->b : x->a
	};
	t->shape[0] = (uint64_t)(b ? x->out : x->r);
	t->shape[1] = (uint64_t)(b ? x->r : x->in);
	t->bytes = (size_t)(t->shape[0] * t->shape[1]) * sizeof(float);
	return 0;
}

static int write_tensors(const struct moe_peft *p, const char *dir, struct moe_err *e)
{
	const char *const meta[3][2] = { { "format", "pt" },
		{ "moe.labels", moe_labels_name(p->origin.labels) },
		{ "moe.base", p->origin.base } };
	struct moe_st_tensor *t = moe_alloc(2 * p->n + 1, sizeof(*t), e);
	char *path = moe_path_join(dir, "adapter_model.safetensors", e);
	size_t n = 0;
	int r = t && path ? 0 : -1;

	for (; !r && n < 2 * p->n; n += !r)
		r = set(&t[n], &p->pair[n / 2], n % 2, e);
	if (!r)
		r = moe_st_write(path, t, n, meta, p->origin.base[0] ? 3 : 2, e);
	for (size_t i = 0; i < n; i++)
		free((char *)(uintptr_t)t[i].name);
	free(t);
	free(path);
	return r;
}

int moe_peft_write(const struct moe_peft *p, const char *dir, struct moe_err *e)
{
	struct moe_buf text = { 0 };
	char *path = NULL;
	int r = -1;

	for (size_t i = 0; i < p->n; i++)
		if (p->pair[i].r != p->r)
			return moe_fail(e, MOE_DATA, "%s: module '%s' has rank %d, the adapter %d",
				dir, p->pair[i].module, p->pair[i].r, p->r);
	if (mkdir(dir, 0777) && errno != EEXIST)
		return moe_fail_errno(e, "%s: cannot make the directory", dir);
	if (!make_config(p, &text, e) && !write_tensors(p, dir, e))
		path = moe_path_join(dir, "adapter_config.json", e);
	if (path)
		r = moe_file_replace(path, text.data, text.len, e);
	free(path);
	moe_buf_free(&text);
	return r;
}
