/* peft.c - the layout of experts against the pairs of a PEFT directory. Files are formats/peft.c's.
 */
#include "moe/peft.h"
#include "formats/file.h"
#include "formats/json.h"
#include "formats/peft.h"
#include "util/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Presence of the expert that owns a slot. */
static double present_of(const struct moe_experts *x, int slot)
{
	int i = 0;

	while (i + 1 < x->E && slot >= x->first[i + 1])
		i++;
	return x->present[i];
}

/* Rows first .. first+r of A, and these columns of B times alive and present. */
int moe_experts_pair(const struct moe_experts *x, int i, int first, int r, struct moe_peft_pair *p,
	struct moe_err *e)
{
	enum moe_linear l = (enum moe_linear)(i % MOE_LINEARS);
	const moe_real *A, *B;
	char name[96];
	int in, out;

	moe_linear_shape(&x->config, l, &in, &out);
	snprintf(name, sizeof(name), "model.layers.%d.%s", i / MOE_LINEARS, moe_linear_modules[l]);
	p->module = strdup(name);
	p->r = r;
	p->in = in;
	p->out = out;
	p->a = moe_alloc((size_t)r * (size_t)in, sizeof(float), e);
	p->b = moe_alloc((size_t)r * (size_t)out, sizeof(float), e);
	if (!p->module || !p->a || !p->b)
		return p->module ? -1 : moe_fail(e, MOE_SYSTEM, "out of memory");
	A = x->param + moe_view_of(x, (size_t)i, MOE_ROLE_A)->off;
	B = x->param + moe_view_of(x, (size_t)i, MOE_ROLE_B)->off;
	for (int k = 0; k < r; k++) {
		moe_real on = x->alive[(size_t)i * (size_t)x->R + (size_t)(first + k)] *
			(moe_real)present_of(x, first + k);

		for (int j = 0; j < in; j++)
			p->a[(size_t)k * (size_t)in + (size_t)j] = (float)
				A[(size_t)(first + k) * (size_t)in + (size_t)j];
		for (int j = 0; j < out; j++)
			p->b[(size_t)j * (size_t)r + (size_t)k] = (float)(on *
				B[(size_t)j * (size_t)x->R + (size_t)(first + k)]);
	}
	return 0;
}

int moe_experts_to_peft(const struct moe_experts *x, int expert, const char *base,
	const struct moe_peft_origin *from, const char *dir, struct moe_err *e)
{
	int blocks = x->config.L * MOE_LINEARS, first = expert < 0 ? 0 : x->first[expert],
	    r = expert < 0 ? x->R : x->rank[expert], rc = 0;
	struct moe_peft p = { .r = r, .alpha = x->scale * r, .origin = *from };

	p.pair = moe_alloc((size_t)blocks, sizeof(*p.pair), e);
	p.base = base ? strdup(base) : NULL;
	if (!p.pair || (base && !p.base))
		rc = p.pair ? moe_fail(e, MOE_SYSTEM, "out of memory") : -1;
	for (int i = 0; i < blocks && !rc; i++)
		if (x->target[i % MOE_LINEARS])
			rc = moe_experts_pair(x, i, first, r, &p.pair[p.n++], e);
	if (!rc)
		rc = moe_peft_write(&p, dir, e);
	moe_peft_close(&p);
	return rc;
}

/* ---- a whole arm ---- */

static int put_str(struct moe_buf *o, const char *key, const char *value, struct moe_err *e)
{
	return moe_buf_addf(o, e, "\"%s\": ", key) || moe_json_quote(o, value, strlen(value), e) ||
			moe_buf_addf(o, e, ", ")
		? -1
		: 0;
}

static int manifest(
	const struct moe_adapter *a, const char *labels, struct moe_buf *o, struct moe_err *e)
{
	const struct moe_experts *x = &a->x;

	if (moe_buf_addf(o, e, "{\"v\": 1, ") || put_str(o, "arm", a->arm, e) ||
		put_str(o, "method", a->method, e) ||
		(a->name[0] && put_str(o, "name", a->name, e)) || put_str(o, "base", a->base, e) ||
		put_str(o, "digest", a->digest, e) || put_str(o, "labels", labels, e) ||
		moe_buf_addf(o, e, "\"experts\": ["))
		return -1;
	for (int i = 0; i < x->E; i++)
		if (moe_buf_addf(o, e, "%s\n  {", i ? "," : "") ||
			put_str(o, "name", x->name[i], e) ||
			put_str(o, "bank", moe_bank_names[x->bank[i]], e) ||
			moe_buf_addf(
				o, e, "\"rank\": %d, \"path\": \"expert_%02d\"}", x->rank[i], i))
			return -1;
	return moe_buf_addf(o, e, "\n]}\n");
}

static int put_router(const struct moe_adapter *a, const char *dir, struct moe_err *e)
{
	struct moe_st_tensor *t = moe_alloc(a->n_tensor + 1, sizeof(*t), e);
	char *path = moe_path_join(dir, "router.safetensors", e);
	int rc = t && path ? 0 : -1;

	for (size_t i = 0; i < a->n_tensor && !rc; i++) {
		const struct moe_score_tensor *s = &a->tensor[i];

		t[i] = (struct moe_st_tensor){ .name = s->name,
			.dtype = "F32",
			.rank = s->rank,
			.data = s->data,
			.bytes = s->n * sizeof(float) };
		memcpy(t[i].shape, s->shape, sizeof(s->shape));
	}
	if (!rc)
		rc = moe_st_write(path, t, a->n_tensor, NULL, 0, e);
	free(t);
	free(path);
	return rc;
}

int moe_adapter_is_lora(const struct moe_adapter *a, const char *format, struct moe_err *e)
{
	if (a->x.router)
		return moe_fail(e, MOE_DATA,
			"the arm '%s' has a router ('%s', per %s) that weighs its experts token by "
			"token: %s has no place for it, and the experts alone would compute "
			"something else",
			a->arm, a->method, moe_placement_names[a->x.placement], format);
	return moe_experts_shifts(&a->x)
		? moe_fail(e, MOE_DATA,
			  "the arm '%s' adds a vector to a layer's output, for which %s has no "
			  "place: delete the quarantine first",
			  a->arm, format)
		: 0;
}

int moe_adapter_to_peft(const struct moe_adapter *a, const char *base, enum moe_labels labels,
	const char *dir, struct moe_err *e)
{
	struct moe_peft_origin from = { .labels = labels };
	struct moe_buf text = { 0 };
	char name[32], *path = NULL;
	int rc = 0;

	memcpy(from.base, a->base, sizeof(from.base));
	if (moe_adapter_is_lora(a, "PEFT's format", e))
		return -1;
	if (mkdir(dir, 0777) && errno != EEXIST)
		return moe_fail_errno(e, "%s: cannot make the directory", dir);
	for (int i = 0; i < a->x.E && !rc; i++) {
		snprintf(name, sizeof(name), "expert_%02d", i);
		path = moe_path_join(dir, name, e);
		rc = path ? moe_experts_to_peft(&a->x, i, base, &from, path, e) : -1;
		free(path);
	}
	if (!rc) /* and the arm as a whole, which is what is deployed */
		rc = moe_experts_to_peft(&a->x, -1, base, &from, dir, e);
	if (!rc && a->n_tensor)
		rc = put_router(a, dir, e);
	if (rc || manifest(a, moe_labels_name(labels), &text, e)) {
		moe_buf_free(&text);
		return -1;
	}
	path = moe_path_join(dir, "moe.json", e);
	rc = path ? moe_file_replace(path, text.data, text.len, e) : -1;
	free(path);
	moe_buf_free(&text);
	return rc;
}

/* ---- from PEFT ---- */

/* The block of a module's name; -1 when the model has no such Linear. A block has one name:
 * "layers.07" is not layer 7 once more. */
static int block_of(const struct moe_config *c, const char *module)
{
	char name[96];
	int layer;

	if (sscanf(module, "model.layers.%4d", &layer) != 1 || layer < 0 || layer >= c->L)
		return -1;
	for (int l = 0; l < MOE_LINEARS; l++) {
		snprintf(name, sizeof(name), "model.layers.%d.%s", layer, moe_linear_modules[l]);
		if (!strcmp(module, name))
			return layer * MOE_LINEARS + l;
	}
	return -1;
}

static int check_pair(const struct moe_config *c, const struct moe_peft_pair *p, const char *dir,
	struct moe_err *e)
{
	int i = block_of(c, p->module), in, out;

	if (i < 0)
		return moe_fail(e, MOE_DATA,
			"%s: the base has no Linear '%s' that experts can adapt", dir, p->module);
	moe_linear_shape(c, (enum moe_linear)(i % MOE_LINEARS), &in, &out);
	if (p->in != in || p->out != out)
		return moe_fail(e, MOE_DATA,
			"%s: '%s' is made for a Linear of %d to %d, the base has %d to %d", dir,
			p->module, p->in, p->out, in, out);
	return 0;
}

/* One scale holds for all Linears of x; where a module's differs, its B takes up the difference. */
static void take_pair(struct moe_experts *x, const struct moe_peft_pair *p)
{
	int i = block_of(&x->config, p->module);
	moe_real *A = x->param + moe_view_of(x, (size_t)i, MOE_ROLE_A)->off,
		 *B = x->param + moe_view_of(x, (size_t)i, MOE_ROLE_B)->off;

	for (int k = 0; k < p->r; k++) {
		for (int j = 0; j < p->in; j++)
			A[(size_t)k * (size_t)p->in + (size_t)j] =
				(moe_real)p->a[(size_t)k * (size_t)p->in + (size_t)j];
		for (int j = 0; j < p->out; j++)
			B[(size_t)j * (size_t)x->R + (size_t)k] =
				(moe_real)((double)p->b[(size_t)j * (size_t)p->r + (size_t)k] *
					(p->scale / x->scale));
	}
}

int moe_experts_from_peft(struct moe_experts *x, const struct moe_config *c, const char *dir,
	enum moe_bank bank, const char *name, struct moe_peft_origin *from, struct moe_err *e)
{
	struct moe_peft p;
	int rc = 0, r = 0;

	memset(x, 0, sizeof(*x));
	if (moe_peft_open(&p, dir, e))
		return -1;
	for (size_t i = 0; i < p.n && !rc; i++) {
		rc = check_pair(c, &p.pair[i], dir, e);
		if (!rc)
			x->target[block_of(c, p.pair[i].module) % MOE_LINEARS] = true;
		if (p.pair[i].r > r) {
			r = p.pair[i].r;
			x->scale = p.pair[i].scale;
		}
	}
	if (!rc && x->scale == 0)
		rc = moe_fail(e, MOE_DATA, "%s: its scale is 0", dir);
	x->E = 1;
	x->rank[0] = r;
	x->bank[0] = bank;
	snprintf(x->name[0], sizeof(x->name[0]), "%s", name);
	if (!rc)
		rc = moe_experts_init(x, c, e);
	for (size_t i = 0; i < p.n && !rc; i++)
		take_pair(x, &p.pair[i]);
	if (from)
		*from = p.origin;
	moe_peft_close(&p);
	if (rc)
		moe_experts_free(x);
	return rc;
}
