/* import_logp.c - what was measured while a completion was sampled: log-probabilities, the
 * sampler's settings, how it ended. Numbers that can not be what training takes them for are left
 * out, and counted with the reason; moe-rollout --teacher computes them anew. */
#include "data/import_private.h"
#include "formats/rollout.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOGP_MAX 1e-3 /* a log-probability is at most 0; this much is rounding */

/* ---- how it ended ---- */

/* Words of TRL, vLLM, OpenAI, Anthropic, Gemini, Cohere, TGI, Inspect, in lower case. */
static const struct {
	const char *theirs, *ours;
} word[] = { { "stop", "stop" }, { "eos", "stop" }, { "eos_token", "stop" },
	{ "eos_token_id", "stop" }, { "end_turn", "stop" }, { "end_of_turn", "stop" },
	{ "stop_sequence", "stop" }, { "stop_token", "stop" }, { "stop_string", "stop" },
	{ "complete", "stop" }, { "completed", "stop" }, { "finished", "stop" },
	{ "endoftext", "stop" }, { "length", "length" }, { "max_tokens", "length" },
	{ "max_length", "length" }, { "max_new_tokens", "length" },
	{ "max_output_tokens", "length" }, { "model_length", "length" },
	{ "context_length", "length" }, { "model_context_window_exceeded", "length" },
	{ "incomplete", "length" }, { "truncated", "length" }, { "content_filter", "length" },
	{ "safety", "length" }, { "recitation", "length" }, { "refusal", "length" },
	{ "timeout", "length" }, { "tool_calls", "length" }, { "tool_use", "length" },
	{ "function_call", "length" }, { "error", "error" }, { "abort", "error" },
	{ "aborted", "error" }, { "cancelled", "error" }, { "canceled", "error" } };

static bool same_word(struct moe_str s, const char *lower)
{
	if (s.n != strlen(lower))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (tolower((unsigned char)s.p[i]) != lower[i])
			return false;
	return true;
}

int import_finish(struct import_row *r, struct moe_err *e)
{
	const char *ours = "stop"; /* of a row that says nothing */
	struct moe_str s;
	char buf[32];
	int rc = import_text(r, MOE_ROLLOUT_FINISH, &s, buf, e);
	size_t i = 0, n = sizeof(word) / sizeof(word[0]);

	if (rc < 0)
		return -1;
	while (rc && i < n && !same_word(s, word[i].theirs))
		i++;
	if (rc && i < n)
		ours = word[i].ours;
	else if (rc) { /* a text that was cut must not be taken for one that stopped */
		ours = "length";
		import_note(&r->im->notes.finish, r, "`%.*s'", s.n > 60 ? 60 : (int)s.n, s.p);
	}
	r->stopped = !strcmp(ours, "stop");
	return moe_rec_set_str(r->rec, MOE_ROLLOUT_FINISH, ours, e);
}

/* ---- the sampler's settings ---- */

/* A number, from the row or from the mapping's own text (KEY==0.7). *out stays when missing. */
static int get_number(const struct import_row *r, const char *key, double *out, struct moe_err *e)
{
	const char *text = moe_fieldmap_literal(
		&r->im->map, key, import_default(r->im->o->kind, key));
	const struct moe_json *j = text ? NULL : import_find(r, key);
	char *end = NULL;
	double v;

	if (text) {
		v = strtod(text, &end);
		if (end == text || *end || !isfinite(v))
			return import_fail(r, e, "`%s' is not a number: %.40s", key, text);
		*out = v;
		return 0;
	}
	if (moe_json_kind(j) == MOE_J_NULL)
		return 0;
	if (!moe_json_f64(j, &v))
		return import_fail(r, e, "`%s' is not a number", key);
	*out = isfinite(v) ? v : *out;
	return 0;
}

/* ---- log-probabilities ---- */

/* The numbers under `key` into the record. They must be one for each token; arrays of the padded
 * length are cut as the ids were. Returns 1 = set, 0 = missing or left out, -1. */
static int set_numbers(struct import_row *r, const char *key, struct moe_err *e)
{
	const struct moe_json *j = import_find(r, key);
	struct moe_import_note *note = &r->im->notes.logp;
	size_t n = moe_json_len(j), want = r->n_ids;
	float *v;
	int rc = 1;

	if (moe_json_kind(j) == MOE_J_NULL)
		return 0;
	if (moe_json_kind(j) != MOE_J_ARRAY) {
		import_note(note, r, "`%s' is not an array of numbers", key);
		return 0;
	}
	if (n != want && n != r->n_given && !r->made && r->n_given)
		return import_fail(r, e, "`%s' has %zu numbers for %zu tokens", key, n, r->n_given);
	if ((n != want && n != r->n_given) || (!r->n_given && n)) {
		import_note(note, r, "`%s' has %zu numbers, %s %zu tokens", key, n,
			r->made ? "and the text made here" : "for", want);
		return 0;
	}
	v = malloc((want + 1) * sizeof(*v));
	if (!v)
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu numbers", want);
	for (size_t i = 0; rc && i < want; i++) {
		double x;

		if (moe_json_f64(moe_json_at(j, i), &x) && isfinite(x) && x <= LOGP_MAX)
			v[i] = (float)x;
		else {
			import_note(note, r, "`%s' is no log-probability at token %zu", key, i);
			rc = 0;
		}
	}
	if (rc && moe_rec_set_f32s(r->rec, key, v, want, e))
		rc = -1;
	free(v);
	return rc;
}

int import_logp(struct import_row *r, struct moe_err *e)
{
	double t = 1, k = 0, p = 1;
	int full, model, logp;

	if (get_number(r, "temperature", &t, e) || get_number(r, "top_k", &k, e) ||
		get_number(r, "top_p", &p, e))
		return -1;
	if (!(t >= 0 && t <= 1e4) || !(p >= 0 && p <= 1))
		return import_fail(r, e,
			"no sampler has a temperature of %g and a top_p of %g: at least 0, and "
			"between 0 and 1",
			t, p);
	if (t != 1 && moe_rec_set_f64(r->rec, "temperature", t, e))
		return -1;
	full = set_numbers(r, "full_logp", e);
	model = full < 0 ? -1 : set_numbers(r, "model_logp", e);
	if (model < 0)
		return -1;
	if ((k > 0 || p < 1) && !full && !(model && t == 1)) { /* renormalised over few tokens */
		if (moe_json_kind(import_find(r, MOE_ROLLOUT_LOGP)) != MOE_J_NULL)
			import_note(&r->im->notes.logp, r,
				"sampled with top-k %g and top-p %g, and training takes "
				"probabilities over the whole vocabulary",
				k, p);
		return 0;
	}
	logp = set_numbers(r, MOE_ROLLOUT_LOGP, e);
	return logp < 0 ? -1 : 0;
}
