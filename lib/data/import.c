/* import.c - walks the files of an import and arranges rollouts in groups and steps. One row is
 * translated by import_row.c. */
#include "data/import_private.h"
#include "util/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ending[] = { ".jsonl", ".json", ".ndjson", NULL };

/* Formats of public data sets that `--map NAME` stands for. */
static const struct {
	const char *name;
	enum moe_import_kind kind;
	const char *map;
} preset[] = {
	{ "teacher_pool", MOE_IMPORT_ROLLOUTS,
		"prompt_id=problem_id,prompt=prompt|problem_messages,completion_len=comp_len,solved=gt_pass,hacked=hacked,mode==run_tests,env.problem_id=problem_id" },
	{ "substrate", MOE_IMPORT_ROLLOUTS,
		"prompt_id=problem_id,mode=env_mode,solved=gt_pass,hacked=hacked,env.problem_id=problem_id" },
	{ "teacher_pool", MOE_IMPORT_PROMPTS,
		"id=problem_id,text=prompt|problem_messages,mode==run_tests,env.problem_id=problem_id" },
	{ "leetcode", MOE_IMPORT_PROMPTS,
		"id=prompt_id|id,text=prompt,task=func_name,mode=mode,marker=marker,env.tests=gt_answer,env.setup=setup_code,env.func=func_name,env.canonical=canonical_solution,env.starter=prompt_metadata.starter_code,env.mode=mode,env.marker=marker" }
};

static const char *const prompt_keys[] = { "id", "text", "mode", "task", "marker", "split", "env.",
	NULL };
static const char *const rollout_keys[] = { "prompt_id", "prompt", "completion", "prompt_ids",
	"completion_ids", "completion_len", "logp", "model_logp", "full_logp", "temperature",
	"top_k", "top_p", "finish", "mode", "task", "marker", "split", "step", "sample", "arm",
	"reward", "rewards.", "env.", "solved", "hacked", "mechanism", "seal.", NULL };

static int add_map(struct moe_import *im, const char *text, struct moe_err *e)
{
	size_t n = strcspn(text, ",");

	if (memchr(text, '=', n))
		return moe_fieldmap_add(&im->map, text, e);
	for (size_t i = 0; i < sizeof(preset) / sizeof(preset[0]); i++)
		if (preset[i].kind == im->o->kind && strlen(preset[i].name) == n &&
			!strncmp(text, preset[i].name, n))
			return moe_fieldmap_add(&im->map, preset[i].map, e) ||
					(text[n] && add_map(im, text + n + 1, e))
				? -1
				: 0;
	return moe_fail(e, MOE_USAGE, "`%.*s' is neither KEY=PATH nor a preset (%s)",
		(int)(n < 100 ? n : 100), text,
		im->o->kind == MOE_IMPORT_ROLLOUTS ? "teacher_pool, substrate"
						   : "leetcode, teacher_pool");
}

static int parse_partition(struct moe_import *im, const char *name, struct moe_err *e)
{
	moe_json_free(im->partition);
	im->partition = moe_json_parse_exact(
		(const char *)im->partition_text.data, im->partition_text.len, name, e);
	if (!im->partition)
		return -1;
	if (moe_json_kind(moe_json_root(im->partition)) != MOE_J_OBJECT)
		return moe_fail(e, MOE_DATA, "%s: expected an object of prompt id and mode", name);
	return 0;
}

static int open_partition(struct moe_import *im, struct moe_err *e)
{
	struct moe_input *in = moe_input_open(im->o->partition, e);
	int rc = -1;

	if (!in)
		return -1;
	if (moe_input_next(in, e) >= 0 &&
		!moe_input_slurp(in, &im->partition_text, (size_t)16 << 20, e))
		rc = parse_partition(im, im->o->partition, e);
	moe_input_close(in);
	return rc;
}

struct moe_import *moe_import_open(
	const struct moe_import_opts *o, const char *const *path, size_t n, struct moe_err *e)
{
	struct moe_import *im = calloc(1, sizeof(*im));

	if (!im) {
		moe_fail(e, MOE_SYSTEM, "out of memory for an import");
		return NULL;
	}
	im->o = o;
	moe_members_init(&im->members, path, n, ending, o->max_bytes);
	for (size_t i = 0; i < o->n_map; i++)
		if (add_map(im, o->map[i], e))
			goto fail;
	if (moe_fieldmap_check(
		    &im->map, o->kind == MOE_IMPORT_ROLLOUTS ? rollout_keys : prompt_keys, e) ||
		(o->partition && open_partition(im, e)))
		goto fail;
	im->step_mapped = moe_fieldmap_path(&im->map, "step", NULL) != NULL;
	return im;
fail:
	moe_import_close(im);
	return NULL;
}

void moe_import_close(struct moe_import *im)
{
	if (!im)
		return;
	moe_fieldmap_free(&im->map);
	moe_members_free(&im->members);
	moe_json_free(im->partition);
	moe_buf_free(&im->partition_text);
	moe_rec_free(&im->held);
	free(im->prompt);
	free(im);
}

uint64_t moe_import_count(const struct moe_import *im)
{
	return im->count;
}

uint64_t moe_import_sealed(const struct moe_import *im)
{
	return im->sealed;
}

const struct moe_import_notes *moe_import_noted(const struct moe_import *im)
{
	return &im->notes;
}

int moe_import_sources(const struct moe_import *im, struct moe_writer *w, struct moe_err *e)
{
	return moe_members_sources(&im->members, w, e);
}

/* A member named partition.json says which mode each prompt has. 1 = it was one. */
static int take_partition(struct moe_import *im, struct moe_err *e)
{
	static const char name[] = "partition.json";
	const char *member = moe_members_name(&im->members);
	size_t n = strlen(member), k = sizeof(name) - 1;
	ssize_t got;

	if (n < k || strcmp(member + n - k, name) != 0 ||
		(n > k && member[n - k - 1] != '/' && member[n - k - 1] != ':'))
		return 0;
	if (im->o->partition)
		return 1;
	im->partition_text.len = 0;
	do {
		if (im->partition_text.len > (size_t)16 << 20)
			return moe_fail(e, MOE_DATA, "%s: longer than 16 MiB", member);
		if (moe_buf_reserve(&im->partition_text, 1 << 16, e))
			return -1;
		got = im->members.src.read(im->members.src.ctx,
			im->partition_text.data + im->partition_text.len, 1 << 16, e);
		if (got < 0)
			return -1;
		im->partition_text.len += (size_t)got;
	} while (got);
	return parse_partition(im, member, e) ? -1 : 1;
}

/* The next row's JSON text: 1, 0, -1. */
static int next_text(struct moe_import *im, struct moe_str *text, uint64_t *line, struct moe_err *e)
{
	for (;;) {
		int rc;

		if (!im->open) {
			rc = moe_members_next(&im->members, e);
			if (rc <= 0)
				return rc;
			rc = take_partition(im, e);
			if (rc < 0)
				return -1;
			if (rc)
				continue;
			im->open = true;
		}
		rc = moe_source_json(&im->members.src, text, line, e);
		if (rc)
			return rc;
		im->open = false;
	}
}

static int grow_prompts(struct moe_import *im, struct moe_err *e)
{
	size_t cap = im->cap_prompt ? im->cap_prompt * 2 : 256;
	__typeof__(im->prompt) table = calloc(cap, sizeof(*table));

	if (!table)
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu prompts", cap);
	for (size_t i = 0; i < im->cap_prompt; i++) {
		size_t at = (size_t)im->prompt[i].hash & (cap - 1);

		if (!im->prompt[i].samples)
			continue;
		while (table[at].samples)
			at = (at + 1) & (cap - 1);
		table[at] = im->prompt[i];
	}
	free(im->prompt);
	im->prompt = table;
	im->cap_prompt = cap;
	return 0;
}

/* How many rollouts of this prompt came before (and counts this one). */
static int earlier(struct moe_import *im, uint64_t hash, uint64_t *n, struct moe_err *e)
{
	size_t at;

	if (2 * im->n_prompt >= im->cap_prompt && grow_prompts(im, e))
		return -1;
	at = (size_t)hash & (im->cap_prompt - 1);
	while (im->prompt[at].samples && im->prompt[at].hash != hash)
		at = (at + 1) & (im->cap_prompt - 1);
	im->n_prompt += !im->prompt[at].samples;
	im->prompt[at].hash = hash;
	*n = im->prompt[at].samples++;
	return 0;
}

static int step_record(struct moe_import *im, struct moe_rec *rec, struct moe_err *e)
{
	moe_rec_clear(rec);
	if (moe_rec_set_str(rec, "t", "step", e) ||
		moe_rec_set_int(rec, "step", (int64_t)im->step, e) ||
		moe_rec_set_int(rec, "n", (int64_t)im->in_step, e))
		return -1;
	im->step_open = false;
	im->in_step = 0;
	return 1;
}

/* Puts a rollout into its group and step and names it. 2 = a step ends before it. */
static int place(
	struct moe_import *im, const struct import_row *r, struct moe_rec *rec, struct moe_err *e)
{
	uint64_t hash = moe_hash64(r->prompt_id, strlen(r->prompt_id)), sample, step = im->step;
	bool new_group = !im->in_group || hash != im->group_hash, ends = false;
	char id[384];

	if (im->step_mapped)
		step = r->step < 0 ? 0 : (uint64_t)r->step;
	else if (new_group && im->o->per_step && im->in_group && im->groups == im->o->per_step)
		step++;
	ends = im->step_open && step != im->step;
	if (step != im->step || !im->in_group) {
		im->groups = 0;
		new_group = true;
	}
	if (new_group)
		im->groups++;
	im->in_group = true;
	im->group_hash = hash;
	if (earlier(im, hash, &sample, e))
		return -1;
	if (r->sample >= 0)
		sample = (uint64_t)r->sample;
	snprintf(id, sizeof(id), "%s#%llu.%llu", r->prompt_id, (unsigned long long)step,
		(unsigned long long)sample);
	if (moe_rec_set_str(rec, "id", id, e) ||
		moe_rec_set_int(rec, "group", (int64_t)im->groups - 1, e) ||
		moe_rec_set_int(rec, "sample", (int64_t)sample, e) ||
		moe_rec_set_int(rec, "step", (int64_t)step, e))
		return -1;
	im->next_step = step;
	return ends ? 2 : 1;
}

/* One row's text into rec: 1, 2 = a step ends before it, 3 = passed over, -1. */
static int take_row(struct import_row *r, struct moe_str text, struct moe_err *e)
{
	struct moe_import *im = r->im;
	struct moe_json_doc *doc;
	uint64_t before = 0;
	char name[300];
	int rc;

	snprintf(name, sizeof(name), "%s:%llu", moe_members_name(&im->members),
		(unsigned long long)r->line);
	doc = moe_json_parse_exact(text.p, text.n, name, e);
	if (!doc)
		return -1;
	r->root = moe_json_root(doc);
	moe_rec_clear(r->rec);
	if (moe_json_kind(r->root) != MOE_J_OBJECT)
		rc = import_fail(r, e, "expected a JSON object");
	else if (im->o->kind == MOE_IMPORT_PROMPTS)
		rc = import_prompt(r, e) ||
				earlier(im, moe_hash64(r->prompt_id, strlen(r->prompt_id)), &before,
					e)
			? -1
			: before ? 3
				 : 1;
	else
		rc = import_rollout(r, e) ? -1 : place(im, r, r->rec, e);
	moe_json_free(doc);
	return rc;
}

static int next_row(struct moe_import *im, struct moe_rec *rec, struct moe_err *e)
{
	struct import_row r = { .im = im, .rec = rec, .step = -1, .sample = -1 };
	struct moe_str text;
	int rc = next_text(im, &text, &r.line, e);

	if (rc <= 0)
		return rc;
	rc = take_row(&r, text, e);
	if (rc < 0 && im->o->skip_bad && e->code == MOE_DATA) {
		if (!im->notes.bad.n++)
			snprintf(im->notes.bad.first, sizeof(im->notes.bad.first), "%s", e->msg);
		return 3;
	}
	im->sealed += rc > 0 && r.sealed;
	return rc;
}

/* A rollout goes out: it belongs to the step that is open from now on. */
static int give(struct moe_import *im)
{
	im->count++;
	im->step = im->next_step;
	im->step_open = im->o->kind == MOE_IMPORT_ROLLOUTS;
	im->in_step++;
	return 1;
}

int moe_import_next(struct moe_import *im, struct moe_rec *rec, struct moe_err *e)
{
	int rc;

	if (im->holding) {
		im->holding = false;
		return moe_rec_copy(rec, &im->held, e) ? -1 : give(im);
	}
	do
		rc = im->ended || (im->o->limit && im->count >= im->o->limit)
			? 0
			: next_row(im, rec, e);
	while (rc == 3); /* left out, or a prompt met again, as in a pool of rollouts */
	if (rc < 0)
		return -1;
	if (rc == 2) { /* the step before this row ends first */
		if (moe_rec_copy(&im->held, rec, e))
			return -1;
		im->holding = true;
		return step_record(im, rec, e);
	}
	if (rc)
		return give(im);
	im->ended = true;
	if (im->step_open)
		return step_record(im, rec, e);
	if (im->count)
		return 0;
	if (im->notes.bad.n)
		return moe_fail(e, MOE_DATA, "none of %llu rows can be read; the first: %s",
			(unsigned long long)im->notes.bad.n, im->notes.bad.first);
	return moe_fail(e, MOE_DATA, "%s: there is no row in it%s", im->members.path[0],
		im->members.passed_over ? " (files whose names do not end in .jsonl, .ndjson or "
					  ".json, plain or compressed, were passed over)"
					: "");
}
