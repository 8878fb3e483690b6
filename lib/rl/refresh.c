/* refresh.c - weights for a step, and when the score is due. How it is made is the method's, how
 * weights come is ahead.c's. */
#define _DEFAULT_SOURCE
#include "rl/refresh.h"

#include "formats/rollout.h"
#include "moe/score_state.h"
#include "rl/checkpoint.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 30000

/* The state in which the weights in hand would be deployed: sampling gates, no quarantine. */
static int deploy(struct moe_refresh *f, struct moe_err *e)
{
	moe_experts_free(&f->deployed);
	if (moe_experts_copy(&f->deployed, &f->now.x, e))
		return -1;
	for (int b = 0; b < MOE_BANKS; b++)
		moe_experts_scale_bank(
			&f->deployed, b, b == MOE_BANK_QUARANTINE ? 0 : f->now.plan.sample[b]);
	return 0;
}

int moe_refresh_begin(struct moe_refresh *f, struct moe_err *e)
{
	f->every = moe_method_refresh(f->method, f->a);
	f->made = -1;
	if (f->every == 0)
		return 0;
	return moe_adapter_copy(&f->now, f->a, e) || deploy(f, e) ? -1 : 0;
}

void moe_refresh_free(struct moe_refresh *f)
{
	moe_adapter_free(&f->now);
	moe_experts_free(&f->deployed);
	*f = (struct moe_refresh){ 0 };
}

int moe_refresh_resume(struct moe_refresh *f, const char *checkpoint, const struct moe_rec *state,
	struct moe_err *e)
{
	struct moe_train_at at = { 0 };

	if (moe_train_peek(checkpoint, &f->now, &at, e) < 0 || deploy(f, e))
		return -1;
	if (moe_rec_int_req(state, "step", &f->made, e) || moe_score_state_set(f->a, state, e))
		return moe_err_prefix(e, "%s", checkpoint);
	return 0;
}

/* The digest of the adapter that sampled the step; "" where no rollout names one. What others
 * recorded (teacher) was sampled by theirs. */
static int policy_of(const struct moe_route_step *s, char out[65], struct moe_err *e)
{
	out[0] = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct moe_str p;
		bool teacher = false;

		moe_rec_bool(&s->rec[i], "teacher", &teacher);
		if (teacher || !moe_rec_str(&s->rec[i], MOE_ROLLOUT_POLICY, &p) || p.n > 64)
			continue;
		if (out[0] && !moe_str_eq(p, out))
			return moe_fail(e, MOE_DATA,
				"step %lld: its rollouts were sampled by several adapters, %.12s "
				"and %.*s: the score's refresh needs one",
				(long long)s->step, out, (int)(p.n < 12 ? p.n : 12), p.p);
		memcpy(out, p.p, p.n);
		out[p.n] = 0;
	}
	return 0;
}

/* The next weights of the trainer. */
static int next(struct moe_refresh *f, int64_t step, struct moe_err *e)
{
	double waited = 0;
	int ms = f->wait_sec > 0 && f->wait_sec * 1000 < PATIENCE_MS ? (int)(f->wait_sec * 1000)
								     : PATIENCE_MS,
	    rc;

	while (!(rc = moe_ahead_next(f->follow, ms, &f->now, e))) {
		waited += ms / 1e3;
		if (moe_ahead_begun(f->follow))
			continue;
		if (f->wait_sec > 0 && waited >= f->wait_sec)
			return moe_fail(
				e, MOE_DATA, "no trainer opened the FIFO within %g s", f->wait_sec);
		if (f->say)
			f->say(f->ctx, step);
	}
	return rc < 0 || deploy(f, e) ? -1 : 0;
}

/* Reads on until the weights in hand are those that sampled the step. In a FIFO they are the next
 * ones: others would be waited for in vain. But a step that updates nothing publishes the same
 * weights again, and where a step's policy is not known one segment is left behind. */
static int get_weights(struct moe_refresh *f, const struct moe_route_step *s, struct moe_err *e)
{
	char want[65];

	if (policy_of(s, want, e))
		return -1;
	if (!want[0]) {
		f->unknown++;
		return 0;
	}
	for (int64_t read = 0; strcmp(f->now.digest, want) != 0;) {
		char had[65];

		if (!f->follow)
			return moe_fail(e, MOE_DATA,
				"step %lld was sampled by the adapter %.12s, not by %.12s: the "
				"score's refresh needs the weights of each step (--follow)",
				(long long)s->step, want, f->now.digest);
		if (read > f->unknown && moe_ahead_is_fifo(f->follow))
			return moe_fail(e, MOE_DATA,
				"step %lld was sampled by the adapter %.12s, and the trainer "
				"published %.12s",
				(long long)s->step, want, f->now.digest);
		memcpy(had, f->now.digest, sizeof(had));
		if (next(f, s->step, e))
			return moe_err_prefix(e, "step %lld, sampled by the adapter %.12s",
				(long long)s->step, want);
		read += strcmp(f->now.digest, had) != 0;
	}
	f->unknown = 0;
	return 0;
}

int moe_refresh_step(struct moe_refresh *f, struct moe_engine *g, const struct moe_route_step *s,
	bool *made, struct moe_err *e)
{
	*made = false;
	if (f->every == 0 || s->n == 0)
		return 0;
	if (get_weights(f, s, e))
		return -1;
	g->x = &f->deployed;
	*made = f->made < 0 || s->step / f->every != f->made / f->every;
	if (!*made)
		return 0;
	if (s->step % f->every != 0 && f->made < 0)
		return moe_fail(e, MOE_DATA,
			"the input begins with step %lld, and the score is that of step %lld: "
			"--resume CHECKPOINT goes on with it",
			(long long)s->step, (long long)(s->step - s->step % f->every));
	f->made = s->step;
	return f->method->refresh(g, f->pairs, s->step / f->every, f->a, e)
		? moe_err_prefix(e, "step %lld", (long long)s->step)
		: 0;
}

int moe_refresh_state(const struct moe_refresh *f, struct moe_rec *out, struct moe_err *e)
{
	return moe_rec_set_int(out, "step", f->made, e) || moe_score_state_get(f->a, out, e) ? -1
											     : 0;
}
