/* experts.c - the table of an adapter's tensors, its sites, and their memory. No arithmetic of the
 * network, no initial values. */
#include "model/experts.h"
#include "util/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const moe_bank_names[MOE_BANKS] = { "shared", "clean", "quarantine" };
const char *const moe_deploy_names[MOE_DEPLOYS] = { "drop", "renorm", "to-shared" };

int moe_bank_find(const char *s, size_t n)
{
	for (int b = 0; b < MOE_BANKS; b++)
		if (strlen(moe_bank_names[b]) == n && !memcmp(moe_bank_names[b], s, n))
			return b;
	return -1;
}

const char *const moe_placement_names[MOE_PLACEMENTS] = { "rollout", "token", "layer", "block",
	"group", "linear", "base" };

/* E, ranks, banks and targets in range; at least one slot of each expert must train. */
static int check_layout(const struct moe_experts *x, struct moe_err *e)
{
	bool any = false;

	if (x->E < 1 || x->E > MOE_EXPERTS_MAX)
		return moe_fail(e, MOE_DATA, "%d experts: between 1 and %d are possible", x->E,
			MOE_EXPERTS_MAX);
	for (int i = 0; i < x->E; i++) {
		if (x->rank[i] < 1 || x->rank[i] > 1 << 16)
			return moe_fail(e, MOE_DATA, "expert %d: rank %d: it must be at least 1", i,
				x->rank[i]);
		if (x->fixed[i] < 0 || x->fixed[i] >= x->rank[i])
			return moe_fail(e, MOE_DATA,
				"expert %d: %d of its %d ranks are fixed: at least one must train",
				i, x->fixed[i], x->rank[i]);
		if ((unsigned)x->bank[i] >= MOE_BANKS)
			return moe_fail(e, MOE_DATA, "expert %d: its bank is unknown", i);
	}
	for (int l = 0; l < MOE_LINEARS; l++)
		any |= x->target[l];
	return any ? 0 : moe_fail(e, MOE_DATA, "the experts adapt no Linear");
}

/* Ranks to slots, and the experts that a router decides over. */
static int lay_out_slots(struct moe_experts *x, struct moe_err *e)
{
	x->R = x->n_routed = 0;
	for (int i = 0; i < x->E; i++) {
		/* from here on rank[i] rows of every A and columns of every B are expert i's */
		x->first[i] = x->R;
		x->R += x->rank[i];
		x->present[i] = 1;
		if (x->bank[i] == MOE_BANK_SHARED)
			continue;
		x->routed_quarantine[x->n_routed] = x->bank[i] == MOE_BANK_QUARANTINE;
		x->routed[x->n_routed++] = i;
	}
	if (x->router && x->n_routed == 0)
		return moe_fail(e, MOE_DATA,
			"a router needs experts in the bank clean or quarantine to decide over");
	if (x->deploy == MOE_DEPLOY_SHARED && x->n_routed == x->E)
		return moe_fail(e, MOE_DATA,
			"deploy to-shared needs an expert in the bank shared: there is none");
	return 0;
}

/* Appends a view; its offset is the end of the block so far. */
static int add_view(struct moe_experts *x, const struct moe_view *v, struct moe_err *e)
{
	struct moe_view *to = &x->view[x->n_view++];

	*to = *v;
	to->off = x->n_param;
	if (!moe_mul((size_t)v->rows, (size_t)v->cols, &to->n) ||
		!moe_add(x->n_param, to->n, &x->n_param) || x->n_param > MOE_EXPERTS_PARAM)
		return moe_fail(e, MOE_DATA, "the experts would have more than %zu parameters",
			MOE_EXPERTS_PARAM);
	return 0;
}

/* What A and B of a Linear are made from, behind them. */
static int add_form(
	struct moe_experts *x, const struct moe_view *a, int d_in, int d_out, struct moe_err *e)
{
	struct moe_router_tensor t[MOE_FORM_TENSORS];
	int n = x->form->tensors(x, d_in, d_out, t);

	for (int i = 0; i < n; i++) {
		struct moe_view v = { .role = t[i].role,
			.layer = a->layer,
			.linear = a->linear,
			.site = -1,
			.rows = t[i].rows,
			.cols = t[i].cols };

		snprintf(v.name, sizeof(v.name), "layers.%d.%s.%.8s", a->layer,
			moe_linear_names[a->linear], t[i].name);
		if (add_view(x, &v, e))
			return -1;
	}
	return 0;
}

/* A and B of every adapted Linear. */
static int add_pairs(struct moe_experts *x, struct moe_err *e)
{
	for (int n = 0; n < x->config.L; n++)
		for (int l = 0; l < MOE_LINEARS; l++) {
			struct moe_view a = { .role = MOE_ROLE_A,
				.layer = n,
				.linear = l,
				.site = -1 },
					b;
			int d_in, d_out;

			x->view_at[n * MOE_LINEARS + l] = x->target[l] ? (int)x->n_view : -1;
			if (!x->target[l])
				continue;
			moe_linear_shape(&x->config, (enum moe_linear)l, &d_in, &d_out);
			b = a;
			b.role = MOE_ROLE_B;
			snprintf(a.name, sizeof(a.name), "layers.%d.%s.A", n, moe_linear_names[l]);
			snprintf(b.name, sizeof(b.name), "layers.%d.%s.B", n, moe_linear_names[l]);
			a.rows = b.cols = x->R;
			a.cols = d_in;
			b.rows = d_out;
			if (add_view(x, &a, e) || add_view(x, &b, e) ||
				(x->form && add_form(x, &a, d_in, d_out, e)))
				return -1;
		}
	return 0;
}

/* The steering vector [1, D] of a layer. */
static int add_shift(struct moe_experts *x, struct moe_err *e)
{
	struct moe_view v = { .role = MOE_ROLE_STATE,
		.layer = x->shift - 1,
		.linear = -1,
		.site = -1,
		.rows = 1,
		.cols = x->config.D };

	if (x->shift == 0)
		return 0;
	if (x->shift < 0 || x->shift > x->config.L)
		return moe_fail(e, MOE_DATA, "a vector is for layer %d, and the base has %d",
			x->shift, x->config.L);
	snprintf(v.name, sizeof(v.name), "layers.%d.shift", x->shift - 1);
	return add_view(x, &v, e);
}

/* It is the last view of its kind, so the walk goes backwards. */
moe_real *moe_experts_shift(const struct moe_experts *x)
{
	for (size_t i = x->n_view; x->shift && i-- > 0;)
		if (x->view[i].role == MOE_ROLE_STATE && x->view[i].site < 0 &&
			x->view[i].linear < 0)
			return x->param + x->view[i].off;
	return NULL;
}

bool moe_experts_shifts(const struct moe_experts *x)
{
	bool present = false;

	for (int i = 0; i < x->E; i++)
		present |= x->bank[i] == MOE_BANK_QUARANTINE && x->present[i] != 0;
	return x->shift && present;
}

/* Mean over the quarantine's experts of present * outer; outer [E] or NULL = 1. */
static double quarantine_share(const struct moe_experts *x, const moe_real *outer)
{
	double sum = 0;
	int n = 0;

	for (int i = 0; i < x->E; i++)
		if (x->bank[i] == MOE_BANK_QUARANTINE) {
			sum += x->present[i] * (outer ? (double)outer[i] : 1);
			n++;
		}
	return n ? sum / n : 0;
}

void moe_experts_add_shift(
	const struct moe_experts *x, int layer, int rows, const moe_real *outer, moe_real *to)
{
	size_t D, E;
	const moe_real *v;

	if (!x || x->shift != layer + 1)
		return;
	D = (size_t)x->config.D;
	E = (size_t)x->E;
	v = moe_experts_shift(x);
	/* y[t] += c_t v, c_t = the quarantine's mean of present * outer in row t: as an expert of
	 * rank 0, scaled by its gate in this row, and deleted with its bank */
	for (size_t t = 0; t < (size_t)rows; t++) {
		moe_real c = (moe_real)quarantine_share(x, outer ? outer + t * E : NULL);

		for (size_t k = 0; c != 0 && k < D; k++)
			to[t * D + k] += c * v[k];
	}
}

/* Which site a Linear belongs to, as a number that grows in forward order. */
static int site_key(enum moe_placement p, int layer, int linear)
{
	enum moe_group g = moe_group_of((enum moe_linear)linear);

	switch (p) {
	case MOE_PER_LAYER:
		return layer;
	case MOE_PER_BLOCK:
		return 2 * layer + (g >= MOE_GROUP_GU);
	case MOE_PER_GROUP:
		return MOE_GROUPS * layer + (int)g;
	case MOE_PER_LINEAR:
		return MOE_LINEARS * layer + linear;
	case MOE_PER_ROLLOUT:
	case MOE_PER_TOKEN:
	case MOE_PER_BASE:
	case MOE_PLACEMENTS:
		break;
	}
	return 0;
}

/* Sites in forward order: a new one wherever the key of an adapted Linear changes. The first Linear
 * of a site says what it reads. */
static void find_sites(struct moe_experts *x)
{
	int last = -1;

	for (int cell = 0; cell < x->config.L * MOE_LINEARS; cell++) {
		int layer = cell / MOE_LINEARS, linear = cell % MOE_LINEARS, out;
		int key = site_key(x->placement, layer, linear);

		x->site_at[cell] = -1;
		if (!x->router || !x->target[linear])
			continue;
		if (x->n_site == 0 || key != last) {
			struct moe_site *s = &x->site[x->n_site++];

			*s = (struct moe_site){ .layer = layer,
				.group = moe_group_of((enum moe_linear)linear) };
			moe_linear_shape(&x->config, (enum moe_linear)linear, &s->d, &out);
			last = key;
		}
		x->site_at[cell] = x->n_site - 1;
	}
	if (x->n_site && x->placement == MOE_PER_ROLLOUT) /* features of the base: moe/features.h */
		x->site[0].d = (x->config.L > 1 ? x->config.L - 1 : 1) * x->config.D;
	if (x->n_site && x->placement == MOE_PER_BASE) { /* no group's input */
		x->site[0].layer = -1;
		x->site[0].d = x->config.D;
	}
	x->S = x->placement == MOE_PER_ROLLOUT ? 0 : x->n_site;
}

/* A router's tensors at each of its sites, after all of the experts'. */
static int add_router(struct moe_experts *x, struct moe_err *e)
{
	struct moe_router_tensor t[MOE_ROUTER_TENSORS];

	for (int s = 0; s < x->n_site; s++) {
		int n = x->router->tensors(x->site[s].d, x->n_routed, x->set, t);

		x->site[s].view = (int)x->n_view;
		x->site[s].n_view = n;
		for (int i = 0; i < n; i++) {
			struct moe_view v = { .role = t[i].role,
				.layer = -1,
				.linear = -1,
				.site = s,
				.rows = t[i].rows,
				.cols = t[i].cols };

			snprintf(v.name, sizeof(v.name), "router.%d.%.15s", s, t[i].name);
			if (add_view(x, &v, e))
				return -1;
		}
	}
	return 0;
}

int moe_experts_alloc(struct moe_experts *x, const struct moe_config *c, struct moe_err *e)
{
	size_t cells = (size_t)c->L * MOE_LINEARS, slots;

	/* x says what is wanted; everything that is laid out from it begins anew */
	x->param = x->alive = NULL;
	x->view = NULL;
	x->site = NULL;
	x->view_at = x->site_at = NULL;
	x->n_param = x->n_view = 0;
	x->n_site = x->S = 0;
	x->config = *c;
	if (check_layout(x, e) || lay_out_slots(x, e))
		return -1;
	if (!moe_mul(cells, (size_t)x->R, &slots))
		return moe_fail(e, MOE_DATA, "the experts' ranks are too large");
	x->view_at = moe_alloc(cells, sizeof(*x->view_at), e);
	x->site_at = moe_alloc(cells, sizeof(*x->site_at), e);
	x->site = moe_alloc(x->router ? cells : 1, sizeof(*x->site), e);
	if (x->view_at && x->site_at && x->site) {
		find_sites(x);
		/* at most A, B and the form's per cell, the router's per site, one shift */
		x->view = moe_alloc((size_t)(x->form ? 2 + MOE_FORM_TENSORS : 2) * cells +
				(size_t)x->n_site * MOE_ROUTER_TENSORS + 1,
			sizeof(*x->view), e);
	}
	/* the order of the table: A and B of each Linear with their form, routers, the shift. Only
	 * then is n_param known */
	if (x->view && x->view_at && !add_pairs(x, e) && !add_router(x, e) && !add_shift(x, e) &&
		(x->alive = moe_alloc_declared(slots, sizeof(*x->alive), e)) &&
		(x->param = moe_alloc_declared(x->n_param, sizeof(*x->param), e)))
		return 0;
	moe_experts_free(x);
	return -1;
}

int moe_experts_init(struct moe_experts *x, const struct moe_config *c, struct moe_err *e)
{
	if (moe_experts_alloc(x, c, e))
		return -1;
	for (size_t i = 0; i < (size_t)c->L * MOE_LINEARS * (size_t)x->R; i++)
		x->alive[i] = 1;
	return 0;
}

void moe_experts_free(struct moe_experts *x)
{
	free(x->param);
	free(x->alive);
	free(x->view);
	free(x->view_at);
	free(x->site);
	free(x->site_at);
	memset(x, 0, sizeof(*x));
}

int moe_experts_keep(const struct moe_experts *x)
{
	return x->router && x->router->keep ? x->router->keep(x->n_routed, x->set) : 0;
}

bool moe_experts_first_pass(const struct moe_experts *x)
{
	return x && x->S && x->placement == MOE_PER_BASE;
}

int moe_experts_copy(struct moe_experts *to, const struct moe_experts *from, struct moe_err *e)
{
	/* the table is laid out again from the same layout, so that it is equal; numbers are copied
	 */
	struct moe_experts x = *from;

	if (moe_experts_alloc(&x, &from->config, e))
		return -1;
	memcpy(x.present, from->present, sizeof(x.present));
	memcpy(x.param, from->param, from->n_param * sizeof(*x.param));
	memcpy(x.alive, from->alive,
		(size_t)from->config.L * MOE_LINEARS * (size_t)from->R * sizeof(*x.alive));
	*to = x;
	return 0;
}

/* ---- walks over the table ---- */

const struct moe_view *moe_view_of(const struct moe_experts *x, size_t cell, enum moe_role role)
{
	int i = x->view_at[cell];

	return i < 0 ? NULL : &x->view[i + (role == MOE_ROLE_B)];
}

struct moe_part moe_view_part(const struct moe_experts *x, const struct moe_view *v, int expert)
{
	size_t first = (size_t)x->first[expert], rank = (size_t)x->rank[expert],
	       cols = (size_t)v->cols;

	if (v->role == MOE_ROLE_A) /* rows of A [R, d_in] */
		return (struct moe_part){ v->off + first * cols, rank, cols, cols };
	return (struct moe_part){ v->off + first, (size_t)v->rows, rank,
		cols }; /* of B [d_out, R] */
}

/* *sum += the squares of rows * cols numbers, rows ld apart. */
static void add_squares(const moe_real *block, const struct moe_part *p, double *sum)
{
	for (size_t r = 0; r < p->rows; r++)
		for (size_t c = 0; c < p->cols; c++) {
			double v = (double)block[p->off + r * p->ld + c];

			*sum += v * v;
		}
}

/* Owner o: an expert's parts of all tensors that hold it, or (o = E) the router's tensors whole. */
double moe_experts_norm2(const struct moe_experts *x, const moe_real *block, int o)
{
	double s = 0;

	for (size_t i = 0; i < x->n_view; i++) {
		const struct moe_view *v = &x->view[i];
		bool pair = v->role == MOE_ROLE_A || v->role == MOE_ROLE_B ||
			v->role == MOE_ROLE_FORM;
		struct moe_part p = { v->off, 1, v->n, v->n };

		if (o < x->E && pair)
			p = moe_view_part(x, v, o);
		else if (o < x->E || v->role != MOE_ROLE_ROUTER)
			continue;
		add_squares(block, &p, &s);
	}
	return s;
}

/* ---- what is trained ---- */

void moe_form_params(
	const struct moe_experts *x, moe_real *block, size_t cell, moe_real *p[MOE_FORM_TENSORS])
{
	const struct moe_view *v = moe_view_of(x, cell, MOE_ROLE_B), *end = x->view + x->n_view;
	int layer = v->layer, linear = v->linear;

	for (int i = 0; i < MOE_FORM_TENSORS; i++)
		p[i] = x->form && ++v < end && v->layer == layer && v->linear == linear
			? block + v->off
			: NULL;
}

/* The gradient of slots that are constants is of nothing that trains. */
static void drop_fixed(const struct moe_experts *x, const struct moe_view *v, moe_real *grad)
{
	for (int e = 0; e < x->E; e++) {
		struct moe_part p = moe_view_part(x, v, e);
		size_t fixed = (size_t)x->fixed[e];
		bool a = v->role == MOE_ROLE_A;

		for (size_t r = a ? p.rows - fixed : 0; r < p.rows; r++)
			for (size_t c = a ? 0 : p.cols - fixed; c < p.cols; c++)
				grad[p.off + r * p.ld + c] = 0;
	}
}

void moe_experts_chain(const struct moe_experts *x, moe_real *grad)
{
	for (size_t cell = 0; cell < (size_t)x->config.L * MOE_LINEARS; cell++) {
		const struct moe_view *a = moe_view_of(x, cell, MOE_ROLE_A),
				      *b = moe_view_of(x, cell, MOE_ROLE_B);
		moe_real *p[MOE_FORM_TENSORS], *d[MOE_FORM_TENSORS];

		if (!a)
			continue;
		/* 1. constants get no gradient */
		drop_fixed(x, a, grad);
		drop_fixed(x, b, grad);
		if (!x->form)
			continue;
		moe_form_params(x, x->param, cell, p);
		moe_form_params(x, grad, cell, d);
		for (int i = 0; i < MOE_FORM_TENSORS; i++)
			if (d[i] && b[1 + i].role != MOE_ROLE_FORM)
				d[i] = NULL;
		/* 2. the chain rule through make(): dA [R, d_in], dB [d_out, R] to what they are
		 * made from */
		x->form->bwd(x, a->cols, b->rows, p, grad + a->off, grad + b->off, d);
		/* 3. A and B themselves are not trained: make() writes them again after each step
		 */
		memset(grad + a->off, 0, a->n * sizeof(*grad));
		memset(grad + b->off, 0, b->n * sizeof(*grad));
	}
}

/* make() writes A [R, d_in] and B [d_out, R] of each adapted Linear from the form's tensors. */
void moe_experts_form(struct moe_experts *x)
{
	for (size_t cell = 0; x->form && cell < (size_t)x->config.L * MOE_LINEARS; cell++) {
		const struct moe_view *a = moe_view_of(x, cell, MOE_ROLE_A),
				      *b = moe_view_of(x, cell, MOE_ROLE_B);
		moe_real *p[MOE_FORM_TENSORS];

		if (!a)
			continue;
		moe_form_params(x, x->param, cell, p);
		x->form->make(x, a->cols, b->rows, p, x->param + a->off, x->param + b->off);
	}
}

bool moe_experts_scale_bank(struct moe_experts *x, int bank, double scale)
{
	bool any = false;

	for (int i = 0; i < x->E; i++)
		if (bank < 0 || x->bank[i] == (enum moe_bank)bank) {
			x->present[i] *= scale;
			any = true;
		}
	return any;
}

bool moe_experts_off(const struct moe_experts *x)
{
	size_t n = (size_t)x->config.L * MOE_LINEARS;

	/* off: every expert is absent, or none of its slots is alive at any Linear */
	for (int i = 0; i < x->E; i++)
		for (size_t k = 0; x->present[i] != 0 && k < n; k++)
			for (int s = x->first[i]; s < x->first[i] + x->rank[i]; s++)
				if (x->alive[k * (size_t)x->R + (size_t)s] != 0)
					return false;
	return true;
}

void moe_router_params(
	const struct moe_experts *x, moe_real *block, int s, moe_real *p[MOE_ROUTER_TENSORS])
{
	const struct moe_site *at = &x->site[s];

	for (int i = 0; i < MOE_ROUTER_TENSORS; i++)
		p[i] = i < at->n_view ? block + x->view[at->view + i].off : NULL;
}
