/* register.h - the registration of an experiment: conditions, date and seeds not yet run, written
 * before the evaluations, so that conditions changed after a look are visible.
 *
 * It is a stream of kind "registration" with one record of that name (formats/records.md). Its
 * digest is named by the evaluations made under it (moe-grade --registration), and moe-report
 * compares. It proves no date: that is the user's clock's. Not thread-safe, as records are not.
 */
#ifndef MOE_STAT_REGISTER_H
#define MOE_STAT_REGISTER_H

#include "formats/rec.h"
#include "stat/obs.h"
#include "stat/uat.h"

/* What a registration said; strings are borrowed from who read it. All zero: none was given. */
struct moe_registration {
	const char *digest; /* of the stream */
	const char *uat;    /* SHA-256 of the conditions, hexadecimal */
	const char *date;
	int64_t *seed;
	size_t n_seed;
	/* found by moe_report_analyse: */
	size_t evaluations, named; /* segments of rollouts, and those that name the registration */
	bool changed;              /* the conditions given now are others */
};

/* The record for conditions u, whose file is text[n]. Fails (MOE_DATA) when u lists no seeds, or
 * when o (NULL allowed) holds a run of one of them: then it is not beforehand. */
int moe_register(struct moe_rec *out, const struct moe_uat *u, const char *text, size_t n,
	const char *date, const struct moe_obs *o, struct moe_err *e);

#endif
