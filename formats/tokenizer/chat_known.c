/* chat_known.c - the forms of conversation that models expect, written as their Jinja templates
 * write them, and how such a template is recognised. It runs no Jinja.
 *
 * The forms follow the templates that the models' publishers ship (tokenizer_config.json,
 * chat_template.jinja), without tools. A digest is the SHA-256 of a template's text, in which the
 * two characters \n have become a newline (strings in Jinja may hold either) and newlines at the
 * end are gone, as Jinja drops them. */
#include "formats/tokenizer/chat_priv.h"
#include "formats/tokenizer/tok.h"
#include "util/digest.h"

#include <stdlib.h>
#include <string.h>

enum way { CHATML, QWEN3, LLAMA3, LLAMA31, MISTRAL };
enum system { SYSTEM_NONE, SYSTEM_FIRST, SYSTEM_LAST, SYSTEM_OWN };

struct moe_chat_form {
	const char *name;
	enum way way;
	const char *system; /* default system message */
	/* of MISTRAL: */
	const char *user, *user_end, *answer, *answer_end; /* answer_end: behind eos */
	enum system where; /* the system message: nowhere, before the first or last user's text, a
			      turn of its own */
	bool trim;         /* answers lose their blanks at both ends */
	const char *bos, *eos; /* where the model's are not known */
	const char *digest[2];
};

static const struct moe_chat_form forms[] = {
	{ .name = "chatml",
		.way = CHATML,
		.digest = { "153280e3ff55d19da1398bdb3914ee2a51b80429bfaedde11d7d216c39db80f3",
			"aa39eed4cbfdd57aeaab518e83d06945f00df6afefba6eb985b6b85060cade95" } },
	{ .name = "smollm2",
		.way = CHATML,
		.system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face" },
	{ .name = "qwen2", .way = CHATML, .system = "You are a helpful assistant." },
	{ .name = "qwen2.5",
		.way = CHATML,
		.system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
		.digest = { "a18cc698dd45623eb707279d08e66f7bb8d76afc89ead84016b88487b395b5cc" } },
	{ .name = "qwen3",
		.way = QWEN3,
		.digest = { "edcd73b0e30a780c1d6f3e060c07396def3c3fa55a2c55197b10f99d1dde83e1",
			"2df317a15cbc983d9602cc391d33be17237d47ec7eb11ead80fae277143958aa" } },
	{ .name = "llama3",
		.way = LLAMA3,
		.bos = "<|begin_of_text|>",
		.eos = "<|eot_id|>",
		.digest = { "ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122" } },
	{ .name = "llama3.1",
		.way = LLAMA31,
		.bos = "<|begin_of_text|>",
		.eos = "<|eot_id|>",
		.digest = { "99799a835a31e1d33c4a9c7ee8a0de3923b291a95155ed6dc8efcbd0fe1d0238",
			"0cac23ffd2b33ff7b039e17ee143a080053318146fdc788f1d49ed4745aa8683" } },
	{ "mistral-v0.1", MISTRAL, NULL, "[INST] ", " [/INST]", "", " ", SYSTEM_NONE, false, "<s>",
		"</s>", { "7e995b379ec01747807246483647cd99030abf331653f1119e16d7ac041a3495" } },
	{ "mistral-v0.2", MISTRAL, NULL, "[INST] ", " [/INST]", "", "", SYSTEM_NONE, false, "<s>",
		"</s>", { "26a59556925c987317ce5291811ba3b7f32ec4c647c400c6cc7e3a9993007ba7" } },
	{ "mistral-v1", MISTRAL, NULL, " [INST] ", " [/INST]", " ", "", SYSTEM_FIRST, false, "<s>",
		"</s>", { "1c6594f8393552ef16bbf3ddecb67d8258fb8d66339a1a092a8f8496061f02d3" } },
	{ "mistral-v3", MISTRAL, NULL, "[INST] ", "[/INST]", " ", "", SYSTEM_LAST, true, "<s>",
		"</s>", { "9074ed36d7503f0f63bd70ef4a0db1e12ec90718aef446404917f5ee3216e2f3" } },
	{ "mistral-nemo", MISTRAL, NULL, "[INST]", "[/INST]", "", "", SYSTEM_LAST, false, "<s>",
		"</s>", { "1127255163dd25a2fd472f9901035aa9e78dc77ca33efdd010f5c8ea87e5d436" } },
	{ "mistral-v7", MISTRAL, NULL, "[INST] ", "[/INST]", " ", "", SYSTEM_OWN, false, "<s>",
		"</s>", { "3c4ad5fa60dd8c7ccdf82fa4225864c903e107728fcaf859fa6052cb80c92ee9" } },
};

#define N_FORMS (sizeof(forms) / sizeof(forms[0]))

/* ---- recognition ---- */

/* SmolLM2's and Qwen2's template, and those that differ from it in the default system message
 * alone. */
static const char chatml_before[] =
	"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
	"'<|im_start|>system\n";
static const char chatml_after[] =
	"<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
	"+ '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
	"'<|im_start|>assistant\n' }}{% endif %}";

static int take_form(struct moe_chat *c, const struct moe_chat_form *f, const char *system,
	size_t n, struct moe_err *e)
{
	c->form = f;
	if (f->bos && !c->bos && !(c->bos = strdup(f->bos)))
		return moe_fail(e, MOE_SYSTEM, "out of memory for a chat template");
	if (f->eos && !c->eos && !(c->eos = strdup(f->eos)))
		return moe_fail(e, MOE_SYSTEM, "out of memory for a chat template");
	if (system && !(c->system = strndup(system, n)))
		return moe_fail(e, MOE_SYSTEM, "out of memory for a chat template");
	return 1;
}

static int take_default(struct moe_chat *c, const struct moe_chat_form *f, struct moe_err *e)
{
	return take_form(c, f, f->system, f->system ? strlen(f->system) : 0, e);
}

int moe_chat_by_name(struct moe_chat *c, const char *name, struct moe_err *e)
{
	for (size_t i = 0; i < N_FORMS; i++)
		if (!strcmp(forms[i].name, name))
			return take_default(c, &forms[i], e);
	return 0;
}

const char *moe_chat_names(void)
{
	return "chatml, smollm2, qwen2, qwen2.5, qwen3, llama3, llama3.1, mistral-v0.1, "
	       "mistral-v0.2, mistral-v1, mistral-v3, mistral-nemo, mistral-v7";
}

static size_t normalise(const char *jinja, char *out)
{
	size_t n = 0;

	for (const char *p = jinja; *p; p++)
		if (p[0] == '\\' && p[1] == 'n') {
			out[n++] = '\n';
			p++;
		} else {
			out[n++] = *p;
		}
	while (n && out[n - 1] == '\n')
		n--;
	out[n] = 0;
	return n;
}

static int find_form(struct moe_chat *c, const char *text, size_t n, struct moe_err *e)
{
	size_t a = sizeof(chatml_before) - 1, z = sizeof(chatml_after) - 1;
	char hex[MOE_SHA256_HEX];

	if (n > a + z && !memcmp(text, chatml_before, a) &&
		!memcmp(text + n - z, chatml_after, z) && !memchr(text + a, '\'', n - a - z) &&
		!memchr(text + a, '\\', n - a - z))
		return take_form(c, &forms[0], text + a, n - a - z, e);
	moe_sha256_of(text, n, hex);
	for (size_t i = 0; i < N_FORMS; i++)
		for (int k = 0; k < 2; k++)
			if (forms[i].digest[k] && !strcmp(forms[i].digest[k], hex))
				return take_default(c, &forms[i], e);
	return 0;
}

int moe_chat_recognise(struct moe_chat *c, const char *jinja, struct moe_err *e)
{
	char *text = malloc(strlen(jinja) + 1);
	int rc;

	if (!text)
		return moe_fail(e, MOE_SYSTEM, "out of memory for a chat template");
	rc = find_form(c, text, normalise(jinja, text), e);
	free(text);
	return rc;
}

/* ---- writing ---- */

struct job {
	const struct moe_chat *c;
	const struct moe_chat_msg *msg;
	size_t n;
	bool open; /* the last message is left open */
	struct moe_buf *out;
	struct moe_err *e;
};

static int put(const struct job *j, const char *s)
{
	return moe_buf_add(j->out, s, strlen(s), j->e);
}

static int put_n(const struct job *j, const char *s, size_t n)
{
	return moe_buf_add(j->out, s, n, j->e);
}

static bool is_role(const struct job *j, size_t i, const char *role)
{
	return !strcmp(j->msg[i].role, role);
}

/* Whether message i is the one that a completion goes on with. */
static bool is_open(const struct job *j, size_t i)
{
	return j->open && i + 1 == j->n;
}

/* Blanks as Python's str.strip knows them. */
static bool is_blank(uint32_t c)
{
	return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 ||
		c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
		c == 0x202f || c == 0x205f || c == 0x3000;
}

/* s[*n] without the blanks at its ends. Bytes that are no UTF-8 are not blank. */
static const char *trim(const char *s, size_t *n)
{
	const char *end = s + *n, *p = s, *last = NULL, *first = NULL;

	while (p < end) {
		uint32_t c = (uint8_t)*p;
		size_t k = 1;

		if (c >= 0x80 && moe_utf8_prefix(p, (size_t)(end - p)))
			k = moe_utf8_get(p, &c);
		if (!is_blank(c)) {
			first = first ? first : p;
			last = p + k;
		}
		p += k;
	}
	*n = first ? (size_t)(last - first) : 0;
	return first ? first : s;
}

static int put_trimmed(const struct job *j, const char *s)
{
	size_t n = strlen(s);
	const char *p = trim(s, &n);

	return put_n(j, p, n);
}

/* What transformers does when a template trims the message that is to be continued: blanks at the
 * end of all that was written go. */
static void cut_blanks(struct moe_buf *out, size_t from)
{
	size_t n = out->len - from, head;
	const char *p = (const char *)out->data + from;

	if (!out->len)
		return;
	head = (size_t)(trim(p, &n) - p);
	out->len = from + (n ? head + n : 0);
}

static int put_chatml(const struct job *j, size_t i, const char *content, size_t n)
{
	return put(j, "<|im_start|>") || put(j, j->msg[i].role) || put(j, "\n") ||
			put_n(j, content, n) || (!is_open(j, i) && put(j, "<|im_end|>\n"))
		? -1
		: 0;
}

static int write_chatml(const struct job *j)
{
	if (j->n && j->c->system && !is_role(j, 0, "system") &&
		(put(j, "<|im_start|>system\n") || put(j, j->c->system) || put(j, "<|im_end|>\n")))
		return -1;
	for (size_t i = 0; i < j->n; i++)
		if (put_chatml(j, i, j->msg[i].content, strlen(j->msg[i].content)))
			return -1;
	return 0;
}

/* ---- Qwen3: thoughts of earlier turns are dropped, and the last answer has a thought, be it an
 * empty one ---- */

/* The last message of the user that is no tool's response; n - 1 when there is none. */
static size_t last_query(const struct job *j)
{
	static const char begin[] = "<tool_response>", end[] = "</tool_response>";

	for (size_t i = j->n; i-- > 0;) {
		const char *s = j->msg[i].content;
		size_t n = strlen(s), k = sizeof(end) - 1;

		if (is_role(j, i, "user") &&
			!(!strncmp(s, begin, sizeof(begin) - 1) && n >= k &&
				!strcmp(s + n - k, end)))
			return i;
	}
	return j->n - 1;
}

static void strip_newlines(const char **p, size_t *n, bool left, bool right)
{
	while (left && *n && **p == '\n') {
		(*p)++;
		(*n)--;
	}
	while (right && *n && (*p)[*n - 1] == '\n')
		(*n)--;
}

/* The last place of `what` in s[n], or NULL. */
static const char *find_last(const char *s, size_t n, const char *what)
{
	size_t k = strlen(what);

	for (size_t i = n; i-- > 0;)
		if (n - i >= k && !memcmp(s + i, what, k))
			return s + i;
	return NULL;
}

/* Cuts an answer into its thought and the rest. The thought is what lies before the first </think>,
 * after the last <think> in that; the rest is what is behind the last </think>. */
static void split_thought(
	const char *s, const char **thought, size_t *n_thought, const char **rest, size_t *n_rest)
{
	static const char open[] = "<think>", close[] = "</think>";
	const char *first = strstr(s, close), *last;

	*thought = *rest = s;
	*n_thought = 0;
	*n_rest = strlen(s);
	if (!first)
		return;
	*n_thought = (size_t)(first - s);
	strip_newlines(thought, n_thought, false, true);
	last = find_last(s, *n_thought, open);
	if (last) {
		*thought = last + sizeof(open) - 1;
		*n_thought -= (size_t)(*thought - s);
	}
	strip_newlines(thought, n_thought, true, true);
	*rest = find_last(s, *n_rest, close) + sizeof(close) - 1;
	*n_rest = strlen(*rest);
	strip_newlines(rest, n_rest, true, false);
}

static int put_qwen3_answer(const struct job *j, size_t i, size_t query)
{
	const char *thought, *rest;
	size_t n_thought, n_rest;

	split_thought(j->msg[i].content, &thought, &n_thought, &rest, &n_rest);
	if (i <= query || (i + 1 < j->n && !n_thought))
		return put_chatml(j, i, rest, n_rest);
	strip_newlines(&rest, &n_rest, true, false);
	return put(j, "<|im_start|>assistant\n<think>\n") || put_n(j, thought, n_thought) ||
			put(j, "\n</think>\n\n") || put_n(j, rest, n_rest) ||
			(!is_open(j, i) && put(j, "<|im_end|>\n"))
		? -1
		: 0;
}

static int write_qwen3(const struct job *j)
{
	size_t query = j->n ? last_query(j) : 0;

	for (size_t i = 0; i < j->n; i++)
		if (is_role(j, i, "assistant")
				? put_qwen3_answer(j, i, query)
				: put_chatml(j, i, j->msg[i].content, strlen(j->msg[i].content)))
			return -1;
	return 0;
}

/* ---- Llama 3 ---- */

static int put_header(const struct job *j, const char *role)
{
	return put(j, "<|start_header_id|>") || put(j, role) || put(j, "<|end_header_id|>\n\n") ? -1
												: 0;
}

/* 3.1 and later always have a system turn, with two dates in it. Today's is the one that the
 * template has where it is not given another: that of the clock would make other prompts each
 * day. */
static int put_dates(const struct job *j, bool own)
{
	return put(j, j->c->bos) || put_header(j, "system") ||
			put(j,
				"Cutting Knowledge Date: December 2023\nToday Date: 26 Jul "
				"2024\n\n") ||
			(own && put_trimmed(j, j->msg[0].content)) || put(j, "<|eot_id|>")
		? -1
		: 0;
}

static int write_llama3(const struct job *j, bool dates)
{
	size_t from = j->out->len;
	bool own = dates && j->n && is_role(j, 0, "system");

	if (dates ? put_dates(j, own) : j->n && put(j, j->c->bos))
		return -1;
	for (size_t i = own; i < j->n; i++)
		if (put_header(j, j->msg[i].role) || put_trimmed(j, j->msg[i].content) ||
			(!is_open(j, i) && put(j, "<|eot_id|>")))
			return -1;
	if (j->open)
		cut_blanks(j->out, from);
	return 0;
}

/* ---- Mistral ---- */

static int check_turns(const struct job *j, size_t first)
{
	const struct moe_chat_form *f = j->c->form;

	for (size_t i = first; i < j->n && f->where != SYSTEM_OWN; i++)
		if (is_role(j, i, "system"))
			return moe_fail(j->e, MOE_DATA,
				"message %zu is a system message, %s in the chat form %s", i + 1,
				f->where == SYSTEM_NONE ? "which there is none of"
							: "which may only be the first",
				f->name);
		else if (is_role(j, i, "user") != ((i - first) % 2 == 0))
			return moe_fail(j->e, MOE_DATA,
				"message %zu is of the role %s: in the chat form %s user and "
				"assistant take turns, and the user begins",
				i + 1, j->msg[i].role, f->name);
	return 0;
}

static int put_mistral(const struct job *j, size_t i, size_t first)
{
	const struct moe_chat_form *f = j->c->form;
	bool with = first && (f->where == SYSTEM_FIRST ? i == first : i + 1 == j->n);

	if (is_role(j, i, "system"))
		return put(j, "[SYSTEM_PROMPT] ") || put(j, j->msg[i].content) ||
				put(j, "[/SYSTEM_PROMPT]")
			? -1
			: 0;
	if (is_role(j, i, "user"))
		return put(j, f->user) || (with && (put(j, j->msg[0].content) || put(j, "\n\n"))) ||
				put(j, j->msg[i].content) || put(j, f->user_end)
			? -1
			: 0;
	if (put(j, f->answer) ||
		(f->trim ? put_trimmed(j, j->msg[i].content) : put(j, j->msg[i].content)))
		return -1;
	return !is_open(j, i) && (put(j, j->c->eos) || put(j, f->answer_end)) ? -1 : 0;
}

static int write_mistral(const struct job *j)
{
	const struct moe_chat_form *f = j->c->form;
	size_t from = j->out->len,
	       first = (f->where == SYSTEM_FIRST || f->where == SYSTEM_LAST) && j->n &&
			is_role(j, 0, "system")
		? 1
		: 0;

	if (check_turns(j, first) || put(j, j->c->bos))
		return -1;
	for (size_t i = first; i < j->n; i++)
		if (put_mistral(j, i, first))
			return -1;
	if (j->open && f->trim)
		cut_blanks(j->out, from);
	return 0;
}

int moe_chat_write_known(const struct moe_chat *c, const struct moe_chat_msg *msg, size_t n,
	bool to_answer, struct moe_buf *out, struct moe_err *e)
{
	const struct job j = { c, msg, n, to_answer && n && !strcmp(msg[n - 1].role, "assistant"),
		out, e };
	bool ask = to_answer && !j.open;

	for (size_t i = 0; i < n; i++)
		if (strcmp(msg[i].role, "system") != 0 && strcmp(msg[i].role, "user") != 0 &&
			strcmp(msg[i].role, "assistant") != 0)
			return moe_fail(e, MOE_DATA,
				"message %zu has the role `%.40s', for which the chat template has "
				"no part",
				i + 1, msg[i].role);
	switch (c->form->way) {
	case CHATML:
		return write_chatml(&j) || (ask && put(&j, "<|im_start|>assistant\n")) ? -1 : 0;
	case QWEN3:
		return write_qwen3(&j) || (ask && put(&j, "<|im_start|>assistant\n")) ? -1 : 0;
	case LLAMA3:
	case LLAMA31:
		return write_llama3(&j, c->form->way == LLAMA31) ||
				(ask && put_header(&j, "assistant"))
			? -1
			: 0;
	case MISTRAL:
		break;
	}
	return write_mistral(&j);
}
