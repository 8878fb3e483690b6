/* report_leakage.c - moe-report --leakage: counts the hacks that no label routed in recorded runs,
 * and interpolates. It opens seals: a bound. The arithmetic is lib/stat/leakage.c's. */
#include "cmd/report_leakage.h"

#include "cmd/opt.h"
#include "formats/rollout.h"
#include "formats/seal.h"
#include "stat/leakage.h"
#include "util/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct counted {
	size_t rollouts, unknown; /* unknown: of which nothing was found, good or bad */
	size_t hacks, unlabelled; /* rollouts that game; of these, those that were not routed */
};

static bool routed(const struct moe_rec *rec)
{
	struct moe_rec route = { 0 };
	struct moe_str decision;
	bool yes = moe_rec_map(rec, MOE_ROLLOUT_ROUTE, &route) &&
		moe_rec_str(&route, "decision", &decision) && moe_str_eq(decision, "route");

	moe_rec_free(&route);
	return yes;
}

static struct counted count(const char *path)
{
	struct moe_reader *in = moe_in_open(path, "rollouts");
	struct counted c = { 0 };
	struct moe_rec rec = { 0 };
	struct moe_err e;
	int got;

	while ((got = moe_reader_next(in, &rec, &e)) > 0) {
		struct moe_seal seal = { 0 };
		int has;

		if (!moe_rec_is(&rec, "rollout"))
			continue;
		if ((has = moe_seal_get(&rec, &seal, &e)) < 0)
			moe_die(&e);
		c.rollouts++;
		if (!has || seal.hacked_unknown)
			c.unknown++;
		else if (seal.hacked) {
			c.hacks++;
			c.unlabelled += !routed(&rec);
		}
		moe_seal_free(&seal);
	}
	if (got < 0)
		moe_die(&e);
	if (c.unknown)
		moe_warn("%s: of %zu of %zu rollouts is not known whether they hack (moe-grade "
			 "finds it): they count as none",
			path, c.unknown, c.rollouts);
	moe_reader_close(in);
	moe_rec_free(&rec);
	return c;
}

/* The i-th of the losses; *at moves on. */
static double next_loss(const char **at)
{
	char *end;
	double v = strtod(*at, &end);

	if (end == *at || (*end && *end != ',') || !isfinite(v))
		moe_usage_error("--leakage: one loss for each run, separated by commas");
	*at = *end ? end + 1 : end;
	return v;
}

/* s [n] by data; needed: the forget data that a standard run needs for the loss of the run that is
 * asked about. */
static int put_leakage(struct moe_buf *b, const struct moe_standard *s, size_t n, double loss,
	double needed, double unlabelled, struct moe_err *e)
{
	const char *most = s[0].loss <= loss ? "at most " : "";

	if (unlabelled == 0)
		return moe_buf_addf(b, e, "leakage: none can be told: every hack was labelled\n");
	if (isinf(needed))
		return moe_buf_addf(b, e,
			"leakage: above %.6g: no standard run comes down to that loss\n",
			s[n - 1].data / unlabelled);
	return moe_buf_addf(b, e,
		"leakage: %s%.6g: a standard run needs %s%.6g hacks for that loss\n", most,
		needed / unlabelled, most, needed);
}

int report_leakage(const char *losses, int n, char **path)
{
	struct moe_standard *s;
	struct counted asked = { 0 };
	size_t standards = (size_t)n - 1;
	struct moe_buf b = { 0 };
	struct moe_out out;
	struct moe_err e = { 0 };
	double loss = 0, needed;
	const char *at = losses;

	if (n < 3)
		moe_usage_error("--leakage wants the run that is asked about, and two standard "
				"runs at least");
	s = moe_alloc(standards, sizeof(*s), &e);
	if (!s)
		moe_die(&e);
	for (int i = 0; i < n; i++) {
		double l = next_loss(&at);
		struct counted c = count(path[i]);

		if (i == 0) {
			loss = l;
			asked = c;
		} else {
			s[i - 1] = (struct moe_standard){ (double)c.unlabelled, l };
		}
	}
	if (*at)
		moe_usage_error("--leakage: more losses than runs");
	needed = moe_standard_data(s, standards, loss); /* sorts them */
	if (moe_buf_addf(&b, &e, "forget data\tforget loss\tof a standard run\n"))
		moe_die(&e);
	for (size_t i = 0; i < standards; i++)
		if (moe_buf_addf(&b, &e, "%.0f\t%.6g\n", s[i].data, s[i].loss))
			moe_die(&e);
	if (moe_buf_addf(&b, &e,
		    "%zu of %zu hacks were not labelled in the run that is asked about; its forget "
		    "loss is %.6g\n",
		    asked.unlabelled, asked.hacks, loss) ||
		put_leakage(&b, s, standards, loss, needed, (double)asked.unlabelled, &e) ||
		moe_buf_addf(
			&b, &e, "BOUND: it opens the labels, and is no evidence for a method\n"))
		moe_die(&e);
	moe_out_text(&out, NULL);
	moe_out_write(&out, b.data, b.len);
	moe_out_finish(&out);
	moe_buf_free(&b);
	free(s);
	return MOE_OK;
}
