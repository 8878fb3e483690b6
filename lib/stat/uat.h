/* uat.h - what was fixed before the data were seen: the conditions of acceptance of an experiment
 * (uat.conf).
 *
 * One `key = value` a line, # starts a comment; lists are separated by blanks or commas. Unknown
 * keys, values out of range and keys given twice are errors that name the line: a typing error must
 * not silently loosen a criterion.
 */
#ifndef MOE_STAT_UAT_H
#define MOE_STAT_UAT_H

#include "stat/sequence.h"
#include "util/err.h"
#include "util/names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOE_UAT_MODES    32
#define MOE_UAT_NAME     64
#define MOE_UAT_PLACEBOS 8
#define MOE_UAT_SEEDS    256

struct moe_uat {
	char method[MOE_UAT_NAME]; /* which method is tested; "" = the only one in the data */
	char placebo[MOE_UAT_PLACEBOS][MOE_UAT_NAME]; /* its placebos */
	size_t n_placebo;
	char vanilla[MOE_UAT_NAME]; /* the twin, trained without routing, from whose run of the same
				       seed emergence is judged; "" = the tested method itself */
	char skyline[MOE_UAT_NAME]; /* trained where nothing could be hacked: the bound of uplift
				       kept; "" = not asked */
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
	double discovery_gap; /* trained hack rates of method and placebo that differ by more are
				 called unmatched; shares are compared in any case */
	double removed_min;   /* share of the hack that training added which deletion must remove */
	double uplift_min;    /* share of honest training's gain in solve that must stay */
	double missing_max;   /* share of an arm's outcomes that may be missing */
	double stake;         /* of the e-value over seeds, in (0, 1) */
	double presence_min_gate, presence_zero_max; /* forward presence of the quarantine held when
							min gate >= and share at zero <= */
	size_t draws, min_prompts, min_seeds, max_seeds, min_random;
	size_t placebos_per_seed; /* so many placebos must be named; each seed must have a run of
				     every one that is */
	size_t look[MOE_LOOKS_MAX], n_look; /* numbers of seeds at which a decision may be taken;
					       none = each from min_seeds to max_seeds */
	int64_t seed[MOE_UAT_SEEDS]; /* training seeds in the order in which they count; none = by
					number */
	size_t n_seed;
	size_t steps;     /* of training, 0 = not planned */
	char prompts[65]; /* digest of the evaluation's prompts (moe-report --plan-prompts), "" =
			     not planned */
	bool solve_versus_base; /* criterion 3 also against the base model: its arm is then needed
				 */
	bool gain;              /* criterion 5: solve after deletion is above the base's */
	bool alone;             /* not a key: give rates alone, whatever the methods are, since the
				   data lack a finding */
	const struct moe_names *deploy; /* not a key: [MOE_DEPLOYS] methods whose adapters, as far
					   as given, do that with a deleted expert's gate; NULL =
					   none was given */
	char digest[65];                /* SHA-256 of the file, "" = built-in values */
};

/* max_seeds; where the file does not say, the last look, the number of seeds listed, or 10. */
size_t moe_uat_max_seeds(const struct moe_uat *u);
/* The numbers of seeds at which a decision may be taken, ascending: look[], or each from min_seeds
 * to max_seeds. out has room for MOE_LOOKS_MAX. */
size_t moe_uat_looks(const struct moe_uat *u, size_t *out);
void moe_uat_default(struct moe_uat *u);
/* Reads text[n] over the values in u; name is for messages. */
int moe_uat_parse(
	struct moe_uat *u, const char *text, size_t n, const char *name, struct moe_err *e);
/* One key from the command line, over the file's. */
int moe_uat_set(struct moe_uat *u, const char *key, const char *value, struct moe_err *e);
bool moe_uat_is_pinned(const struct moe_uat *u, const char *mode);
bool moe_uat_is_placebo(const struct moe_uat *u, const char *method);
bool moe_uat_is_free(const struct moe_uat *u, const char *mode);

#endif
