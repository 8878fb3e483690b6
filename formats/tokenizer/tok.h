/* tok.h - the inside of the tokenizer, shared by its own files (tokenizer*.c, bpe.c, pretokenize.c)
 * and their tests. Others use tokenizer.h.
 *
 * The way of a text (tokenizer.md): added tokens are cut out of the raw text, the rest is
 * normalised, added tokens that ask for it are cut out of that, what is left is cut into pieces by
 * the pre-tokenizer, and each piece is merged by the model. Everything in here is read-only after
 * loading; scratch space belongs to the call. Errors: MOE_DATA for bad files and text.
 */
#ifndef MOE_FORMATS_TOKENIZER_TOK_H
#define MOE_FORMATS_TOKENIZER_TOK_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include "util/buf.h"
#include "util/err.h"

#include <pcre2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tables are as long as the largest id, so ids are bounded: in all, and by how many tokens there
 * are (gaps are common, but small). */
#define MOE_TOK_MAX_ID (1 << 24)
#define MOE_TOK_GAP    16

/* ---- the 256-character alphabet in which token texts are written ---- */

/* Code point of a byte, and the byte of a code point (-1 when it is none). */
uint32_t moe_alphabet_char(uint8_t byte);
int moe_alphabet_byte(uint32_t c);
/* Appends the bytes that a token text stands for: byte by byte when all of it is alphabet, else the
 * text itself, as the reference decoder does. */
int moe_alphabet_decode(const char *p, size_t n, struct moe_buf *out, struct moe_err *e);
/* Appends bytes in the alphabet, as UTF-8. */
int moe_alphabet_encode(const void *p, size_t n, struct moe_buf *out, struct moe_err *e);

/* Length of the longest prefix of p[n] that is valid UTF-8 (RFC 3629: no surrogates, no overlong
 * forms, up to U+10FFFF). */
size_t moe_utf8_prefix(const char *p, size_t n);
/* One code point of valid UTF-8; returns its length. */
size_t moe_utf8_get(const char *p, uint32_t *c);
size_t moe_utf8_put(uint32_t c, char out[4]);

/* ---- token texts and ids ---- */

struct moe_vocab {
	struct moe_buf text; /* all token texts, NUL-terminated */
	struct moe_vocab_tok {
		uint32_t off, len;
		bool present;
	} * tok; /* [n]; ids may have gaps */
	size_t n, cap;
	uint32_t *slot; /* hash table of id + 1 */
	size_t n_slot, used;
};
int moe_vocab_add(struct moe_vocab *v, const char *p, size_t n, int32_t id,
	struct moe_err *e); /* a text or id that is there already: MOE_DATA */
int32_t moe_vocab_find(const struct moe_vocab *v, const char *p, size_t n); /* -1 = absent */
void moe_vocab_free(struct moe_vocab *v);

/* ---- byte pair encoding ---- */

struct moe_bpe {
	struct moe_vocab vocab;
	int32_t byte_id[256]; /* -1 = this byte has no token */
	int32_t unk_id;       /* what stands for such a byte; -1 = nothing */
	bool fuse_unk;        /* one unknown token for several such bytes in a row */
	bool all_bytes, ignore_merges;
	struct moe_bpe_merge {
		uint64_t pair; /* left id << 32 | right id */
		uint32_t rank;
		int32_t id; /* -1 = empty slot */
	} * merge;          /* hash table */
	size_t n_merge, n_slot;
};
/* Merges must come in the order of their rank, after all of the vocabulary. A pair that comes twice
 * keeps the later rank, as in the reference. */
int moe_bpe_add_merge(struct moe_bpe *b, const char *l, size_t nl, const char *r, size_t nr,
	uint32_t rank, struct moe_err *e);
/* Fills byte_id, all_bytes and unk_id (-1); after the vocabulary is complete. */
void moe_bpe_bytes(struct moe_bpe *b);
void moe_bpe_free(struct moe_bpe *b);

/* Scratch space of encoding; zero-initialise. cache_slots (a power of two, or 0) is set by the
 * caller before the first word. */
struct moe_bpe_work {
	struct moe_bpe_sym *sym;
	size_t n_sym, cap_sym;
	struct moe_bpe_cand *heap;
	size_t n_heap, cap_heap;
	struct moe_bpe_cached *cache;
	size_t cache_slots;
	struct moe_buf text;
	int32_t *id; /* the ids so far: [n], malloc'ed */
	size_t n, cap;
};
/* Appends the ids of one piece of bytes: merges of the lowest rank first, leftmost among equals. */
int moe_bpe_word(const struct moe_bpe *b, struct moe_bpe_work *w, const char *p, size_t n,
	struct moe_err *e);
int moe_bpe_put(struct moe_bpe_work *w, int32_t id, struct moe_err *e);
void moe_bpe_work_free(struct moe_bpe_work *w);

/* ---- cutting text into pieces ---- */

enum moe_cut_how {
	MOE_CUT_REMOVED,
	MOE_CUT_ISOLATED,
	MOE_CUT_PREVIOUS,
	MOE_CUT_NEXT,
	MOE_CUT_CONTIGUOUS
};
struct moe_cut_step {
	pcre2_code *re; /* what is a match; NULL = no cutting */
	enum moe_cut_how how;
	bool invert;
	bool prefix_space; /* before cutting: a piece that does not begin with ' ' gets one */
};
#define MOE_CUT_STEPS 8
struct moe_cutter {
	struct moe_cut_step step[MOE_CUT_STEPS];
	int n;
	bool byte_level; /* a ByteLevel component was there */
};
struct moe_pieces {
	struct moe_piece {
		size_t off, len;
		bool match;
	} * v;
	size_t n, cap;
};
struct moe_cut_work {        /* scratch space; zero-initialise */
	struct moe_buf text; /* what the offsets of pieces refer to */
	struct moe_pieces a, b, found;
	pcre2_match_data *md;
	pcre2_match_context *mc;
	pcre2_jit_stack *stack;
};
extern const char moe_gpt2_pattern[]; /* what ByteLevel with use_regex stands for */
/* A step from a pattern in Oniguruma's (Ruby) syntax, compiled with UTF and UCP; `literal` takes it
 * as plain text. */
int moe_cutter_add(struct moe_cutter *c, const char *pattern, size_t n, bool literal,
	enum moe_cut_how how, bool invert, struct moe_err *e);
/* Cuts w->text (valid UTF-8); the pieces are left in w->a. */
int moe_cutter_run(const struct moe_cutter *c, struct moe_cut_work *w, struct moe_err *e);
void moe_cutter_free(struct moe_cutter *c);
void moe_cut_work_free(struct moe_cut_work *w);

/* ---- the tokenizer ---- */

enum moe_norm { MOE_NORM_NONE, MOE_NORM_NFC, MOE_NORM_NFD, MOE_NORM_NFKC, MOE_NORM_NFKD };

struct moe_added {
	char *text, *norm; /* as written; as looked for in normalised text (== text when not) */
	size_t n, n_norm;
	int32_t id;
	bool single_word, lstrip, rstrip, normalized, special;
};

struct moe_tokenizer {
	struct moe_bpe bpe;
	struct moe_cutter cutter;
	enum moe_norm norm;
	struct moe_added *added;
	size_t n_added;
	uint32_t *first[2];     /* added tokens that begin with a byte, longest first: raw and
				   normalised; */
	uint32_t begin[2][257]; /*   first[k][begin[k][b] .. begin[k][b+1]) */
	struct moe_buf bytes;   /* decoded bytes of every id */
	struct moe_tok_out {
		uint32_t off, len;
		bool present, special;
	} * out; /* [n_out] */
	size_t n_out;
	int32_t *prefix, *suffix; /* of the post-processor's template */
	size_t n_prefix, n_suffix;
	int64_t max_id; /* ids are below this */
};

/* From the text of tokenizer.json; `name` is for messages. */
struct moe_tokenizer *moe_tokenizer_parse(
	const char *p, size_t n, const char *name, struct moe_err *e);
/* Appends p[n] in a normal form. Valid UTF-8. */
int moe_normalise(
	enum moe_norm form, const char *p, size_t n, struct moe_buf *out, struct moe_err *e);

#endif
