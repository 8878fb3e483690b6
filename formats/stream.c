/* stream.c - segments of records with a checked end. It knows the frame of a stream, not what the
 * kinds mean. */
#include "formats/stream.h"
#include "formats/digests.h"
#include "formats/list.h"
#include "formats/input.h"
#include "formats/mp.h"
#include "util/digest.h"
#include "util/mem.h"
#include "util/fd.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES ((size_t)1 << 18)
#define BIG_BYTES                                                                                  \
	((size_t)1 << 20) /* from here on a record is hashed as it arrives and not copied */
#define MAX_MEM_DEFAULT ((size_t)256 << 20)
#define IN_MAP_COST     128 /* bytes that looking at a key or value of a map takes, beside its own */
#define DIGEST_COST     128 /* and remembering one digest */

static const char *const labels_names[] = { "none", "synthetic", "unknown", "oracle" };

const char *moe_labels_name(enum moe_labels l)
{
	return labels_names[l];
}

int moe_labels_parse(struct moe_str s, enum moe_labels *out, struct moe_err *e)
{
	char seen[64];

	for (int i = 0; i < MOE_LABELS_LEVELS; i++)
		if (moe_str_eq(s, labels_names[i])) {
			*out = (enum moe_labels)i;
			return 0;
		}
	moe_text_escape_to(seen, sizeof(seen), s.p, s.n);
	return moe_fail(
		e, MOE_DATA, "labels \"%s\": expected none, synthetic, unknown or oracle", seen);
}

/* ================= reading ================= */

enum where { AT_MAGIC, AT_HEADER, IN_RECORDS, AT_EOF };

struct moe_reader {
	int fd;
	struct moe_input *in;                                             /* instead of fd */
	ssize_t (*read)(void *ctx, void *p, size_t n, struct moe_err *e); /* instead of both */
	void *ctx;
	char *name;
	struct moe_reader_opts o;
	struct moe_buf buf; /* window; bytes at pos..len are unread */
	size_t pos;
	size_t hashed; /* bytes at pos.. that the digest has seen already, of a big record */
	struct moe_sha256
		before; /* the digest's state before that record, which may prove to be an end */
	bool eof, part_end;  /* part_end: a member of an archive ended */
	uint64_t part_start; /* r->bytes where the member began */
	enum where where;
	struct moe_rec header, end;
	char *kind; /* that every segment must have; NULL = any */
	bool has_header;
	struct moe_sha256 sha;
	uint64_t in_segment, records, bytes;
	enum moe_labels labels;
	struct moe_digests done; /* of the segments that ended; "" when not known */
	struct moe_digests
		others; /* of the inputs and members that are no streams, when those are wanted */
	uint64_t left_out;        /* how many of them there were */
	bool cut;                 /* the last segment had no end, which was allowed */
	uint64_t cuts;            /* how often that was so */
	uint64_t edited, unbound; /* segments whose end's `bound' is wrong, or missing */
};

static struct moe_reader *reader_new(
	const char *name, const struct moe_reader_opts *o, struct moe_err *e)
{
	struct moe_reader *r = calloc(1, sizeof(*r));

	if (r)
		r->name = strdup(name);
	if (!r || !r->name || moe_buf_reserve(&r->buf, READ_BYTES, NULL)) {
		moe_reader_close(r);
		moe_fail(e, MOE_SYSTEM, "%s: out of memory for a reader", name);
		return NULL;
	}
	r->fd = -1;
	if (o)
		r->o = *o;
	if (!r->o.max_mem)
		r->o.max_mem = MAX_MEM_DEFAULT;
	moe_sha256_init(&r->sha);
	return r;
}

struct moe_reader *moe_reader_open_fd(
	int fd, const char *name, const struct moe_reader_opts *o, struct moe_err *e)
{
	struct moe_reader *r = reader_new(name, o, e);

	if (r) {
		r->fd = fd;
		moe_pipe_widen(fd);
	}
	return r;
}

struct moe_reader *moe_reader_open_fn(
	ssize_t (*read)(void *ctx, void *p, size_t n, struct moe_err *e), void *ctx,
	const char *name, const struct moe_reader_opts *o, struct moe_err *e)
{
	struct moe_reader *r = reader_new(name, o, e);

	if (r) {
		r->read = read;
		r->ctx = ctx;
	}
	return r;
}

struct moe_reader *moe_reader_open_path(
	const char *path, const struct moe_reader_opts *o, struct moe_err *e)
{
	struct moe_reader *r = reader_new(strcmp(path, "-") == 0 ? "standard input" : path, o, e);

	if (r && !(r->in = moe_input_open(path, e))) {
		moe_reader_close(r);
		return NULL;
	}
	if (r)
		r->part_end = true; /* the first member has still to be entered */
	return r;
}

void moe_reader_close(struct moe_reader *r)
{
	if (!r)
		return;
	moe_input_close(r->in);
	moe_rec_free(&r->header);
	moe_rec_free(&r->end);
	free(r->kind);
	moe_digests_free(&r->done);
	moe_digests_free(&r->others);
	moe_buf_free(&r->buf);
	free(r->name);
	free(r);
}

static uint64_t offset(const struct moe_reader *r)
{
	return r->bytes;
}

/* Room for reading towards `want` unread bytes. Memory follows what has arrived, by doubling, not
 * what was declared. */
static int window(struct moe_reader *r, size_t want, struct moe_err *e)
{
	size_t unread = r->buf.len - r->pos;

	if (r->pos && (!unread || r->buf.cap - r->pos < want || r->buf.cap == r->buf.len)) {
		moe_buf_drop(&r->buf, r->pos);
		r->pos = 0;
	}
	if (r->buf.cap < READ_BYTES)
		return moe_buf_reserve(&r->buf, READ_BYTES, e);
	return r->buf.cap == r->buf.len ? moe_buf_reserve(&r->buf, r->buf.cap, e) : 0;
}

/* The input is cut off below: in its compression, or as an archive. 0 = it has ended, which is
 * allowed and counted as a cut; -1. */
static int input_fails(struct moe_reader *r, struct moe_err *e)
{
	if (r->o.allow_truncated && moe_input_cut(r->in)) {
		r->eof = true;
		r->cuts += r->where == AT_MAGIC &&
			r->pos == r->buf.len; /* what is open counts when it is looked at */
		return 0;
	}
	return r->where == IN_RECORDS ? moe_err_prefix(e, "record %" PRIu64, r->in_segment + 1)
				      : -1;
}

/* More bytes into the window: 1, 0 = the input (or this member) has ended, -1. One read only, so
 * that pipes never wait for more; a big record is read to its `want` bytes and not beyond, so that
 * its block can be handed over whole. */
static int fill(struct moe_reader *r, size_t want, struct moe_err *e)
{
	size_t room, missing;
	ssize_t got;

	if (r->eof || r->part_end)
		return 0;
	if (window(r, want, e))
		return -1;
	room = r->buf.cap - r->buf.len;
	missing = want - (r->buf.len - r->pos);
	if (missing > READ_BYTES && missing < room)
		room = missing;
	if (want > BIG_BYTES && room > READ_BYTES)
		room = READ_BYTES; /* to be hashed while in the cache */
	if (r->in) {
		got = moe_input_read(r->in, r->buf.data + r->buf.len, room, e);
		if (got < 0)
			return input_fails(r, e);
	} else if (r->read) {
		got = r->read(r->ctx, r->buf.data + r->buf.len, room, e);
		if (got < 0)
			return -1;
	} else {
		got = moe_fd_read(r->fd, r->buf.data + r->buf.len, room);
		if (got < 0)
			return moe_fail_errno(e, "%s: reading failed at byte %" PRIu64, r->name,
				offset(r) + (r->buf.len - r->pos));
	}
	r->buf.len += (size_t)got;
	if (got == 0 && r->in)
		r->part_end = true;
	else if (got == 0)
		r->eof = true;
	return got > 0;
}

/* Hashes what has arrived of a big record, up to `limit` bytes of it. */
static void hash_early(struct moe_reader *r, size_t limit)
{
	size_t have = r->buf.len - r->pos;

	if (r->o.no_digest || limit < BIG_BYTES)
		return;
	if (have > limit)
		have = limit;
	if (!r->hashed)
		r->before = r->sha;
	moe_sha256_add(&r->sha, r->buf.data + r->pos + r->hashed, have - r->hashed);
	r->hashed = have;
}

/* Enters the next member, if the input is an archive: 1, 0 = none is left, -1. */
static int next_part(struct moe_reader *r, struct moe_err *e)
{
	int rc;

	if (r->eof || !r->in)
		return 0;
	rc = moe_input_next(r->in, e);
	if (rc < 0)
		rc = input_fails(r, e);
	if (rc == 0)
		r->eof = true;
	if (rc == 1) {
		r->part_end = false;
		r->part_start = r->bytes;
	}
	return rc;
}

/* Reads what is no stream to its end: damage in it is found by that, and its digest is wanted
 * sometimes. */
static int read_other(struct moe_reader *r, struct moe_err *e)
{
	struct moe_sha256 sha;
	char hex[MOE_SHA256_HEX];
	int rc;

	if (r->o.others && r->others.n >= r->o.max_mem / DIGEST_COST)
		return moe_fail(e, MOE_DATA,
			"%s: more than %zu files that are no streams; --max-mem allows no more",
			r->name, r->others.n);
	moe_sha256_init(&sha);
	do {
		if (r->o.others)
			moe_sha256_add(&sha, r->buf.data + r->pos, r->buf.len - r->pos);
		r->bytes += r->o.others ? r->buf.len - r->pos : 0;
		r->pos = r->buf.len;
		rc = fill(r, 1, e);
	} while (rc == 1);
	if (rc < 0)
		return -1;
	r->left_out++;
	moe_sha256_hex(&sha, hex);
	return r->o.others ? moe_digests_add(&r->others, hex, e) : 0;
}

/* What does not begin like a stream: a member of an archive (a manifest, a configuration) is left
 * out, and so is a file when digests of such are wanted. 1 = left out, 0 = it must not be here, -1.
 */
static int skip_part(struct moe_reader *r, struct moe_err *e)
{
	if (!r->in || r->bytes != r->part_start || !(r->o.others || moe_input_is_archive(r->in)))
		return 0;
	return read_other(r, e) ? -1 : 1;
}

static void consume(struct moe_reader *r, size_t n, bool hash)
{
	if (hash && !r->o.no_digest)
		moe_sha256_add(&r->sha, r->buf.data + r->pos + r->hashed, n - r->hashed);
	r->hashed = 0;
	r->pos += n;
	r->bytes += n;
}

/* A segment has ended: its name, for whoever wants lineage. Their number is bounded as records are.
 */
static int segment_done(struct moe_reader *r, const char *hex, struct moe_err *e)
{
	if (r->done.n >= r->o.max_mem / DIGEST_COST)
		return moe_fail(e, MOE_DATA,
			"%s: byte %" PRIu64 ": more than %zu segments; --max-mem allows no more",
			r->name, offset(r), r->done.n);
	r->where = AT_MAGIC;
	return moe_digests_add(&r->done, hex, e);
}

static int truncated(struct moe_reader *r, struct moe_err *e)
{
	if (r->o.allow_truncated) {
		bool inside = r->where == IN_RECORDS;

		r->bytes += r->buf.len - r->pos;
		r->pos = r->buf.len;
		r->hashed = 0;
		r->cut = true;
		r->cuts++;
		r->where = AT_MAGIC;
		moe_rec_clear(&r->end);
		return inside ? segment_done(r, "", e) : 0;
	}
	return moe_fail(e, MOE_DATA,
		"%s: truncated: record %" PRIu64 ", byte %" PRIu64
		": the upstream program died before its end record",
		r->name, r->in_segment + 1, offset(r) + (r->buf.len - r->pos));
}

/* One whole value is in the window: its size. 1, 0 = the input ended inside or before it, which is
 * allowed, -1. */
static int whole_value(struct moe_reader *r, size_t *size, struct moe_err *e)
{
	struct moe_mp_scan s = { 0 };

	for (;;) {
		size_t cost;
		int rc = moe_mp_scan(&s, r->buf.data + r->pos, r->buf.len - r->pos, e);

		if (rc < 0)
			return moe_err_prefix(e, "%s: record %" PRIu64 ", byte %" PRIu64, r->name,
				r->in_segment + 1, offset(r) + s.pos);
		cost = (rc > 0 ? s.pos : s.need) + s.in_maps * IN_MAP_COST;
		if (cost > r->o.max_mem)
			return moe_fail(e, MOE_DATA,
				"%s: record %" PRIu64 ", byte %" PRIu64
				": a record that needs at least %zu bytes of memory; --max-mem "
				"allows %zu",
				r->name, r->in_segment + 1, offset(r), cost, r->o.max_mem);
		if (rc > 0) {
			*size = s.pos;
			return 1;
		}
		rc = fill(r, s.need, e);
		if (rc <= 0)
			return rc ? -1 : truncated(r, e);
		hash_early(r, s.need);
	}
}

/* What to do with a file that begins with p[n]: it may be of a format that is turned into a stream.
 */
static const char *advice(const unsigned char *p, size_t n)
{
	if (n > 8 && p[8] == '{' && !p[4] && !p[5] && !p[6] &&
		!p[7]) /* the length of a header, and that */
		return "; it looks like safetensors, of which moe-cat --from-safetensors makes a "
		       "stream";
	if (n && (*p == '{' || *p == '['))
		return "; it looks like JSON, of which moe-cat --from-json makes a stream, and "
		       "moe-rollout --from one of recorded rollouts";
	return "";
}

/* The magic of the next segment: 1, 0 = end of the input, -1. */
static int read_magic(struct moe_reader *r, struct moe_err *e)
{
	for (;;) {
		size_t have = r->buf.len - r->pos,
		       n = have < MOE_STREAM_MAGIC_LEN ? have : MOE_STREAM_MAGIC_LEN;
		int rc;

		if (memcmp(r->buf.data + r->pos, MOE_STREAM_MAGIC, n) != 0) {
			rc = skip_part(r, e);
			if (rc < 0)
				return -1;
			if (rc)
				continue;
			return moe_fail(e, MOE_DATA,
				"%s: byte %" PRIu64
				": not a moe stream: the magic of a segment was expected%s",
				r->name, offset(r),
				offset(r) ? "" : advice(r->buf.data + r->pos, have));
		}
		if (n == MOE_STREAM_MAGIC_LEN)
			break;
		rc = fill(r, MOE_STREAM_MAGIC_LEN, e);
		if (rc < 0)
			return -1;
		if (rc == 1)
			continue;
		if (have)
			return truncated(r, e);
		rc = next_part(r, e);
		if (rc <= 0) {
			if (rc == 0)
				r->where = AT_EOF;
			return rc;
		}
	}
	moe_sha256_init(&r->sha);
	r->in_segment = 0;
	consume(r, MOE_STREAM_MAGIC_LEN, true);
	r->where = AT_HEADER;
	return 1;
}

int moe_stream_labels(
	const struct moe_rec *h, const char *name, enum moe_labels *labels, struct moe_err *e)
{
	struct moe_str s;

	*labels = MOE_LABELS_NONE;
	if (moe_rec_has(h, "labels") == MOE_V_MISSING)
		return 0;
	if (!moe_rec_str(h, "labels", &s))
		return moe_fail(e, MOE_DATA, "%s: key \"labels\" is not a string", name);
	return moe_labels_parse(s, labels, e) ? moe_err_prefix(e, "%s", name) : 0;
}

int moe_stream_check_from(const struct moe_rec *end, const char *name, struct moe_err *e)
{
	struct moe_list from;
	struct moe_mp_tok t;

	if (!moe_list_open(end, "from", &from) && moe_rec_has(end, "from") != MOE_V_MISSING)
		return moe_fail(
			e, MOE_DATA, "%s: \"from\" of the end record is not an array", name);
	while (moe_list_next(&from, &t, NULL))
		if (t.kind != MOE_MP_STR || !moe_sha256_is_hex((const char *)t.p, t.n))
			return moe_fail(e, MOE_DATA,
				"%s: the end record names an input (\"from\") by what is not a "
				"SHA-256",
				name);
	return 0;
}

/* The keys of a header that need not be there. */
static int check_types(const struct moe_rec *h, const char *name, struct moe_err *e)
{
	static const struct {
		const char *key;
		enum moe_rec_kind kind;
		const char *type;
	} want[] = { { "tool", MOE_V_STR, "str" }, { "argv", MOE_V_ARRAY, "array of str" },
		{ "seed", MOE_V_INT, "int" } };
	enum moe_rec_kind kind;
	struct moe_list argv;
	struct moe_mp_tok t;

	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
		if ((kind = moe_rec_has(h, want[i].key)) != MOE_V_MISSING && kind != want[i].kind)
			return moe_fail(e, MOE_DATA,
				"%s: a header whose key \"%s\" is not of type %s", name,
				want[i].key, want[i].type);
	moe_list_open(h, "argv", &argv);
	while (moe_list_next(&argv, &t, NULL))
		if (t.kind != MOE_MP_STR)
			return moe_fail(e, MOE_DATA,
				"%s: a header whose key \"argv\" is not of type array of str",
				name);
	return 0;
}

int moe_stream_check_header(
	const struct moe_rec *h, const char *name, enum moe_labels *labels, struct moe_err *e)
{
	struct moe_str raw, kind;
	struct moe_mp_tok t, major, minor;

	if (!moe_rec_raw(h, "v", &raw) ||
		moe_mp_token((const uint8_t *)raw.p, raw.n, &t, NULL) != 1 ||
		t.kind != MOE_MP_ARRAY || t.n != 2 ||
		moe_mp_token((const uint8_t *)raw.p + t.size, raw.n - t.size, &major, NULL) != 1 ||
		major.kind != MOE_MP_INT ||
		moe_mp_token((const uint8_t *)raw.p + t.size + major.size,
			raw.n - t.size - major.size, &minor, NULL) != 1 ||
		minor.kind != MOE_MP_INT)
		return moe_fail(
			e, MOE_DATA, "%s: a header whose key \"v\" is not [major, minor]", name);
	if (major.i != 1)
		return moe_fail(e, MOE_DATA,
			"%s: a stream of version %" PRId64 "; this program knows version 1", name,
			major.i);
	if (!moe_rec_str(h, "kind", &kind) || !kind.n)
		return moe_fail(e, MOE_DATA, "%s: a header without its key \"kind\"", name);
	if (moe_rec_has(h, "t") != MOE_V_MISSING)
		return moe_fail(e, MOE_DATA,
			"%s: a header with a key \"t\", which only records have", name);
	return check_types(h, name, e) ? -1 : moe_stream_labels(h, name, labels, e);
}

static int raise_labels(struct moe_reader *r, const struct moe_rec *from, struct moe_err *e)
{
	enum moe_labels l = MOE_LABELS_NONE;

	if (moe_stream_labels(from, r->name, &l, e))
		return -1;
	if (l > r->labels)
		r->labels = l;
	return 0;
}

static int check_kind(const struct moe_reader *r, struct moe_err *e)
{
	struct moe_str s = moe_reader_kind(r);
	char seen[64];

	if (!r->kind || moe_str_eq(s, r->kind))
		return 0;
	moe_text_escape_to(seen, sizeof(seen), s.p, s.n);
	return moe_fail(e, MOE_DATA, "%s: a stream of %s; expected %s", r->name, seen, r->kind);
}

/* 1, 0 = ended inside (allowed), -1. */
static int read_header(struct moe_reader *r, struct moe_err *e)
{
	enum moe_labels labels;
	size_t size = 0;
	int rc = whole_value(r, &size, e);

	if (rc <= 0)
		return rc;
	if (moe_rec_parse(&r->header, r->buf.data + r->pos, size, e))
		return moe_err_prefix(e, "%s: header, byte %" PRIu64, r->name, offset(r));
	if (moe_stream_check_header(&r->header, r->name, &labels, e) ||
		raise_labels(r, &r->header, e))
		return -1;
	if (check_kind(r, e))
		return -1;
	consume(r, size, true);
	r->has_header = true;
	r->cut = false;
	r->where = IN_RECORDS;
	return 1;
}

int moe_stream_bound(const struct moe_rec *end, char hex[65], struct moe_err *e)
{
	struct moe_rec rest = { 0 };
	struct moe_buf b = { 0 };
	struct moe_sha256 sha;
	int rc = moe_rec_copy(&rest, end, e);

	moe_rec_unset(&rest, "bound");
	rc = rc || moe_rec_emit(&rest, &b, e);
	if (!rc) {
		moe_sha256_init(&sha);
		moe_sha256_add(&sha, b.data, b.len);
		moe_sha256_hex(&sha, hex);
	}
	moe_rec_free(&rest);
	moe_buf_free(&b);
	return rc ? -1 : 0;
}

static int count_bound(struct moe_reader *r, const struct moe_rec *end, struct moe_err *e)
{
	char hex[MOE_SHA256_HEX];
	struct moe_str said;

	if (!moe_rec_str(end, "bound", &said)) {
		r->unbound++;
		return 0;
	}
	if (moe_stream_bound(end, hex, e))
		return -1;
	r->edited += !moe_str_eq(said, hex);
	return 0;
}

static int check_end(struct moe_reader *r, const struct moe_rec *end, struct moe_err *e)
{
	char hex[MOE_SHA256_HEX] = "";
	struct moe_str want;
	int64_t n;

	if (!moe_rec_int(end, "n", &n) || n < 0 || (uint64_t)n != r->in_segment)
		return moe_fail(e, MOE_DATA,
			"%s: the end record does not count the %" PRIu64
			" records before byte %" PRIu64,
			r->name, r->in_segment, offset(r));
	if (raise_labels(r, end, e))
		return -1;
	if (!r->o.no_digest)
		moe_sha256_hex(&r->sha, hex);
	if (moe_rec_has(end, "sha256") == MOE_V_NIL) {
		want.n = 0;
	} else if (!moe_rec_str(end, "sha256", &want) || !moe_sha256_is_hex(want.p, want.n)) {
		return moe_fail(e, MOE_DATA,
			"%s: byte %" PRIu64 ": an end record without a SHA-256", r->name,
			offset(r));
	} else if (!*hex) {
		memcpy(hex, want.p, 64);
		hex[64] = 0;
	} else if (memcmp(hex, want.p, 64) != 0) {
		return moe_fail(e, MOE_DATA,
			"%s: damaged: the SHA-256 of the segment ending at byte %" PRIu64
			" does not match its end record",
			r->name, offset(r));
	}
	return count_bound(r, end, e) || segment_done(r, hex, e) ? -1 : 0;
}

/* Parses a big record where it lies: it gets the window's block, the reader what was behind it. */
static int take_big(struct moe_reader *r, struct moe_rec *rec, size_t size, struct moe_err *e)
{
	const uint8_t *tail;
	size_t n_tail = r->buf.len - r->pos - size;

	consume(r, size, true);
	if (moe_rec_adopt(rec, &r->buf, r->pos - size, size, e))
		return -1;
	tail = rec->bytes.data + rec->bytes.len;
	r->pos = 0;
	return moe_buf_add(&r->buf, tail, n_tail, e);
}

/* 1 = a record, 2 = the segment's end, 0 = ended inside (allowed), -1. */
static int read_record(struct moe_reader *r, struct moe_rec *rec, struct moe_err *e)
{
	uint64_t at = offset(r);
	struct moe_str t;
	size_t size = 0;
	int rc = whole_value(r, &size, e);

	if (rc <= 0)
		return rc;
	if (size < BIG_BYTES ? moe_rec_parse(rec, r->buf.data + r->pos, size, e)
			     : take_big(r, rec, size, e))
		return moe_err_prefix(
			e, "%s: record %" PRIu64 ", byte %" PRIu64, r->name, r->in_segment + 1, at);
	if (!moe_rec_str(rec, "t", &t) || moe_str_eq(t, "header"))
		return moe_fail(e, MOE_DATA,
			"%s: record %" PRIu64 ", byte %" PRIu64
			": no type (key \"t\"), or \"header\"",
			r->name, r->in_segment + 1, at);
	if (moe_str_eq(t, "end")) {
		if (size >= BIG_BYTES && !r->o.no_digest)
			r->sha = r->before; /* it was hashed as a record: take that back */
		if (check_end(r, rec, e) || moe_stream_check_from(rec, r->name, e) ||
			moe_rec_copy(&r->end, rec, e))
			return -1;
		moe_rec_clear(rec);
		if (size < BIG_BYTES)
			consume(r, size, false);
		return 2;
	}
	if (size < BIG_BYTES)
		consume(r, size, true);
	r->in_segment++;
	r->records++;
	rec->number = r->in_segment;
	rec->byte = at;
	return 1;
}

int moe_reader_peek_header(struct moe_reader *r, struct moe_err *e)
{
	while (r->where != IN_RECORDS) {
		if (r->where == AT_EOF && !r->has_header && !r->others.n)
			return moe_fail(e, MOE_DATA, "%s: %s: not even a stream's header", r->name,
				r->bytes ? "truncated" : "empty");
		if (r->where == AT_EOF)
			return 0;
		if ((r->where == AT_MAGIC ? read_magic(r, e) : read_header(r, e)) < 0)
			return -1;
	}
	return 1;
}

int moe_reader_next_in_segment(struct moe_reader *r, struct moe_rec *rec, struct moe_err *e)
{
	int rc = moe_reader_peek_header(r, e);

	if (rc > 0)
		rc = read_record(r, rec, e);
	return rc == 2 ? 0 : rc;
}

int moe_reader_next(struct moe_reader *r, struct moe_rec *rec, struct moe_err *e)
{
	int rc;

	do
		rc = moe_reader_next_in_segment(r, rec, e);
	while (rc == 0 && r->where != AT_EOF);
	return rc;
}

const struct moe_rec *moe_reader_header(const struct moe_reader *r)
{
	return &r->header;
}

struct moe_str moe_reader_kind(const struct moe_reader *r)
{
	struct moe_str s = { "", 0 };

	moe_rec_str(&r->header, "kind", &s);
	return s;
}

uint64_t moe_reader_edited(const struct moe_reader *r)
{
	return r->edited;
}

uint64_t moe_reader_unbound(const struct moe_reader *r)
{
	return r->unbound;
}

const struct moe_rec *moe_reader_end_record(const struct moe_reader *r)
{
	return &r->end;
}

int moe_reader_expect(struct moe_reader *r, const char *kind, struct moe_err *e)
{
	free(r->kind);
	r->kind = strdup(kind);
	if (!r->kind)
		return moe_fail(e, MOE_SYSTEM, "%s: out of memory for a reader", r->name);
	if (moe_reader_peek_header(r, e) < 0)
		return -1;
	return check_kind(r, e);
}

enum moe_labels moe_reader_labels(const struct moe_reader *r)
{
	return r->labels;
}

uint64_t moe_reader_records(const struct moe_reader *r)
{
	return r->records;
}

uint64_t moe_reader_bytes(const struct moe_reader *r)
{
	return r->bytes;
}

size_t moe_reader_digests(const struct moe_reader *r)
{
	return r->done.n;
}

const char *moe_reader_digest(const struct moe_reader *r, size_t i)
{
	return r->done.v[i];
}

size_t moe_reader_others(const struct moe_reader *r)
{
	return r->others.n;
}

uint64_t moe_reader_left_out(const struct moe_reader *r)
{
	return r->left_out;
}

const char *moe_reader_other(const struct moe_reader *r, size_t i)
{
	return r->others.v[i];
}

bool moe_reader_cut(const struct moe_reader *r)
{
	return r->cut;
}

uint64_t moe_reader_cuts(const struct moe_reader *r)
{
	return r->cuts;
}
