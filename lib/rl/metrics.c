/* metrics.c - names numbers; it computes none. */
#include "rl/metrics.h"
#include "util/mem.h"
#include "util/ranks.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What was not measured is nil: JSON has no NaN, and a reader of numbers passes over it. */
static int put(struct moe_rec *r, const char *key, double v, struct moe_err *e)
{
	return isnan(v) ? moe_rec_set_nil(r, key, e) : moe_rec_set_f64(r, key, v, e);
}

static int put_for(struct moe_rec *r, const char *before, const char *name, const char *after,
	double v, struct moe_err *e)
{
	char key[128];

	snprintf(key, sizeof(key), "%s%s%s", before, name, after);
	return put(r, key, v, e);
}

static int routing(struct moe_rec *r, const struct moe_train_stats *st, struct moe_err *e)
{
	int rc = 0;

	/* a rollout that nobody decided about trains as absorbed, but was not measured to be */
	for (int d = 0; d < MOE_DECISIONS; d++)
		rc |= put_for(r, "route/", moe_decision_names[d], "",
			st->any_decision ? st->share[d] : NAN, e);
	for (int b = 0; b < MOE_BANKS; b++) {
		if (!st->bank[b])
			continue;
		rc |= put_for(
			r, "presence/", moe_bank_names[b], "/min_gate", st->gates.bank_min[b], e);
		rc |= put_for(r, "presence/", moe_bank_names[b], "/zero_share",
			st->gates.bank_zero[b], e);
		rc |= put_for(r, "update_mass/", moe_bank_names[b], "", st->update_mass[b], e);
		rc |= put_for(r, "frozen/", moe_bank_names[b], "", st->frozen[b], e);
	}
	return rc;
}

/* Per expert, by its name. */
static int expert_metrics(struct moe_rec *r, const struct moe_experts *x,
	const struct moe_train_stats *st, struct moe_err *e)
{
	const struct moe_gate_stats *g = &st->gates;
	int rc = 0;

	for (int i = 0; i < x->E; i++) {
		const char *name = x->name[i];

		rc |= put_for(r, "expert/", name, "/min_gate", g->min[i], e);
		rc |= put_for(r, "expert/", name, "/zero_share", g->zero[i], e);
		rc |= put_for(r, "expert/", name, "/load", g->mean[i], e);
		rc |= put_for(r, "expert/", name, "/update_mass", st->expert_mass[i], e);
		rc |= put_for(r, "expert/", name, "/frozen", st->expert_frozen[i], e);
		if (g->pass)
			rc |= put_for(r, "expert/", name, "/logit_norm", g->logit[i], e);
	}
	return rc;
}

/* What only a router has: how many experts a token gets, how evenly, and what taught the router. */
static int router_metrics(struct moe_rec *r, const struct moe_train_stats *st, struct moe_err *e)
{
	const struct moe_gate_stats *g = &st->gates;
	int rc = put(r, "router/support", g->support, e) | put(r, "router/entropy", g->entropy, e) |
		put(r, "router/loss", st->router_loss, e) |
		put(r, "router/grad_norm", st->updated ? st->router_norm : NAN, e) |
		put(r, "router/frozen", st->router_frozen, e) |
		put(r, "router/pin_loss", st->n_pin ? st->pin_loss : NAN, e) |
		put(r, "router/pins", (double)st->n_pin, e);

	for (int b = 0; b < MOE_BANKS; b++) {
		if (!st->bank[b])
			continue;
		rc |= put_for(r, "router/", moe_bank_names[b], "/load", g->bank_mean[b], e);
		rc |= put_for(r, "router/", moe_bank_names[b], "/support", g->bank_support[b], e);
		rc |= put_for(r, "router/", moe_bank_names[b], "/entropy", g->bank_entropy[b], e);
		rc |= put_for(r, "router/", moe_bank_names[b], "/logit_norm", g->bank_logit[b], e);
	}
	return rc;
}

/* Each rollout's, in their order: moe-cat --completions puts them beside the texts. */
static int advantages(struct moe_rec *r, const struct moe_rollout_step *s,
	const struct moe_train_stats *st, struct moe_err *e)
{
	float *v = moe_alloc(s->n, sizeof(*v), e);
	int rc = v ? 0 : -1;

	for (size_t i = 0; !rc && i < s->n; i++)
		v[i] = (float)st->advantage[i];
	rc = rc || moe_rec_set_f32s(r, "advantages", v, s->n, e) ? -1 : 0;
	free(v);
	return rc;
}

/* Of the objective. */
static int loss_metrics(struct moe_rec *r, const struct moe_train_stats *st, struct moe_err *e)
{
	const struct {
		const char *key;
		double v;
	} flat[] = {
		{ "loss", st->loss },
		{ "kl", st->kl },
		{ "entropy", st->entropy },
		{ "policy_loss", st->policy_loss },
		{ "entropy_coef", st->entropy_coef },
		{ "clip_ratio/low_mean", st->clip_low },
		{ "clip_ratio/high_mean", st->clip_high },
		{ "clip_ratio/region_mean", st->clip_low + st->clip_high },
		{ "clip_ratio/low_min", st->clip_low_min },
		{ "clip_ratio/high_max", st->clip_high_max },
		{ "cispo_clip_ratio", st->cispo_clip },
		{ "vespo/phi_seq_mean", st->phi },
		{ "sampling/importance_sampling_ratio/mean", st->c_mean },
		{ "sampling/importance_sampling_ratio/min", st->c_min },
		{ "sampling/importance_sampling_ratio/max", st->c_max },
		{ "sampling/sampling_logp_difference/mean", st->logp_diff_mean },
		{ "sampling/sampling_logp_difference/max", st->logp_diff_max },
		{ "ratio/mean", st->ratio_mean },
		{ "ratio/std", st->ratio_std },
		{ "ratio/min", st->ratio_min },
		{ "ratio/max", st->ratio_max },
	};
	int rc = 0;

	for (size_t i = 0; i < sizeof(flat) / sizeof(*flat); i++)
		rc |= put(r, flat[i].key, flat[i].v, e);
	return rc;
}

int moe_train_metrics(struct moe_rec *r, const struct moe_adapter *a,
	const struct moe_rollout_step *s, const struct moe_train_stats *st, double num_tokens,
	double step_sec, double time_sec, struct moe_err *e)
{
	const struct moe_reward_stats *rw = &st->rewards;
	/* The list of what is logged of a step as a whole; TRL's names where TRL has one. */
	const struct {
		const char *key;
		double v;
	} flat[] = {
		{ "time", time_sec },
		{ "step_time", step_sec },
		{ "num_tokens", num_tokens },
		{ "reward", st->adv.mean },
		{ "reward_std", st->adv.std },
		{ "frac_reward_zero_std", st->adv.zero_std },
		{ "groups/all_zero", (double)rw->all_zero },
		{ "groups/all_equal", (double)rw->all_equal },
		{ "groups/count", (double)rw->groups },
		{ "completions/mean_length", st->len_mean },
		{ "completions/min_length", st->len_min },
		{ "completions/max_length", st->len_max },
		{ "completions/mean_terminated_length", st->term_mean },
		{ "completions/min_terminated_length", st->term_min },
		{ "completions/max_terminated_length", st->term_max },
		{ "completions/clipped_ratio", st->clipped_len },
		{ "grad_norm", st->updated ? st->grad_norm : NAN },
		{ "learning_rate", st->lr },
		{ "time/forward", st->forward_sec },
		{ "time/backward", st->backward_sec },
		{ "time/gemm", st->gemm_sec },
	};
	int rc;

	moe_rec_clear(r);
	rc = moe_rec_set_str(r, "t", "metrics", e) | moe_rec_set_int(r, "step", s->step, e);
	for (size_t i = 0; i < sizeof(flat) / sizeof(*flat); i++)
		rc |= put(r, flat[i].key, flat[i].v, e);
	rc |= loss_metrics(r, st, e);
	for (int i = 0; i < s->n_rewards; i++)
		rc |= put_for(r, "rewards/", s->reward_name[i], "/mean", rw->mean[i], e) |
			put_for(r, "rewards/", s->reward_name[i], "/std", rw->std[i], e) |
			put_for(r, "rewards/", s->reward_name[i], "/variance_share", rw->share[i],
				e);
	rc |= advantages(r, s, st, e);
	rc |= routing(r, st, e) | expert_metrics(r, &a->x, st, e);
	if (st->gates.pass)
		rc |= router_metrics(r, st, e);
	return rc ? -1 : 0;
}

void moe_train_line(char *out, size_t size, const struct moe_rollout_step *s,
	const struct moe_train_stats *st, double step_sec)
{
	char diff[16] = "-";

	if (isfinite(st->logp_diff_mean))
		snprintf(diff, sizeof(diff), "%.2g", st->logp_diff_mean);
	snprintf(out, size,
		"step %lld: reward %.3f  keep/absorb/route %.2f/%.2f/%.2f  |g| %.3g  dlogp %s  "
		"length %.1f  equal groups %zu/%zu  %.2f s (forward %.2f, backward %.2f)",
		(long long)s->step, st->adv.mean, st->share[MOE_KEEP], st->share[MOE_ABSORB],
		st->share[MOE_ROUTE], st->grad_norm, diff, st->len_mean, st->adv.dead,
		st->adv.groups, step_sec, st->forward_sec, st->backward_sec);
}

/* Records of a file of metrics whose step is before `first`; those of a file that is not there, or
 * from where it is cut off, are none. */
struct kept {
	struct moe_rec *v;
	size_t n;
};

static int read_kept(struct kept *k, const char *path, int64_t first, struct moe_err *e)
{
	bool there = first > 0 && access(path, F_OK) == 0;
	struct moe_reader *r;
	struct moe_rec rec = { 0 };
	int64_t step;
	int rc = 0;

	moe_ranks_share(&there, sizeof(there), 0);
	r = there ? moe_reader_open_path(path, NULL, e) : NULL;
	while (!rc && r && moe_reader_next(r, &rec, e) == 1) {
		struct moe_rec *more;

		if (!moe_rec_is(&rec, "metrics") || !moe_rec_int(&rec, "step", &step) ||
			step >= first)
			continue;
		more = realloc(k->v, (k->n + 1) * sizeof(*more));
		if (!more) {
			rc = moe_fail(e, MOE_SYSTEM, "out of memory for the metrics so far");
			break;
		}
		k->v = more;
		memset(&k->v[k->n], 0, sizeof(*more));
		rc = moe_rec_copy(&k->v[k->n++], &rec, e);
	}
	moe_rec_free(&rec);
	if (r)
		moe_reader_close(r);
	return rc;
}

int moe_metrics_open(struct moe_metrics_file *f, const char *path, const struct moe_adapter *a,
	const struct moe_writer_opts *w, int64_t first, struct moe_err *e)
{
	struct moe_writer_opts o = *w;
	struct moe_rec extra = { 0 };
	struct kept kept = { 0 };
	int rc;

	*f = (struct moe_metrics_file){ .fd = -1 };
	if (!path)
		return 0;
	o.kind = "metrics";
	rc = read_kept(&kept, path, first, e);
	if (!moe_rank_leads())
		path = "/dev/null"; /* rank 0 writes the file */
	f->fd = rc ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (f->fd < 0 && !rc)
		rc = moe_fail_errno(e, "%s: cannot be written", path);
	if (!rc && moe_rec_set_str(&extra, "method", moe_adapter_reported(a), e) == 0 &&
		moe_rec_set_int(&extra, "train_seed", (int64_t)a->train_seed, e) == 0)
		f->w = moe_writer_open_fd(f->fd, path, &o, &extra, e);
	moe_rec_free(&extra);
	for (size_t i = 0; i < kept.n; i++) {
		moe_rec_f64(&kept.v[i], "time", &f->before_sec);
		if (f->w && !rc)
			rc = moe_metrics_put(f, &kept.v[i], e);
		moe_rec_free(&kept.v[i]);
	}
	free(kept.v);
	return f->w && !rc ? 0 : -1;
}

int moe_metrics_put(struct moe_metrics_file *f, const struct moe_rec *r, struct moe_err *e)
{
	return f->w && (moe_writer_put(f->w, r, e) || moe_writer_flush(f->w, e)) ? -1 : 0;
}

int moe_metrics_end(struct moe_metrics_file *f, enum moe_labels labels, struct moe_err *e)
{
	int rc = 0;

	if (!f->w)
		return 0;
	moe_writer_raise(f->w, labels);
	rc = moe_writer_end(f->w, NULL, e);
	moe_writer_close(f->w);
	if (close(f->fd) && rc == 0)
		rc = moe_fail_errno(e, "closing the file of metrics failed");
	*f = (struct moe_metrics_file){ .fd = -1 };
	return rc;
}
