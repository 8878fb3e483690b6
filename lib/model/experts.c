/* experts.c - layout and memory of stacked LoRA experts. No arithmetic, no initialisation policy.
 */
#include "model/experts.h"
#include "util/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const char *const moe_bank_names[MOE_BANKS] = { "shared", "clean", "quarantine" };

static int check(const struct moe_experts *x, struct moe_err *e)
{
	bool any = false;

	if (x->E < 1 || x->E > MOE_EXPERTS_MAX)
		return moe_fail(e, MOE_DATA, "%d experts: between 1 and %d are possible", x->E,
			MOE_EXPERTS_MAX);
	for (int i = 0; i < x->E; i++) {
		if (x->rank[i] < 1 || x->rank[i] > 1 << 16)
			return moe_fail(e, MOE_DATA, "expert %d: rank %d: it must be at least 1", i,
				x->rank[i]);
		if ((unsigned)x->bank[i] >= MOE_BANKS)
			return moe_fail(e, MOE_DATA, "expert %d: its bank is unknown", i);
	}
	for (int l = 0; l < MOE_LINEARS; l++)
		any |= x->target[l];
	return any ? 0 : moe_fail(e, MOE_DATA, "the experts adapt no Linear");
}

/* Fills the offset tables; false on overflow. */
static bool lay_out(struct moe_experts *x, size_t *total)
{
	*total = 0;
	for (int n = 0; n < x->config.L; n++)
		for (int l = 0; l < MOE_LINEARS; l++) {
			size_t i = (size_t)n * MOE_LINEARS + (size_t)l, a, b;
			int in, out;

			x->a_off[i] = x->b_off[i] = SIZE_MAX;
			if (!x->target[l])
				continue;
			moe_linear_shape(&x->config, (enum moe_linear)l, &in, &out);
			if (!moe_mul((size_t)x->R, (size_t)in, &a) ||
				!moe_mul((size_t)x->R, (size_t)out, &b))
				return false;
			x->a_off[i] = *total;
			if (!moe_add(*total, a, total))
				return false;
			x->b_off[i] = *total;
			if (!moe_add(*total, b, total))
				return false;
		}
	return true;
}

int moe_experts_alloc(struct moe_experts *x, const struct moe_config *c, struct moe_err *e)
{
	size_t cells = (size_t)c->L * MOE_LINEARS, slots;

	x->param = x->alive = NULL;
	x->a_off = x->b_off = NULL;
	if (check(x, e))
		return -1;
	x->config = *c;
	x->R = 0;
	for (int i = 0; i < x->E; i++) {
		x->first[i] = x->R;
		x->R += x->rank[i];
	}
	if (!moe_mul(cells, (size_t)x->R, &slots))
		return moe_fail(e, MOE_DATA, "the experts' ranks are too large");
	x->a_off = moe_alloc(cells, sizeof(*x->a_off), e);
	x->b_off = x->a_off ? moe_alloc(cells, sizeof(*x->b_off), e) : NULL;
	x->alive = x->b_off ? moe_alloc_declared(slots, sizeof(*x->alive), e) : NULL;
	if (x->alive && !lay_out(x, &x->n_param))
		moe_fail(e, MOE_DATA, "the experts' ranks are too large");
	else if (x->alive)
		x->param = moe_alloc_declared(x->n_param, sizeof(*x->param), e);
	if (!x->alive || !x->param) {
		moe_experts_free(x);
		return -1;
	}
	return 0;
}

int moe_experts_init(struct moe_experts *x, const struct moe_config *c, struct moe_err *e)
{
	if (moe_experts_alloc(x, c, e))
		return -1;
	for (size_t i = 0; i < (size_t)c->L * MOE_LINEARS * (size_t)x->R; i++)
		x->alive[i] = 1;
	return 0;
}

void moe_experts_free(struct moe_experts *x)
{
	free(x->param);
	free(x->alive);
	free(x->a_off);
	free(x->b_off);
	memset(x, 0, sizeof(*x));
}

int moe_experts_copy(struct moe_experts *to, const struct moe_experts *from, struct moe_err *e)
{
	struct moe_experts x = *from;

	if (moe_experts_alloc(&x, &from->config, e))
		return -1;
	memcpy(x.param, from->param, from->n_param * sizeof(*x.param));
	memcpy(x.alive, from->alive,
		(size_t)from->config.L * MOE_LINEARS * (size_t)from->R * sizeof(*x.alive));
	*to = x;
	return 0;
}
