/* decision_table.c - the decision table of an adapter: defaults, overrides as text, values per
 * expert. It decides nothing itself.
 *
 * gate[d][b] multiplies what an expert of bank b adds to a Linear's output on a rollout that was
 * decided d, mask[d][b] the gradient of its parameters there. Gate 1, mask 0 takes part without
 * learning; gate 0 takes the bank out of the pass, so that no gradient reaches it either. sample[b]
 * is the gate while rollouts are sampled, before anything is decided about them. All are factors:
 * fractions are allowed. */
#include "moe/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* In the order of enum moe_decision: the rows of the table. */
const char *const moe_decision_names[MOE_DECISIONS] = { "keep", "absorb", "route" };

int moe_decision_parse(struct moe_str s, enum moe_decision *out, struct moe_err *e)
{
	for (int d = 0; d < MOE_DECISIONS; d++)
		if (moe_str_eq(s, moe_decision_names[d])) {
			*out = (enum moe_decision)d;
			return 0;
		}
	return moe_fail(e, MOE_DATA, "'%.*s' is not a decision: keep, absorb and route are",
		(int)(s.n < 40 ? s.n : 40), s.p);
}

void moe_decision_table_ones(struct moe_decision_table *p)
{
	for (int b = 0; b < MOE_BANKS; b++) {
		p->sample[b] = 1;
		for (int d = 0; d < MOE_DECISIONS; d++)
			p->gate[d][b] = p->mask[d][b] = 1;
	}
}

/* The name that is s[0..len), or -1: the parts of an override are not NUL-terminated. */
static int index_of(const char *const *names, int n, const char *s, size_t len)
{
	for (int i = 0; i < n; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], s, len))
			return i;
	return -1;
}

/* DECISION.BANK=GATE/MASK or sample.BANK=GATE. Nothing is written unless all of it is good. */
int moe_decision_table_set(struct moe_decision_table *p, const char *text, struct moe_err *e)
{
	const char *dot = strchr(text, '.'), *eq = dot ? strchr(dot, '=') : NULL;
	double gate, mask = 0;
	char *end, *slash;
	int d, b;

	if (!eq)
		goto bad;
	/* text .. dot: the row; dot + 1 .. eq: the column; behind eq: one number or two */
	b = index_of(moe_bank_names, MOE_BANKS, dot + 1, (size_t)(eq - dot - 1));
	d = index_of(moe_decision_names, MOE_DECISIONS, text, (size_t)(dot - text));
	gate = strtod(eq + 1, &end);
	if (b < 0 || end == eq + 1 || !isfinite(gate))
		goto bad;
	if (d < 0) { /* not a decision: the row of sampling, which has no mask */
		if (*end || strncmp(text, "sample.", 7) != 0)
			goto bad;
		p->sample[b] = gate;
		return 0;
	}
	if (*end != '/')
		goto bad;
	slash = end;
	mask = strtod(slash + 1, &end);
	if (end == slash + 1 || *end || !isfinite(mask))
		goto bad;
	p->gate[d][b] = gate;
	p->mask[d][b] = mask;
	return 0;
bad:
	return moe_fail(e, MOE_USAGE,
		"'%s' is not a plan entry: DECISION.BANK=GATE/MASK or sample.BANK=GATE is", text);
}

/* A bank is frozen when its mask is 0 in every row; the gate does not matter here. */
bool moe_decision_table_trains(const struct moe_decision_table *p, int bank)
{
	bool any = false;

	for (int d = 0; d < MOE_DECISIONS; d++)
		any |= p->mask[d][bank] != 0;
	return any;
}

bool moe_decision_table_lets_in(const struct moe_decision_table *p, int bank)
{
	bool any = false;

	for (int d = 0; d < MOE_DECISIONS; d++)
		any |= p->gate[d][bank] != 0;
	return any;
}

/* Banks to experts: w[i] = v[bank of expert i], a row of outer or mask [T, E]. */
void moe_decision_table_spread(const struct moe_experts *x, const double v[MOE_BANKS], moe_real *w)
{
	for (int i = 0; i < x->E; i++)
		w[i] = (moe_real)v[x->bank[i]];
}
