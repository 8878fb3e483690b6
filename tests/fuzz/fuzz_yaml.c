/* fuzz_yaml.c - any bytes as flat YAML: what is accepted is a JSON object that json.c reads. */
#include "fuzz.h"

#include "formats/json.h"
#include "formats/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_buf json = { 0 };
	struct moe_err e = { 0 };
	struct moe_json_doc *d;

	if (moe_yaml_to_json((const char *)p, n, "fuzz", &json, &e)) {
		MUST(e.code == MOE_DATA && e.msg[0]);
	} else {
		d = moe_json_parse((const char *)json.data, json.len, "fuzz", &e);
		MUST(d && moe_json_kind(moe_json_root(d)) == MOE_J_OBJECT);
		moe_json_free(d);
	}
	moe_buf_free(&json);
	return 0;
}
