/* fuzz_rollouts.c - JSON Lines as a stream of rollouts, prompts, texts or pairs: whoever reads them
 * refuses a record or takes it, and what training takes gives a finite gradient or an error. */
#include "fuzz_records.h"

#include "env/exec.h"
#include "formats/json.h"
#include "formats/seal.h"
#include "formats/tokenizer/tok.h"
#include "model/corpus.h"
#include "moe/pairs.h"
#include "moe/route.h"
#include "rl/generate.h"
#include "rl/train.h"

#include <math.h>

static struct moe_model base;
static struct moe_adapter arm;
static struct moe_tokenizer *tok;
static struct moe_pool *pool;
static struct moe_trainer trainer;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct moe_buf text = { 0 };
	struct moe_err e;

	(void)argc;
	(void)argv;
	fuzz_base(&base);
	MUST(!moe_tokenizer_bytes_json(&text, &e) &&
		(tok = moe_tokenizer_parse((const char *)text.data, text.len, "bytes", &e)));
	moe_buf_free(&text);
	MUST((pool = moe_pool_new(1, &e)));
	arm.x = (struct moe_experts){ .E = 2,
		.rank = { 1, 1 },
		.bank = { MOE_BANK_CLEAN, MOE_BANK_QUARANTINE },
		.target = { true },
		.scale = 1 };
	moe_decision_table_deployed(&arm.plan);
	MUST(!moe_experts_init(&arm.x, &base.config, &e));
	MUST(!moe_trainer_init(&trainer, &base, &arm, pool,
		&(struct moe_train_opts){ .adv = { MOE_ADV_GROUP, true },
			.loss = MOE_LOSS_DEFAULTS,
			.lr = 1e-3,
			.beta1 = 0.9,
			.beta2 = 0.999,
			.eps = 1e-8 },
		&e));
	return 0;
}

static void train(int fd)
{
	struct moe_rollout_step s = { 0 };
	struct moe_train_stats st;
	struct moe_err e = { 0 };
	struct moe_reader *r = fuzz_read(fd);
	int got;

	while ((got = moe_rollout_step_read(&s, r, base.config.V, &e)) == 1) {
		size_t tokens = 0;

		for (size_t i = 0; i < s.n; i++)
			tokens += (size_t)s.r[i].n_prompt + (size_t)s.r[i].n_completion;
		moe_rollout_step_need_routes(&s, "logistic", &e);
		if (tokens > 256)
			continue;
		if (moe_train_gradient(&trainer, &s, &st, &e))
			MUST(e.msg[0]);
		else
			for (size_t i = 0; i < arm.x.n_param; i++)
				MUST(isfinite(trainer.grad[i]));
	}
	MUST(got == 0 || e.msg[0]);
	moe_rollout_step_free(&s);
	moe_reader_close(r);
}

static void route(int fd)
{
	static const char *const name[2] = { "oracle", "vanilla" };
	struct moe_engine g = { .m = &base, .pool = pool };
	struct moe_route_step s = { 0 };
	struct moe_rec rec = { 0 };
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	struct moe_reader *r = fuzz_read(fd);

	while (moe_reader_next(r, &rec, &e) == 1)
		if (!moe_rec_is(&rec, "rollout") ||
			moe_route_add(&s, &rec, base.config.V, s.n & 1, &e))
			break;
	for (size_t i = 0; i < 2; i++)
		MUST(!moe_route_judge(&s, moe_method_find(name[i], &e), &g, &arm, 1, &e) ||
			e.msg[0]);
	for (size_t i = 0; i < s.n; i++) {
		b.len = 0;
		MUST(!moe_rec_emit(&s.rec[i], &b, &e) && !moe_rec_parse(&rec, b.data, b.len, &e));
	}
	moe_route_step_free(&s);
	moe_buf_free(&b);
	moe_rec_free(&rec);
	moe_reader_close(r);
}

static void pool_of_recordings(int fd)
{
	const struct moe_teacher_item *first;
	struct moe_teacher t = { 0 };
	struct moe_err e = { 0 };
	struct moe_reader *r = fuzz_read(fd);
	struct moe_str id;

	if (moe_teacher_load(&t, r, &e))
		MUST(e.msg[0]);
	else
		for (size_t i = 0; i < t.n; i++) {
			char *z;

			MUST(moe_rec_str(&t.item[i].rec, "prompt_id", &id) &&
				(z = moe_str_dup(id, &e)));
			MUST(memchr(id.p, 0, id.n) || moe_teacher_find(&t, z, &first) > 0);
			free(z);
		}
	moe_teacher_free(&t);
	moe_reader_close(r);
}

static void pairs(int fd)
{
	struct moe_pairs p = { 0 };
	struct moe_err e = { 0 };
	struct moe_reader *r = fuzz_read(fd);

	if (moe_pairs_read(&p, r, tok, 257, &e))
		MUST(e.msg[0]);
	else
		for (size_t i = 0; i < p.n; i++)
			MUST(p.pair[i].n_prompt > 0 && p.pair[i].n_hack > 0 &&
				p.pair[i].n_clean > 0);
	moe_pairs_free(&p);
	moe_reader_close(r);
}

/* Readers of single records. */
static void records(int fd)
{
	const struct moe_gen g = {
		.m = &base, .tok = tok, .pool = pool, .group = 1, .off_bank = -1
	};
	struct moe_docs_batch batch = { 0 };
	struct moe_corpus c = { 0 };
	struct moe_rec rec = { 0 };
	struct moe_buf b = { 0 };
	struct moe_err e = { 0 };
	struct moe_reader *r = fuzz_read(fd);

	while (moe_reader_next(r, &rec, &e) == 1) {
		struct moe_gen_prompt p = { 0 };

		moe_gen_prompt_set(&p, &g, &rec, &e);
		moe_gen_prompt_free(&p);
		if (moe_corpus_add(&c, &rec, tok, &base.config, 16, &e) > 0) {
			uint32_t last = (uint32_t)c.n - 1;

			MUST(!moe_docs_pack(&batch, &c, &last, 1, &e) && batch.b.T >= 2 &&
				batch.b.T <= 16 && isfinite(batch.weight_sum));
		}
		b.len = 0;
		if (!moe_exec_request(&rec, &b, &e)) {
			struct moe_json_doc *d = moe_json_parse(
				(const char *)b.data, b.len, "request", &e);

			MUST(d && b.data[b.len - 1] == '\n' && !memchr(b.data, '\n', b.len - 1));
			moe_json_free(d);
		}
		moe_seal_flip(&rec, &e);
	}
	moe_docs_batch_free(&batch);
	moe_corpus_free(&c);
	moe_buf_free(&b);
	moe_rec_free(&rec);
	moe_reader_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	int fd = fuzz_stream("rollouts", p, n);

	if (fd < 0)
		return 0;
	train(fd);
	route(fd);
	pool_of_recordings(fd);
	pairs(fd);
	records(fd);
	close(fd);
	return 0;
}
