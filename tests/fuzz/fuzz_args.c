/* fuzz_args.c - the first part is a record as JSON, each further part the text of an option: as a
 * condition, a field mapping, arms, an expert, targets, a plan entry, a bank's value. What is taken
 * is within its bounds, and means the same again. */
#include "fuzz.h"

#include "formats/fieldmap.h"
#include "inspect/where.h"
#include "moe/ablate.h"
#include "moe/layout.h"
#include "rl/rollout_loop.h"

#include <math.h>

#define LONGEST 4096

static void condition(const char *text, const struct moe_rec *r)
{
	size_t key = strcspn(text, "=!<>"), op = strspn(text + key, "=!<>");
	struct moe_err e = { 0 };
	struct moe_where *w = moe_where_new(&text, 1, &e), *equal, *other;
	char eq[LONGEST + 3], ne[LONGEST + 3];
	const char *p = eq, *q = ne;

	if (!w) {
		MUST(e.code == MOE_USAGE && e.msg[0]);
		return;
	}
	MUST(moe_where_pass(w, r) == moe_where_pass(w, r));
	moe_where_free(w);
	op = op > 2 ? 2 : op;
	snprintf(eq, sizeof(eq), "%.*s=%s", (int)key, text, text + key + op);
	snprintf(ne, sizeof(ne), "%.*s!=%s", (int)key, text, text + key + op);
	MUST((equal = moe_where_new(&p, 1, &e)) && (other = moe_where_new(&q, 1, &e)));
	MUST(moe_where_pass(equal, r) != moe_where_pass(other, r) ||
		moe_where_pass(other, r)); /* a step passes both */
	moe_where_free(equal);
	moe_where_free(other);
}

static void mapping(const char *text, const struct moe_json *root)
{
	static const char *const known[] = { "a", "env.", NULL };
	struct moe_fieldmap m = { 0 };
	struct moe_err e = { 0 };
	char number[32];
	bool ok;

	if (moe_fieldmap_add(&m, text, &e)) {
		MUST(e.code == MOE_USAGE && e.msg[0]);
	} else {
		MUST(m.n || !*text);
		for (size_t i = 0; i < m.n; i++) {
			const char *key = m.entry[i].key;
			struct moe_str s = moe_fieldmap_text(&m, key, "a.0|b", root, number, &ok);

			MUST(!strcmp(moe_fieldmap_path(&m, key, "none"), m.entry[i].path));
			MUST(!moe_fieldmap_literal(&m, key, NULL) ||
				!moe_fieldmap_find(&m, key, NULL, root));
			MUST(!s.n || s.p);
		}
		MUST(!moe_fieldmap_check(&m, known, &e) || e.code == MOE_USAGE);
	}
	moe_fieldmap_free(&m);
}

static void arms(const char *text)
{
	char **name, **again;
	struct moe_err e = { 0 };
	size_t n, one;

	if (moe_ablate_names(text, &name, &n, &e)) {
		MUST(e.code == MOE_USAGE && e.msg[0] && !name && !n);
		return;
	}
	MUST(n > 0);
	for (size_t i = 0; i < n; i++) {
		if (strlen(name[i]) < 96) { /* each is an arm by itself */
			MUST(!moe_ablate_names(name[i], &again, &one, &e) && one == 1 &&
				!strcmp(again[0], name[i]));
			free(again[0]);
			free(again);
		}
		free(name[i]);
	}
	free(name);
}

static void experts(const char *text, struct moe_experts *x)
{
	struct moe_err e = { 0 };
	int n = x->E;

	if (moe_layout_expert(x, text, &e)) {
		MUST(e.code == MOE_USAGE && e.msg[0] && x->E == n);
	} else {
		MUST(x->E == n + 1 && x->rank[n] >= 1 && x->rank[n] <= 4096 &&
			(unsigned)x->bank[n] < MOE_BANKS);
		MUST(x->name[n][0] && memchr(x->name[n], 0, sizeof(x->name[n])));
	}
	if (!moe_layout_targets(x, text, &e)) {
		int some = 0;

		for (int j = 0; j < MOE_LINEARS; j++)
			some += x->target[j];
		MUST(some > 0);
	} else {
		MUST(e.code == MOE_USAGE && e.msg[0]);
	}
}

static void numbers(const char *text, struct moe_decision_table *p)
{
	enum moe_decision decision;
	struct moe_err e = { 0 };
	double v;
	int bank;

	if (moe_decision_table_set(p, text, &e))
		MUST(e.code == MOE_USAGE && e.msg[0]);
	for (int b = 0; b < MOE_BANKS; b++) {
		MUST(isfinite(p->sample[b]));
		for (int d = 0; d < MOE_DECISIONS; d++)
			MUST(isfinite(p->gate[d][b]) && isfinite(p->mask[d][b]));
	}
	if (!moe_bank_value(text, &bank, &v, &e))
		MUST(bank >= 0 && bank < MOE_BANKS && isfinite(v));
	if (!moe_decision_parse((struct moe_str){ text, strlen(text) }, &decision, &e))
		MUST(!strcmp(moe_decision_names[decision], text));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const uint8_t *part;
	size_t k = fuzz_part(&p, &n, &part);
	struct moe_err e = { 0 };
	struct moe_json_doc *d = moe_json_parse((const char *)part, k, "fuzz", &e);
	struct moe_experts x = { 0 };
	struct moe_buf packed = { 0 };
	struct moe_rec r = { 0 };
	struct moe_decision_table plan;
	char text[LONGEST];

	moe_decision_table_ones(&plan);
	if (d && !moe_json_to_msgpack(moe_json_root(d), &packed, &e) &&
		moe_rec_parse(&r, packed.data, packed.len, &e))
		moe_rec_free(&r);
	for (int i = 0; n && i < 16; i++) {
		k = fuzz_part(&p, &n, &part);
		k = k < sizeof(text) ? k : sizeof(text) - 1;
		memcpy(text, part, k);
		text[k] = 0;
		condition(text, &r);
		mapping(text, d ? moe_json_root(d) : NULL);
		arms(text);
		experts(text, &x);
		numbers(text, &plan);
	}
	moe_rec_free(&r);
	moe_buf_free(&packed);
	moe_json_free(d);
	return 0;
}
