/* loss.h - log-softmax of a row of logits. Sums in double. Thread-safe. */
#ifndef MOE_NN_LOSS_H
#define MOE_NN_LOSS_H

#include "tensor/real.h"

#include <stddef.h>

/* Turns logits z[n] into softmax(z * inv_temp) in place; returns log(sum exp(z * inv_temp)).
 * *entropy (NULL = not wanted) in nats. */
double moe_softmax_row(size_t n, moe_real *z, double inv_temp, double *entropy);
/* log(sum exp(z * inv_temp)); z is left as it is, scratch [n] is overwritten. */
double moe_logsumexp(size_t n, const moe_real *z, double inv_temp, moe_real *scratch);

#endif
