/* where.c - filters for moe-cat. Not a query language: conditions are joined by "and" only. */
#include "formats/where.h"
#include "formats/mp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum op { EQ, NE, LT, LE, GT, GE };

struct condition {
	char key[128];
	enum op op;
	const char *value;
	double number;
	bool numeric;
};

struct moe_where {
	struct condition *c;
	size_t n;
	char arm[128];
};

static int parse(struct condition *c, const char *text, struct moe_err *e)
{
	size_t n = strcspn(text, "=!<>");
	const char *p = text + n;
	char *end;

	if (!n || n >= sizeof(c->key) || !*p || (*p == '!' && p[1] != '='))
		return moe_fail(e, MOE_USAGE, "condition \"%s\": expected KEY=VALUE (or !=, <, <=, >, >=)", text);
	memcpy(c->key, text, n);
	c->key[n] = 0;
	c->op = *p == '=' ? EQ : *p == '!' ? NE : *p == '<' ? (p[1] == '=' ? LE : LT) : p[1] == '=' ? GE : GT;
	c->value = p + (c->op == EQ || c->op == LT || c->op == GT ? 1 : 2);
	c->number = strtod(c->value, &end);
	c->numeric = *c->value && !*end;
	if (c->op >= LT && !c->numeric)
		return moe_fail(e, MOE_USAGE, "condition \"%s\": \"%s\" is not a number", text, c->value);
	return 0;
}

struct moe_where *moe_where_new(const char *const *conditions, size_t n, struct moe_err *e)
{
	struct moe_where *w = calloc(1, sizeof(*w));

	if (w)
		w->c = calloc(n ? n : 1, sizeof(*w->c));
	if (!w || !w->c) {
		free(w);
		moe_fail(e, MOE_SYSTEM, "out of memory for conditions");
		return NULL;
	}
	w->n = n;
	for (size_t i = 0; i < n; i++)
		if (parse(&w->c[i], conditions[i], e)) {
			moe_where_free(w);
			return NULL;
		}
	return w;
}

void moe_where_free(struct moe_where *w)
{
	if (!w)
		return;
	free(w->c);
	free(w);
}

void moe_where_segment(struct moe_where *w)
{
	w->arm[0] = 0;
}

/* The value at a dotted path: a whole key first, then maps from the left. */
static bool value_at(const struct moe_rec *r, const char *path, struct moe_buf *copy)
{
	struct moe_str raw;
	const char *dot = strchr(path, '.');
	struct moe_rec m = {0};
	char key[128];
	bool found = false;

	if (moe_rec_raw(r, path, &raw))
		return moe_buf_add(copy, raw.p, raw.n, NULL) == 0;
	if (!dot || (size_t)(dot - path) >= sizeof(key))
		return false;
	memcpy(key, path, (size_t)(dot - path));
	key[dot - path] = 0;
	if (moe_rec_map(r, key, &m))
		found = value_at(&m, dot + 1, copy);
	moe_rec_free(&m);
	return found;
}

static bool compare(const struct condition *c, double v)
{
	switch (c->op) {
	case LT:
		return v < c->number;
	case LE:
		return v <= c->number;
	case GT:
		return v > c->number;
	case GE:
		return v >= c->number;
	default:
		return c->numeric && v == c->number;
	}
}

static bool holds(const struct condition *c, const struct moe_mp_tok *t)
{
	struct moe_str s = {(const char *)t->p, t->n};

	switch (t->kind) {
	case MOE_MP_STR:
	case MOE_MP_BIN:
		return c->op <= NE && moe_str_eq(s, c->value);
	case MOE_MP_BOOL:
		return c->op <= NE && !strcmp(c->value, t->b ? "true" : "false");
	case MOE_MP_NIL:
		return c->op <= NE && !strcmp(c->value, "nil");
	case MOE_MP_INT:
		return compare(c, (double)t->i);
	case MOE_MP_UINT:
		return compare(c, (double)t->u);
	case MOE_MP_FLOAT:
		return compare(c, t->f);
	default:
		return false;
	}
}

static bool test(const struct moe_where *w, const struct condition *c, const struct moe_rec *r)
{
	struct moe_buf raw = {0};
	struct moe_mp_tok t;
	bool found = value_at(r, c->key, &raw), pass;

	if (!found && !strcmp(c->key, "arm") && w->arm[0])
		pass = (strcmp(w->arm, c->value) == 0) == (c->op == EQ);
	else if (!found)
		pass = moe_rec_is(r, "step") || c->op == NE;
	else
		pass = moe_mp_token(raw.data, raw.len, &t, NULL) == 1 && holds(c, &t) == (c->op != NE);
	moe_buf_free(&raw);
	return pass;
}

bool moe_where_pass(struct moe_where *w, const struct moe_rec *r)
{
	struct moe_str arm;

	if (moe_rec_is(r, "layout") && moe_rec_str(r, "arm", &arm))
		snprintf(w->arm, sizeof(w->arm), "%.*s", (int)(arm.n < 127 ? arm.n : 127), arm.p);
	for (size_t i = 0; i < w->n; i++)
		if (!test(w, &w->c[i], r))
			return false;
	return true;
}
