/* fuzz_json.c - any bytes as a JSON text: what is accepted turns into MessagePack, and from there
 * into JSON that gives the same again. */
#include "fuzz.h"

#include "formats/json.h"

#include <string.h>

static int through(const char *p, size_t n, struct moe_buf *m, bool *exact)
{
	struct moe_err e = { 0 };
	struct moe_json_doc *d = moe_json_parse(p, n, "fuzz", &e);
	int rc = d ? moe_json_to_msgpack(moe_json_root(d), m, &e) : -1;

	MUST(rc == 0 || (e.code == MOE_DATA && e.msg[0]));
	*exact = d && !moe_json_exact(d, p, n, "fuzz", &e);
	MUST(!d || *exact || (e.code == MOE_DATA && e.msg[0]));
	moe_json_free(d);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_buf a = { 0 }, b = { 0 }, json = { 0 };
	struct moe_err e = { 0 };
	bool exact;

	if (!through((const char *)p, n, &a, &exact) && exact &&
		!moe_json_from_msgpack(a.data, a.len, false, &json, &e)) {
		MUST(!through((const char *)json.data, json.len, &b, &exact) && exact);
		MUST(a.len == b.len && !memcmp(a.data, b.data, a.len));
	}
	moe_buf_free(&a);
	moe_buf_free(&b);
	moe_buf_free(&json);
	return 0;
}
