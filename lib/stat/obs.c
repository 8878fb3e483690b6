/* obs.c - collects outcomes and lays them out by cell. No statistics here. */
#include "stat/obs.h"

#include <stdlib.h>
#include <string.h>

enum moe_arm_kind moe_arm_kind(const char *name, double *scale)
{
	static const struct {
		const char *name;
		enum moe_arm_kind kind;
	} plain[] = { { "on", MOE_ARM_ON }, { "quarantine-off", MOE_ARM_QOFF },
		{ "clean-off", MOE_ARM_COFF }, { "base", MOE_ARM_BASE } },
	  knob[] = { { "scale:quarantine=", MOE_ARM_SCALE }, { "scale:clean=", MOE_ARM_CSCALE },
		  /* the deployed state with a stronger or weaker clean bank */
		  { "quarantine-off+scale:clean=", MOE_ARM_CSCALE } };

	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		if (!strcmp(name, plain[i].name))
			return plain[i].kind;
	if (!strncmp(name, "random-off", 10) || !strncmp(name, "experts-off", 11))
		return MOE_ARM_RANDOM;
	if (!strncmp(name, "damage-off-", 11))
		return MOE_ARM_DAMAGE;
	for (size_t i = 0; i < sizeof(knob) / sizeof(*knob); i++) {
		size_t n = strlen(knob[i].name);
		char *end;
		if (strncmp(name, knob[i].name, n))
			continue;
		*scale = strtod(name + n, &end);
		return *end || end == name + n ? MOE_ARM_OTHER : knob[i].kind;
	}
	return MOE_ARM_OTHER;
}

static int add_prompt(
	struct moe_obs *o, const struct moe_obs_row *r, uint32_t *out, struct moe_err *e)
{
	size_t before = o->id.n;
	int64_t at = moe_names_add(&o->id, &o->arena, r->prompt_id, strlen(r->prompt_id), e);

	if (at < 0)
		return -1;
	*out = (uint32_t)at;
	if ((size_t)at < before) {
		if (strcmp(o->prompt[at].mode, r->mode))
			return moe_fail(e, MOE_DATA,
				"prompt \"%.80s\" has mode \"%.40s\" here and \"%.40s\" before: "
				"two prompt sets under the same ids",
				r->prompt_id, r->mode, o->prompt[at].mode);
		return 0;
	}
	if (moe_grow((void **)&o->prompt, o->n_prompt, &o->cap_prompt, sizeof *o->prompt, e))
		return -1;
	struct moe_obs_prompt *p = &o->prompt[o->n_prompt++];
	p->id = o->id.v[at];
	p->mode = moe_arena_str(&o->arena, r->mode, strlen(r->mode), e);
	p->task = moe_arena_str(&o->arena, r->task, strlen(r->task), e);
	p->marker = moe_arena_str(&o->arena, r->marker, strlen(r->marker), e);
	return p->mode && p->task && p->marker ? 0 : -1;
}

static struct moe_obs_run *add_run(
	struct moe_obs *o, const struct moe_obs_row *r, struct moe_err *e)
{
	for (size_t i = 0; i < o->n_run; i++)
		if (o->run[i].seed == r->seed && !strcmp(o->run[i].method, r->method))
			return &o->run[i];
	if (moe_grow((void **)&o->run, o->n_run, &o->cap_run, sizeof *o->run, e))
		return NULL;
	struct moe_obs_run *n = &o->run[o->n_run];
	memset(n, 0, sizeof *n);
	n->seed = r->seed;
	n->method = moe_arena_str(&o->arena, r->method, strlen(r->method), e);
	if (!n->method)
		return NULL;
	o->n_run++;
	return n;
}

static struct moe_obs_arm *add_arm(
	struct moe_obs *o, struct moe_obs_run *run, const struct moe_obs_row *r, struct moe_err *e)
{
	for (size_t i = 0; i < run->n_arm; i++)
		if (!strcmp(run->arm[i].name, r->arm))
			return &run->arm[i];
	if (moe_grow((void **)&run->arm, run->n_arm, &run->cap_arm, sizeof *run->arm, e))
		return NULL;
	struct moe_obs_arm *a = &run->arm[run->n_arm];
	memset(a, 0, sizeof *a);
	a->name = moe_arena_str(&o->arena, r->arm, strlen(r->arm), e);
	a->policy = moe_arena_str(&o->arena, r->policy, strlen(r->policy), e);
	a->kind = moe_arm_kind(r->arm, &a->scale);
	if (!a->name || !a->policy)
		return NULL;
	run->n_arm++;
	return a;
}

int moe_obs_add(struct moe_obs *o, const struct moe_obs_row *r, size_t *run_out, struct moe_err *e)
{
	uint32_t prompt;

	if (r->sample < 0 || r->sample > INT32_MAX)
		return moe_fail(e, MOE_DATA, "sample %lld is out of range", (long long)r->sample);
	if (add_prompt(o, r, &prompt, e))
		return -1;
	struct moe_obs_run *run = add_run(o, r, e);
	struct moe_obs_arm *arm = run ? add_arm(o, run, r, e) : NULL;
	if (!arm || moe_grow((void **)&arm->row, arm->n_row, &arm->cap_row, sizeof *arm->row, e))
		return -1;
	if (strcmp(arm->policy, r->policy))
		return moe_fail(e, MOE_DATA,
			"arm \"%.40s\" of method \"%.40s\", seed %lld, was sampled by more than "
			"one adapter: a training run is given with --run",
			r->arm, r->method, (long long)r->seed);
	run->oracle |= r->oracle;
	if (run_out)
		*run_out = (size_t)(run - o->run);
	unsigned bits = MOE_OBS_PRESENT | (r->solved ? MOE_OBS_SOLVED : 0u) |
		(r->hacked ? MOE_OBS_HACKED : 0u);
	arm->row[arm->n_row++] = (struct moe_obs_cell){ prompt, (uint32_t)r->sample,
		(uint8_t)bits };
	return 0;
}

struct ranked {
	const char *id;
	uint32_t from;
};

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct ranked *)a)->id, ((const struct ranked *)b)->id);
}
static int by_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}
static int by_i64(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}
static int by_str(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}
static int by_run(const void *a, const void *b)
{
	const struct moe_obs_run *x = a, *y = b;
	int c = strcmp(x->method, y->method);

	return c ? c : (x->seed > y->seed) - (x->seed < y->seed);
}
static int by_arm(const void *a, const void *b)
{
	const struct moe_obs_arm *x = a, *y = b;

	if (x->kind != y->kind)
		return (int)x->kind - (int)y->kind;
	if (x->kind == MOE_ARM_SCALE || x->kind == MOE_ARM_CSCALE)
		return (x->scale > y->scale) - (x->scale < y->scale);
	return strcmp(x->name, y->name);
}

/* Renumbers the prompts into byte order of their ids. */
static int sort_prompts(struct moe_obs *o, struct moe_err *e)
{
	struct ranked *r = moe_alloc(o->n_prompt, sizeof *r, e);
	struct moe_obs_prompt *p = moe_alloc(o->n_prompt, sizeof *p, e);
	uint32_t *to = moe_alloc(o->n_prompt, sizeof *to, e);

	if (!r || !p || !to) {
		free(r);
		free(p);
		free(to);
		return -1;
	}
	for (size_t i = 0; i < o->n_prompt; i++)
		r[i] = (struct ranked){ o->prompt[i].id, (uint32_t)i };
	if (o->n_prompt)
		qsort(r, o->n_prompt, sizeof *r, by_id);
	for (size_t i = 0; i < o->n_prompt; i++) {
		p[i] = o->prompt[r[i].from];
		to[r[i].from] = (uint32_t)i;
	}
	for (size_t i = 0; i < o->n_run; i++)
		for (size_t j = 0; j < o->run[i].n_arm; j++)
			for (size_t k = 0; k < o->run[i].arm[j].n_row; k++)
				o->run[i].arm[j].row[k].prompt = to[o->run[i].arm[j].row[k].prompt];
	free(o->prompt);
	o->prompt = p;
	o->cap_prompt = o->n_prompt;
	free(r);
	free(to);
	return 0;
}

static uint64_t cell_key(const struct moe_obs_cell *c)
{
	return (uint64_t)c->prompt << 32 | c->sample;
}

/* key[n_cell]: all (prompt, sample) that occur, ascending; fills the maps between cells and
 * prompts. */
static int make_cells(struct moe_obs *o, uint64_t **key_out, struct moe_err *e)
{
	size_t n = 0, m = 0;

	for (size_t i = 0; i < o->n_run; i++)
		for (size_t j = 0; j < o->run[i].n_arm; j++)
			n += o->run[i].arm[j].n_row;
	uint64_t *key = moe_alloc(n, sizeof *key, e);
	if (!key)
		return -1;
	for (size_t i = 0; i < o->n_run; i++)
		for (size_t j = 0; j < o->run[i].n_arm; j++)
			for (size_t k = 0; k < o->run[i].arm[j].n_row; k++)
				key[m++] = cell_key(&o->run[i].arm[j].row[k]);
	if (n)
		qsort(key, n, sizeof *key, by_u64);
	m = 0;
	for (size_t i = 0; i < n; i++)
		if (!m || key[m - 1] != key[i])
			key[m++] = key[i];
	o->n_cell = m;
	o->cell_prompt = moe_alloc(m, sizeof *o->cell_prompt, e);
	o->first_cell = moe_alloc(o->n_prompt + 1, sizeof *o->first_cell, e);
	if (!o->cell_prompt || !o->first_cell) {
		free(key);
		return -1;
	}
	for (size_t i = 0; i < m; i++) {
		o->cell_prompt[i] = (uint32_t)(key[i] >> 32);
		o->first_cell[o->cell_prompt[i] + 1] = (uint32_t)i + 1;
	}
	*key_out = key;
	return 0;
}

static int fill_arm(const struct moe_obs *o, const struct moe_obs_run *run, struct moe_obs_arm *a,
	const uint64_t *key, struct moe_err *e)
{
	a->bits = moe_alloc(o->n_cell, 1, e);
	if (!a->bits)
		return -1;
	for (size_t k = 0; k < a->n_row; k++) {
		uint64_t want = cell_key(&a->row[k]);
		const uint64_t *at = bsearch(&want, key, o->n_cell, sizeof *key, by_u64);
		if (!at)
			return moe_fail(e, MOE_SYSTEM, "a cell was lost while sorting");
		if (a->bits[at - key])
			return moe_fail(e, MOE_DATA,
				"prompt \"%.80s\" sample %u occurs twice in arm \"%.40s\" of "
				"method \"%.40s\", seed %lld; evaluate one adapter once, and give "
				"training runs with --run",
				o->prompt[a->row[k].prompt].id, a->row[k].sample, a->name,
				run->method, (long long)run->seed);
		a->bits[at - key] = a->row[k].bits;
	}
	free(a->row);
	a->row = NULL;
	return 0;
}

/* One adapter under two seeds would count as two. */
static int check_seeds(const struct moe_obs *o, struct moe_err *e)
{
	for (size_t i = 1; i < o->n_run; i++)
		for (size_t j = 0; j < i; j++) {
			const struct moe_obs_run *x = &o->run[i], *y = &o->run[j];
			const struct moe_obs_arm *a = moe_obs_find_arm(x, MOE_ARM_ON),
						 *b = moe_obs_find_arm(y, MOE_ARM_ON);
			if (a && b && x->method[0] && !strcmp(x->method, y->method) &&
				a->policy[0] && !strcmp(a->policy, b->policy))
				return moe_fail(e, MOE_DATA,
					"seeds %lld and %lld of method \"%.40s\" are one and the "
					"same adapter: they are not two trainings",
					(long long)y->seed, (long long)x->seed, x->method);
		}
	return 0;
}

static int list_methods(struct moe_obs *o, struct moe_err *e)
{
	o->method = moe_alloc(o->n_run, sizeof *o->method, e);
	o->seed = moe_alloc(o->n_run, sizeof *o->seed, e);
	if (!o->method || !o->seed)
		return -1;
	for (size_t i = 0; i < o->n_run; i++)
		if (o->run[i].method[0]) {
			o->method[o->n_method++] = o->run[i].method;
			o->seed[o->n_seed++] = o->run[i].seed;
		}
	size_t n = o->n_method, m = 0, s = 0;
	if (n) {
		qsort(o->method, n, sizeof *o->method, by_str);
		qsort(o->seed, n, sizeof *o->seed, by_i64);
	}
	for (size_t i = 0; i < n; i++) {
		if (!m || strcmp(o->method[m - 1], o->method[i]))
			o->method[m++] = o->method[i];
		if (!s || o->seed[s - 1] != o->seed[i])
			o->seed[s++] = o->seed[i];
	}
	o->n_method = m;
	o->n_seed = s;
	return 0;
}

int moe_obs_finish(struct moe_obs *o, struct moe_err *e)
{
	uint64_t *key = NULL;

	if (sort_prompts(o, e) || make_cells(o, &key, e))
		return -1;
	/* a prompt without cells cannot be (it came with one), so first_cell ascends after this */
	for (size_t i = 0; i < o->n_prompt; i++)
		if (o->first_cell[i + 1] < o->first_cell[i])
			o->first_cell[i + 1] = o->first_cell[i];
	int bad = 0;
	for (size_t i = 0; i < o->n_run && !bad; i++)
		for (size_t j = 0; j < o->run[i].n_arm && !bad; j++)
			bad = fill_arm(o, &o->run[i], &o->run[i].arm[j], key, e);
	free(key);
	if (bad)
		return -1;
	if (o->n_run)
		qsort(o->run, o->n_run, sizeof *o->run, by_run);
	for (size_t i = 0; i < o->n_run; i++)
		qsort(o->run[i].arm, o->run[i].n_arm, sizeof *o->run[i].arm, by_arm);
	return check_seeds(o, e) || list_methods(o, e) ? -1 : 0;
}

void moe_obs_free(struct moe_obs *o)
{
	for (size_t i = 0; i < o->n_run; i++) {
		for (size_t j = 0; j < o->run[i].n_arm; j++) {
			free(o->run[i].arm[j].row);
			free(o->run[i].arm[j].bits);
		}
		free(o->run[i].arm);
	}
	free(o->run);
	free(o->prompt);
	free(o->cell_prompt);
	free(o->first_cell);
	free(o->method);
	free(o->seed);
	moe_names_free(&o->id);
	moe_arena_free(&o->arena);
	memset(o, 0, sizeof *o);
}

const struct moe_obs_run *moe_obs_find_run(
	const struct moe_obs *o, const char *method, int64_t seed)
{
	for (size_t i = 0; i < o->n_run; i++)
		if (o->run[i].seed == seed && !strcmp(o->run[i].method, method))
			return &o->run[i];
	return NULL;
}

const struct moe_obs_arm *moe_obs_find_arm(const struct moe_obs_run *r, enum moe_arm_kind kind)
{
	for (size_t i = 0; r && i < r->n_arm; i++)
		if (r->arm[i].kind == kind)
			return &r->arm[i];
	return NULL;
}

const struct moe_obs_arm *moe_obs_base(const struct moe_obs *o, const struct moe_obs_run *r)
{
	const struct moe_obs_arm *a = moe_obs_find_arm(r, MOE_ARM_BASE);

	for (size_t i = 0; i < o->n_run && !a; i++)
		if (o->run[i].seed == r->seed)
			a = moe_obs_find_arm(&o->run[i], MOE_ARM_BASE);
	for (size_t i = 0; i < o->n_run && !a; i++)
		a = moe_obs_find_arm(&o->run[i], MOE_ARM_BASE);
	return a;
}
