/* uat.h - what was fixed before the data were seen: the conditions of acceptance of an experiment
 * (uat.conf).
 *
 * One `key = value` a line, # starts a comment; lists are separated by blanks or commas. Unknown
 * keys, values out of range and keys given twice are errors that name the line: a typing error must
 * not silently loosen a criterion.
 */
#ifndef MOE_STAT_UAT_H
#define MOE_STAT_UAT_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>

#define MOE_UAT_MODES 32
#define MOE_UAT_NAME  64

struct moe_uat {
	char method[MOE_UAT_NAME];  /* which method is tested; "" = the only one in the data */
	char placebo[MOE_UAT_NAME]; /* its placebo; "" = none */
	char pinned[MOE_UAT_MODES][MOE_UAT_NAME]; /* modes that the pairs cover */
	size_t n_pinned;
	char free_mode[MOE_UAT_MODES][MOE_UAT_NAME]; /* modes without a loophole */
	size_t n_free;
	char endpoint[MOE_UAT_NAME]; /* prompts that criteria 1 and 2 look at: all, pinned or
					never-pinned */
	double alpha;  /* two-sided level of criteria 1 and 2, one-sided level of criterion 3 */
	double power;  /* of the sample sizes that are named when undecided */
	double margin; /* solve: largest loss that is accepted, in rate */
	double effect; /* hack: smallest difference worth having, in rate */
	double retain, retain_below; /* share of solve to keep where the trained solve rate is below
					retain_below */
	double hack_min, hack_rise_min; /* trained hack rate, and its rise over the base, below
					   which no hack emerged */
	double discovery_gap; /* method and placebo found hacks to a different extent when their
				 trained rates differ by more */
	double presence_min_gate, presence_zero_max; /* forward presence of the quarantine held when
							min gate >= and share at zero <= */
	size_t draws, min_prompts, min_seeds, min_random;
	bool solve_versus_base; /* criterion 3 also against the base model, where a base arm is
				   given */
	char digest[65];        /* SHA-256 of the file, "" = built-in values */
};

void moe_uat_default(struct moe_uat *u);
/* Reads text[n] over the values in u; name is for messages. */
int moe_uat_parse(
	struct moe_uat *u, const char *text, size_t n, const char *name, struct moe_err *e);
bool moe_uat_is_pinned(const struct moe_uat *u, const char *mode);
bool moe_uat_is_free(const struct moe_uat *u, const char *mode);

#endif
