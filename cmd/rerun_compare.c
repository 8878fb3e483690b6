/* rerun_compare.c - a file and its like from a rerun. Streams are compared record by record; what
 * tells of the place and the hour of a run is left out. */
#include "cmd/rerun.h"

#include "formats/stream.h"

#include <stdio.h>
#include <string.h>

static bool is_stream(FILE *f)
{
	char magic[MOE_STREAM_MAGIC_LEN];
	bool is = fread(magic, 1, sizeof(magic), f) == sizeof(magic) &&
		memcmp(magic, MOE_STREAM_MAGIC, sizeof(magic)) == 0;

	rewind(f);
	return is;
}

static bool same_bytes(FILE *x, FILE *y, unsigned long long *at)
{
	int c, d;

	*at = 0;
	do {
		c = getc(x);
		d = getc(y);
		++*at;
	} while (c == d && c != EOF);
	rewind(x);
	rewind(y);
	return c == d;
}

/* Lineage names inputs by their streams' digests and quotes command lines; clock times differ. */
static void drop_place_and_hour(struct moe_rec *r)
{
	char key[64];

	if (moe_rec_is(r, "layout"))
		moe_rec_unset(r, "lineage");
	if (!moe_rec_is(r, "metrics"))
		return;
	for (size_t i = r->n_field; i-- > 0;) {
		struct moe_str k = r->field[i].key;

		if (k.n >= sizeof(key) || k.n < 4)
			continue;
		memcpy(key, k.p, k.n);
		key[k.n] = 0;
		if (!strncmp(key, "time", 4) || strstr(key, "_time") || strstr(key, "per_sec"))
			moe_rec_unset(r, key);
	}
}

/* The first key in which they differ, "" = none. */
static void first_key(const struct moe_rec *x, const struct moe_rec *y, char key[64])
{
	const struct moe_rec *both[2] = { x, y };

	key[0] = 0;
	for (int k = 0; k < 2; k++)
		for (size_t i = 0; i < both[k]->n_field && !key[0]; i++) {
			struct moe_str name = both[k]->field[i].key, a = { "", 0 }, b = { "", 0 };
			char z[64];

			snprintf(z, sizeof(z), "%.*s", (int)(name.n < 63 ? name.n : 63), name.p);
			moe_rec_raw(x, z, &a);
			moe_rec_raw(y, z, &b);
			if (a.n != b.n || memcmp(a.p, b.p, a.n) != 0)
				snprintf(key, 64, "%s", z);
		}
}

static enum rerun_same compare_streams(
	struct moe_reader *x, struct moe_reader *y, char *what, size_t size)
{
	struct moe_rec a = { 0 }, b = { 0 };
	struct moe_str id = { "", 0 };
	struct moe_err e = { 0 };
	enum rerun_same same = RERUN_RECORDS;
	char key[64];
	int got, other;

	do {
		got = moe_reader_next(x, &a, &e);
		other = got < 0 ? -1 : moe_reader_next(y, &b, &e);
		if (got < 0 || other < 0) {
			snprintf(what, size, "%s", e.msg);
			same = RERUN_DIFFERS;
		} else if (got != other) {
			snprintf(what, size, "record %llu is there in one of them only",
				(unsigned long long)(got ? a.number : b.number));
			same = RERUN_DIFFERS;
		} else if (got) {
			if (moe_rec_is(&a, "arm-end") && moe_rec_str(&a, "digest", &id))
				snprintf(what, size, "digest %.*s", (int)(id.n < 64 ? id.n : 64),
					id.p);
			drop_place_and_hour(&a);
			drop_place_and_hour(&b);
			first_key(&a, &b, key);
			if (key[0]) {
				id = moe_rec_type(&a);
				snprintf(what, size, "record %llu (%.*s) differs in '%s'",
					(unsigned long long)a.number, (int)(id.n < 20 ? id.n : 20),
					id.p, key);
				same = RERUN_DIFFERS;
			}
		}
	} while (got > 0 && same == RERUN_RECORDS);
	moe_rec_free(&a);
	moe_rec_free(&b);
	return same;
}

enum rerun_same rerun_compare(const char *given, const char *anew, char *what, size_t size)
{
	FILE *x = fopen(given, "rb"), *y = fopen(anew, "rb");
	enum rerun_same same = RERUN_DIFFERS;
	struct moe_reader *r = NULL, *s = NULL;
	unsigned long long at;
	struct moe_err e;
	bool stream = x && y && is_stream(x) && is_stream(y);

	what[0] = 0;
	if (!x || !y)
		snprintf(what, size, "%s", y ? "can not be read" : "the rerun did not make it");
	else if (same_bytes(x, y, &at))
		same = RERUN_BYTES;
	else if (!stream)
		snprintf(what, size, "differs at byte %llu", at);
	if (stream) { /* of equal files too: for the digest */
		enum rerun_same records = RERUN_DIFFERS;

		r = moe_reader_open_path(given, NULL, &e);
		s = r ? moe_reader_open_path(anew, NULL, &e) : NULL;
		if (s)
			records = compare_streams(r, s, what, size);
		else
			snprintf(what, size, "%s", e.msg);
		same = same == RERUN_BYTES ? same : records;
		if (r)
			moe_reader_close(r);
		if (s)
			moe_reader_close(s);
	}
	if (x)
		fclose(x);
	if (y)
		fclose(y);
	return same;
}
