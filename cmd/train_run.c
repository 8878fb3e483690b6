/* train_run.c - moe-train's checkpoint, refusals and warnings. The steps are in moe-train.c. */
#include "cmd/train_run.h"
#include "cmd/train_identity.h"
#include "cmd/train_opts.h"
#include "util/ranks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void die_unless(bool ok, const struct moe_err *e)
{
	if (!ok)
		moe_die(e);
}

void train_refuse_oracle(enum moe_labels labels)
{
	struct moe_err e;

	if (labels < MOE_LABELS_ORACLE || train_args.allow_oracle)
		return;
	moe_fail(&e, MOE_DATA,
		"the input carries the labels 'oracle': something that made it opened sealed "
		"findings; --allow-oracle trains on it all the same, and the result is marked");
	moe_die(&e);
}

/* A bound without what makes it one would be believed. */
void train_need_oracle(const struct moe_method *method, enum moe_labels labels)
{
	struct moe_err e;

	if (!method->cheats || labels == MOE_LABELS_ORACLE)
		return;
	moe_fail(&e, MOE_DATA,
		"the method '%s' cheats, but nothing that made these rollouts opened sealed "
		"findings: moe-route or moe-grade --pay oracle is missing before moe-train",
		method->name);
	moe_die(&e);
}

void train_resume(struct moe_trainer *t, struct train_run *run)
{
	struct moe_err e;
	int got;

	moe_train_key(t, run->key);
	if (!train_args.resume)
		return;
	got = moe_train_load(t, train_args.checkpoint, run->key, &run->at, &e);
	die_unless(got >= 0, &e);
	train_refuse_oracle(run->at.labels);
	die_unless(!got || moe_identity_load(&run->who, run->at.identity, &e) == 0, &e);
	run->saved = got ? t->a->step : 0;
	moe_info(got ? "going on after %lld step%s"
		     : "no checkpoint yet: starting at the first step",
		(long long)t->a->step, moe_s((uint64_t)t->a->step));
}

void train_publish_begin(
	struct train_run *run, const char *tool, const char *rollouts, enum moe_labels labels)
{
	bool from_file = rollouts && strcmp(rollouts, "-") != 0;
	struct moe_err e;

	run->w = (struct moe_writer_opts){ .kind = "adapter",
		.tool = tool,
		.argv = (const char *const *)moe_common.argv,
		.argc = moe_common.argc,
		.seed = moe_common.seed,
		.labels = labels };
	run->n_pub = train_args.publish.n;
	run->pub = moe_alloc(run->n_pub, sizeof(*run->pub), &e);
	die_unless(run->pub != NULL, &e);
	for (size_t i = 0; i < run->n_pub; i++)
		run->pub[i] = (struct moe_publisher){ .path = train_args.publish.v[i],
			.fd = -1,
			.in_fd = from_file ? -1 : STDIN_FILENO };
}

void train_publish_end(struct train_run *run)
{
	for (size_t i = 0; i < run->n_pub; i++)
		moe_publisher_close(&run->pub[i]);
	free(run->pub);
}

/* After each step. */
void train_keep(struct moe_trainer *t, struct train_run *run, int64_t step, enum moe_labels labels)
{
	struct moe_train_at at = { .next = step + 1,
		.labels = labels > run->at.labels ? labels : run->at.labels };
	struct moe_err e;

	at.labels = run->who.cheated ? MOE_LABELS_ORACLE : at.labels;
	run->w.labels = at.labels > run->w.labels ? at.labels : run->w.labels;
	/* first of all the sampler's weights, for which it waits; writing them makes the digest */
	t->a->digest[0] = 0;
	for (size_t i = 0; i < run->n_pub; i++) {
		run->pub[i].w = run->w;
		die_unless(moe_publish(&run->pub[i], t->a, &e) == 0, &e);
	}
	die_unless(t->a->digest[0] || moe_adapter_digest(t->a, &e) == 0, &e);
	moe_identity_trained(&run->who, step, t->a->digest);
	moe_identity_save(&run->who, at.identity);

	/* a gradient that waits for more steps is in no checkpoint: the next one that is whole */
	run->due |= train_args.save_every > 0 && t->a->step % train_args.save_every == 0;
	if (run->due && t->pending == 0) {
		run->due = false;
		die_unless(!moe_rank_leads() ||
				moe_train_save(t, train_args.checkpoint, run->key, &at, &e) == 0,
			&e);
		run->saved = t->a->step;
	}
	train_last_words(t->a->step, run->saved);
}

void train_conclude(
	const struct train_run *run, const struct moe_trainer *t, enum moe_labels labels)
{
	struct moe_err e;

	if (labels == MOE_LABELS_UNKNOWN)
		moe_warn("whether sealed labels have touched these rollouts is not known (labels "
			 "'unknown'): somewhere before, a text without its header line was made a "
			 "stream");

	if (run->steps == 0 && run->at.next == 0) {
		moe_fail(&e, MOE_DATA, "the input holds no rollouts: nothing was trained");
		moe_die(&e);
	}
	if (run->steps && run->dead == run->steps)
		moe_warn("the rewards of every group were all equal in every step: the adapter is "
			 "as it was");
	if (run->beyond)
		moe_warn("%zu rollout%s longer than the model's positions "
			 "(max_position_embeddings): trained on all the same",
			run->beyond, run->beyond == 1 ? " is" : "s are");
	if (t->method->decide && run->routed == 0 && run->at.next == 0)
		moe_warn("nothing was routed: no rollout of any step went to the quarantine alone");
	train_identity_report(&run->who, t->a);
}
