/* base.h - the jobs of moe-base; each dies on failure. Only cmd/moe-base.c and cmd/base_*.c include
 * this. */
#ifndef MOE_CMD_BASE_H
#define MOE_CMD_BASE_H

#include "cmd/opt.h"
#include "model/pretrain.h"

struct base_opts {
	const char *new_from, *from_gguf, *tokenizer;
	const char *dir, *adapter, *metrics, *checkpoint;
	bool merge, pretrain, info, check, generate, score, resume, any_base, text;
	struct moe_pretrain_opts train;
	int64_t max_length, save_every, max_new, samples, top_k;
	double temperature, top_p;
	const char *arm;
};

void base_new(const struct base_opts *o);
void base_from_gguf(const struct base_opts *o);
void base_merge(const struct base_opts *o);
/* A directory that holds a model already is not written over. */
void base_die_if_model(const char *dir);
void base_pretrain(const struct base_opts *o, const char *texts);
void base_info(const struct base_opts *o);
int base_check(const struct base_opts *o);
void base_generate(const struct base_opts *o, int n, char *const *prompt);
void base_score(const struct base_opts *o, const char *input);

#endif
