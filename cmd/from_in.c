/* from_in.c - the loop of an import and its words; the reading is lib/data/import's. */
#include "cmd/from_in.h"

void moe_from_model(struct moe_from_model *m, const char *dir, struct moe_import_opts *o)
{
	struct moe_err e;

	*m = (struct moe_from_model){ 0 };
	if (!dir)
		return;
	m->tok = moe_tokenizer_open(dir, &e);
	if (!m->tok || moe_special_read(dir, &m->special, &e) ||
		moe_chat_of_model(dir, &m->chat, &e))
		moe_die(&e);
	if (m->special.note[0])
		moe_warn("%s: %s", dir, m->special.note);
	o->tok = m->tok;
	o->special = &m->special;
	o->chat = m->chat;
}

static void say(const struct moe_import_note *n, const char *one, const char *many)
{
	if (n->n)
		moe_warn("%llu %s; the first: %s", (unsigned long long)n->n, n->n == 1 ? one : many,
			n->first);
}

static void say_notes(const struct moe_import_notes *n)
{
	say(&n->bad, "row was left out", "rows were left out");
	say(&n->logp,
		"row's log-probabilities were left out (moe-rollout --teacher computes them anew)",
		"rows' log-probabilities were left out (moe-rollout --teacher computes them anew)");
	say(&n->finish, "row has a finish reason that is not known, and counts as cut off (length)",
		"rows have finish reasons that are not known, and count as cut off (length)");
	say(&n->deep, "field was left out of env", "fields were left out of env");
}

void moe_from_run(struct moe_import_opts *o, const struct moe_opt_list *from, const char *kind,
	const char *template_path, bool none, bool seals)
{
	struct moe_chat *chat = NULL;
	struct moe_rec rec = { 0 };
	struct moe_import *im;
	struct moe_out out;
	struct moe_err e;
	uint64_t n;
	int rc = 0;

	if (template_path && !(chat = moe_chat_open(template_path, &e)))
		moe_die(&e);
	if (chat)
		o->chat = chat;
	im = moe_import_open(o, from->v, from->n, &e);
	if (!im)
		moe_die(&e);
	moe_out_stream(&out, kind, MOE_LABELS_NONE, NULL);
	while (!none && (rc = moe_import_next(im, &rec, &e)) > 0)
		if (moe_writer_put(out.w, &rec, &e) ||
			(moe_rec_is(&rec, "step") && moe_writer_flush(out.w, &e)))
			moe_die(&e);
	if (rc < 0 || moe_import_sources(im, out.w, &e))
		moe_die(&e);
	moe_out_finish(&out);
	say_notes(moe_import_noted(im));
	n = moe_import_count(im);
	if (seals)
		moe_info("%ju rollout%s, %ju of them with findings in the seal", (uintmax_t)n,
			moe_s(n), (uintmax_t)moe_import_sealed(im));
	moe_rec_free(&rec);
	moe_import_close(im);
	moe_chat_free(chat);
}
