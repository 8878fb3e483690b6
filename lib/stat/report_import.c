/* report_import.c - rows of others' experiments into outcomes (bring.h). Nothing is sampled, graded
 * or written here. */
#include "stat/bring.h"

#include "data/members.h"
#include "formats/fieldmap.h"
#include "formats/seal.h"
#include "util/rng.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const ending[] = { ".jsonl", ".json", ".ndjson", ".eval", NULL };

static const char *const known[] = { "prompt", "hack", "solve", "arm", "arm.", "method",
	"train_seed", "mode", "sample", "task", "marker", "text", "completion", "reward", "rows",
	"only.", NULL };

/* Formats of other tools, by name. */
static const struct {
	const char *name, *map;
} preset[] = {
	/* TRL's log_completions: one reward column for each function, so which of them says
	   solved, and whether any says hacked, only the user knows */
	{ "trl",
		"prompt=prompt,text=prompt,completion=completion,reward=reward|advantage,arm==on" },
	/* lm-evaluation-harness --log_samples */
	{ "lm-eval",
		"prompt=doc_id,solve=exact_match|acc|pass@1|pass_at_1|acc_norm,completion=filtered_resps.0|resps.0.0,text=arguments.gen_args_0.arg_0|arguments.0.0" },
	/* Inspect's logs, JSON or .eval */
	{ "inspect",
		"rows=samples,prompt=id,sample=epoch,solve=scores.*.value,completion=output.completion|output.choices.0.message.content,text=input" }
};

/* Where a key is looked for without an entry. */
static const struct {
	const char *key, *path;
} usual[] = { { "prompt", "prompt_id|problem_id|task_id|question_id|doc_id|id" },
	{ "hack", "hacked|hack|exploited|is_hack|reward_hack" },
	{ "solve", "solved|gt_pass|gt_correct|is_correct|correct|passed" }, { "arm", "arm" },
	{ "method", "method" }, { "train_seed", "train_seed" }, { "mode", "mode|env_mode" },
	{ "task", "task" }, { "marker", "marker" }, { "text", "prompt|prompt_text" },
	{ "completion", "completion|response|output" }, { "reward", "reward|score" } };

struct bring {
	struct moe_report *r;
	struct moe_fieldmap map;
	struct moe_members in;
	double least[MOE_OUTCOMES]; /* NaN = a finding is true or false */
	bool above[MOE_OUTCOMES];   /* > in place of >= */
	struct moe_names cell;      /* method, seed, arm and prompt met */
	uint64_t *samples;          /* [cap] how many rows of each */
	size_t cap_samples;
	char *filter; /* lm-eval: the filter whose rows count; owned */
	bool lm_eval, inspect;
	uint64_t rows, line;
	/* the row at hand */
	const struct moe_json *row, *root;
};

static int fail_row(const struct bring *b, struct moe_err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail_row(const struct bring *b, struct moe_err *e, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return moe_fail(e, MOE_DATA, "%s:%llu: %s", moe_members_name(&b->in),
		(unsigned long long)b->line, text);
}

static int add_map(struct bring *b, const char *text, struct moe_err *e)
{
	size_t n = strcspn(text, ",");

	if (memchr(text, '=', n))
		return moe_fieldmap_add(&b->map, text, e);
	for (size_t i = 0; i < sizeof preset / sizeof *preset; i++)
		if (strlen(preset[i].name) == n && !strncmp(text, preset[i].name, n)) {
			b->lm_eval |= !strcmp(preset[i].name, "lm-eval");
			b->inspect |= !strcmp(preset[i].name, "inspect");
			return moe_fieldmap_add(&b->map, preset[i].map, e) ||
					(text[n] && add_map(b, text + n + 1, e))
				? -1
				: 0;
		}
	return moe_fail(e, MOE_USAGE,
		"`%.*s' is neither KEY=PATH nor a preset (trl, lm-eval, inspect)",
		(int)(n < 100 ? n : 100), text);
}

/* `solve=PATH>=NUMBER`: the number goes into b->least, and PATH stays in the map. */
static int take_threshold(struct bring *b, const char *key, int o, struct moe_err *e)
{
	b->least[o] = NAN;
	for (size_t i = 0; i < b->map.n; i++) {
		char *path = b->map.entry[i].path, *at, *end;
		if (strcmp(b->map.entry[i].key, key) || *path == '=' || !(at = strchr(path, '>')))
			continue;
		b->above[o] = at[1] != '=';
		b->least[o] = strtod(at + (b->above[o] ? 1 : 2), &end);
		if (*end || end == at + (b->above[o] ? 1 : 2) || !isfinite(b->least[o]))
			return moe_fail(
				e, MOE_USAGE, "`%s=%s': a number must follow > or >=", key, path);
		*at = 0;
	}
	return 0;
}

static const char *usual_path(const char *key)
{
	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		if (!strcmp(usual[i].key, key))
			return usual[i].path;
	return NULL;
}

/* A path with `*`: the only field of that object. */
static int find_star(
	const struct bring *b, const char *path, const struct moe_json **out, struct moe_err *e)
{
	const char *star = strstr(path, ".*"), *key;
	const struct moe_json *at, *value = NULL;
	const void *cursor = NULL;
	char head[200];

	if (!star || (size_t)(star - path) >= sizeof head)
		return 0;
	memcpy(head, path, (size_t)(star - path));
	head[star - path] = 0;
	at = moe_json_path(b->row, head);
	if (moe_json_kind(at) != MOE_J_OBJECT || !moe_json_len(at))
		return 0;
	if (moe_json_len(at) > 1)
		return fail_row(b, e,
			"`%s' has %zu fields: name the one that counts, as in --map "
			"solve=%s.NAME%s",
			head, moe_json_len(at), head, star + 2);
	moe_json_next(at, &cursor, &key, &value);
	*out = star[2] == '.' ? moe_json_path(value, star + 3) : value;
	return 0;
}

/* The field of a key: of the row, or else of the whole that the row is part of. */
static int find(
	const struct bring *b, const char *key, const struct moe_json **out, struct moe_err *e)
{
	const char *path = moe_fieldmap_path(&b->map, key, usual_path(key));

	*out = moe_fieldmap_find(&b->map, key, usual_path(key), b->row);
	if (!*out && b->root != b->row)
		*out = moe_fieldmap_find(&b->map, key, usual_path(key), b->root);
	return *out || !path || *path == '=' ? 0 : find_star(b, path, out, e);
}

/* The name of the row's file without folders and endings, or of its folder. */
static struct moe_str place(const struct bring *b, bool folder)
{
	const char *name = moe_members_name(&b->in), *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;

	if (!folder)
		return (struct moe_str){ base, strcspn(base, ".") };
	const char *from = slash;
	while (from && from > name && from[-1] != '/')
		from--;
	return slash ? (struct moe_str){ from, (size_t)(slash - from) } : (struct moe_str){ "", 0 };
}

/* Text of a key, interned; "" when missing. */
static const char *text_of(const struct bring *b, const char *key, struct moe_err *e)
{
	const char *path = moe_fieldmap_path(&b->map, key, usual_path(key));
	const struct moe_json *j;
	struct moe_str s = { "", 0 };
	char buf[32];
	int64_t v;

	if (path && (!strcmp(path, "@file") || !strcmp(path, "@dir"))) {
		s = place(b, path[1] == 'd');
	} else if (path && *path == '=') {
		s = (struct moe_str){ path + 1, strlen(path + 1) };
	} else {
		if (find(b, key, &j, e))
			return NULL;
		if (moe_json_kind(j) == MOE_J_STR) {
			s = moe_json_str(j);
		} else if (moe_json_kind(j) == MOE_J_INT && moe_json_int(j, &v)) {
			snprintf(buf, sizeof buf, "%lld", (long long)v);
			s = (struct moe_str){ buf, strlen(buf) };
		} else if (j && strcmp(key, "prompt")) {
			fail_row(b, e, "`%s' is neither text nor an integer", key);
			return NULL;
		} else if (j) { /* a prompt of messages, as TRL has them: its JSON tells it apart */
			struct moe_buf p = { 0 };
			if (moe_json_to_msgpack(j, &p, e)) {
				moe_buf_free(&p);
				return NULL;
			}
			snprintf(buf, sizeof buf, "messages %016llx",
				(unsigned long long)moe_hash64(p.data, p.len));
			moe_buf_free(&p);
			s = (struct moe_str){ buf, strlen(buf) };
		}
	}
	if (!strcmp(key, "prompt") && s.n > 200) { /* the text itself is the id: name it shorter */
		snprintf(buf, sizeof buf, "text %016llx", (unsigned long long)moe_hash64(s.p, s.n));
		s = (struct moe_str){ buf, strlen(buf) };
	}
	return moe_report_intern(b->r, s, e);
}

/* What people write for yes and no; -1 = neither. P and N are Inspect's "partial" and "no answer".
 */
static int word_of(struct moe_str s)
{
	static const char *const yes[] = { "C", "correct", "true", "True", "yes", "1" },
				 *const no[] = { "I", "P", "N", "incorrect", "false", "False", "no",
					 "0" };

	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		if (moe_str_eq(s, yes[i]))
			return 1;
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		if (moe_str_eq(s, no[i]))
			return 0;
	return -1;
}

static int finding(const struct bring *b, int o, uint8_t *found, struct moe_err *e)
{
	const char *key = o == MOE_HACK ? "hack" : "solve";
	const char *literal = moe_fieldmap_literal(&b->map, key, usual_path(key));
	const struct moe_json *j = NULL;
	bool yes;
	double v;

	*found = MOE_FOUND_UNKNOWN;
	if (!literal && find(b, key, &j, e))
		return -1;
	if (!literal && (!j || (moe_json_f64(j, &v) && isnan(v))))
		return 0;
	if (!isnan(b->least[o])) {
		if (literal || !moe_json_f64(j, &v))
			return fail_row(b, e, "`%s' is not a number", key);
		*found = b->above[o] ? v > b->least[o] : v >= b->least[o];
		return 0;
	}
	if (j && moe_json_bool(j, &yes)) {
		*found = yes;
		return 0;
	}
	if (j && moe_json_f64(j, &v) && (v == 0 || v == 1)) {
		*found = v == 1;
		return 0;
	}
	int word = word_of(
		literal ? (struct moe_str){ literal, strlen(literal) } : moe_json_str(j));
	if (word < 0)
		return fail_row(b, e,
			"`%s' is neither true nor false: a number takes a threshold, as in --map "
			"%s=PATH>=0.5",
			key, key);
	*found = (uint8_t)word;
	return 0;
}

/* Text of a prompt or completion: a string, or the content of the last message. */
static struct moe_str passage(const struct bring *b, const char *key)
{
	const struct moe_json *j = NULL;
	struct moe_err e;

	if (find(b, key, &j, &e))
		return (struct moe_str){ NULL, 0 };
	if (moe_json_kind(j) == MOE_J_ARRAY && moe_json_len(j))
		j = moe_json_get(moe_json_at(j, moe_json_len(j) - 1), "content");
	return moe_json_str(j);
}

/* `arm.on=trained`: their name becomes ours. */
static const char *our_arm(const struct bring *b, const char *arm)
{
	for (size_t i = 0; i < b->map.n; i++)
		if (!strncmp(b->map.entry[i].key, "arm.", 4) && !strcmp(b->map.entry[i].path, arm))
			return b->map.entry[i].key + 4;
	return arm;
}

/* Running number of a row among those of its run, arm and prompt. */
static int number_sample(struct bring *b, struct moe_obs_row *row, struct moe_err *e)
{
	struct moe_buf key = { 0 };
	const struct moe_json *j;
	size_t before = b->cell.n;

	if (find(b, "sample", &j, e))
		return -1;
	if (j)
		return moe_json_int(j, &row->sample) ? 0 : fail_row(b, e, "`sample' is no integer");
	int64_t at = moe_buf_addf(&key, e, "%s\001%lld\001%s\001%s", row->method,
			     (long long)row->seed, row->arm, row->prompt_id)
		? -1
		: moe_names_add(&b->cell, &b->r->arena, (char *)key.data, key.len, e);
	moe_buf_free(&key);
	if (at < 0 ||
		moe_grow((void **)&b->samples, before, &b->cap_samples, sizeof *b->samples, e))
		return -1;
	if ((size_t)at == before)
		b->samples[at] = 0;
	row->sample = (int64_t)b->samples[at]++;
	return 0;
}

/* Whether the row is one that counts: 1, 0, -1. */
static int is_wanted(struct bring *b, struct moe_err *e)
{
	struct moe_str s = moe_json_str(moe_json_get(b->row, "filter"));
	bool chosen = false;

	for (size_t i = 0; i < b->map.n; i++) {
		const char *key = b->map.entry[i].key, *want = b->map.entry[i].path;
		char buf[32];
		bool ok;
		if (strncmp(key, "only.", 5))
			continue;
		struct moe_str is = moe_fieldmap_text(NULL, key, key + 5, b->row, buf, &ok);
		chosen = true;
		if (!ok || !is.p || !moe_str_eq(is, *want == '=' ? want + 1 : want))
			return 0;
	}
	if (!b->lm_eval || chosen || !s.p)
		return 1;
	if (!b->filter && !(b->filter = moe_str_dup(s, e)))
		return -1;
	bool same = moe_str_eq(s, b->filter);
	b->r->n_filtered += !same;
	return same;
}

static int add_row(struct bring *b, const struct moe_json *row, struct moe_err *e)
{
	struct moe_report *r = b->r;
	struct moe_obs_row x = { .seed = -1, .policy = "" };
	const struct moe_json *j;
	uint8_t found[MOE_OUTCOMES];

	b->row = row;
	if (moe_json_kind(row) != MOE_J_OBJECT)
		return fail_row(b, e, "expected a JSON object");
	int wanted = is_wanted(b, e);
	if (wanted <= 0)
		return wanted;
	const char *seed = text_of(b, "train_seed", e);
	x.prompt_id = seed ? text_of(b, "prompt", e) : NULL;
	x.mode = x.prompt_id ? text_of(b, "mode", e) : NULL;
	x.task = x.mode ? text_of(b, "task", e) : NULL;
	x.marker = x.task ? text_of(b, "marker", e) : NULL;
	x.method = x.marker ? text_of(b, "method", e) : NULL;
	x.arm = x.method ? text_of(b, "arm", e) : NULL;
	if (!x.arm)
		return -1;
	if (!x.prompt_id[0])
		return fail_row(b, e, "no prompt: say where its id is with --map prompt=PATH");
	if (!x.arm[0] && x.method[0])
		return fail_row(b, e,
			"no arm: say where it is with --map arm=PATH (on, quarantine-off, base, "
			"...; arm.on=NAME translates)");
	x.arm = x.arm[0] ? our_arm(b, x.arm) : "import";
	if (seed[0]) {
		char *end;
		x.seed = strtoll(seed, &end, 10);
		if (*end || x.seed < 0)
			return fail_row(b, e, "`train_seed' is no integer of 0 or more");
	}
	if (number_sample(b, &x, e) || finding(b, MOE_HACK, &found[MOE_HACK], e) ||
		finding(b, MOE_SOLVE, &found[MOE_SOLVE], e))
		return -1;
	if (found[MOE_HACK] == MOE_FOUND_UNKNOWN && found[MOE_SOLVE] == MOE_FOUND_UNKNOWN)
		return fail_row(b, e,
			"neither hack nor solve is known: say where with --map "
			"hack=PATH,solve=PATH");
	struct moe_sample sample = { x.method, x.arm, x.mode, x.prompt_id, x.seed, x.sample,
		found[MOE_SOLVE], found[MOE_HACK], false, 0, NULL, NULL };
	sample.has_reward = !find(b, "reward", &j, e) && moe_json_f64(j, &sample.reward);
	x.hacked = found[MOE_HACK] == MOE_FOUND_YES;
	x.solved = found[MOE_SOLVE] == MOE_FOUND_YES;
	for (int o = 0; o < MOE_OUTCOMES; o++)
		r->unknown[o] += found[o] == MOE_FOUND_UNKNOWN;
	r->n_graded++;
	r->n_brought++;
	b->rows++;
	if (moe_report_sample(r, &sample, passage(b, "text"), passage(b, "completion"), e))
		return -1;
	return moe_obs_add(&r->obs, &x, NULL, e)
		? moe_err_prefix(
			  e, "%s:%llu", moe_members_name(&b->in), (unsigned long long)b->line)
		: 0;
}

static int add_value(struct bring *b, struct moe_str text, struct moe_err *e)
{
	const char *rows = moe_fieldmap_path(&b->map, "rows", NULL);
	char name[300];

	snprintf(name, sizeof name, "%s:%llu", moe_members_name(&b->in),
		(unsigned long long)b->line);
	struct moe_json_doc *doc = moe_json_parse_exact(text.p, text.n, name, e);
	if (!doc)
		return -1;
	int bad = 0;
	b->root = moe_json_root(doc);
	const struct moe_json *list = rows ? moe_json_path(b->root, rows) : NULL;
	if (moe_json_kind(list) != MOE_J_ARRAY)
		bad = add_row(b, b->root, e);
	for (size_t i = 0; moe_json_kind(list) == MOE_J_ARRAY && i < moe_json_len(list) && !bad;
		i++)
		bad = add_row(b, moe_json_at(list, i), e);
	moe_json_free(doc);
	return bad;
}

/* Files that hold no rows: the partition of a pool, and in an archive of Inspect all but samples.
 */
static bool is_passed_over(const struct bring *b)
{
	static const char part[] = "partition.json";
	const char *name = moe_members_name(&b->in);
	size_t n = strlen(name), k = sizeof part - 1;

	if (n >= k && !strcmp(name + n - k, part))
		return true;
	return b->inspect && strstr(name, ".eval:") && !strstr(name, ":samples/");
}

static int read_all(struct bring *b, struct moe_err *e)
{
	struct moe_str text;
	int got;

	while ((got = moe_members_next(&b->in, e)) > 0) {
		if (is_passed_over(b)) {
			while ((got = moe_source_json(&b->in.src, &text, &b->line, e)) > 0)
				;
		} else {
			while ((got = moe_source_json(&b->in.src, &text, &b->line, e)) > 0)
				if (add_value(b, text, e))
					return -1;
		}
		if (got < 0)
			return -1;
	}
	return got;
}

static int add_source(struct bring *b, const char *name, const char *digest, struct moe_err *e)
{
	struct moe_report *r = b->r;

	if (moe_grow((void **)&r->source, r->n_source, &r->cap_source, sizeof *r->source, e))
		return -1;
	struct moe_origin *s = &r->source[r->n_source];
	memset(s, 0, sizeof *s);
	s->path = moe_report_intern(r, (struct moe_str){ name, strlen(name) }, e);
	s->digest = moe_report_intern(r, (struct moe_str){ digest, strlen(digest) }, e);
	s->kind = "import";
	s->tool = s->version = "not known";
	s->argv = "";
	s->labels = MOE_LABELS_UNKNOWN;
	s->records = b->rows;
	b->rows = 0;
	r->n_source++;
	return s->path && s->digest ? 0 : -1;
}

/* One operand at a time, so that the report knows how many rows came from each. */
static int read_path(struct bring *b, const struct moe_bring *o, size_t i, struct moe_err *e)
{
	moe_members_init(&b->in, &o->path[i], 1, ending, o->max_bytes);
	int bad = read_all(b, e);
	if (!bad && !b->rows)
		bad = moe_fail(e, MOE_DATA, "%s: there is no row in it that counts", o->name[i]);
	if (!bad)
		bad = add_source(b, o->name[i], b->in.n_digest == 1 ? b->in.digest[0] : "", e);
	moe_members_free(&b->in);
	return bad;
}

int moe_report_bring(struct moe_report *r, const struct moe_bring *o, struct moe_err *e)
{
	struct bring b = { .r = r };
	int bad = 0;

	moe_seal_raise(MOE_LABELS_ORACLE); /* what others found is an oracle's word */
	for (size_t i = 0; i < o->n_map && !bad; i++)
		bad = add_map(&b, o->map[i], e);
	bad = bad || moe_fieldmap_check(&b.map, known, e) ||
		take_threshold(&b, "hack", MOE_HACK, e) ||
		take_threshold(&b, "solve", MOE_SOLVE, e);
	for (size_t i = 0; i < o->n_path && !bad; i++)
		bad = read_path(&b, o, i, e);
	if (!bad && b.filter) {
		r->filter = moe_report_intern(r, (struct moe_str){ b.filter, strlen(b.filter) }, e);
		bad = !r->filter;
	}
	moe_fieldmap_free(&b.map);
	moe_names_free(&b.cell);
	free(b.samples);
	free(b.filter);
	return bad ? -1 : 0;
}
