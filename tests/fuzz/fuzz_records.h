/* fuzz_records.h - what the harnesses of record readers share: JSON Lines as a stream, a small
 * base, and how much an adapter may ask for. */
#ifndef MOE_TESTS_FUZZ_RECORDS_H
#define MOE_TESTS_FUZZ_RECORDS_H

#include "fuzz.h"

#include "formats/jsonl.h"
#include "model/model.h"
#include "moe/adapter_priv.h"

/* The JSON Lines p[n] as a stream behind a descriptor; -1 when they are none. The stream's digest
 * is right, so its readers see every record. */
static inline int fuzz_stream(const char *kind, const uint8_t *p, size_t n)
{
	struct moe_jsonl_opts o = { .kind = kind, .tool = "fuzz", .name = "stream" };
	struct moe_err e = { 0 };
	int text = fuzz_fd(p, n), fd = memfd_create("stream", MFD_CLOEXEC), rc;
	struct moe_input *in = moe_input_open_fd(text, "fuzz", &e);

	MUST(fd >= 0 && in);
	rc = moe_jsonl_to_stream(in, fd, &o, NULL, &e);
	MUST(rc == 0 || e.msg[0]);
	moe_input_close(in);
	close(text);
	if (rc) {
		close(fd);
		return -1;
	}
	MUST(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static inline struct moe_reader *fuzz_read(int fd)
{
	struct moe_err e = { 0 };
	struct moe_reader *r;

	MUST(lseek(fd, 0, SEEK_SET) == 0);
	r = moe_reader_open_fd(fd, "fuzz", NULL, &e);
	MUST(r);
	return r;
}

/* A base of the embedded tokenizer's vocabulary, 4 wide. */
static inline void fuzz_base(struct moe_model *m)
{
	const struct moe_config c = { .family = MOE_LLAMA,
		.V = 259,
		.D = 4,
		.L = 2,
		.H = 2,
		.K = 1,
		.hd = 2,
		.F = 6,
		.max_pos = 64,
		.theta = 10000,
		.eps = 1e-5,
		.rope_factor = 1,
		.rope_orig = 64,
		.bos = 257,
		.pad = 256,
		.n_eos = 1,
		.eos = { 258 } };
	struct moe_err e;

	MUST(!moe_model_new(m, &c, 1, 1, &e));
}

/* What a layout or tensor record declares is address space, up to MOE_PARAM_MAX and MOE_SCORE_MAX,
 * which libFuzzer counts as memory, and a digest over it takes seconds: false for what is allowed
 * and large. test_adapter.c has that it takes no memory. */
static inline bool fuzz_modest(const struct moe_rec *r)
{
	static const char *const dim[] = { "hidden", "head_dim", "ffn", "heads" };
	struct moe_rec m = { 0 };
	struct moe_list experts;
	uint64_t shape[4];
	double most = 1, ranks = 0;
	int64_t v, layers = 1;
	struct moe_err e;
	size_t n;

	if (!moe_rec_u64s(r, "shape", shape, 4, &n, &e))
		for (size_t i = 0; i < n; i++)
			ranks = (ranks > 0 ? ranks : 1) * (double)shape[i];
	if (ranks > 1 << 14 && ranks <= (double)MOE_SCORE_MAX)
		return false;
	if (moe_rec_map(r, "config", &m)) {
		moe_rec_int(&m, "layers", &layers);
		for (size_t i = 0; i < 4; i++)
			if (moe_rec_int(&m, dim[i], &v) && v > 0)
				most *= (double)v;
	}
	ranks = 0;
	moe_list_open(r, "experts", &experts);
	for (size_t i = 0; i < MOE_EXPERTS_MAX && moe_list_next_map(&experts, &m, &e) == 1; i++)
		ranks += moe_rec_int(&m, "rank", &v) ? (double)v : 0;
	moe_rec_free(&m);
	return most * ranks * (double)layers < 1 << 20;
}

#endif
