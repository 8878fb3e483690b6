/* fuzz_rec.c - any bytes as a record: what is accepted has a canonical form that is a fixed point,
 * that msgpack-c reads too, and that survives JSON. */
#include "fuzz.h"

#include "formats/json.h"
#include "formats/rec.h"

#include <string.h>

#include <msgpack.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_rec r = { 0 }, again = { 0 };
	struct moe_buf a = { 0 }, b = { 0 }, json = { 0 };
	struct moe_tensor t;
	struct moe_err e = { 0 };

	if (moe_rec_parse(&r, p, n, &e)) {
		MUST(e.code == MOE_DATA && e.msg[0]);
	} else {
		struct moe_json_doc *d;
		msgpack_unpacked u;
		size_t off = 0;

		MUST(!moe_rec_emit(&r, &a, &e));
		MUST(!moe_rec_parse(&again, a.data, a.len, &e));
		MUST(!moe_rec_emit(&again, &b, &e));
		MUST(a.len == b.len && !memcmp(a.data, b.data, a.len));
		msgpack_unpacked_init(&u);
		MUST(msgpack_unpack_next(&u, (const char *)a.data, a.len, &off) ==
				MSGPACK_UNPACK_SUCCESS &&
			off == a.len);
		MUST(u.data.type == MSGPACK_OBJECT_MAP && u.data.via.map.size == r.n_field);
		msgpack_unpacked_destroy(&u);
		moe_rec_tensor(&r, "v", &t);
		moe_rec_array_len(&r, "a");
		MUST(!moe_json_from_msgpack(a.data, a.len, false, &json, &e));
		d = moe_json_parse((const char *)json.data, json.len, "fuzz", &e);
		MUST(d);
		b.len = 0;
		MUST(!moe_json_to_msgpack(moe_json_root(d), &b, &e));
		MUST(!moe_rec_parse(&again, b.data, b.len, &e));
		b.len = 0;
		MUST(!moe_rec_emit(&again, &b, &e));
		MUST(a.len == b.len && !memcmp(a.data, b.data, a.len));
		moe_json_free(d);
	}
	moe_rec_free(&r);
	moe_rec_free(&again);
	moe_buf_free(&a);
	moe_buf_free(&b);
	moe_buf_free(&json);
	return 0;
}
