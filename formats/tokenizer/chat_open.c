/* chat_open.c - finds the form of conversation that a user names, or that a model's directory has.
 * It writes no messages. */
#include "formats/file.h"
#include "formats/input.h"
#include "formats/json.h"
#include "formats/tokenizer/chat_priv.h"
#include "util/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPLATE_BYTES ((size_t)1 << 20)
#define CONFIG_BYTES   ((size_t)16 << 20)

void moe_chat_free(struct moe_chat *c)
{
	if (!c)
		return;
	free(c->text);
	free(c->system);
	free(c->bos);
	free(c->eos);
	free(c->refusal);
	free(c);
}

static int copy(char **to, const char *from, struct moe_err *e)
{
	if (!from || (*to = strdup(from)))
		return 0;
	return moe_fail(e, MOE_SYSTEM, "out of memory for a chat template");
}

/* Jinja has its statements and expressions in {% %} and {{ }}. */
static bool is_jinja(const char *text)
{
	return strstr(text, "{%") || strstr(text, "{{");
}

static int fill(
	struct moe_chat *c, const char *text, const char *bos, const char *eos, struct moe_err *e)
{
	int rc;

	if (!is_jinja(text))
		return copy(&c->text, text, e) || moe_chat_literal(c, c->text, e) ? -1 : 0;
	if (copy(&c->bos, bos, e) || copy(&c->eos, eos, e))
		return -1;
	rc = moe_chat_recognise(c, text, e);
	if (rc)
		return rc < 0 ? -1 : 0;
	return moe_fail(e, MOE_DATA,
		"this Jinja template is not one of those that are known: if one of these writes "
		"the same, name it with --chat-template (%s); else write it as a literal template, "
		"or give the prompts as text (tokenizer.md)",
		moe_chat_names());
}

struct moe_chat *moe_chat_parse(
	const char *text, const char *bos, const char *eos, const char *name, struct moe_err *e)
{
	struct moe_chat *c = moe_alloc(1, sizeof(*c), e);

	if (c && fill(c, text, bos, eos, e)) {
		moe_err_prefix(e, "%s", name);
		moe_chat_free(c);
		c = NULL;
	}
	return c;
}

struct moe_chat *moe_chat_known(const char *name, struct moe_err *e)
{
	struct moe_chat *c = moe_alloc(1, sizeof(*c), e);
	int rc = c ? moe_chat_by_name(c, name, e) : -1;

	if (rc == 1)
		return c;
	moe_chat_free(c);
	if (!rc)
		moe_fail(e, MOE_DATA,
			"the chat form '%.60s' is not known, and there is no such file or "
			"directory (known: %s)",
			name, moe_chat_names());
	return NULL;
}

/* ---- a model's directory ---- */

/* A token's text: a string, or an object with its content. NULL when there is none. */
static char *token_text(const struct moe_json *root, const char *key, struct moe_err *e)
{
	struct moe_str s = moe_json_str(moe_json_get(root, key));

	if (!s.p)
		s = moe_json_str(moe_json_get(moe_json_get(root, key), "content"));
	return s.p ? moe_str_dup(s, e) : NULL;
}

/* The template in tokenizer_config.json: a string, or the one named "default" of several. */
static struct moe_str find_template(const struct moe_json *root)
{
	const struct moe_json *j = moe_json_get(root, "chat_template");

	for (size_t i = 0; moe_json_kind(j) == MOE_J_ARRAY && i < moe_json_len(j); i++)
		if (moe_str_eq(moe_json_str(moe_json_get(moe_json_at(j, i), "name")), "default"))
			return moe_json_str(moe_json_get(moe_json_at(j, i), "template"));
	return moe_json_str(j);
}

/* Appends dir/name with a NUL when it is there. */
static int read_if_there(
	const char *dir, const char *name, size_t max, struct moe_buf *b, struct moe_err *e)
{
	char *path = moe_path_join(dir, name, e);
	int rc = path ? 0 : -1;

	if (path && access(path, F_OK) == 0)
		rc = moe_file_read(path, b, max, e) || !moe_buf_cstr(b, e) ? -1 : 0;
	free(path);
	return rc;
}

static struct moe_chat *from_config(
	const char *dir, const char *jinja, const struct moe_json *root, struct moe_err *e)
{
	struct moe_chat *c = NULL;
	struct moe_str s = find_template(root);
	char *bos = token_text(root, "bos_token", e), *eos = token_text(root, "eos_token", e),
	     *own = jinja || !s.p ? NULL : moe_str_dup(s, e);

	if (!jinja && !s.p)
		moe_fail(e, MOE_DATA,
			"%s: the model has no chat template: name a form with --chat-template (%s)",
			dir, moe_chat_names());
	else if (jinja || own)
		c = moe_chat_parse(jinja ? jinja : own, bos, eos, dir, e);
	free(bos);
	free(eos);
	free(own);
	return c;
}

/* chat_template.jinja wins over tokenizer_config.json, as in transformers. */
static struct moe_chat *from_dir(const char *dir, struct moe_err *e)
{
	struct moe_buf jinja = { 0 }, config = { 0 };
	struct moe_json_doc *d = NULL;
	struct moe_chat *c = NULL;

	if (!read_if_there(dir, "chat_template.jinja", TEMPLATE_BYTES, &jinja, e) &&
		!read_if_there(dir, "tokenizer_config.json", CONFIG_BYTES, &config, e)) {
		d = moe_json_parse(config.len ? (const char *)config.data : "{}",
			config.len ? config.len : 2, "tokenizer_config.json", e);
		if (d)
			c = from_config(dir, (const char *)jinja.data, moe_json_root(d), e);
		else
			moe_err_prefix(e, "%s", dir);
	}
	moe_json_free(d);
	moe_buf_free(&jinja);
	moe_buf_free(&config);
	return c;
}

static bool has_template(const char *dir, struct moe_err *e)
{
	struct moe_buf b = { 0 };
	struct moe_json_doc *d = NULL;
	char *path = moe_path_join(dir, "chat_template.jinja", e);
	bool yes = path && access(path, F_OK) == 0;

	free(path);
	if (!yes && !read_if_there(dir, "tokenizer_config.json", CONFIG_BYTES, &b, e) && b.len)
		d = moe_json_parse((const char *)b.data, b.len, "tokenizer_config.json", e);
	yes = yes || (d && find_template(moe_json_root(d)).p);
	moe_json_free(d);
	moe_buf_free(&b);
	return yes;
}

int moe_chat_of_model(const char *dir, struct moe_chat **c, struct moe_err *e)
{
	struct moe_err ignored;

	*c = NULL;
	if (!has_template(dir, &ignored))
		return 0;
	*c = from_dir(dir, e);
	if (*c || e->code != MOE_DATA)
		return *c ? 0 : -1;
	*c = moe_alloc(1, sizeof(**c), &ignored);
	if (*c && ((*c)->refusal = strdup(e->msg)))
		return 0;
	moe_chat_free(*c);
	*c = NULL;
	return moe_fail(e, MOE_SYSTEM, "%s: out of memory for its chat template", dir);
}

/* A template that a user wrote: as any other input, packed or not, with or without CRLF. */
static struct moe_chat *from_file(const char *path, struct moe_err *e)
{
	struct moe_input *in = moe_input_open(path, e);
	struct moe_buf b = { 0 };
	struct moe_chat *c = NULL;

	if (in && moe_input_next(in, e) >= 0 && !moe_input_slurp(in, &b, TEMPLATE_BYTES, e) &&
		moe_buf_cstr(&b, e)) {
		if (strlen((const char *)b.data) != b.len)
			moe_fail(e, MOE_DATA, "%s: a chat template without NUL bytes is expected",
				path);
		else
			c = moe_chat_parse((const char *)b.data, NULL, NULL, path, e);
	}
	moe_input_close(in);
	moe_buf_free(&b);
	return c;
}

struct moe_chat *moe_chat_open(const char *what, struct moe_err *e)
{
	struct stat st;

	if (!stat(what, &st))
		return S_ISDIR(st.st_mode) ? from_dir(what, e) : from_file(what, e);
	if (!strchr(what, '/'))
		return moe_chat_known(what, e);
	moe_fail_errno(e, "%s: cannot be opened", what);
	return NULL;
}
