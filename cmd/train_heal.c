/* train_heal.c - reads the pairs of --heal and lets the clean bank learn their clean sides. */
#include "cmd/train_heal.h"

#include "cmd/opt.h"
#include "cmd/train_opts.h"
#include "formats/tokenizer/tokenizer.h"
#include "moe/nll.h"

/* What was done, in the lineage: the pairs' digest, steps, and the loss before and after. */
static int note(
	struct moe_adapter *a, struct moe_reader *r, double first, double last, struct moe_err *e)
{
	struct moe_rec heal = { 0 };
	int rc = (moe_reader_digests(r) &&
			 moe_rec_set_str(&heal, "pairs", moe_reader_digest(r, 0), e)) ||
			moe_rec_set_int(&heal, "steps", train_args.heal_steps, e) ||
			moe_rec_set_f64(&heal, "nll_before", first, e) ||
			moe_rec_set_f64(&heal, "nll_after", last, e) ||
			moe_rec_set_map(&a->lineage, "heal", &heal, e)
		? -1
		: 0;

	moe_rec_free(&heal);
	return rc;
}

enum moe_labels train_heal(struct moe_trainer *t)
{
	struct moe_engine g = { .m = t->m, .pool = t->pool };
	struct moe_pairs p = { 0 };
	enum moe_labels labels;
	struct moe_tokenizer *tok;
	struct moe_reader *r;
	double first, last;
	bool any = false;
	struct moe_err e;

	if (!train_args.heal)
		return MOE_LABELS_NONE;
	for (int i = 0; i < t->a->x.E; i++)
		any |= t->a->x.bank[i] == MOE_BANK_CLEAN;
	if (!any)
		moe_usage_error("--heal teaches the clean bank, and the adapter has none");
	r = moe_in_open(train_args.heal, "pairs");
	tok = moe_tokenizer_open(train_args.base, &e);
	if (!tok || moe_pairs_read(&p, r, tok, t->m->config.bos, &e) ||
		moe_nll_side(&g, &t->a->x, &p, false, MOE_BANK_CLEAN, true,
			(int)train_args.heal_steps, train_args.o.lr, &first, &last, &e) ||
		note(t->a, r, first, last, &e))
		moe_die(&e);
	moe_info("healed: the clean sides of %zu pairs had %.3f nats a token, now %.3f", p.n, first,
		last);
	labels = moe_reader_labels(r);
	moe_tokenizer_free(tok);
	moe_pairs_free(&p);
	moe_reader_close(r);
	return labels;
}
