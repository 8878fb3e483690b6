/* merge.h - the experts of an arm added to the weights that they adapt: a model like any other,
 * without experts.
 *
 * An arm whose gates are the same for all tokens is a plain update of each Linear, W + s B (g .*
 * A), rounded to f32. What weighs its experts token by token cannot be merged. Not thread-safe.
 */
#ifndef MOE_MOE_MERGE_H
#define MOE_MOE_MERGE_H

#include "model/experts.h"
#include "model/model.h"

/* Replaces m's adapted Linears by merged ones in f32; gate[E] are the experts' gates. *block (free)
 * holds the new weights and must outlive m. MOE_DATA when x has a router. */
int moe_experts_merge(struct moe_model *m, const struct moe_experts *x, const moe_real *gate,
	float **block, struct moe_err *e);

#endif
