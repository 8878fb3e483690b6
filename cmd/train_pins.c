/* train_pins.c - reads the pairs of --pin. What is learned from them is rl/routing.c's. */
#include "cmd/train_pins.h"

#include "cmd/opt.h"
#include "cmd/train_opts.h"
#include "cmd/train_run.h"
#include "formats/tokenizer/tokenizer.h"

#include <string.h>

/* The pairs that the adapter was pinned with, if it says so, should be the same. */
static void note_digest(struct moe_adapter *a, struct moe_reader *r)
{
	const char *now = moe_reader_digests(r) ? moe_reader_digest(r, 0) : NULL;
	struct moe_str was;
	struct moe_err e;

	if (!now)
		return;
	if (moe_rec_str(&a->lineage, "pins", &was) && !moe_str_eq(was, now))
		moe_warn(
			"the pairs of --pin are not those that the adapter was pinned with: it now "
			"names these");
	if (moe_lineage_add(a, NULL, now, 0, NULL, &e))
		moe_die(&e);
}

enum moe_labels train_read_pins(struct moe_trainer *t, struct moe_pairs *p)
{
	const struct moe_method *m = t->method;
	struct moe_tokenizer *tok;
	struct moe_reader *r;
	enum moe_labels labels;
	struct moe_err e;

	if (!train_args.pin) {
		if (m && m->pins && moe_method_setting(t->a, "pin", 1) > 0)
			moe_usage_error(
				"'%s' reads the pairs in each step: --pin PAIRS names them%s",
				t->a->method,
				m->pin_loss ? " (moe-pin --set pin=0 goes without)" : "");
		return MOE_LABELS_NONE;
	}
	if (!m || !m->pins)
		moe_usage_error("--pin: the method '%s' learns nothing from pairs while it trains",
			t->a->method);
	r = moe_in_open(train_args.pin, "pairs");
	tok = moe_tokenizer_open(train_args.base, &e);
	if (!tok || moe_pairs_read(p, r, tok, t->m->config.bos, &e) ||
		moe_method_pairs(t->a->method, t->a->train_seed, p, &e))
		moe_die(&e);
	moe_tokenizer_free(tok);
	if (p->n == 0) {
		moe_fail(&e, MOE_DATA, "%s holds no pairs", train_args.pin);
		moe_die(&e);
	}
	note_digest(t->a, r);
	labels = moe_reader_labels(r);
	train_refuse_oracle(labels);
	moe_reader_close(r);
	t->pins = p;
	return labels;
}
