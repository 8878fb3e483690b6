/* adapter.c - an arm in memory, and whether it fits a base. How it lies in a stream, and the digest
 * of that, is adapter_io.c.
 *
 * An arm owns everything that it points to: the experts' blocks, the records, the score's tensors.
 * Assigning the struct moves it (the old one may then not be freed); moe_adapter_copy makes a
 * second owner. */
#include "moe/adapter_priv.h"
#include "tensor/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void moe_adapter_free(struct moe_adapter *a)
{
	moe_experts_free(&a->x);
	moe_rec_free(&a->settings);
	moe_rec_free(&a->score);
	moe_rec_free(&a->match);
	moe_rec_free(&a->lineage);
	moe_rec_free(&a->more);
	moe_rec_free(&a->expert_more);
	for (size_t i = 0; i < a->n_tensor; i++)
		free(a->tensor[i].data);
	free(a->tensor);
	*a = (struct moe_adapter){ 0 };
}

/* A zeroed tensor more, f32 in C order, at the end of a->tensor. Its size is checked before it is
 * allocated: a stream may declare anything. The pointer holds until the next one is added, which
 * may move the array; the data stay where they are. */
struct moe_score_tensor *moe_adapter_add_tensor(
	struct moe_adapter *a, const char *name, int rank, const uint64_t *shape, struct moe_err *e)
{
	struct moe_score_tensor *t = realloc(a->tensor, (a->n_tensor + 1) * sizeof(*t));
	size_t n = 1;

	if (!t) {
		moe_fail(e, MOE_SYSTEM, "out of memory for the score's tensors");
		return NULL;
	}
	/* n_tensor counts the new one only when it is whole: a failure below leaves no half */
	a->tensor = t;
	t = &a->tensor[a->n_tensor];
	*t = (struct moe_score_tensor){ .rank = rank };
	if (rank < 0 || rank > 4 || strlen(name) >= sizeof(t->name)) {
		moe_fail(e, MOE_DATA, "tensor '%.60s' has %d dimensions or too long a name", name,
			rank);
		return NULL;
	}
	memcpy(t->name, name, strlen(name) + 1);
	/* n = product of the shape (1 for a scalar), below the bound after every factor */
	for (int i = 0; i < rank; i++) {
		t->shape[i] = shape[i];
		if (shape[i] > MOE_SCORE_MAX || !moe_mul(n, (size_t)shape[i], &n) ||
			n > MOE_SCORE_MAX) {
			moe_fail(e, MOE_DATA, "tensor '%s' is too big", name);
			return NULL;
		}
	}
	t->n = n;
	t->data = moe_alloc_declared(n, sizeof(float), e);
	if (!t->data)
		return NULL;
	a->n_tensor++;
	return t;
}

/* The first run of a method and seed has no name of its own. */
void moe_adapter_set_nth(struct moe_adapter *a, int n)
{
	a->name[0] = 0;
	if (n > 1)
		snprintf(a->name, sizeof(a->name), "%s-%d", a->method, n);
}

/* METHOD-N, N from 1: what moe_adapter_set_nth writes. */
bool moe_adapter_name_good(const struct moe_adapter *a)
{
	size_t n = strlen(a->method);

	return !a->name[0] ||
		(strncmp(a->name, a->method, n) == 0 && a->name[n] == '-' &&
			a->name[n + 1] >= '1' && a->name[n + 1] <= '9' &&
			strspn(a->name + n + 1, "0123456789") == strlen(a->name + n + 1));
}

const struct moe_score_tensor *moe_adapter_tensor(const struct moe_adapter *a, const char *name)
{
	for (size_t i = 0; i < a->n_tensor; i++)
		if (!strcmp(a->tensor[i].name, name))
			return &a->tensor[i];
	return NULL;
}

/* All six records, lineage last. */
static int copy_recs(struct moe_adapter *to, const struct moe_adapter *from, struct moe_err *e)
{
	if (moe_rec_copy(&to->settings, &from->settings, e) ||
		moe_rec_copy(&to->score, &from->score, e) ||
		moe_rec_copy(&to->match, &from->match, e) ||
		moe_rec_copy(&to->more, &from->more, e) ||
		moe_rec_copy(&to->expert_more, &from->expert_more, e))
		return -1;
	return moe_rec_copy(&to->lineage, &from->lineage, e);
}

/* Everything owned is copied; what a failure leaves is empty, never half of an arm. */
int moe_adapter_copy(struct moe_adapter *to, const struct moe_adapter *from, struct moe_err *e)
{
	moe_adapter_free(to);
	/* plain fields (names, seed, decision table, digest) come with the struct; what is owned is
	 * cut off at once, so that a failure frees nothing of from's */
	*to = *from;
	to->x = (struct moe_experts){ 0 };
	to->settings = to->score = to->match = to->lineage = to->more = to->expert_more =
		(struct moe_rec){ 0 };
	to->tensor = NULL;
	to->n_tensor = 0;
	if (moe_experts_copy(&to->x, &from->x, e) || copy_recs(to, from, e))
		goto fail;
	/* the score's tensors in their order, which the digest depends on */
	for (size_t i = 0; i < from->n_tensor; i++) {
		const struct moe_score_tensor *f = &from->tensor[i];
		struct moe_score_tensor *t = moe_adapter_add_tensor(
			to, f->name, f->rank, f->shape, e);

		if (!t)
			goto fail;
		memcpy(t->data, f->data, f->n * sizeof(float));
	}
	return 0;
fail:
	moe_adapter_free(to);
	return -1;
}

int moe_lineage_add(struct moe_adapter *a, const char *parent, const char *pins, int argc,
	char *const *argv, struct moe_err *e)
{
	size_t n = moe_rec_array_len(&a->lineage, "parents") + 1, words = argv ? (size_t)argc : 0;
	struct moe_str *v = moe_alloc(n > words ? n : words, sizeof(*v), e);
	struct moe_list parents;
	struct moe_rec old = { 0 };
	int rc = v ? 0 : -1;

	/* parents grow: the old ones, then this one. v borrows the old ones' text from a copy,
	 * since setting the key rewrites the record that holds them */
	if (rc == 0 && parent) {
		rc = moe_rec_copy(&old, &a->lineage, e);
		moe_list_open(&old, "parents", &parents);
		for (n = 0; rc == 0 && moe_list_next_str(&parents, &v[n]);)
			n++;
		v[n++] = (struct moe_str){ parent, strlen(parent) };
		if (rc == 0)
			rc = moe_rec_set_strs(&a->lineage, "parents", v, n, e);
		moe_rec_free(&old);
	}
	if (rc == 0 && pins)
		rc = moe_rec_set_str(&a->lineage, "pins", pins, e);
	for (n = 0; rc == 0 && n < words; n++)
		v[n] = (struct moe_str){ argv[n], strlen(argv[n]) };
	/* kernels: whoever repeats argv gets the same bits only where the same code multiplies */
	if (rc == 0 && argv)
		rc = moe_rec_set_strs(&a->lineage, "argv", v, words, e) ||
				moe_rec_set_str(&a->lineage, "kernels", moe_kernels(), e)
			? -1
			: 0;
	free(v);
	return rc;
}

/* Shapes: those that A [R, d_in], B [d_out, R] and a router's inputs are made from; the vocabulary
 * is not among them, since neither embedding nor head is adapted. Then who the base is, by its
 * digest, where both sides say. */
int moe_adapter_check(const struct moe_adapter *a, const struct moe_config *c,
	const char *base_digest, bool any_base, struct moe_err *e)
{
	const struct moe_config *k = &a->x.config;

	if (k->L != c->L || k->D != c->D || k->H != c->H || k->K != c->K || k->hd != c->hd ||
		k->F != c->F)
		return moe_fail(e, MOE_DATA,
			"the adapter does not fit the base: it was made for %d layers, hidden %d, "
			"heads %d/%d of %d, ffn %d; the base has %d layers, hidden %d, heads %d/%d "
			"of %d, ffn %d",
			k->L, k->D, k->H, k->K, k->hd, k->F, c->L, c->D, c->H, c->K, c->hd, c->F);
	if (!any_base && a->base[0] && base_digest[0] && strcmp(a->base, base_digest) != 0)
		return moe_fail(e, MOE_DATA,
			"the adapter was made for another base model: its digest is %.12s, this "
			"base's is %.12s; moe-rollout, moe-train and moe-base take it with "
			"--any-base",
			a->base, base_digest);
	return 0;
}
