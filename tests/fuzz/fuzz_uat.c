/* fuzz_uat.c - any bytes as uat.conf: refused with the line's number, or values within their
 * bounds. */
#include "fuzz.h"

#include "stat/uat.h"

static void names(char list[][MOE_UAT_NAME], size_t n)
{
	MUST(n <= MOE_UAT_MODES);
	for (size_t i = 0; i < n; i++)
		MUST(list[i][0] && memchr(list[i], 0, MOE_UAT_NAME));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_uat u, again;
	struct moe_err e = { 0 };

	moe_uat_default(&u);
	if (moe_uat_parse(&u, (const char *)p, n, "fuzz", &e)) {
		MUST(e.code == MOE_DATA && !strncmp(e.msg, "fuzz:", 5));
		return 0;
	}
	names(u.pinned, u.n_pinned);
	names(u.free_mode, u.n_free);
	MUST(memchr(u.method, 0, MOE_UAT_NAME) && u.n_placebo <= MOE_UAT_PLACEBOS &&
		memchr(u.placebo[MOE_UAT_PLACEBOS - 1], 0, MOE_UAT_NAME) &&
		memchr(u.endpoint, 0, MOE_UAT_NAME) && strlen(u.digest) == 64);
	MUST(u.alpha >= 1e-6 && u.alpha <= 0.5 && u.power >= 0.5 && u.power <= 0.999 &&
		u.margin > 0 && u.margin <= 1 && u.effect > 0 && u.effect <= 1);
	MUST(u.retain >= 0 && u.retain <= 1 && u.hack_min >= 0 && u.hack_min <= 1 &&
		u.discovery_gap >= 0 && u.presence_zero_max <= 1);
	MUST(u.draws >= 100 && u.draws <= 1000000 && u.min_prompts >= 2 && u.min_seeds >= 1 &&
		u.min_random <= 1000);
	for (size_t i = 0; i < u.n_pinned; i++)
		MUST(moe_uat_is_pinned(&u, u.pinned[i]));
	for (size_t i = 0; i < u.n_free; i++)
		MUST(moe_uat_is_free(&u, u.free_mode[i]));
	moe_uat_default(&again);
	MUST(!moe_uat_parse(&again, (const char *)p, n, "again", &e) &&
		!memcmp(&u, &again, sizeof(u)));
	return 0;
}
