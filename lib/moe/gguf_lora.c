/* gguf_lora.c - the pairs of an arm under GGUF's names, q and k in llama.cpp's order of rows. The
 * file itself is formats/gguf_write.c's. */
#include "moe/gguf_lora.h"
#include "model/gguf_in.h"
#include "moe/peft.h"
#include "util/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 64

struct lora {
	struct moe_peft_pair *pair; /* [n] */
	struct moe_gguf_f32 *t;     /* [2 n] A and B of each */
	char (*name)[NAME_BYTES];   /* [2 n] */
	size_t n;
};

static void lora_free(struct lora *f)
{
	for (size_t i = 0; f->pair && i < f->n; i++) {
		free((char *)(uintptr_t)f->pair[i].module);
		free(f->pair[i].a);
		free(f->pair[i].b);
	}
	free(f->pair);
	free(f->t);
	free(f->name);
}

/* B's rows are the Linear's: they go where its rows lie in the file. */
static int order_rows(
	const struct moe_config *c, enum moe_linear l, struct moe_peft_pair *p, struct moe_err *e)
{
	size_t r = (size_t)p->r;
	float *b = moe_alloc((size_t)p->out * r, sizeof(*b), e);

	if (!b)
		return -1;
	for (size_t row = 0; row < (size_t)p->out; row++)
		memcpy(b + (size_t)moe_gguf_row(c, l, row) * r, p->b + row * r, r * sizeof(*b));
	free(p->b);
	p->b = b;
	return 0;
}

/* A [r, in] is lora_a, B [out, r] is lora_b: W x + alpha / r * B (A x). */
static int put(struct lora *f, const struct moe_experts *x, const struct moe_config *c, int i,
	struct moe_err *e)
{
	enum moe_linear l = (enum moe_linear)(i % MOE_LINEARS);
	struct moe_peft_pair *p = &f->pair[f->n];
	size_t k = 2 * f->n++;

	if (moe_experts_pair(x, i, 0, x->R, p, e) || order_rows(c, l, p, e))
		return -1;
	for (int side = 0; side < 2; side++)
		snprintf(f->name[k + (size_t)side], NAME_BYTES, "blk.%d.%s.weight.lora_%c",
			i / MOE_LINEARS, moe_gguf_linears[l], side ? 'b' : 'a');
	f->t[k] = (struct moe_gguf_f32){ f->name[k], (uint64_t)p->r, (uint64_t)p->in, p->a };
	f->t[k + 1] = (struct moe_gguf_f32){ f->name[k + 1], (uint64_t)p->out, (uint64_t)p->r,
		p->b };
	return 0;
}

int moe_adapter_to_gguf(const struct moe_adapter *a, const struct moe_config *c,
	enum moe_labels labels, struct moe_buf *out, struct moe_err *e)
{
	size_t blocks = (size_t)a->x.config.L * MOE_LINEARS;
	const struct moe_gguf_set set[] = { { "general.type", "adapter", 0 },
		{ "general.architecture", moe_gguf_arch(c), 0 }, { "general.name", a->arm, 0 },
		{ "adapter.type", "lora", 0 },
		{ "adapter.lora.alpha", NULL, (float)(a->x.scale * a->x.R) },
		{ "moe.labels", moe_labels_name(labels), 0 }, { "moe.base", a->base, 0 } };
	struct lora f = { 0 };
	int rc = 0;

	/* any base of its shape: of the weights nothing is read, and their digest is not known */
	if (moe_adapter_is_lora(a, "a GGUF LoRA", e) || moe_adapter_check(a, c, "", true, e))
		return -1;
	f.pair = moe_alloc(blocks, sizeof(*f.pair), e);
	f.t = f.pair ? moe_alloc(2 * blocks, sizeof(*f.t), e) : NULL;
	f.name = f.t ? moe_alloc(2 * blocks, NAME_BYTES, e) : NULL;
	rc = f.name ? 0 : -1;
	for (int i = 0; i < (int)blocks && !rc; i++)
		if (a->x.target[i % MOE_LINEARS])
			rc = put(&f, &a->x, c, i, e);
	if (!rc)
		rc = moe_gguf_make(set, sizeof(set) / sizeof(set[0]), f.t, 2 * f.n, out, e);
	lora_free(&f);
	return rc;
}
