/* fuzz_bundle.c - any bytes as a bundle to unpack: nothing appears outside of its folder, and
 * nothing half written inside. Bytes that begin with '{' are made into a tar archive first: the
 * parts are the manifest and members, each a type flag, a name, a newline and the content. */
#include "fuzz.h"

#include "formats/bundle.h"

#include <ftw.h>

#define MEMBERS 8

static int inside;
static char top[32], dir[64];

static void clean(void)
{
	rmdir(top);
}

static int wipe(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	inside += at->level > 0;
	return remove(path);
}

/* A member of a tar archive (POSIX.1-1988, ustar), to at; returns its length. */
static size_t put(
	uint8_t *at, char type, const uint8_t *name, size_t n_name, const uint8_t *p, size_t n)
{
	size_t len = 512 + (n + 511) / 512 * 512;
	unsigned sum = 0;

	memset(at, 0, len);
	memcpy(at, name, n_name < 100 ? n_name : 100);
	snprintf((char *)at + 100, 8, "0000644");
	snprintf((char *)at + 124, 12, "%011zo", n);
	snprintf((char *)at + 136, 12, "00000000000");
	memset(at + 148, ' ', 8);
	at[156] = (uint8_t)type;
	memcpy(at + 257, "ustar\00000", 8);
	if (type == '1' || type == '2')
		memcpy(at + 157, "../target", 9);
	for (int i = 0; i < 512; i++)
		sum += at[i];
	snprintf((char *)at + 148, 8, "%06o", sum);
	memcpy(at + 512, p, n);
	return len;
}

static int tar(const uint8_t *p, size_t n)
{
	uint8_t *all = calloc(1, 2 * n + 1024 * (MEMBERS + 2));
	const uint8_t *part;
	size_t k = fuzz_part(&p, &n, &part), len;
	int fd;

	MUST(all);
	len = put(all, '0', (const uint8_t *)MOE_BUNDLE_MANIFEST, strlen(MOE_BUNDLE_MANIFEST), part,
		k);
	for (int i = 0; n && i < MEMBERS; i++) {
		const uint8_t *nl;

		k = fuzz_part(&p, &n, &part);
		nl = memchr(part, '\n', k);
		if (nl && nl > part)
			len += put(all + len, (char)part[0], part + 1, (size_t)(nl - part) - 1,
				nl + 1, k - (size_t)(nl - part) - 1);
	}
	fd = fuzz_fd(all, len + 1024);
	free(all);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct moe_err e = { 0 };
	size_t files;
	int fd = n && p[0] == '{' ? tar(p, n) : fuzz_fd(p, n), rc;

	if (!dir[0]) {
		fuzz_folder(top);
		snprintf(dir, sizeof(dir), "%s/in", top);
		atexit(clean);
	}
	rc = moe_bundle_unpack(fd, "fuzz", dir, &files, &e);
	MUST(rc == 0 || e.msg[0]);
	close(fd);
	inside = 0;
	nftw(dir, wipe, 16, FTW_DEPTH | FTW_PHYS);
	MUST(rc != 0 || (size_t)inside >= files);
	MUST(rmdir(top) == 0); /* it holds nothing else */
	MUST(mkdir(top, 0700) == 0);
	return 0;
}
