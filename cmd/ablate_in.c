/* ablate_in.c - options and further inputs of moe-ablate. What is made of them is lib/moe's. */
#include "cmd/ablate_in.h"
#include "cmd/model_in.h"
#include "formats/rollout.h"
#include "formats/tokenizer/special.h"
#include "model/sample.h"
#include "util/rng.h"

#include <stdlib.h>
#include <string.h>

#define TEXTS_MAX 256 /* what more of them say is the same */
#define NEW_MAX   64  /* tokens that are sampled for a prompt */

struct ablate_args ablate_args = { .arms = "on,quarantine-off,clean-off,base" };
#define A ablate_args

const struct moe_opt ablate_options[] = {
	{ 0, "arms", MOE_OPT_STR, &A.arms, "LIST",
		"on, BANK-off, random-off:K, experts-off:K, damage-off:K, base, scale:BANK=S,.., "
		"pairs-out, trajectory-out=K,..; + joins banks",
		"on,quarantine-off,clean-off,base", 0, 0 },
	{ 0, "", MOE_OPT_HEAD, NULL, NULL, "For arms that need more than the adapter", NULL, 0, 0 },
	{ 'm', "base", MOE_OPT_STR, &A.base, "DIR",
		"the base model's directory: for damage-off and pairs-out", NULL, 0, 0 },
	{ 0, "any-base", MOE_OPT_FLAG, &A.any_base, NULL,
		"let the base be another than the adapter's, if shapes fit", NULL, 0, 0 },
	{ 0, "texts", MOE_OPT_STR, &A.texts, "FILE",
		"prompts, rollouts or pairs on which damage-off compares arms", NULL, 0, 0 },
	{ 0, "pairs", MOE_OPT_STR, &A.pairs, "FILE", "the pairs of pairs-out", NULL, 0, 0 },
	{ 0, "trajectory", MOE_OPT_LIST, &A.trajectory, "FILE",
		"for trajectory-out: the run's adapters, step by step; may be repeated", NULL, 0,
		0 },
	{ 0 }
};

/* All texts, in tokens; what a prompt lacks is sampled for each adapter anew. */
struct text {
	int32_t *prompt, *completion; /* owned; completion NULL: a prompt */
	size_t n_prompt, n_completion;
	uint64_t key;
};

static struct {
	struct moe_model m;
	struct moe_engine g;
	struct moe_pairs pairs, sides;
	struct moe_trajectory path;
	struct text text[TEXTS_MAX];
	struct moe_completion sampled[TEXTS_MAX];
	struct moe_seq seq[TEXTS_MAX];
	size_t n_text, n_sampled;
	bool prompts; /* the texts are prompts */
	struct moe_ablate_aids aids;
	struct moe_damage *damage;
} in;

static void die_unless(bool ok, const struct moe_err *e)
{
	if (!ok)
		moe_die(e);
}

/* The stream was read to its end. */
static void done_with(struct moe_reader *r, struct moe_out *out)
{
	struct moe_err e;

	moe_in_rest(r);
	moe_writer_raise(out->w, moe_reader_labels(r));
	die_unless(moe_writer_from_reader(out->w, r, &e) == 0, &e);
	moe_reader_close(r);
}

static void read_pairs(struct moe_pairs *p, struct moe_reader *r, const char *path)
{
	struct moe_err e;
	struct moe_tokenizer *t = moe_tokenizer_open(A.base, &e);

	die_unless(t && moe_pairs_read(p, r, t, in.m.config.bos, &e) == 0, &e);
	moe_tokenizer_free(t);
	if (moe_reader_labels(r) == MOE_LABELS_ORACLE || !p->n) {
		moe_fail(&e, MOE_DATA,
			p->n ? "%s carries the labels 'oracle': sealed findings chose these pairs, "
			       "and pairs are written by hand"
			     : "%s holds no pairs",
			path);
		moe_die(&e);
	}
}

/* ---- texts ---- */

/* They are of this model's vocabulary. */
static void check_ids(const struct moe_rec *rec, const int32_t *id, size_t n)
{
	struct moe_err e;

	for (size_t i = 0; i < n; i++)
		if (id[i] < 0 || id[i] >= in.m.config.V) {
			moe_fail(&e, MOE_DATA,
				"%s: record %llu: token %d is outside of the base's vocabulary of "
				"%d",
				A.texts, (unsigned long long)rec->number, (int)id[i],
				in.m.config.V);
			moe_die(&e);
		}
}

static void take_rollout(const struct moe_rec *rec)
{
	struct text *t = &in.text[in.n_text];
	struct moe_str arm = { "", 0 };
	struct moe_err e;

	moe_rec_str(rec, "arm", &arm);
	if (!moe_str_eq(arm, "on") || in.n_text == TEXTS_MAX)
		return;
	die_unless(moe_rec_i32s(rec, MOE_ROLLOUT_PROMPT_IDS, &t->prompt, &t->n_prompt, &e) == 0 &&
			moe_rec_i32s(rec, MOE_ROLLOUT_COMPLETION_IDS, &t->completion,
				&t->n_completion, &e) == 0,
		&e);
	check_ids(rec, t->prompt, t->n_prompt);
	check_ids(rec, t->completion, t->n_completion);
	in.n_text++;
}

static void take_prompt(const struct moe_rec *rec, const struct moe_tokenizer *tok)
{
	struct text *t = &in.text[in.n_text];
	struct moe_str id, text;
	struct moe_err e;

	if (in.n_text == TEXTS_MAX)
		return;
	die_unless(moe_rec_str_req(rec, "id", &id, &e) == 0 &&
			moe_rec_str_req(rec, "text", &text, &e) == 0 &&
			moe_prompt_tokens(tok, in.m.config.bos, text,
				moe_rec_has(rec, "messages") > MOE_V_NIL, &t->prompt, &t->n_prompt,
				&e) == 0,
		&e);
	t->key = moe_hash64(id.p, id.n);
	in.n_text++;
}

static void read_texts(struct moe_out *out)
{
	struct moe_reader *r = moe_in_open(A.texts, NULL);
	struct moe_tokenizer *tok = NULL;
	struct moe_rec rec = { 0 };
	struct moe_str kind;
	struct moe_err e;
	int got = moe_reader_peek_header(r, &e);

	die_unless(got >= 0, &e);
	kind = moe_reader_kind(r);
	in.prompts = moe_str_eq(kind, "prompts");
	if (moe_str_eq(kind, "pairs"))
		read_pairs(&in.sides, r, A.texts);
	else if (!in.prompts && !moe_str_eq(kind, "rollouts")) {
		moe_fail(&e, MOE_DATA,
			"%s is a stream of %.*s: texts are prompts, rollouts or pairs", A.texts,
			(int)(kind.n < 40 ? kind.n : 40), kind.p);
		moe_die(&e);
	}
	die_unless(!in.prompts || (tok = moe_tokenizer_open(A.base, &e)), &e);
	while (!in.sides.n && (got = moe_reader_next(r, &rec, &e)) > 0)
		if (in.prompts && moe_rec_is(&rec, "prompt"))
			take_prompt(&rec, tok);
		else if (!in.prompts && moe_rec_is(&rec, "rollout"))
			take_rollout(&rec);
	die_unless(got >= 0, &e);
	if (!in.sides.n && !in.n_text) {
		moe_fail(&e, MOE_DATA, "%s holds no %s", A.texts,
			in.prompts ? "prompts" : "rollouts of the arm on");
		moe_die(&e);
	}
	moe_tokenizer_free(tok);
	moe_rec_free(&rec);
	done_with(r, out);
}

/* What the adapter itself says to the prompts, as it samples. */
static void sample(const struct moe_adapter *a)
{
	moe_real gate[MOE_EXPERTS_MAX];
	struct moe_sample_opts o = { .max_new = NEW_MAX,
		.temperature = 1,
		.top_p = 1,
		.seed = moe_common.seed,
		.stop = in.m.config.eos,
		.n_stop = in.m.config.n_eos };
	struct moe_sample_req req[TEXTS_MAX];
	struct moe_err e;

	moe_decision_table_spread(&a->x, a->plan.sample, gate);
	for (size_t i = 0; i < in.n_text; i++)
		req[i] = (struct moe_sample_req){ .prompt = in.text[i].prompt,
			.n_prompt = (int)in.text[i].n_prompt,
			.key = in.text[i].key,
			.n_samples = 1,
			.outer = gate,
			.prompt_unrouted = a->x.S > 0 && moe_method_setting(a, "pon", 0) > 0 };
	for (; in.n_sampled; in.n_sampled--)
		moe_completion_free(&in.sampled[in.n_sampled - 1]);
	die_unless(
		moe_sample(&in.m, &a->x, &o, in.n_text, req, in.g.pool, in.sampled, &e) == 0, &e);
	in.n_sampled = in.n_text;
}

static size_t make_seq(const struct moe_adapter *a)
{
	size_t n = in.sides.n ? in.sides.n : in.n_text;

	n = n < TEXTS_MAX ? n : TEXTS_MAX;
	if (in.prompts)
		sample(a);
	for (size_t i = 0; i < n; i++) {
		const struct moe_pair *p = in.sides.n ? &in.sides.pair[i] : NULL;
		const struct text *t = &in.text[i];
		const struct moe_completion *c = &in.sampled[i];

		in.seq[i] = p ? (struct moe_seq){ p->prompt, p->clean, p->n_prompt, p->n_clean, 0 }
			: in.prompts
			? (struct moe_seq){ t->prompt, c->ids, (int)t->n_prompt, c->n, 0 }
			: (struct moe_seq){ t->prompt, t->completion, (int)t->n_prompt,
				  (int)t->n_completion, 0 };
	}
	return n;
}

/* ---- the others ---- */

static void read_trajectory(const char *path, struct moe_out *out)
{
	struct moe_reader *r = moe_in_open(path, "adapter");
	struct moe_adapter a = { 0 };
	struct moe_err e;
	int got;

	while ((got = moe_adapter_read(r, false, &a, &e)) == 1) {
		if (strcmp(a.arm, "on") != 0)
			got = moe_fail(&e, MOE_DATA,
				"%s: arm '%s' is ablated: a trajectory is of trained adapters",
				path, a.arm);
		if (got < 0 || moe_trajectory_add(&in.path, &a, moe_common.max_mem, &e))
			moe_die(&e);
	}
	die_unless(got >= 0, &e);
	moe_adapter_free(&a);
	done_with(r, out);
}

void ablate_check_aids(char *const *name, size_t n, const char *input)
{
	const struct {
		enum moe_ablate_need what;
		bool given;
		const char *opt;
	} need[] = { { MOE_NEED_BASE, A.base, "-m DIR" },
		{ MOE_NEED_PAIRS, A.pairs, "--pairs FILE" },
		{ MOE_NEED_TEXTS, A.texts, "--texts FILE" },
		{ MOE_NEED_TRAJECTORY, A.trajectory.n > 0, "--trajectory FILE" } };

	const char *file[3] = { A.pairs, A.texts, input };
	int standard = 0;

	for (int i = 0; i < 3; i++)
		standard += file[i] && !strcmp(file[i], "-");
	for (size_t i = 0; i < A.trajectory.n; i++)
		standard += !strcmp(A.trajectory.v[i], "-");
	if (standard > 1)
		moe_usage_error("standard input is one file only");
	for (size_t k = 0; k < sizeof(need) / sizeof(*need); k++) {
		bool any = false;

		for (size_t i = 0; i < n; i++) {
			bool needs = moe_ablate_needs(name[i], need[k].what);

			if (needs && !need[k].given)
				moe_usage_error("the arm '%s' needs %s", name[i], need[k].opt);
			any |= needs;
		}
		if (need[k].given && !any)
			moe_usage_error("%s: no arm that was asked for needs it", need[k].opt);
	}
}

void ablate_read_aids(struct moe_out *out)
{
	struct moe_reader *r;
	struct moe_err e;

	for (size_t i = 0; i < A.trajectory.n; i++)
		read_trajectory(A.trajectory.v[i], out);
	in.aids.path = A.trajectory.n ? &in.path : NULL;
	if (!A.base)
		return;
	moe_model_in(&in.m, A.base);
	in.g = (struct moe_engine){ .m = &in.m, .pool = moe_pool_new(moe_common.threads, &e) };
	die_unless(in.g.pool, &e);
	in.aids.g = &in.g;
	if (A.pairs) {
		r = moe_in_open(A.pairs, "pairs");
		read_pairs(&in.pairs, r, A.pairs);
		done_with(r, out);
		in.aids.pairs = &in.pairs;
	}
	if (A.texts)
		read_texts(out);
}

const struct moe_ablate_aids *ablate_aids_for(const struct moe_adapter *a)
{
	struct moe_err e;

	if (!A.base)
		return &in.aids;
	die_unless(moe_adapter_check(a, &in.m.config, in.m.digest, A.any_base, &e) == 0, &e);
	moe_damage_free(in.damage);
	in.damage = NULL;
	if (A.texts) {
		in.damage = moe_damage_new(&in.g, a, in.seq, make_seq(a), &e);
		die_unless(in.damage, &e);
	}
	in.aids.damage = in.damage;
	return &in.aids;
}

void ablate_free_aids(void)
{
	moe_damage_free(in.damage);
	for (size_t i = 0; i < in.n_sampled; i++)
		moe_completion_free(&in.sampled[i]);
	for (size_t i = 0; i < in.n_text; i++) {
		free(in.text[i].prompt);
		free(in.text[i].completion);
	}
	moe_trajectory_free(&in.path);
	moe_pairs_free(&in.pairs);
	moe_pairs_free(&in.sides);
	moe_pool_free(in.g.pool);
	moe_model_free(&in.m);
}
