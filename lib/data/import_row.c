/* import_row.c - one JSON row of others' data as a prompt or rollout record. What may not train
 * goes to import_findings.c, what was measured while sampling to import_logp.c. */
#include "data/import_private.h"
#include "formats/tokenizer/messages.h"
#include "util/text.h"
#include "formats/rollout.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *key, *path;
} prompt_path[] = { { "id", "id|prompt_id|problem_id|task_id|question_id" },
	{ "text", "text|prompt|messages|problem_messages|question" }, { "mode", "mode|env_mode" },
	{ "task", "task|func_name" }, { "marker", "marker" }, { "split", "split" } };
static const struct {
	const char *key, *path;
} rollout_path[] = { { MOE_ROLLOUT_PROMPT_ID, "prompt_id|problem_id|task_id|question_id|id" },
	{ "prompt", "prompt|prompt_text|messages|problem_messages|question" },
	{ MOE_ROLLOUT_COMPLETION, "completion|response|output|generated_text|generation" },
	{ MOE_ROLLOUT_PROMPT_IDS, "prompt_ids|prompt_token_ids" },
	{ MOE_ROLLOUT_COMPLETION_IDS,
		"completion_ids|completion_token_ids|response_ids|output_ids" },
	{ "completion_len", "completion_len|comp_len" },
	{ MOE_ROLLOUT_LOGP, "logp|logprobs|completion_logprobs|old_per_token_logps" },
	{ "model_logp", "model_logp" }, { "full_logp", "full_logp" },
	{ "temperature", "temperature|sampling_params.temperature|sampling.temperature" },
	{ "top_k", "top_k|sampling_params.top_k|sampling.top_k" },
	{ "top_p", "top_p|sampling_params.top_p|sampling.top_p" },
	{ MOE_ROLLOUT_FINISH, "finish|finish_reason|stop_reason" }, { "mode", "mode|env_mode" },
	{ "task", "task|func_name" }, { "marker", "marker" }, { "split", "split" },
	{ MOE_ROLLOUT_REWARD, "reward|score" },
	{ "solved", "solved|gt_correct|gt_pass|is_correct" },
	{ "hacked", "hacked|exploited|is_hack|reward_hack" }, { "mechanism", "mechanism" } };

const char *import_default(enum moe_import_kind kind, const char *key)
{
	if (kind == MOE_IMPORT_PROMPTS) {
		for (size_t i = 0; i < sizeof(prompt_path) / sizeof(prompt_path[0]); i++)
			if (!strcmp(prompt_path[i].key, key))
				return prompt_path[i].path;
		return NULL;
	}
	for (size_t i = 0; i < sizeof(rollout_path) / sizeof(rollout_path[0]); i++)
		if (!strcmp(rollout_path[i].key, key))
			return rollout_path[i].path;
	return NULL;
}

int import_fail(const struct import_row *r, struct moe_err *e, const char *fmt, ...)
{
	char msg[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return moe_fail(e, MOE_DATA, "%s:%llu: %s", moe_members_name(&r->im->members),
		(unsigned long long)r->line, msg);
}

const struct moe_json *import_find(const struct import_row *r, const char *key)
{
	return moe_fieldmap_find(&r->im->map, key, import_default(r->im->o->kind, key), r->root);
}

void import_note(struct moe_import_note *n, const struct import_row *r, const char *fmt, ...)
{
	char msg[200];
	va_list ap;

	if (n->n++)
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	snprintf(n->first, sizeof(n->first), "%.90s:%llu: %s", moe_members_name(&r->im->members),
		(unsigned long long)r->line, msg);
}

int import_text(const struct import_row *r, const char *key, struct moe_str *s, char buf[32],
	struct moe_err *e)
{
	bool ok;

	*s = moe_fieldmap_text(
		&r->im->map, key, import_default(r->im->o->kind, key), r->root, buf, &ok);
	if (!ok)
		return import_fail(r, e, "`%s' is not a string", key);
	if (s->p && !moe_utf8_valid(s->p, s->n))
		return import_fail(r, e, "`%s' is not UTF-8", key);
	return s->p != NULL;
}

/* A text key under its own name, when there. */
static int copy_text(struct import_row *r, const char *key, struct moe_err *e)
{
	struct moe_str s;
	char buf[32];
	int rc = import_text(r, key, &s, buf, e);

	return rc > 0 ? moe_rec_set_strn(r->rec, key, s.p, s.n, e) : rc;
}

/* The mode: the row's own, or the partition's, or the option's; "" when nobody knows. */
static int set_mode(struct import_row *r, const char *id, struct moe_err *e)
{
	struct moe_str s;
	char buf[32];
	int rc = import_text(r, "mode", &s, buf, e);

	if (rc < 0)
		return -1;
	if (!rc && r->im->partition) {
		const struct moe_json *j = moe_json_get(moe_json_root(r->im->partition), id);

		s = moe_json_str(j);
		if (moe_json_kind(j) != MOE_J_NULL && !s.p)
			return import_fail(
				r, e, "the partition's mode of prompt `%s' is not a string", id);
	}
	if (!s.p) {
		s.p = r->im->o->mode ? r->im->o->mode : "";
		s.n = strlen(s.p);
	}
	return moe_rec_set_strn(r->rec, "mode", s.p, s.n, e);
}

/* An id fits into 200 bytes, has no NUL, and is not empty. */
static int get_id(struct import_row *r, const char *key, char out[256], struct moe_err *e)
{
	struct moe_str s;
	char buf[32];
	int rc = import_text(r, key, &s, buf, e);

	if (rc < 0)
		return -1;
	if (!rc)
		return import_fail(
			r, e, "there is no `%s' (`--map %s=PATH' says where it is)", key, key);
	if (!s.n || s.n > 200 || memchr(s.p, 0, s.n))
		return import_fail(r, e, "`%s' is not a name of 1 to 200 bytes", key);
	memcpy(out, s.p, s.n);
	out[s.n] = 0;
	return 0;
}

/* A text that may also be messages, which the chat template writes (a prompt), or whose content it
 * is (a completion). 1 = set, 0 = missing, -1. */
static int text_or_messages(struct import_row *r, const char *key, bool completion,
	bool keep_messages, struct moe_err *e)
{
	const struct moe_json *j = import_find(r, key);
	struct moe_buf out = { 0 };
	struct moe_str s;
	char buf[32];
	int rc;

	if (!moe_messages_are(j)) {
		rc = import_text(r, key, &s, buf, e);
		if (rc > 0 && moe_rec_set_strn(r->rec, key, s.p, s.n, e))
			return -1;
		return rc;
	}
	if (completion ? moe_messages_completion(j, &out, e)
		       : moe_messages_format(j, r->im->o->chat, true, &out, e))
		rc = moe_err_prefix(e, "%s:%llu", moe_members_name(&r->im->members),
			(unsigned long long)r->line);
	else
		rc = moe_rec_set_strn(
			     r->rec, key, out.len ? (const char *)out.data : "", out.len, e)
			? -1
			: 1;
	r->chat = r->chat || !completion;
	if (rc > 0 && keep_messages) {
		out.len = 0;
		rc = moe_json_to_msgpack(j, &out, e) ||
				moe_rec_set_raw(r->rec, "messages", out.data, out.len, e)
			? -1
			: 1;
	}
	moe_buf_free(&out);
	return rc;
}

int import_prompt(struct import_row *r, struct moe_err *e)
{
	char *id = r->prompt_id;
	int rc;

	if (moe_rec_set_str(r->rec, "t", "prompt", e) || get_id(r, "id", r->prompt_id, e) ||
		moe_rec_set_str(r->rec, "id", id, e))
		return -1;
	rc = text_or_messages(r, "text", false, true, e);
	if (rc < 0)
		return -1;
	if (!rc)
		return import_fail(r, e, "there is no `text' (`--map text=PATH' says where it is)");
	if (set_mode(r, id, e) || copy_text(r, "task", e) || copy_text(r, "marker", e) ||
		copy_text(r, "split", e))
		return -1;
	return import_env(r, true, e);
}

/* Token ids, at most `len` of them (len < 0: all). 1 = *ids (to be freed), 0 = missing, -1. */
static int get_ids(const struct import_row *r, const char *key, int64_t len, int32_t **ids,
	size_t *n, struct moe_err *e)
{
	const struct moe_json *j = import_find(r, key);

	*ids = NULL;
	*n = 0;
	if (!j)
		return 0;
	if (moe_json_kind(j) != MOE_J_ARRAY)
		return import_fail(r, e, "`%s' is not an array of token ids", key);
	*n = moe_json_len(j);
	if (len >= 0 && (uint64_t)len < *n)
		*n = (size_t)len;
	*ids = malloc((*n + 1) * sizeof(**ids));
	if (!*ids)
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu token ids", *n);
	for (size_t i = 0; i < *n; i++) {
		int64_t v;

		if (!moe_json_int(moe_json_at(j, i), &v) || v < 0 || v > INT32_MAX) {
			free(*ids);
			*ids = NULL;
			return import_fail(r, e, "element %zu of `%s' is not a token id", i, key);
		}
		(*ids)[i] = (int32_t)v;
	}
	return 1;
}

/* Tokens of a text, as sampling and scoring make them (special.h). */
static int encode(struct import_row *r, struct moe_str s, bool completion, int32_t **ids, size_t *n,
	struct moe_err *e)
{
	const struct moe_import_opts *o = r->im->o;

	if (!completion)
		return moe_prompt_tokens(
			o->tok, o->special ? o->special->bos : -1, s, r->chat, ids, n, e);
	r->made = true;
	return moe_completion_tokens(o->tok, o->special ? o->special->end : NULL,
		o->special && r->stopped ? o->special->n_end : 0, s, ids, n, e);
}

/* Text and ids of one side; the tokenizer, if there is one, makes the one that is missing from the
 * other. */
static int side(struct import_row *r, const char *text_key, const char *ids_key, int64_t len,
	bool completion, struct moe_err *e)
{
	const struct moe_tokenizer *tok = r->im->o->tok;
	int32_t *ids = NULL;
	size_t n = 0;
	struct moe_buf text = { 0 };
	struct moe_str s;
	/* without a tokenizer here, whoever makes the tokens must know that it was a chat */
	int has_text = text_or_messages(r, text_key, completion, !completion && !tok, e), has_ids,
	    rc = -1;

	if (has_text < 0)
		return -1;
	has_ids = get_ids(r, ids_key, len, &ids, &n, e);
	if (has_ids < 0)
		return -1;
	if (!has_text && !has_ids) {
		import_fail(r, e, "there is neither `%s' nor `%s' (`--map' says where they are)",
			text_key, ids_key);
		goto done;
	}
	if (!has_text) { /* a text is required: without a tokenizer it is empty */
		if (tok && moe_tokenizer_decode(tok, ids, n, completion, &text, e)) {
			moe_err_prefix(e, "%s:%llu: `%s'", moe_members_name(&r->im->members),
				(unsigned long long)r->line, ids_key);
			goto done;
		}
		if (moe_rec_set_strn(
			    r->rec, text_key, text.len ? (const char *)text.data : "", text.len, e))
			goto done;
	}
	if (!has_ids && tok) {
		if (moe_rec_str_req(r->rec, text_key, &s, e) ||
			encode(r, s, completion, &ids, &n, e))
			goto done;
		has_ids = 1;
	}
	if (has_ids && moe_rec_set_i32s(r->rec, ids_key, ids, n, e))
		goto done;
	if (completion && has_ids) {
		r->n_ids = n;
		r->n_given = r->made ? n : moe_json_len(import_find(r, ids_key));
	}
	rc = has_ids;
done:
	free(ids);
	moe_buf_free(&text);
	return rc;
}

/* A non-negative integer that may be missing (*out stays). */
static int get_count(const struct import_row *r, const char *key, int64_t *out, struct moe_err *e)
{
	const struct moe_json *j = import_find(r, key);
	int64_t v;

	if (!j)
		return 0;
	if (!moe_json_int(j, &v) || v < 0)
		return import_fail(r, e, "`%s' is not a number of 0 or more", key);
	*out = v;
	return 0;
}

int import_rollout(struct import_row *r, struct moe_err *e)
{
	struct moe_str arm;
	int64_t len = -1;
	char buf[32];
	int rc;

	if (moe_rec_set_str(r->rec, "t", "rollout", e) ||
		get_id(r, MOE_ROLLOUT_PROMPT_ID, r->prompt_id, e) ||
		moe_rec_set_str(r->rec, MOE_ROLLOUT_PROMPT_ID, r->prompt_id, e) ||
		get_count(r, "completion_len", &len, e) || get_count(r, "step", &r->step, e) ||
		get_count(r, "sample", &r->sample, e) || import_finish(r, e) ||
		side(r, "prompt", MOE_ROLLOUT_PROMPT_IDS, -1, false, e) < 0 ||
		side(r, MOE_ROLLOUT_COMPLETION, MOE_ROLLOUT_COMPLETION_IDS, len, true, e) < 0 ||
		import_logp(r, e) || set_mode(r, r->prompt_id, e) || copy_text(r, "task", e) ||
		copy_text(r, "marker", e) || copy_text(r, "split", e))
		return -1;
	rc = import_text(r, "arm", &arm, buf, e);
	if (rc < 0)
		return -1;
	if (!rc) {
		arm.p = r->im->o->arm ? r->im->o->arm : "import";
		arm.n = strlen(arm.p);
	}
	if (moe_rec_set_strn(r->rec, "arm", arm.p, arm.n, e) ||
		moe_rec_set_str(r->rec, MOE_ROLLOUT_POLICY, "", e))
		return -1;
	return import_env(r, false, e) || import_rewards(r, e) || import_seal(r, e) ? -1 : 0;
}
