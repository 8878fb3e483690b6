/* pin_methods.h - what moe-pin says about methods: the table of them, and a row's own report. */
#ifndef MOE_CMD_PIN_METHODS_H
#define MOE_CMD_PIN_METHODS_H

#include "moe/method.h"

/* The method table to standard output (or -o): settings, defaults, citation, properties. */
void pin_print_methods(void);
/* What the method says about the adapter that it made, as messages. */
void pin_report(const struct moe_method *m, const struct moe_adapter *a, size_t n_pair);
/* Of the pairs' stream, read to its end. Dies when it says that sealed findings were opened to make
 * it, unless a cheating method was allowed; warns when that is not known, and when the pairs are a
 * placebo that the adapter's name does not tell of. */
void pin_check_pairs(const struct moe_reader *r, const char *method, bool allow_oracle);
/* The method's name that was asked for: by --method, by --placebo-of, or the default's. */
const char *pin_method_name(const char *method, const char *placebo_of);

#endif
