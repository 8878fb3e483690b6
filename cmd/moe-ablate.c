/* moe-ablate.c - one adapter to the arms that are compared. It trains nothing. */
#include "cmd/ablate_in.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct moe_prog prog = {
	.name = "moe-ablate",
	.purpose = "one adapter to the arms to compare",
	.usage = "[options] [ADAPTER]",
	.opt = ablate_options,
	.examples = "moe-ablate --arms on,quarantine-off,clean-off,random-off:19,base -o arms.moes "
		    "a1.moes",
	.see_also = "moe-train(1), moe-rollout(1), moe-report(1), moe(7)",
	.min_operands = 0,
	.max_operands = 1,
};

/* What was matched, over all random arms: norms, or (damage) distances from on. */
struct matched {
	size_t n;
	double ratio_min, ratio_max, alpha_min, alpha_max, overlap, target;
};

static void note_match(struct matched m2[2], const struct moe_adapter *a)
{
	double ratio, alpha, overlap;
	struct moe_str kind = { "", 0 };
	struct matched *m;

	moe_rec_str(&a->match, "kind", &kind);
	m = &m2[moe_str_eq(kind, "damage")];
	if (!moe_rec_f64(&a->match, "ratio", &ratio) || !moe_rec_f64(&a->match, "alpha", &alpha) ||
		!moe_rec_f64(&a->match, "overlap", &overlap))
		return;
	moe_rec_f64(&a->match, "target_kl", &m->target);
	moe_debug("%s: matched to %.6f, alpha %.4f, overlap with the quarantine %.3f", a->arm,
		ratio, alpha, overlap);
	m->ratio_min = m->n ? fmin(m->ratio_min, ratio) : ratio;
	m->ratio_max = m->n ? fmax(m->ratio_max, ratio) : ratio;
	m->alpha_min = m->n ? fmin(m->alpha_min, alpha) : alpha;
	m->alpha_max = m->n ? fmax(m->alpha_max, alpha) : alpha;
	m->overlap += overlap;
	m->n++;
}

static void write_arms(const struct moe_adapter *from, char *const *name, size_t n,
	struct moe_out *out, struct matched *m)
{
	const struct moe_ablate_aids *aids = ablate_aids_for(from);
	struct moe_adapter arm = { 0 };
	struct moe_err e;

	for (size_t i = 0; i < n; i++) {
		if (moe_ablate_make(&arm, from, name[i], moe_common.seed, aids, &e) ||
			moe_adapter_write(out->w, &arm, &e))
			moe_die(&e);
		note_match(m, &arm);
	}
	moe_adapter_free(&arm);
}

static void say(const struct matched m[2])
{
	if (m[0].n)
		moe_info("%zu random ablation%s: removed norm %.4f to %.4f of the quarantine's "
			 "(scaled by %.3f to %.3f), mean overlap with it %.3f",
			m[0].n, moe_s(m[0].n), m[0].ratio_min, m[0].ratio_max, m[0].alpha_min,
			m[0].alpha_max, m[0].overlap / (double)m[0].n);
	if (!m[1].n)
		return;
	moe_info("%zu ablation%s matched in damage: %.3f to %.3f of the quarantine's distance from "
		 "on, %.4g nats a token (scaled by %.3f to %.3f), mean overlap with it %.3f",
		m[1].n, moe_s(m[1].n), m[1].ratio_min, m[1].ratio_max, m[1].target, m[1].alpha_min,
		m[1].alpha_max, m[1].overlap / (double)m[1].n);
	if (m[1].ratio_min < 0.9 || m[1].ratio_max > 1.1)
		moe_warn("some of them are not as far from on as the quarantine's deletion (ratio "
			 "%.2f to %.2f): those are no matched controls",
			m[1].ratio_min, m[1].ratio_max);
}

int main(int argc, char **argv)
{
	int first = moe_main_begin(argc, argv, &prog), got;
	struct moe_adapter a = { 0 };
	struct matched match[2] = { 0 };
	struct moe_reader *r;
	struct moe_out out;
	size_t n, read = 0;
	char **name;
	struct moe_err e;

	if (moe_ablate_names(ablate_args.arms, &name, &n, &e))
		moe_usage_error("%s", e.msg);
	ablate_check_aids(name, n, first < argc ? argv[first] : "-");
	r = moe_in_open(first < argc ? argv[first] : NULL, "adapter");
	moe_out_stream(&out, "adapter", moe_reader_labels(r), NULL);
	ablate_read_aids(&out);
	while ((got = moe_adapter_read(r, false, &a, &e)) == 1) {
		if (strcmp(a.arm, "on") != 0) {
			moe_fail(&e, MOE_DATA,
				"an adapter's arm '%s' is ablated already; arms are made of 'on'",
				a.arm);
			moe_die(&e);
		}
		write_arms(&a, name, n, &out, match);
		read++;
	}
	if (got < 0)
		moe_die(&e);
	if (read == 0) {
		moe_fail(&e, MOE_DATA, "the input holds no adapter");
		moe_die(&e);
	}
	if (moe_writer_from_reader(out.w, r, &e))
		moe_die(&e);
	moe_out_finish(&out);
	say(match);
	moe_reader_close(r);
	moe_adapter_free(&a);
	ablate_free_aids();
	for (size_t i = 0; i < n; i++)
		free(name[i]);
	free(name);
	return moe_main_end(MOE_OK);
}
