/* where.c - filters for moe-cat. Not a query language: conditions are joined by "and" only. */
#include "inspect/where.h"
#include "formats/mp.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum op { EQ, NE, LT, LE, GT, GE };

/* A number of a condition or a record. Integers are compared as such, since 64 bits are more than a
 * float holds. */
struct number {
	bool whole, negative;
	uint64_t size; /* of a whole one, without its sign */
	double f;      /* of another */
};

struct condition {
	char *key;
	enum op op;
	const char *value;
	struct number number;
	bool numeric;
};

struct moe_where {
	struct condition *c;
	size_t n;
	struct moe_buf arm; /* of the layout above */
	bool has_arm;
};

static struct number of_float(double f)
{
	return (struct number){ .f = f };
}

static struct number of_int(int64_t i)
{
	return (struct number){
		.whole = true, .negative = i < 0, .size = i < 0 ? 0 - (uint64_t)i : (uint64_t)i
	};
}

static struct number of_uint(uint64_t u)
{
	return (struct number){ .whole = true, .size = u };
}

static bool number_of_text(const char *text, struct number *out)
{
	bool negative = *text == '-';
	const char *digits = text + negative;
	char *end;

	*out = of_float(strtod(text, &end));
	if (!*text || *end)
		return false;
	errno = 0;
	if (*digits && !digits[strspn(digits, "0123456789")]) {
		uint64_t size = strtoull(digits, NULL, 10);

		if (!errno)
			*out = (struct number){
				.whole = true, .negative = negative && size, .size = size
			};
	}
	return true;
}

static int parse(struct condition *c, const char *text, struct moe_err *e)
{
	size_t n = strcspn(text, "=!<>");
	const char *p = text + n;

	if (!n || !*p || (*p == '!' && p[1] != '='))
		return moe_fail(e, MOE_USAGE,
			"condition \"%s\": expected KEY=VALUE (or !=, <, <=, >, >=)", text);
	c->key = strndup(text, n);
	if (!c->key)
		return moe_fail(e, MOE_SYSTEM, "out of memory for conditions");
	c->op = *p == '='     ? EQ
		: *p == '!'   ? NE
		: *p == '<'   ? (p[1] == '=' ? LE : LT)
		: p[1] == '=' ? GE
			      : GT;
	c->value = p + (c->op == EQ || c->op == LT || c->op == GT ? 1 : 2);
	c->numeric = number_of_text(c->value, &c->number);
	if (c->op >= LT && !c->numeric)
		return moe_fail(
			e, MOE_USAGE, "condition \"%s\": \"%s\" is not a number", text, c->value);
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
	for (size_t i = 0; i < w->n; i++)
		free(w->c[i].key);
	free(w->c);
	moe_buf_free(&w->arm);
	free(w);
}

void moe_where_segment(struct moe_where *w)
{
	w->has_arm = false;
}

/* The value at a dotted path: a whole key first, then maps from the left. The path is put back as
 * it was. */
static bool value_at(const struct moe_rec *r, char *path, struct moe_buf *copy)
{
	struct moe_str raw;
	char *dot = strchr(path, '.');
	struct moe_rec m = { 0 };
	bool found = false;

	if (moe_rec_raw(r, path, &raw))
		return moe_buf_add(copy, raw.p, raw.n, NULL) == 0;
	if (!dot)
		return false;
	*dot = 0;
	found = moe_rec_map(r, path, &m);
	*dot = '.';
	found = found && value_at(&m, dot + 1, copy);
	moe_rec_free(&m);
	return found;
}

/* -1, 0, 1: a is less, equal, more. Both whole. */
static int order_whole(struct number a, struct number b)
{
	int more = a.negative ? -1 : 1;

	if (a.negative != b.negative)
		return more;
	return a.size == b.size ? 0 : a.size > b.size ? more : -more;
}

/* The same of a whole number and a float that is not NaN, exactly. */
static int order_mixed(struct number a, double f)
{
	double whole = trunc(f);
	int o;

	if (fabs(f) >= 0x1p64)
		return f > 0 ? -1 : 1;
	o = order_whole(a,
		(struct number){
			.whole = true, .negative = whole < 0, .size = (uint64_t)fabs(whole) });
	return o ? o : (f < whole) - (f > whole);
}

static bool compare(const struct condition *c, struct number v)
{
	int o;

	if (!c->numeric || (!v.whole && isnan(v.f)) || (!c->number.whole && isnan(c->number.f)))
		return false;
	if (v.whole)
		o = c->number.whole ? order_whole(v, c->number) : order_mixed(v, c->number.f);
	else
		o = c->number.whole ? -order_mixed(c->number, v.f)
				    : (v.f > c->number.f) - (v.f < c->number.f);
	switch (c->op) {
	case LT:
		return o < 0;
	case LE:
		return o <= 0;
	case GT:
		return o > 0;
	case GE:
		return o >= 0;
	default:
		return o == 0;
	}
}

static bool holds(const struct condition *c, const struct moe_mp_tok *t)
{
	struct moe_str s = { (const char *)t->p, t->n };

	switch (t->kind) {
	case MOE_MP_STR:
	case MOE_MP_BIN:
		return c->op <= NE && moe_str_eq(s, c->value);
	case MOE_MP_BOOL:
		return c->op <= NE && !strcmp(c->value, t->b ? "true" : "false");
	case MOE_MP_NIL:
		return c->op <= NE && !strcmp(c->value, "nil");
	case MOE_MP_INT:
		return compare(c, of_int(t->i));
	case MOE_MP_UINT:
		return compare(c, of_uint(t->u));
	case MOE_MP_FLOAT:
		return compare(c, of_float(t->f));
	default:
		return false;
	}
}

/* The arm of an adapter's records stands in the layout above them. */
static bool test(const struct moe_where *w, const struct condition *c, const struct moe_rec *r)
{
	struct moe_buf raw = { 0 };
	struct moe_mp_tok t;
	bool pass;

	if (value_at(r, c->key, &raw)) {
		pass = moe_mp_token(raw.data, raw.len, &t, NULL) == 1 &&
			holds(c, &t) == (c->op != NE);
	} else if (w->has_arm && !strcmp(c->key, "arm")) {
		t = (struct moe_mp_tok){ .kind = MOE_MP_STR, .p = w->arm.data, .n = w->arm.len };
		pass = holds(c, &t) == (c->op != NE);
	} else {
		pass = moe_rec_is(r, "step") || c->op == NE;
	}
	moe_buf_free(&raw);
	return pass;
}

bool moe_where_pass(struct moe_where *w, const struct moe_rec *r)
{
	struct moe_str arm;

	if (moe_rec_is(r, "layout") && moe_rec_str(r, "arm", &arm)) {
		w->arm.len = 0;
		w->has_arm = !moe_buf_add(&w->arm, arm.p, arm.n, NULL);
	}
	for (size_t i = 0; i < w->n; i++)
		if (!test(w, &w->c[i], r))
			return false;
	return true;
}
