/* smoke.c - main() of a harness without libFuzzer, so that `make check` runs every one with any
 * compiler: its corpus and the format vectors as they are, and CHANGED damaged copies of each,
 * drawn from the input itself. It looks for no new coverage; `make fuzz` does. */
#define _GNU_SOURCE
#include "util/buf.h"
#include "util/rng.h"

#include <fts.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/file.h"

enum { CHANGED = 100, LONGEST = 12288 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static char now[512]; /* the input at work, for the handler */

static void died(int sig)
{
	if (write(2, now, strlen(now)) < 0)
		_exit(1);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* A copy of p[n] with one to four bytes, runs or lengths of it changed. */
static size_t change(
	const uint8_t *p, size_t n, struct moe_rng key, uint64_t k, uint8_t out[LONGEST])
{
	uint64_t changes = 1 + moe_rng_below(key, k, 0, 4);

	memcpy(out, p, n);
	for (uint64_t c = 1; n && c <= changes; c++) {
		size_t at = (size_t)moe_rng_below(key, k, 4 * c, n),
		       len = 1 + (size_t)moe_rng_below(key, k, 4 * c + 1, n - at);
		uint64_t draw = moe_rng_u64(key, k, 4 * c + 2);

		switch (moe_rng_below(key, k, 4 * c + 3, 5)) {
		case 0: /* cut off */
			n = at;
			break;
		case 1: /* a run taken out */
			memmove(out + at, out + at + len, n - at - len);
			n -= len;
			break;
		case 2: /* a run twice */
			len = len < LONGEST - n ? len : LONGEST - n;
			memmove(out + at + len, out + at, n - at);
			n += len;
			break;
		case 3:
			out[at] = (uint8_t)draw;
			break;
		default:
			out[at] ^= (uint8_t)(1u << (draw & 7));
		}
	}
	return n;
}

static size_t run(const char *path)
{
	struct moe_rng key = moe_rng_key(moe_hash64(path, strlen(path)), "smoke");
	uint8_t copy[LONGEST];
	struct moe_buf b = { 0 };
	struct moe_err e;
	size_t ran = 0;

	if (moe_file_read(path, &b, LONGEST, &e)) /* too long a vector */
		goto out;
	for (uint64_t k = 0; k <= CHANGED; k++) {
		size_t n = k ? change(b.data, b.len, key, k, copy) : b.len;
		uint8_t *exact = malloc(
			n ? n : 1); /* so that one byte too far is outside of a block */

		if (!exact)
			abort();
		if (n)
			memcpy(exact, k ? copy : b.data, n);
		snprintf(now, sizeof(now), "%s, change %d of %d, made this fail\n", path, (int)k,
			CHANGED);
		LLVMFuzzerTestOneInput(exact, n);
		free(exact);
		ran++;
	}
out:
	moe_buf_free(&b);
	return ran;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static size_t run_all(char *folder)
{
	FTS *f = fts_open((char *[]){ folder, NULL }, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
	size_t ran = 0;

	for (FTSENT *x; f && (x = fts_read(f));)
		if (x->fts_info == FTS_F)
			ran += run(x->fts_accpath);
	if (f)
		fts_close(f);
	return ran;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/'), *harness = name ? strstr(name, "smoke_") : NULL;
	char corpus[256], vectors[] = "formats/vectors";
	size_t own, shared;

	snprintf(corpus, sizeof(corpus), "tests/fuzz/corpus/%s",
		harness ? harness + strlen("smoke_") : "");
	signal(SIGABRT, died);
#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
	!defined(__SANITIZE_THREAD__) /* which say more by themselves */
	signal(SIGSEGV, died);
#endif
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	printf("1..2\n");
	own = run_all(corpus);
	printf("%sok 1 - %zu inputs of %s\n", own || access(corpus, F_OK) ? "" : "not ", own,
		corpus);
	shared = run_all(vectors);
	printf("%sok 2 - %zu inputs of %s\n", shared ? "" : "not ", shared, vectors);
	return !shared;
}
