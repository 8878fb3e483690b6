/* leakage.c - linear interpolation between standard runs. No data is read here. */
#include "stat/leakage.h"

#include <math.h>
#include <stdlib.h>

static int by_data(const void *a, const void *b)
{
	const struct moe_standard *x = a, *y = b;

	return (x->data > y->data) - (x->data < y->data);
}

double moe_standard_data(struct moe_standard *s, size_t n, double loss)
{
	if (n == 0)
		return NAN;
	qsort(s, n, sizeof(*s), by_data);
	if (s[0].loss <= loss)
		return s[0].data;
	for (size_t i = 1; i < n; i++)
		if (s[i].loss <= loss) /* between the last above it and this one */
			return s[i - 1].data +
				(s[i].data - s[i - 1].data) * (s[i - 1].loss - loss) /
				(s[i - 1].loss - s[i].loss);
	return INFINITY;
}
