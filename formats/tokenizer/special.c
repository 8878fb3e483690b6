/* special.c - special tokens of a model's directory, and texts as tokens with them. It knows no
 * chat template (chat.c) and does not merge (tokenizer.c). */
#include "formats/tokenizer/special.h"
#include "formats/file.h"
#include "formats/tokenizer/tok.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_BYTES ((size_t)16 << 20)

/* ---- which ids they are ---- */

bool moe_special_ends(const struct moe_special *s, int32_t id)
{
	for (int i = 0; i < s->n_end; i++)
		if (s->end[i] == id)
			return true;
	return false;
}

int moe_special_take(const struct moe_json *root, const char *name, int64_t vocab,
	struct moe_special *s, struct moe_err *e)
{
	const struct moe_json *j = moe_json_get(root, "eos_token_id");
	bool list = moe_json_kind(j) == MOE_J_ARRAY;
	size_t n = list ? moe_json_len(j) : moe_json_kind(j) != MOE_J_NULL;
	int64_t v;

	for (size_t i = 0; i < n; i++) {
		const struct moe_json *id = list ? moe_json_at(j, i) : j;

		if (!moe_json_int(id, &v))
			return moe_fail(e, MOE_DATA,
				"%s: \"eos_token_id\" is neither a token id nor a list of them",
				name);
		if (v < 0 || v >= vocab) {
			s->outside = s->n_outside++ ? s->outside : v;
			continue;
		}
		if (moe_special_ends(s, (int32_t)v))
			continue;
		if (s->n_end == MOE_ENDS_MAX)
			return moe_fail(e, MOE_DATA,
				"%s: \"eos_token_id\" has more than %d entries", name,
				MOE_ENDS_MAX);
		s->end[s->n_end++] = (int32_t)v;
	}
	return 0;
}

/* dir/name as a JSON document; *d stays NULL when there is no such file. */
static int open_json(const char *dir, const char *name, struct moe_json_doc **d, struct moe_err *e)
{
	char *path = moe_path_join(dir, name, e);
	struct moe_buf b = { 0 };
	int rc = path ? 0 : -1;

	*d = NULL;
	if (path && access(path, F_OK) == 0) {
		rc = moe_file_read(path, &b, CONFIG_BYTES, e);
		if (!rc && !(*d = moe_json_parse((const char *)b.data, b.len, path, e)))
			rc = -1;
	}
	moe_buf_free(&b);
	free(path);
	return rc;
}

/* The id of the tokenizer's `eos_token` (text, or an object with a `content`), else of "<|eos|>",
 * else -1. A directory without a usable tokenizer has none. */
static int32_t end_of_tokenizer(const char *dir, char name[80])
{
	struct moe_json_doc *d = NULL;
	struct moe_tokenizer *t;
	struct moe_err ignored;
	struct moe_str s = { NULL, 0 };
	int32_t id = -1;

	if (!open_json(dir, "tokenizer_config.json", &d, &ignored) && d) {
		s = moe_json_str(moe_json_path(moe_json_root(d), "eos_token.content"));
		if (!s.p)
			s = moe_json_str(moe_json_get(moe_json_root(d), "eos_token"));
	}
	if (!s.p || !s.n || s.n > 79)
		s = (struct moe_str){ "<|eos|>", 7 };
	memcpy(name, s.p, s.n);
	name[s.n] = 0;
	moe_json_free(d);
	t = moe_tokenizer_open(dir, &ignored);
	if (t)
		id = moe_tokenizer_id(t, name);
	moe_tokenizer_free(t);
	return id;
}

/* Which end comes first, and what is to be said about them. */
static void settle(const char *dir, int64_t vocab, struct moe_special *s)
{
	char name[80], outside[100] = "";
	int32_t id = s->n_end == 1 ? -1 : end_of_tokenizer(dir, name);

	if (s->n_outside)
		snprintf(outside, sizeof(outside),
			"the end token %lld (eos_token_id) is not in the vocabulary of %lld",
			(long long)s->outside, (long long)vocab);
	for (int i = 1; i < s->n_end && id >= 0; i++)
		if (s->end[i] == id) {
			s->end[i] = s->end[0];
			s->end[0] = id;
		}
	if (s->n_end) {
		snprintf(s->note, sizeof(s->note), "%s", outside);
		return;
	}
	if (!outside[0])
		snprintf(outside, sizeof(outside), "no eos_token_id in its configuration");
	if (id >= 0 && id < vocab) {
		s->end[s->n_end++] = id;
		snprintf(s->note, sizeof(s->note),
			"%s: texts end at the tokenizer's '%s' (%d) alone", outside, name, (int)id);
	} else
		snprintf(s->note, sizeof(s->note),
			"%s, and the tokenizer names no end: nothing stops a completion but its "
			"length (--stop TOKEN of moe-rollout does)",
			outside);
}

int moe_special_read(const char *dir, struct moe_special *s, struct moe_err *e)
{
	static const char *const file[2] = { "config.json", "generation_config.json" };
	int64_t vocab = INT32_MAX, v;
	int rc = 0;

	*s = (struct moe_special){ .bos = -1 };
	for (int i = 0; i < 2 && !rc; i++) {
		struct moe_json_doc *d;
		const struct moe_json *root;
		char name[300];

		rc = open_json(dir, file[i], &d, e);
		if (rc || !d)
			continue;
		root = moe_json_root(d);
		snprintf(name, sizeof(name), "%s/%s", dir, file[i]);
		if (i == 0 && moe_json_int(moe_json_get(root, "vocab_size"), &v) && v > 0)
			vocab = v;
		if (s->bos < 0 && moe_json_int(moe_json_get(root, "bos_token_id"), &v) && v >= 0 &&
			v < vocab)
			s->bos = (int32_t)v;
		rc = moe_special_take(root, name, vocab, s, e);
		moe_json_free(d);
	}
	if (!rc)
		settle(dir, vocab, s);
	return rc;
}

/* ---- texts with them ---- */

/* Makes room for n ids at position `at` of *ids, which holds *n_ids. */
static int insert(
	int32_t **ids, size_t *n_ids, size_t at, const int32_t *more, size_t n, struct moe_err *e)
{
	int32_t *p = realloc(*ids, (*n_ids + n) * sizeof(*p) + 1);

	if (!p)
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu tokens", *n_ids + n);
	memmove(p + at + n, p + at, (*n_ids - at) * sizeof(*p));
	memcpy(p + at, more, n * sizeof(*p));
	*ids = p;
	*n_ids += n;
	return 0;
}

int moe_prompt_tokens(const struct moe_tokenizer *t, int32_t bos, struct moe_str text, bool chat,
	int32_t **ids, size_t *n, struct moe_err *e)
{
	size_t at = *n, k = chat ? 0 : t->n_prefix;

	if (moe_tokenizer_encode(t, text.n ? text.p : "", text.n, false, ids, n, e))
		return -1;
	if (k && (*n - at < k || memcmp(*ids + at, t->prefix, k * sizeof(**ids)) != 0) &&
		insert(ids, n, at, t->prefix, k, e))
		return -1;
	return *n == at && bos >= 0 ? insert(ids, n, at, &bos, 1, e) : 0;
}

int moe_completion_tokens(const struct moe_tokenizer *t, const int32_t *end, int n_end,
	struct moe_str text, int32_t **ids, size_t *n, struct moe_err *e)
{
	size_t at = *n;

	if (moe_tokenizer_encode(t, text.n ? text.p : "", text.n, false, ids, n, e))
		return -1;
	for (int i = 0; i<n_end && * n> at; i++)
		if ((*ids)[*n - 1] == end[i])
			return 0;
	return n_end ? insert(ids, n, *n, end, 1, e) : 0;
}
