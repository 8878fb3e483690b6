/* host.h - the environment's own Lua state, shared by drawing (env.c) and grading (judge.c).
 * Internal to lib/env. */
#ifndef MOE_ENV_HOST_H
#define MOE_ENV_HOST_H

#include "env/env.h"
#include "env/luabox.h"
#include "util/digest.h"

#define MOE_ENV_EARNED_MAX 16

struct moe_env {
	struct moe_lua lua; /* frozen after loading; the environment's table is in the registry */
	uint64_t steps;
	char *path, name[MOE_ENV_NAME_MAX], digest[MOE_SHA256_HEX];
	struct moe_env_modes modes;
	struct { /* parts of the reward that the oracle can pay */
		char name[MOE_ENV_NAME_MAX];
		double value;
	} earned[MOE_ENV_EARNED_MAX];
	size_t n_earned;
};

/* From text; `path` is for messages. s (may be NULL) serves sandbox(). */
struct moe_env *moe_env_load(const char *path, const char *text, size_t len,
	const struct moe_env_opts *o, struct moe_sandboxes *s, struct moe_err *e);
/* The whole file, at most 4 MiB. */
int moe_env_slurp(const char *path, struct moe_buf *text, struct moe_err *e);
/* Inside a protected call: pushes function `name` of the environment, or raises. */
void moe_env_function(lua_State *L, const char *name);

#endif
