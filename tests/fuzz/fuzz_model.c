/* fuzz_model.c - the parts are config.json, model.safetensors.index.json (empty: none) and one or
 * two safetensors files: refused, or a base that is described and computes, or says why it does
 * not. */
#include "fuzz.h"

#include "model/basedir.h"

static struct fuzz_dir dir;
static int config, index_fd, single, shard[2];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	config = fuzz_add(&dir, "config.json");
	index_fd = fuzz_add(&dir, "model.safetensors.index.json");
	shard[0] = fuzz_add(&dir, "a");
	shard[1] = fuzz_add(&dir, "b");
	single = fuzz_add(&dir, "model.safetensors"); /* the last: there or not */
	return 0;
}

static void place(const uint8_t *p, size_t n)
{
	const uint8_t *part;
	char target[32];
	size_t k = fuzz_part(&p, &n, &part);

	fuzz_set(config, part, k);
	k = fuzz_part(&p, &n, &part);
	unlink(dir.path[4]);
	if (!k) {
		MUST(symlink(fuzz_path(single, target), dir.path[4]) == 0);
		fuzz_set(single, p, n);
		return;
	}
	fuzz_set(index_fd, part, k);
	k = fuzz_part(&p, &n, &part);
	fuzz_set(shard[0], part, k);
	fuzz_set(shard[1], p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_model m;
	struct moe_buf text = { 0 };
	struct moe_err e = { 0 };

	place(p, n);
	if (moe_model_load(&m, dir.dir, &e)) {
		MUST(e.msg[0]);
		return 0;
	}
	MUST(strlen(m.digest) == 64 && !moe_base_describe(&m, &text, &e));
	if (moe_base_check(&m, NULL, &e))
		MUST(e.msg[0]);
	MUST(!moe_model_make_trainable(&m, &e) && m.n_param == moe_model_count(&m));
	moe_buf_free(&text);
	moe_model_free(&m);
	return 0;
}
