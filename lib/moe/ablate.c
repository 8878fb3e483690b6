/* ablate.c - switches parts of an adapter off; it never changes what was trained. */
#include "moe/ablate_priv.h"
#include "util/elementary.h"

#include "formats/list.h"
#include "util/buf.h"
#include "util/mem.h"
#include "util/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES 64

/* ---- names ---- */

/* "BANK-off": the bank, or -1. */
static int bank_off(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && !strcmp(name + n - 4, "-off") ? moe_bank_find(name, n - 4) : -1;
}

int moe_bank_value(const char *text, int *bank, double *value, struct moe_err *e)
{
	const char *eq = strchr(text, '=');
	char *end;

	if (eq && (*bank = moe_bank_find(text, (size_t)(eq - text))) >= 0) {
		*value = strtod(eq + 1, &end);
		if (end > eq + 1 && !*end && isfinite(*value))
			return 0;
	}
	return moe_fail(e, MOE_USAGE,
		"'%s' is not BANK=NUMBER with a bank among shared, clean and quarantine", text);
}

/* "scale:BANK=S": the bank, or -1. */
static int bank_scale(const char *name, double *s)
{
	struct moe_err e;
	int bank = -1;

	return !strncmp(name, "scale:", 6) && !moe_bank_value(name + 6, &bank, s, &e) ? bank : -1;
}

/* The next of the changes to banks that an arm is made of, "BANK-off" or "scale:BANK=S" joined by
 * "+"; *name moves behind it. The bank with its scale, or -1. */
static int bank_change(const char **name, double *s)
{
	size_t n = strcspn(*name, "+");
	char one[96];
	int bank;

	if (n >= sizeof(one))
		return -1;
	memcpy(one, *name, n);
	one[n] = 0;
	*name += n;
	if (**name == '+' && !*++*name)
		return -1;
	*s = 0;
	bank = bank_off(one);
	return bank >= 0 ? bank : bank_scale(one, s);
}

/* Arms of which K are drawn at random: "random-off:K" makes random-off-1 ... */
static const char *const drawn[] = { "random-off", "experts-off", "damage-off" };
enum { N_DRAWN = sizeof(drawn) / sizeof(*drawn) };

int moe_ablate_directions(const char *name)
{
	size_t n = strlen(MOE_ABLATE_TRAJECTORY);
	char *end;
	long k;

	if (strncmp(name, MOE_ABLATE_TRAJECTORY, n) != 0 || name[n] < '1' || name[n] > '9')
		return 0;
	k = strtol(name + n, &end, 10);
	return *end || k > MOE_ABLATE_DIRECTIONS ? 0 : (int)k;
}

static bool known(const char *name)
{
	char *end;
	double s;

	if (!strcmp(name, "on") || !strcmp(name, "base") || !strcmp(name, MOE_ABLATE_PAIRS))
		return true;
	if (moe_ablate_directions(name))
		return true;
	for (int i = 0; i < N_DRAWN; i++)
		if (!strncmp(name, drawn[i], strlen(drawn[i])) && name[strlen(drawn[i])] == '-')
			return strtol(name + strlen(drawn[i]) + 1, &end, 10) > 0 && !*end;
	while (bank_change(&name, &s) >= 0)
		if (!*name)
			return true;
	return false;
}

static int push(char ***v, size_t *n, const char *name, struct moe_err *e)
{
	char **w = realloc(*v, (*n + 1) * sizeof(*w));

	if (w)
		*v = w;
	if (!w || !(w[*n] = strdup(name)))
		return moe_fail(e, MOE_SYSTEM, "out of memory for the names of arms");
	++*n;
	return known(name)
		? 0
		: moe_fail(e, MOE_USAGE,
			  "'%s' is not an arm: on, BANK-off, random-off:K, experts-off:K, "
			  "damage-off:K, base, scale:BANK=S,S..., BANK-off+scale:BANK=S,S..., "
			  "pairs-out and trajectory-out=K,K... (up to %d) are",
			  name, MOE_ABLATE_DIRECTIONS);
}

/* "random-off:K": K arms. */
static int push_drawn(const char *kind, const char *item, char ***v, size_t *n, struct moe_err *e)
{
	char name[200], *end;
	long k = strtol(item + strlen(kind) + 1, &end, 10);

	if (*end || k < 1 || k > 9999)
		return moe_fail(e, MOE_USAGE, "'%s': how many random ablations? 1 to 9999", item);
	for (long i = 1; i <= k; i++) {
		snprintf(name, sizeof(name), "%s-%ld", kind, i);
		if (push(v, n, name, e))
			return -1;
	}
	return 0;
}

/* One element of the list; scale_of holds what the last scale is of, up to its "=". */
static int element(const char *p, size_t len, char *scale_of, size_t size, char ***v, size_t *n,
	struct moe_err *e)
{
	char item[96], name[200], *end;
	const char *eq;

	if (len == 0 || len >= sizeof(item))
		return moe_fail(
			e, MOE_USAGE, "an arm's name is empty or too long in the list of arms");
	memcpy(item, p, len);
	item[len] = 0;
	for (int d = 0; d < N_DRAWN; d++)
		if (!strncmp(item, drawn[d], strlen(drawn[d])) && item[strlen(drawn[d])] == ':')
			return push_drawn(drawn[d], item, v, n, e);
	strtod(item, &end);
	if (!*end && scale_of[0]) {
		snprintf(name, sizeof(name), "%s%s", scale_of, item);
		return push(v, n, name, e);
	}
	eq = strrchr(item, '=');
	if (eq)
		snprintf(scale_of, size, "%.*s", (int)(eq - item + 1), item);
	return push(v, n, item, e);
}

int moe_ablate_names(const char *arms, char ***names, size_t *n, struct moe_err *e)
{
	char scale_of[96] = "";

	*names = NULL;
	*n = 0;
	for (const char *p = arms;;) {
		size_t len = strcspn(p, ",");

		if (element(p, len, scale_of, sizeof(scale_of), names, n, e)) {
			while (*n)
				free((*names)[--*n]);
			free(*names);
			*names = NULL;
			return -1;
		}
		if (!p[len])
			return 0;
		p += len + 1;
	}
}

/* ---- norms: |B diag(w) A|^2 = sum_ij w_i w_j (B'B)_ij (A A')_ij ---- */

/* What is on of a slot: alive times the presence of its expert. */
static double slot_on(const struct moe_experts *x, size_t cell, size_t slot)
{
	int i = 0;

	while (i + 1 < x->E && slot >= (size_t)x->first[i + 1])
		i++;
	return (double)x->alive[cell * (size_t)x->R + slot] * x->present[i];
}

/* g [R, R] of one Linear, of what is on in it. */
static void gram(const struct moe_experts *x, int layer, int linear, double *g)
{
	size_t at = (size_t)layer * MOE_LINEARS + (size_t)linear, R = (size_t)x->R;
	int d_in, d_out;
	const moe_real *A, *B;

	moe_linear_shape(&x->config, (enum moe_linear)linear, &d_in, &d_out);
	A = x->param + moe_view_of(x, at, MOE_ROLE_A)->off;
	B = x->param + moe_view_of(x, at, MOE_ROLE_B)->off;
	for (size_t i = 0; i < R; i++)
		for (size_t j = 0; j <= i; j++) {
			double a = 0, b = 0;

			for (int k = 0; k < d_in; k++)
				a += (double)A[i * (size_t)d_in + (size_t)k] *
					(double)A[j * (size_t)d_in + (size_t)k];
			for (int k = 0; k < d_out; k++)
				b += (double)B[(size_t)k * R + i] * (double)B[(size_t)k * R + j];
			g[i * R + j] = g[j * R + i] = a * b *
				(slot_on(x, at, i) * slot_on(x, at, j));
		}
}

static double quad(const double *g, const double *w, int R)
{
	double s = 0;

	for (int i = 0; i < R; i++)
		for (int j = 0; j < R; j++)
			s += w[i] * w[j] * g[i * R + j];
	return s;
}

/* All Linears' g; NULL when out of memory. [L*7, R, R] */
static double *grams(const struct moe_experts *x, struct moe_err *e)
{
	size_t n = (size_t)x->config.L * MOE_LINEARS, RR = (size_t)x->R * (size_t)x->R;
	double *g = moe_alloc(n * RR, sizeof(*g), e);

	for (size_t i = 0; g && i < n; i++)
		if (x->target[i % MOE_LINEARS])
			gram(x, (int)(i / MOE_LINEARS), (int)(i % MOE_LINEARS), g + i * RR);
	return g;
}

/* Frobenius norm over all Linears of the part s * B diag(w alive) A of the delta that the slots
 * with weight w carry; w [L*7, R]. */
static double norm_of(const struct moe_experts *x, const double *g, const double *w)
{
	size_t n = (size_t)x->config.L * MOE_LINEARS, RR = (size_t)x->R * (size_t)x->R;
	double s = 0;

	for (size_t i = 0; i < n; i++)
		if (x->target[i % MOE_LINEARS])
			s += quad(g + i * RR, w + i * (size_t)x->R, x->R);
	return fabs(x->scale) * sqrt(s > 0 ? s : 0);
}

/* ---- random ablations ---- */

static int quarantine_rank(const struct moe_experts *x)
{
	int r = 0;

	for (int i = 0; i < x->E; i++)
		r += x->bank[i] == MOE_BANK_QUARANTINE ? x->rank[i] - x->fixed[i] : 0;
	return r;
}

/* Slots that are drawn: those that train. What a slot began as, in a fixed slot, goes with it; by
 * itself it would be no part of the delta. Fills slot and with (-1: none), both with room for R;
 * returns how many. */
static size_t drawn_slots(const struct moe_experts *x, int *slot, int *with)
{
	size_t n = 0;

	for (int e = 0; e < x->E; e++)
		for (int r = 0, live = x->rank[e] - x->fixed[e]; r < live; r++) {
			slot[n] = x->first[e] + r;
			with[n++] = r < x->fixed[e] ? x->first[e] + live + r : -1;
		}
	return n;
}

static bool in_quarantine(const struct moe_experts *x, int slot)
{
	for (int i = 0; i < x->E; i++)
		if (slot >= x->first[i] && slot < x->first[i] + x->rank[i])
			return x->bank[i] == MOE_BANK_QUARANTINE;
	return false;
}

/* Candidate c of arm k: an independent subset of rq of the R slots for each Linear. */
static void draw_candidate(
	const struct moe_experts *x, uint64_t seed, uint64_t k, uint64_t c, int rq, double *w)
{
	struct moe_rng key = moe_rng_key(seed, "random-off");
	uint32_t perm[MOE_EXPERTS_MAX * 64];
	int slot[MOE_EXPERTS_MAX * 64], with[MOE_EXPERTS_MAX * 64];
	size_t n = (size_t)x->config.L * MOE_LINEARS, R = (size_t)x->R,
	       units = drawn_slots(x, slot, with);

	memset(w, 0, n * R * sizeof(*w));
	for (size_t i = 0; i < n; i++) {
		if (!x->target[i % MOE_LINEARS])
			continue;
		moe_rng_permute(key, (k * CANDIDATES + c) * 65536 + i, units, perm);
		for (int s = 0; s < rq; s++) {
			w[i * R + (size_t)slot[perm[s]]] = 1;
			if (with[perm[s]] >= 0)
				w[i * R + (size_t)with[perm[s]]] = 1;
		}
	}
}

int moe_ablate_draw_slots(const struct moe_experts *x, uint64_t seed, uint64_t k,
	struct moe_ablate_draw *d, struct moe_err *e)
{
	int rq = quarantine_rank(x);
	size_t slots = (size_t)x->config.L * MOE_LINEARS * (size_t)x->R;
	double *g, gap = INFINITY, both = 0, all = 0;

	if (rq == 0 || x->R > MOE_EXPERTS_MAX * 64)
		return moe_fail(e, MOE_DATA,
			"a random ablation imitates the quarantine, and the adapter has none");
	d->rank = rq;
	d->cells = slots;
	d->gram = g = grams(x, e);
	d->w = moe_alloc(3 * slots, sizeof(*d->w), e);
	if (!g || !d->w)
		return -1;
	d->best = d->w + slots;
	d->q = d->w + 2 * slots;
	for (size_t i = 0; i < slots; i++)
		d->q[i] = in_quarantine(x, (int)(i % (size_t)x->R));
	d->target = norm_of(x, g, d->q);
	for (uint64_t c = 0; c < CANDIDATES; c++) {
		double v, now;

		draw_candidate(x, seed, k, c, rq, d->w);
		v = norm_of(x, g, d->w);
		now = fabs(moe_log((v + 1e-300) / (d->target + 1e-300)));
		if (now < gap) {
			gap = now;
			d->norm = v;
			memcpy(d->best, d->w, slots * sizeof(*d->w));
		}
	}
	for (size_t i = 0; i < slots; i++) {
		all += d->best[i];
		both += d->best[i] * d->q[i];
	}
	d->overlap = all > 0 ? both / all : 0;
	return 0;
}

void moe_ablate_draw_free(struct moe_ablate_draw *d)
{
	free(d->gram);
	free(d->w);
}

static int random_off(struct moe_adapter *a, uint64_t seed, uint64_t k, struct moe_err *e)
{
	struct moe_experts *x = &a->x;
	struct moe_ablate_draw d = { 0 };
	int rc = moe_ablate_draw_slots(x, seed, k, &d, e);
	double alpha, removed;
	moe_real left;

	alpha = d.norm > 0 ? d.target / d.norm : 1;
	if (rc == 0) {
		left = (moe_real)(1 - alpha);
		for (size_t i = 0; i < d.cells; i++)
			if (d.best[i] > 0)
				x->alive[i] *= left; /* what is dead stays so */
		for (size_t i = 0; i < d.cells; i++)
			d.w[i] = d.best[i] > 0 ? 1 - (double)left : 0;
		removed = norm_of(x, d.gram, d.w); /* as it really is, after rounding */
		rc = moe_rec_set_str(&a->match, "kind", "random", e) ||
				moe_rec_set_int(&a->match, "rank", d.rank, e) ||
				moe_rec_set_int(&a->match, "candidates", CANDIDATES, e) ||
				moe_rec_set_int(&a->match, "seed", (int64_t)seed, e) ||
				moe_rec_set_int(&a->match, "draw", (int64_t)k, e) ||
				moe_rec_set_f64(&a->match, "target_norm", d.target, e) ||
				moe_rec_set_f64(&a->match, "drawn_norm", d.norm, e) ||
				moe_rec_set_f64(&a->match, "alpha", alpha, e) ||
				moe_rec_set_f64(&a->match, "ratio",
					d.target > 0 ? removed / d.target : 1, e) ||
				moe_rec_set_f64(&a->match, "overlap", d.overlap, e)
			? -1
			: 0;
	}
	moe_ablate_draw_free(&d);
	return rc;
}

/* ---- random sets of whole experts ---- */

/* A set of experts as a deletion: how many ranks, how much of the delta, how much of the gates. */
struct expert_set {
	bool in[MOE_EXPERTS_MAX];
	int rank;
	double norm, mass;
};

/* load [E]: mean gates in training (moe-train notes them in the lineage), or all 1. */
static bool read_load(const struct moe_adapter *a, double load[MOE_EXPERTS_MAX])
{
	struct moe_err e;
	size_t n = 0;
	bool known = moe_rec_has(&a->lineage, "load") == MOE_V_ARRAY &&
		!moe_rec_f64s(&a->lineage, "load", load, MOE_EXPERTS_MAX, &n, &e) &&
		n == (size_t)a->x.E;

	for (int i = 0; !known && i < a->x.E; i++)
		load[i] = 1;
	return known;
}

/* Fills rank, norm and mass of a set; w [L*7, R] is scratch, g the Gram matrices. */
static void measure_set(const struct moe_experts *x, const double *g, const double *load,
	struct expert_set *s, double *w)
{
	size_t n = (size_t)x->config.L * MOE_LINEARS, R = (size_t)x->R;

	memset(w, 0, n * R * sizeof(*w));
	s->rank = 0;
	s->mass = 0;
	for (int i = 0; i < x->E; i++) {
		if (!s->in[i])
			continue;
		s->rank += x->rank[i];
		s->mass += load[i];
		for (size_t k = 0; k < n; k++)
			for (int r = x->first[i]; r < x->first[i] + x->rank[i]; r++)
				w[k * R + (size_t)r] = 1;
	}
	s->norm = norm_of(x, g, w);
}

/* How far a set is from the target: ranks first, then norm and mass as log ratios. */
static double set_distance(const struct expert_set *s, const struct expert_set *target)
{
	return 1000 * abs(s->rank - target->rank) +
		fabs(moe_log((s->norm + 1e-300) / (target->norm + 1e-300))) +
		fabs(moe_log((s->mass + 1e-300) / (target->mass + 1e-300)));
}

/* Candidate c of arm k: experts in random order (none of the bank shared) until the target's rank
 * is reached. */
static void draw_set(
	const struct moe_experts *x, uint64_t seed, uint64_t draw, int rank, struct expert_set *s)
{
	uint32_t perm[MOE_EXPERTS_MAX];
	int sum = 0;

	memset(s, 0, sizeof(*s));
	moe_rng_permute(moe_rng_key(seed, "experts-off"), draw, (size_t)x->n_routed, perm);
	for (int i = 0; i < x->n_routed && sum < rank; i++) {
		int e = x->routed[perm[i]];

		if (sum + x->rank[e] > rank && sum > 0)
			continue;
		s->in[e] = true;
		sum += x->rank[e];
	}
}

static int store_set(struct moe_rec *to, const struct moe_experts *x, const struct expert_set *s,
	const struct expert_set *target, bool mass_known, struct moe_err *e)
{
	struct moe_str name[MOE_EXPERTS_MAX];
	int both = 0;
	size_t n = 0;

	for (int i = 0; i < x->E; i++)
		if (s->in[i]) {
			name[n++] = (struct moe_str){ x->name[i], strlen(x->name[i]) };
			both += target->in[i] ? x->rank[i] : 0;
		}
	return moe_rec_set_str(to, "kind", "experts", e) ||
			moe_rec_set_strs(to, "experts", name, n, e) ||
			moe_rec_set_int(to, "rank", s->rank, e) ||
			moe_rec_set_int(to, "candidates", CANDIDATES, e) ||
			moe_rec_set_f64(to, "target_norm", target->norm, e) ||
			moe_rec_set_f64(to, "drawn_norm", s->norm, e) ||
			moe_rec_set_f64(
				to, "ratio", target->norm > 0 ? s->norm / target->norm : 1, e) ||
			moe_rec_set_f64(to, "alpha", 1, e) ||
			(mass_known &&
				(moe_rec_set_f64(to, "target_mass", target->mass, e) ||
					moe_rec_set_f64(to, "drawn_mass", s->mass, e))) ||
			moe_rec_set_f64(to, "overlap", s->rank ? (double)both / s->rank : 0, e)
		? -1
		: 0;
}

/* Deletes the set of experts that, of CANDIDATES drawn, comes nearest to the quarantine in rank,
 * norm and routed mass without being it. Whole experts are absent, so that `deploy` does with their
 * gates what it does with the quarantine's. */
static int experts_off(struct moe_adapter *a, uint64_t seed, uint64_t k, struct moe_err *e)
{
	struct moe_experts *x = &a->x;
	struct expert_set target = { 0 }, best = { 0 }, s;
	double load[MOE_EXPERTS_MAX], *g = grams(x, e), *w, gap = INFINITY;
	bool known = read_load(a, load);
	int rc = -1;

	w = moe_alloc((size_t)x->config.L * MOE_LINEARS * (size_t)x->R, sizeof(*w), e);
	for (int i = 0; i < x->E; i++)
		target.in[i] = x->bank[i] == MOE_BANK_QUARANTINE;
	for (uint64_t c = 0; g && w && c < CANDIDATES; c++) {
		measure_set(x, g, load, &target, w);
		draw_set(x, seed, k * CANDIDATES + c, target.rank, &s);
		measure_set(x, g, load, &s, w);
		if (s.rank > 0 && memcmp(s.in, target.in, sizeof(s.in)) &&
			set_distance(&s, &target) < gap) {
			gap = set_distance(&s, &target);
			best = s;
		}
	}
	if (g && w)
		rc = best.rank && target.rank
			? store_set(&a->match, x, &best, &target, known, e)
			: moe_fail(e, MOE_DATA,
				  "a set of experts that imitates the quarantine needs a "
				  "quarantine and other experts; random-off takes subspaces "
				  "instead");
	for (int i = 0; rc == 0 && i < x->E; i++)
		x->present[i] *= best.in[i] ? 0 : 1;
	free(g);
	free(w);
	return rc;
}

/* ---- making an arm ---- */

int moe_ablate_scale(struct moe_adapter *a, const char *text, struct moe_err *e)
{
	size_t len = strlen(a->arm);
	double scale = 1;
	int bank = -1;

	if (moe_bank_value(text, &bank, &scale, e))
		return -1;
	if (!moe_experts_scale_bank(&a->x, bank, scale))
		return moe_fail(e, MOE_DATA, "arm '%s' has no expert in bank %s", a->arm,
			moe_bank_names[bank]);
	/* named as moe_ablate_make names such an arm */
	if (!strcmp(a->arm, "on"))
		snprintf(a->arm, sizeof(a->arm), "scale:%s", text);
	else
		snprintf(a->arm + len, sizeof(a->arm) - len, "+scale:%s", text);
	return moe_adapter_digest(a, e);
}

static int scale_bank(struct moe_experts *x, int bank, double scale, struct moe_err *e)
{
	return moe_experts_scale_bank(x, bank, scale) || bank < 0
		? 0
		: moe_fail(e, MOE_DATA, "the adapter has no expert in the bank '%s'",
			  moe_bank_names[bank]);
}

bool moe_ablate_needs(const char *name, enum moe_ablate_need need)
{
	bool damage = !strncmp(name, "damage-off-", 11), pairs = !strcmp(name, MOE_ABLATE_PAIRS);

	switch (need) {
	case MOE_NEED_BASE:
		return damage || pairs;
	case MOE_NEED_TEXTS:
		return damage;
	case MOE_NEED_PAIRS:
		return pairs;
	case MOE_NEED_TRAJECTORY:
		return moe_ablate_directions(name) > 0;
	}
	return false;
}

/* The arms that are made with more than the adapter: 1 = it was one of them, 0, -1. */
static int with_aids(struct moe_adapter *to, const struct moe_adapter *from, const char *name,
	uint64_t seed, const struct moe_ablate_aids *aids, struct moe_err *e)
{
	static const struct moe_ablate_aids none;
	const struct moe_ablate_aids *a = aids ? aids : &none;
	bool lacks = (moe_ablate_needs(name, MOE_NEED_PAIRS) && !a->g) ||
		(moe_ablate_needs(name, MOE_NEED_PAIRS) && !a->pairs) ||
		(moe_ablate_needs(name, MOE_NEED_TEXTS) && !a->damage) ||
		(moe_ablate_needs(name, MOE_NEED_TRAJECTORY) && !a->path);

	if (lacks)
		return moe_fail(e, MOE_USAGE, "the arm '%s' is made with %s, which is not there",
			name,
			moe_ablate_needs(name, MOE_NEED_PAIRS) ? "the base and pairs"
				: moe_ablate_needs(name, MOE_NEED_TRAJECTORY)
				? "a trajectory"
				: "the base and texts");
	if (moe_ablate_needs(name, MOE_NEED_TRAJECTORY))
		return moe_ablate_trajectory(to, from, a->path, moe_ablate_directions(name), e) ? -1
												: 1;
	if (moe_ablate_needs(name, MOE_NEED_PAIRS))
		return moe_ablate_pairs(to, a->g, a->pairs, e) ? -1 : 1;
	if (moe_ablate_needs(name, MOE_NEED_TEXTS))
		return moe_ablate_damage(to, a->damage, seed, strtoull(name + 11, NULL, 10), e) ? -1
												: 1;
	return 0;
}

int moe_ablate_make(struct moe_adapter *to, const struct moe_adapter *from, const char *name,
	uint64_t seed, const struct moe_ablate_aids *aids, struct moe_err *e)
{
	double scale = 0;
	int rc = 0;

	if (!known(name) || strlen(name) >= sizeof(to->arm))
		return moe_fail(e, MOE_USAGE, "'%s' is not an arm", name);
	if (moe_adapter_copy(to, from, e))
		return -1;
	snprintf(to->arm, sizeof(to->arm), "%s", name);
	rc = with_aids(to, from, name, seed, aids, e);
	if (rc)
		rc = rc < 0 ? -1 : 0;
	else if (!strcmp(name, "base"))
		rc = scale_bank(&to->x, -1, 0, e);
	else if (!strncmp(name, "random-off-", 11))
		rc = random_off(to, seed, strtoull(name + 11, NULL, 10), e);
	else if (!strncmp(name, "experts-off-", 12))
		rc = experts_off(to, seed, strtoull(name + 12, NULL, 10), e);
	else if (strcmp(name, "on") != 0)
		for (const char *at = name; *at && rc == 0;) {
			int bank = bank_change(&at, &scale);

			rc = scale_bank(&to->x, bank, scale, e);
		}
	if (rc == 0 && from->digest[0] && strcmp(name, "on") != 0)
		rc = moe_lineage_add(to, from->digest, NULL, 0, NULL, e);
	if (rc)
		moe_adapter_free(to);
	return rc;
}
