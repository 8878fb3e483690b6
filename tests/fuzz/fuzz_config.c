/* fuzz_config.c - any bytes as a config.json: refused, or a configuration that is written and read
 * again as the same. */
#include "fuzz.h"

#include "model/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_config c, again;
	struct moe_buf text = { 0 };
	struct moe_err e = { 0 };

	if (moe_config_parse((const char *)p, n, "fuzz", &c, &e))
		return 0;
	if (moe_config_write(&c, &text, &e) ||
		moe_config_parse((const char *)text.data, text.len, "again", &again, &e))
		abort();
	if (c.V != again.V || c.hd != again.hd || c.K != again.K || c.rope != again.rope ||
		c.n_eos != again.n_eos || c.theta != again.theta)
		abort();
	moe_buf_free(&text);
	return 0;
}
