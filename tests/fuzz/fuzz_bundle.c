/* fuzz_bundle.c - any bytes as a bundle to unpack: nothing appears outside of its folder, and nothing half written inside. */
#include "fuzz.h"

#include "formats/bundle.h"

#include <ftw.h>

static int inside;

static int wipe(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	inside += at->level > 0;
	return remove(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static char top[] = "/tmp/moe-fuzz-XXXXXX", dir[64];
	struct moe_err e = {0};
	size_t files;
	int fd = fuzz_fd(p, n), rc;

	if (!dir[0]) {
		MUST(mkdtemp(top));
		snprintf(dir, sizeof(dir), "%s/in", top);
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
