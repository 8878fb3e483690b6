/* sites.c - outer, router and deploy made into the gates of a site, and back. */
#include "model/sites.h"

#include <string.h>

int moe_site_gates_make(struct moe_site_gates *q, const struct moe_experts *x, int T,
	struct moe_arena *a, struct moe_err *e)
{
	size_t cells, sz = sizeof(moe_real);

	memset(q, 0, sizeof(*q));
	if (!x || !x->S)
		return 0;
	*q = (struct moe_site_gates){ .S = x->S, .T = T, .E = x->E, .n = x->n_routed };
	q->keep = moe_experts_keep(x);
	cells = (size_t)q->S * (size_t)T;
	q->logit = moe_arena_get(a, cells * (size_t)q->n, sz, e);
	q->r = moe_arena_get(a, cells * (size_t)q->n, sz, e);
	q->kept = moe_arena_get(a, cells * (size_t)q->keep + 1, sz, e);
	q->gate = moe_arena_get(a, cells * (size_t)q->E, sz, e);
	return q->logit && q->r && q->kept && q->gate ? 0 : -1;
}

int moe_sites_at(const struct moe_experts *x, int layer, enum moe_group g, int s[MOE_GROUP_MAX])
{
	int n = 0;

	for (int j = 0; x && x->S && j < moe_groups[g].n; j++) {
		int at = x->site_at[layer * MOE_LINEARS + (int)moe_groups[g].lin[j]];

		if (at >= 0 && x->site[at].layer == layer && x->site[at].group == g &&
			(n == 0 || s[n - 1] != at))
			s[n++] = at;
	}
	return n;
}

const moe_real *moe_gate_of(const struct moe_experts *x, const struct moe_gates *g,
	const struct moe_site_gates *q, size_t cell)
{
	int s = moe_site_of(x, cell);

	if (s >= 0)
		return q->gate + (size_t)s * (size_t)q->T * (size_t)q->E;
	return g ? g->outer : NULL;
}

/* ---- one row ---- */

/* What a row's deployment works on. M = sum of r, A = sum of r over the experts that are on. */
struct row {
	const struct moe_experts *x;
	const moe_real *outer;    /* [E] or NULL */
	const moe_real *r;        /* [n], or NULL: all one (the router is kept out of the row) */
	bool on[MOE_EXPERTS_MAX]; /* [n] */
	double M, A;
};

static void row_begin(struct row *w)
{
	w->M = w->A = 0;
	for (int i = 0; i < w->x->n_routed; i++) {
		int e = w->x->routed[i];
		double r = w->r ? (double)w->r[i] : 1;

		w->on[i] = w->x->present[e] != 0 && (!w->outer || w->outer[e] != 0);
		w->M += r;
		w->A += w->on[i] ? r : 0;
	}
}

/* Does anything become of gates that were freed in this row? */
static bool row_redeploys(const struct row *w)
{
	bool off = false;

	for (int i = 0; i < w->x->n_routed; i++)
		off |= !w->on[i];
	return w->r && off && w->x->deploy != MOE_DEPLOY_DROP;
}

/* r' of all experts of the row, out [E]. */
static void row_deploy(const struct row *w, moe_real *out)
{
	const struct moe_experts *x = w->x;
	bool moved = row_redeploys(w);
	double share = moved && x->deploy == MOE_DEPLOY_RENORM ? (w->A > 0 ? w->M / w->A : 0) : 1;
	double freed = moved && x->deploy == MOE_DEPLOY_SHARED ? w->M - w->A : 0;

	for (int e = 0; e < x->E; e++)
		out[e] = (moe_real)(1 + freed); /* the shared ones; the routed follow */
	for (int i = 0; i < x->n_routed; i++)
		out[x->routed[i]] = !w->r ? 1
			: share == 1      ? w->r[i]
					  : (moe_real)((double)w->r[i] * share);
}

/* From d [E], the gradient of r' of all experts, that of r: out [n].
 *   drop       dr_i = d_i
 *   renorm     r'_i = r_i M / A:  dr_j = on_j d_j M/A + (sum_i on_i d_i r_i) (1/A - on_j M/A^2)
 *   to-shared  dr_j = d_j + off_j * (sum of d over the shared experts) */
static void row_deploy_bwd(const struct row *w, const double *d, moe_real *out)
{
	const struct moe_experts *x = w->x;
	bool moved = row_redeploys(w);
	double dot = 0, shared = 0;

	for (int e = 0; e < x->E; e++)
		shared += x->bank[e] == MOE_BANK_SHARED ? d[e] : 0;
	for (int i = 0; moved && i < x->n_routed; i++)
		dot += w->on[i] ? d[x->routed[i]] * (double)w->r[i] : 0;
	for (int i = 0; i < x->n_routed; i++) {
		double v = d[x->routed[i]];

		if (moved && x->deploy == MOE_DEPLOY_RENORM) {
			v = w->on[i] && w->A > 0 ? v * w->M / w->A : 0;
			if (w->A > 0)
				v += dot * (1 / w->A - (w->on[i] ? w->M / (w->A * w->A) : 0));
		} else if (moved && !w->on[i]) {
			v += shared;
		}
		out[i] = (moe_real)v;
	}
}

/* ---- rows of a site ---- */

static void router_rows(const struct moe_experts *x, int s, const moe_real *in, int ldx,
	const struct moe_site_gates *q, struct moe_router_rows *r)
{
	size_t at = (size_t)s * (size_t)q->T;
	moe_real *p[MOE_ROUTER_TENSORS];

	moe_router_params(x, x->param, s, p);
	*r = (struct moe_router_rows){ .T = q->T,
		.d = x->site[s].d,
		.E = q->n,
		.set = x->set,
		.x = in,
		.ldx = ldx,
		.logit = q->logit + at * (size_t)q->n,
		.gate = q->r + at * (size_t)q->n,
		.kept = q->kept + at * (size_t)q->keep,
		.quarantine = x->routed_quarantine };
	for (int i = 0; i < MOE_ROUTER_TENSORS; i++)
		r->param[i] = p[i];
}

/* Row t of site s. cell = s * T + t. */
static struct row row_of(const struct moe_experts *x, const struct moe_gates *g,
	const struct moe_site_gates *q, int t, size_t cell)
{
	struct row w = { .x = x, .r = q->r + cell * (size_t)q->n };

	if (g && g->outer)
		w.outer = g->outer + (size_t)t * (size_t)q->E;
	if (g && g->replay)
		w.r = g->replay + cell * (size_t)q->n;
	if (g && g->routed && !g->routed[t])
		w.r = NULL;
	row_begin(&w);
	return w;
}

/* Rows that stand together in one scope compete. */
static void compete(const struct moe_router *router, const int32_t *scope, int keep,
	const struct moe_router_rows *all)
{
	for (int t = 0, n; t < all->T; t += n) {
		struct moe_router_rows r = *all;
		size_t at = (size_t)t * (size_t)all->E;

		for (n = 1; t + n < all->T && scope[t + n] == scope[t]; n++)
			;
		r.T = n;
		r.x += (size_t)t * (size_t)all->ldx;
		r.logit += at;
		r.gate += at;
		r.kept += (size_t)t * (size_t)keep;
		if (scope[t] >= 0)
			router->compete(&r);
	}
}

void moe_site_fwd(const struct moe_experts *x, const struct moe_gates *g, int s, const moe_real *in,
	int ldx, struct moe_site_gates *q)
{
	struct moe_router_rows r;

	/* r[s] [T, n] = router_s(in [T, d]) */
	router_rows(x, s, in, ldx, q, &r);
	x->router->fwd(&r);
	if (x->router->compete && g && g->scope)
		compete(x->router, g->scope, q->keep, &r);
	/* gate[s,t,e] = outer[t,e] * r'[s,t,e] */
	for (int t = 0; t < q->T; t++) {
		size_t cell = (size_t)s * (size_t)q->T + (size_t)t;
		struct row w = row_of(x, g, q, t, cell);
		moe_real *gate = q->gate + cell * (size_t)q->E;

		row_deploy(&w, gate);
		for (int e = 0; w.outer && e < q->E; e++)
			gate[e] *= w.outer[e];
	}
}

void moe_site_bwd(const struct moe_experts *x, const struct moe_gates *g, int s, const moe_real *in,
	int ldx, const struct moe_site_gates *q, moe_real *dgate, moe_real *dblock, moe_real *d_in,
	int ldd, moe_real *work)
{
	size_t n = (size_t)q->n, E = (size_t)q->E, T = (size_t)q->T, at = (size_t)s * T * n;
	moe_real *dr = work, *p[MOE_ROUTER_TENSORS] = { 0 }, deployed[MOE_EXPERTS_MAX];
	struct moe_router_rows r;
	struct moe_router_grads d = { .dgate = dr,
		.dlogit = g && g->dlogit ? g->dlogit + at : NULL,
		.dx = d_in,
		.lddx = ldd,
		.work = work + T * n };

	for (int t = 0; t < q->T; t++) {
		struct row w = row_of(x, g, q, t, (size_t)s * T + (size_t)t);
		double dd[MOE_EXPERTS_MAX], learn = g && g->learn ? (double)g->learn[t] : 1;

		/* gate = outer r':  douter += dgate r',  dr' = dgate outer */
		row_deploy(&w, deployed);
		for (size_t e = 0; e < E; e++) {
			double v = (double)dgate[(size_t)t * E + e];

			if (g && g->douter)
				g->douter[(size_t)t * E + e] += (moe_real)(v * (double)deployed[e]);
			dd[e] = v * (w.outer ? (double)w.outer[e] : 1);
		}
		/* through deploy; what does not come from the router teaches it nothing */
		if (w.r && !(g && g->replay))
			row_deploy_bwd(&w, dd, dr + (size_t)t * n);
		else
			memset(dr + (size_t)t * n, 0, n * sizeof(*dr));
		for (size_t i = 0; i < n; i++) {
			moe_real *v = &dr[(size_t)t * n + i];

			*v = (moe_real)((double)*v * learn);
			if (g && g->dgate)
				*v += g->dgate[at + (size_t)t * n + i];
		}
	}
	/* through the router: its tensors and its input */
	if (dblock)
		moe_router_params(x, dblock, s, p);
	for (int i = 0; i < x->site[s].n_view; i++)
		if (x->view[x->site[s].view + i].role == MOE_ROLE_ROUTER)
			d.dparam[i] = p[i];
	router_rows(x, s, in, ldx, q, &r);
	x->router->bwd(&r, &d);
}
