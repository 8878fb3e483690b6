/* adapter.h - one arm: experts, the plan that says how they take part, the fitted score, and where
 * all of it came from.
 *
 * In a stream (formats/records.md, "adapter") an arm is a layout record, tensor records, and an
 * arm-end with its digest. Several arms in one stream are the conditions that moe-rollout compares.
 * Reading checks everything that is declared: ranks, names, shapes against the base's config,
 * missing or doubled tensors, the digest.
 *
 * The digest covers what the arm computes: SHA-256 over the canonical layout record without arm,
 * train_seed, step and lineage, then, for each tensor in the order of the stream, its name, dtype
 * and shape as text and its bytes. Two arms with equal digests act alike. Zero-initialise;
 * moe_adapter_free accepts a zeroed struct. Not thread-safe while it changes; read-only use from
 * many threads is.
 */
#ifndef MOE_MOE_ADAPTER_H
#define MOE_MOE_ADAPTER_H

#include "formats/stream.h"
#include "model/experts.h"

#include <stdbool.h>
#include <stdint.h>

/* What a method decides about one rollout. */
enum moe_decision { MOE_KEEP, MOE_ABSORB, MOE_ROUTE, MOE_DECISIONS };
extern const char *const moe_decision_names[MOE_DECISIONS]; /* "keep", "absorb", "route" */
int moe_decision_parse(struct moe_str s, enum moe_decision *out, struct moe_err *e);

/* The decision table: gate (share in the forward pass) and mask (share of the gradient) of each
 * bank, for each decision; and the gates while sampling. */
struct moe_decision_table {
	double gate[MOE_DECISIONS][MOE_BANKS], mask[MOE_DECISIONS][MOE_BANKS];
	double sample[MOE_BANKS];
};
void moe_decision_table_ones(struct moe_decision_table *p);
/* One override, "keep.quarantine=0/0" (gate/mask) or "sample.quarantine=1" (gate). */
int moe_decision_table_set(struct moe_decision_table *p, const char *text, struct moe_err *e);
/* Does any decision train the bank? One that none does is frozen: neither reward nor KL moves it.
 */
bool moe_decision_table_trains(const struct moe_decision_table *p, int bank);
/* Does it give the bank a gate other than 0 under some decision? */
bool moe_decision_table_lets_in(const struct moe_decision_table *p, int bank);
/* Fills w[E] with the per-expert values of one row of the table (v[MOE_BANKS]). */
void moe_decision_table_spread(const struct moe_experts *x, const double v[MOE_BANKS], moe_real *w);

/* A tensor of the fitted score ("score.weight", ...). f32, C order. */
struct moe_score_tensor {
	char name[48];
	int rank;
	uint64_t shape[4];
	size_t n;    /* product of shape */
	float *data; /* [n] owned */
};

struct moe_adapter {
	struct moe_experts x;
	char arm[64];        /* "on" for a freshly trained one */
	char method[32];     /* row of the method table */
	char name[48];       /* METHOD-N: the N-th run of a method and seed; else "" */
	char decided_by[64]; /* who decided in training where that was not the method itself, else
				"" */
	uint64_t train_seed;
	int64_t step;  /* optimiser steps behind it */
	char base[65]; /* digest of the base model, or "" */
	struct moe_decision_table plan;
	struct moe_rec settings;         /* the method's (setting.h); no fields = none. Owned */
	struct moe_rec score;            /* the score's scalars; no fields = no score. Owned */
	struct moe_score_tensor *tensor; /* [n_tensor] owned */
	size_t n_tensor;
	struct moe_rec match;   /* random ablations: what was matched; no fields = absent. Owned */
	struct moe_rec lineage; /* pins, parents, argv; outside of the digest. Owned */
	struct moe_rec more;    /* keys of the layout that this program does not know: kept,
				   digested, written back. Owned */
	struct moe_rec expert_more; /* the same of the layout's experts: a map for each that has
				       such keys, under its number. Owned */
	char digest[65]; /* set by moe_adapter_read, moe_adapter_write and moe_adapter_digest */
};

void moe_adapter_free(struct moe_adapter *a);
int moe_adapter_copy(struct moe_adapter *to, const struct moe_adapter *from, struct moe_err *e);
/* Recomputes a->digest. MOE_NUMERIC when a parameter is NaN or infinite. */
int moe_adapter_digest(struct moe_adapter *a, struct moe_err *e);
/* One arm to a stream of kind "adapter" (not flushed, not ended). */
int moe_adapter_write(struct moe_writer *w, struct moe_adapter *a, struct moe_err *e);
/* The next arm: 1 = a filled (what it held before is freed), 0 = no more, -1 = error. With
 * one_segment, the end of a segment is reported as 0 too, so that a FIFO that carries one segment
 * per step can be followed (moe_reader_next_in_segment). */
int moe_adapter_read(
	struct moe_reader *r, bool one_segment, struct moe_adapter *a, struct moe_err *e);
/* Does it fit this base? Shapes must; a different base digest is an error too unless `any_base`. */
int moe_adapter_check(const struct moe_adapter *a, const struct moe_config *c,
	const char *base_digest, bool any_base, struct moe_err *e);
/* Writes down where an arm came from: appends parent (the content digest of the adapter that it was
 * made from) to lineage.parents, sets lineage.pins (the digest of the pairs' stream) and
 * lineage.argv, beside it lineage.kernels (tensor/gemm.h). NULL leaves the one in question alone.
 */
int moe_lineage_add(struct moe_adapter *a, const char *parent, const char *pins, int argc,
	char *const *argv, struct moe_err *e);
/* The name under which what it did is reported: the router that decided, else the run's name, else
 * its method. */
static inline const char *moe_adapter_reported(const struct moe_adapter *a)
{
	return a->decided_by[0] ? a->decided_by : a->name[0] ? a->name : a->method;
}
/* The key of a layout record that holds it. */
static inline const char *moe_layout_reported_key(const struct moe_rec *layout)
{
	return moe_rec_has(layout, "decided_by") ? "decided_by"
		: moe_rec_has(layout, "name")    ? "name"
						 : "method";
}
/* Names the n-th run of its method and seed. */
void moe_adapter_set_nth(struct moe_adapter *a, int n);
/* Only METHOD-N is a name: a run cannot be given the name of another method. */
bool moe_adapter_name_good(const struct moe_adapter *a);
/* The tensor of that name, or NULL. */
const struct moe_score_tensor *moe_adapter_tensor(const struct moe_adapter *a, const char *name);
/* Adds a tensor (zeroed data) for the caller to fill; NULL and *e on failure. */
struct moe_score_tensor *moe_adapter_add_tensor(struct moe_adapter *a, const char *name, int rank,
	const uint64_t *shape, struct moe_err *e);

#endif
