/* store.c - memory for what a step keeps per token. */
#include "rl/store.h"

#include "util/mem.h"

#include <stdlib.h>

int moe_token_store_make(
	struct moe_token_store *k, const struct moe_rollout_step *s, struct moe_err *e)
{
	size_t tok;

	*k = (struct moe_token_store){ 0 };
	k->at = moe_alloc(s->n + 1, sizeof(*k->at), e);
	if (!k->at)
		return -1;
	for (size_t i = 0; i < s->n; i++)
		k->at[i + 1] = k->at[i] + (size_t)s->r[i].n_completion;
	tok = k->at[s->n];
	k->old = moe_alloc(tok, sizeof(*k->old), e);
	k->has = moe_alloc(s->n, sizeof(*k->has), e);
	k->entropy = moe_alloc(tok, sizeof(*k->entropy), e);
	k->keep = moe_alloc(tok, sizeof(*k->keep), e);
	return k->old && k->has && k->entropy && k->keep ? 0 : -1;
}

void moe_token_store_free(struct moe_token_store *k)
{
	free(k->at);
	free(k->old);
	free(k->has);
	free(k->entropy);
	free(k->keep);
	*k = (struct moe_token_store){ 0 };
}
