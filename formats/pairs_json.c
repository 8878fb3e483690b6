/* pairs_json.c - reads pairs from a JSON array or JSON Lines, one object at a time. */
#include "formats/pairs_private.h"
#include "formats/tokenizer/messages.h"

#include <stdio.h>
#include <string.h>

const char *const moe_pairs_map_keys[] = { "id", "prompt", "hack", "clean", "tags", "mode",
	"marker", "task", "section", NULL };

static const struct {
	int field;
	const char *key, *path; /* path: where it is looked for unless --map says otherwise */
} field[] = { { PF_NAME, "id", "id|problem_id|pair_id|name" },
	{ PF_PROMPT, "prompt", "prompt|messages" }, { PF_HACK, "hack", "hack" },
	{ PF_CLEAN, "clean", "clean" }, { PF_SECTION, "section", "section" },
	{ PF_TAGS, "tags", "tags" }, { PF_MODE, "mode", "mode|env_mode" },
	{ PF_MARKER, "marker", "marker" }, { PF_TASK, "task", "task" } };

/* A prompt given as messages goes through the template; a completion given as one message is its
 * content. */
static int messages(
	struct moe_pairs *p, int f, const struct moe_json *j, uint64_t line, struct moe_err *e)
{
	struct moe_buf out = { 0 };
	int rc;

	if (f == PF_PROMPT ? moe_messages_format(j, p->o->chat, true, &out, e) ||
				moe_json_to_msgpack(j, &p->draft.messages, e)
			   : moe_messages_completion(j, &out, e))
		rc = moe_err_prefix(e, "%s:%llu", p->src->name, (unsigned long long)line);
	else
		rc = pairs_append(p, f, (const char *)out.data, out.len, line, e);
	moe_buf_free(&out);
	return rc;
}

static int tags(struct moe_pairs *p, const struct moe_json *j, uint64_t line, struct moe_err *e)
{
	for (size_t i = 0; i < moe_json_len(j); i++) {
		struct moe_str s = moe_json_str(moe_json_at(j, i));

		if (!s.p)
			return pairs_fail(p, line, e, "tag %zu is not a string", i + 1);
		if ((i && pairs_append(p, PF_TAGS, ",", 1, line, e)) ||
			pairs_append(p, PF_TAGS, s.p, s.n, line, e))
			return -1;
	}
	return 0;
}

static int one_field(struct moe_pairs *p, size_t i, const struct moe_json *root, uint64_t line,
	struct moe_err *e)
{
	const struct moe_json *j = moe_fieldmap_find(p->o->map, field[i].key, field[i].path, root);
	bool messages_ok = field[i].field <= PF_CLEAN, ok;
	struct moe_str s;
	char number[32];

	if (moe_messages_are(j) && messages_ok)
		return messages(p, field[i].field, j, line, e);
	if (moe_json_kind(j) == MOE_J_ARRAY && field[i].field == PF_TAGS)
		return tags(p, j, line, e);
	s = moe_fieldmap_text(p->o->map, field[i].key, field[i].path, root, number, &ok);
	if (!ok)
		return pairs_fail(p, line, e, "`%s' is not a string%s", field[i].key,
			messages_ok ? " or messages" : "");
	if (s.p)
		return pairs_append(p, field[i].field, s.p, s.n, line, e);
	if (messages_ok)
		return pairs_fail(p, line, e, "the pair has no `%s'", field[i].key);
	if (field[i].field != PF_NAME)
		return 0;
	snprintf(number, sizeof(number), "pair-%llu", (unsigned long long)p->pairs + 1);
	return pairs_append(p, PF_NAME, number, strlen(number), line, e);
}

/* Findings about rollouts, wherever in the row they stand. What --map takes for the prompt or a
 * side is a text, whatever its key ("correct" and "incorrect" answers). */
static int refuse_findings(const struct moe_pairs *p, const struct moe_json *j,
	const struct moe_json *const *text, uint64_t line, struct moe_err *e)
{
	const struct moe_json *v;
	const void *cursor = NULL;
	const char *key;

	if (moe_json_kind(j) == MOE_J_ARRAY)
		for (size_t i = 0; i < moe_json_len(j); i++)
			if (refuse_findings(p, moe_json_at(j, i), text, line, e))
				return -1;
	while (moe_json_kind(j) == MOE_J_OBJECT && moe_json_next(j, &cursor, &key, &v)) {
		if (v && (v == text[0] || v == text[1] || v == text[2]))
			continue;
		if (pairs_finding(key) ? pairs_refuse_finding(p, line, key, e)
				       : refuse_findings(p, v, text, line, e))
			return -1;
	}
	return 0;
}

/* A pairs stream as JSON Lines: its header and end hold no pair, but say which labels it has seen.
 * 1 = it was one of these, 0, -1. */
static int stream_line(
	struct moe_pairs *p, const struct moe_json *root, uint64_t line, struct moe_err *e)
{
	struct moe_str t = moe_json_str(moe_json_get(root, "t")),
		       l = moe_json_str(moe_json_get(root, "labels")),
		       kind = moe_json_str(moe_json_get(root, "kind"));
	enum moe_labels labels = MOE_LABELS_NONE;

	if (!t.p || !(moe_str_eq(t, "header") || moe_str_eq(t, "end")))
		return 0;
	if (kind.p && !moe_str_eq(kind, "pairs"))
		return pairs_fail(p, line, e, "a stream of kind %.*s, and pairs are expected",
			(int)(kind.n < 40 ? kind.n : 40), kind.p);
	if (l.p && moe_labels_parse(l, &labels, e))
		return moe_err_prefix(e, "%s:%llu", p->src->name, (unsigned long long)line);
	p->stream_lines = true;
	return pairs_labels(p, labels, e) ? -1 : 1;
}

/* One object: 1 = the draft is a pair, 2 = it was none (a header), -1. */
static int one_object(
	struct moe_pairs *p, const struct moe_json *root, uint64_t line, struct moe_err *e)
{
	const struct moe_json *text[3] = { NULL, NULL, NULL };
	int rc;

	if (moe_json_kind(root) != MOE_J_OBJECT)
		return pairs_fail(
			p, line, e, "expected an object with `prompt', `hack' and `clean'");
	rc = stream_line(p, root, line, e);
	if (rc)
		return rc < 0 ? -1 : 2;
	for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++)
		if (field[i].field <= PF_CLEAN)
			text[field[i].field] = moe_fieldmap_find(
				p->o->map, field[i].key, field[i].path, root);
	if (refuse_findings(p, root, text, line, e))
		return -1;
	for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++)
		if (one_field(p, i, root, line, e))
			return -1;
	return 1;
}

int pairs_json_next(struct moe_pairs *p, struct moe_err *e)
{
	struct moe_json_doc *doc;
	struct moe_str text;
	uint64_t line;
	char name[256];
	int rc;

	do {
		rc = moe_source_json(p->src, &text, &line, e);
		if (rc <= 0)
			return rc;
		pairs_clear(p);
		p->draft.line = line;
		snprintf(name, sizeof(name), "%s:%llu", p->src->name, (unsigned long long)line);
		doc = moe_json_parse_exact(text.p, text.n, name, e);
		if (!doc)
			return -1;
		rc = one_object(p, moe_json_root(doc), line, e);
		moe_json_free(doc);
	} while (rc == 2);
	return rc;
}
