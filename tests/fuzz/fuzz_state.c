/* fuzz_state.c - any bytes as the checkpoint of a training run and of a pretraining run: refused,
 * or numbers within their bounds, and what is saved then is loaded as the same. */
#include "fuzz_records.h"

#include "model/pretrain.h"
#include "rl/checkpoint.h"

#include <sys/stat.h>

static struct moe_model base, own;
static struct moe_adapter arm;
static struct moe_pool *pool;
static struct moe_trainer trainer;
static struct moe_corpus corpus;
static struct moe_pretrain pretrain;
static char dir[32], step[48], latest[48], file[80];
static int fd;

static void clean(void)
{
	unlink(file);
	unlink(latest);
	rmdir(step);
	rmdir(dir);
}

static void folder(void)
{
	char target[32];

	fuzz_folder(dir);
	snprintf(step, sizeof(step), "%s/step-1", dir);
	snprintf(latest, sizeof(latest), "%s/latest", dir);
	snprintf(file, sizeof(file), "%s/state.safetensors", step);
	fd = fuzz_fd((const uint8_t *)"", 0);
	MUST(!mkdir(step, 0700) && !symlink("step-1", latest) &&
		!symlink(fuzz_path(fd, target), file));
	atexit(clean);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const int32_t ids[4] = { 1, 2, 3, 4 };
	struct moe_pretrain_opts o;
	struct moe_err e;

	(void)argc;
	(void)argv;
	folder();
	fuzz_base(&base);
	fuzz_base(&own);
	MUST((pool = moe_pool_new(1, &e)));
	arm.x = (struct moe_experts){
		.E = 1, .rank = { 1 }, .bank = { MOE_BANK_CLEAN }, .target = { true }, .scale = 1
	};
	MUST(!moe_experts_init(&arm.x, &base.config, &e));
	MUST(!moe_trainer_init(&trainer, &base, &arm, pool,
		&(struct moe_train_opts){ .loss = MOE_LOSS_DEFAULTS,
			.lr = 1e-3,
			.beta1 = 0.9,
			.beta2 = 0.999,
			.eps = 1e-8 },
		&e));
	MUST(!moe_corpus_add_ids(&corpus, ids, 0, ids, 4, 1, &e));
	moe_pretrain_defaults(&o);
	o.steps = 4;
	o.batch = 1;
	o.heldout = 0;
	MUST(!moe_pretrain_init(&pretrain, &o, &own, &corpus, pool, &e));
	return 0;
}

static void training(void)
{
	struct moe_train_at at = { 0 }, again = { 0 };
	struct moe_err e = { 0 };

	if (moe_train_peek(file, &arm, &at, &e) < 0)
		MUST(e.msg[0]);
	if (moe_train_load(&trainer, file, "key", &at, &e) < 0) {
		MUST(e.msg[0]);
		return;
	}
	MUST(at.next >= 0 && at.labels <= MOE_LABELS_ORACLE &&
		trainer.o.max_completion <= INT64_MAX && arm.step >= 0);
	MUST(!moe_train_save(&trainer, file, "key", &at, &e));
	MUST(moe_train_load(&trainer, file, "key", &again, &e) == 1 && again.next == at.next &&
		again.labels == at.labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_err e = { 0 };
	char target[32];
	int rc;

	unlink(file); /* saving replaces it */
	MUST(!symlink(fuzz_path(fd, target), file));
	fuzz_set(fd, p, n);
	rc = moe_pretrain_load(&pretrain, dir, "key", &e);
	MUST(rc == 1 || (rc < 0 && e.msg[0]));
	MUST(pretrain.step <= pretrain.total);
	training();
	return 0;
}
