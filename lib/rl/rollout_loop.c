/* rollout_loop.c - the loop over steps, chunks of prompts and arms. Sampling is generate.c's, the
 * FIFO follow.c's. */
#define _DEFAULT_SOURCE
#include "rl/rollout_loop.h"

#include "moe/ablate.h"
#include "rl/checkpoint.h"
#include "util/ranks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHUNK       256 /* prompts held at a time */
#define PATIENCE_MS 30000

static double now_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int moe_rollout_loop_fit(struct moe_rollout_loop *r, struct moe_err *e)
{
	for (size_t i = 0; i < r->n_arm; i++) {
		if (moe_adapter_check(
			    &r->arm[i], &r->g->m->config, r->g->m->digest, r->any_base, e))
			return -1;
		for (size_t k = 0; k < r->n_scale; k++)
			if (moe_ablate_scale(&r->arm[i], r->scale[k], e))
				return -1;
		if (moe_gen_check_off(r->g, &r->arm[i], e))
			return -1;
	}
	return 0;
}

int moe_rollout_loop_resume(struct moe_rollout_loop *r, const char *path, struct moe_err *e)
{
	struct moe_train_at at = { 0 };
	int got;

	if (r->n_arm != 1)
		return moe_fail(e, MOE_DATA,
			"%zu adapters: a trainer's checkpoint goes on from one", r->n_arm);
	got = moe_train_peek(path, &r->arm[0], &at, e);
	if (got <= 0)
		return got;
	r->first_step = at.next;
	r->labels = at.labels > r->labels ? at.labels : r->labels;
	return 0;
}

/* A prompt record for sampling: 1, 0 = left out and counted, -1. */
static int take_prompt(struct moe_rollout_loop *r, struct moe_gen_prompt *p,
	const struct moe_rec *rec, struct moe_err *e)
{
	if (!moe_gen_prompt_set(p, r->g, rec, e))
		return 1;
	moe_gen_prompt_free(p);
	if (!r->skip_bad || e->code != MOE_DATA)
		return -1;
	if (!r->n_bad++)
		r->first_bad = *e;
	return 0;
}

/* The prompts of the steps that are over; those that were left out then do not count. */
static int pass_by(struct moe_rollout_loop *r, struct moe_err *e)
{
	struct moe_gen_prompt p = { 0 };
	struct moe_rec rec = { 0 };
	int64_t left = r->per_step * r->first_step;
	int rc = 1;

	while (rc >= 0 && left > 0 && (rc = moe_reader_next(r->prompts, &rec, e)) == 1)
		if (moe_rec_is(&rec, "prompt")) {
			rc = r->skip_bad ? take_prompt(r, &p, &rec, e) : 1;
			left -= rc == 1;
			moe_gen_prompt_free(&p);
		}
	moe_rec_free(&rec);
	return rc < 0 ? -1 : 0;
}

static void say(const struct moe_rollout_loop *r, int64_t step, int arm)
{
	if (r->say)
		r->say(r->ctx, r, step, arm);
}

/* Before a step: the weights in hand, or the next ones from the trainer. */
static int get_weights(struct moe_rollout_loop *r, int64_t step, struct moe_err *e)
{
	double start = now_sec();
	int rc;

	if (!r->follow || step <= r->first_step + r->lag)
		return 0;
	say(r, step, -1);
	while (!(rc = moe_follow_wait(r->follow, r->out_fd,
			 r->wait_sec > 0 && r->wait_sec < 30 ? (int)(r->wait_sec * 1000)
							     : PATIENCE_MS,
			 e))) {
		bool late = r->wait_sec > 0 && now_sec() - start >= r->wait_sec;

		moe_ranks_share(&late, sizeof(late), 0); /* clocks differ */
		if (late)
			return moe_fail(e, MOE_DATA,
				"step %lld: no trainer opened the FIFO within %g s",
				(long long)step, r->wait_sec);
		say(r, step, -2);
	}
	if (rc < 0 || moe_follow_next(r->follow, &r->arm, &r->n_arm, e))
		return moe_err_prefix(e, "step %lld", (long long)step);
	r->waited_sec += now_sec() - start;
	if (moe_follow_labels(r->follow) > r->labels) {
		r->labels = moe_follow_labels(r->follow);
		moe_writer_raise(r->g->out, r->labels);
	}
	return moe_rollout_loop_fit(r, e);
}

static int read_prompts(struct moe_rollout_loop *r, struct moe_gen_prompt *p, size_t n, size_t *got,
	struct moe_err *e)
{
	struct moe_rec rec = { 0 };
	int rc = 1;

	*got = 0;
	while (*got < n && (rc = moe_reader_next(r->prompts, &rec, e)) == 1)
		if (moe_rec_is(&rec, "prompt")) {
			rc = take_prompt(r, &p[*got], &rec, e);
			if (rc < 0)
				break;
			*got += (size_t)rc;
		}
	moe_rec_free(&rec);
	return rc < 0 ? -1 : 0;
}

/* Up to n prompts, under every arm; *got says how many there were. */
static int run_chunk(struct moe_rollout_loop *r, struct moe_gen_prompt *p, size_t n,
	size_t first_group, int64_t step, size_t *got, struct moe_err *e)
{
	int rc = read_prompts(r, p, n, got, e);

	if (!rc && *got && !first_group)
		rc = get_weights(r, step, e);
	for (size_t a = 0; !rc && *got && a < (r->n_arm ? r->n_arm : 1); a++) {
		r->done = (double)r->n_prompts +
			(double)*got * (double)a / (double)(r->n_arm ? r->n_arm : 1);
		say(r, step, (int)a);
		rc = moe_gen_run(r->g, r->n_arm ? &r->arm[a] : NULL, p, *got, first_group, step, e);
	}
	for (size_t i = 0; i < n; i++)
		moe_gen_prompt_free(&p[i]);
	r->n_prompts += *got;
	return rc;
}

int moe_rollout_loop_run(struct moe_rollout_loop *r, struct moe_err *e)
{
	size_t cap = r->per_step > 0 && r->per_step < CHUNK ? (size_t)r->per_step : CHUNK, n = 1,
	       done;
	struct moe_gen_prompt *p = moe_alloc(cap, sizeof(*p), e);
	int rc = p ? pass_by(r, e) : -1;

	for (int64_t step = r->first_step; !rc && n && (!r->steps || step < r->steps); step++) {
		uint64_t before = r->g->n_rollouts;

		if (r->teacher_until && step >= r->teacher_until)
			r->g->teacher = NULL;
		for (done = 0; !rc && (!r->per_step || done < (size_t)r->per_step); done += n) {
			size_t left = r->per_step ? (size_t)r->per_step - done : cap;

			rc = run_chunk(r, p, left < cap ? left : cap, done, step, &n, e);
			if (n == 0)
				break;
		}
		if (!rc && done) {
			rc = moe_gen_step_end(r->g, step, r->g->n_rollouts - before, e);
			r->n_steps++;
		}
	}
	free(p);
	if (!rc && r->n_bad && !r->n_prompts) {
		*e = r->first_bad;
		rc = moe_err_prefix(e, "no prompt can be sampled; the first");
	}
	return rc;
}
