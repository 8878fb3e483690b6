/* layout.h - a fresh adapter: layout, initial values, plan. Fitting the score is the method's
 * (method.h). */
#ifndef MOE_MOE_LAYOUT_H
#define MOE_MOE_LAYOUT_H

#include "model/model.h"
#include "moe/method.h"

/* One expert from text, "BANK:RANK[:NAME]", added to x (x->E counts); the name defaults to BANK and
 * a number. */
int moe_layout_expert(struct moe_experts *x, const char *text, struct moe_err *e);
/* The default layout of the method: a clean expert of that rank, and the quarantine's rank as one
 * expert or cut into method->fine of nearly equal ranks. A rank of 0 leaves the bank out. */
int moe_layout_banks(struct moe_experts *x, const struct moe_method *method, int clean,
	int quarantine, struct moe_err *e);
/* "q,k,v,o,gate,up,down" or "all". */
int moe_layout_targets(struct moe_experts *x, const char *text, struct moe_err *e);
/* Lays out a->x (its experts, targets and scale are set) for this base: A ~ N(0, 1/d_in) keyed by
 * seed, B = 0; the method's plan; arm "on". */
int moe_layout_make(struct moe_adapter *a, const struct moe_model *m,
	const struct moe_method *method, uint64_t seed, struct moe_err *e);

#endif
