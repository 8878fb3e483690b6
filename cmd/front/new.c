/* new.c - `moe new`: the files of a skeleton experiment. They are examples/new and the main job's
 * Makefile, put into the program when it is built, so that an installed program needs no folder. */
#include "cmd/front/front.h"
#include "cmd/opt.h"
#include "util/err.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The bytes of a file of this tree between two symbols. */
#define EMBED(symbol, file)                                                                        \
	__asm__(".section .rodata\n"                                                               \
		".global " #symbol "\n" #symbol ":\n"                                              \
		".incbin \"" file "\"\n"                                                           \
		".global " #symbol "_end\n" #symbol "_end:\n"                                      \
		".byte 0\n"                                                                        \
		".previous\n")

EMBED(moe_skeleton_env, "examples/new/env.lua");
EMBED(moe_skeleton_settings, "examples/new/settings.mk");
EMBED(moe_skeleton_uat, "examples/new/uat.conf");
EMBED(moe_skeleton_make, "examples/quarantine/Makefile");

extern const char moe_skeleton_settings[], moe_skeleton_settings_end[], moe_skeleton_uat[],
	moe_skeleton_uat_end[], moe_skeleton_make[], moe_skeleton_make_end[];

bool moe_front_beside(const char *name, char *path, size_t n)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (len <= 0)
		return false;
	self[len] = 0;
	slash = strrchr(self, '/');
	if (!slash || (size_t)snprintf(path, n, "%.*s/%s", (int)(slash - self), self, name) >= n)
		return false;
	return access(path, X_OK) == 0;
}

/* A folder that holds anything is somebody's work. */
static int make_folder(const char *dir, struct moe_err *e)
{
	struct dirent *d;
	DIR *open;
	int found = 0;

	if (mkdir(dir, 0777) == 0)
		return 0;
	if (errno != EEXIST)
		return moe_fail(e, MOE_SYSTEM, "%s: cannot be made: %s", dir, strerror(errno));
	open = opendir(dir);
	if (!open)
		return moe_fail(e, MOE_SYSTEM, "%s: not a folder: %s", dir, strerror(errno));
	while ((d = readdir(open)))
		found += strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
	closedir(open);
	return found ? moe_fail(e, MOE_USAGE, "%s: is not empty; name a new folder", dir) : 0;
}

static void write_file(const char *dir, const char *name, const char *from, const char *to)
{
	struct moe_out out;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	moe_out_text(&out, path);
	moe_out_write(&out, from, (size_t)(to - from));
	moe_out_finish(&out);
}

int moe_front_new(const char *dir)
{
	struct moe_err e;

	if (make_folder(dir, &e))
		moe_die(&e);
	write_file(dir, "env.lua", moe_skeleton_env, moe_skeleton_env_end);
	write_file(dir, "settings.mk", moe_skeleton_settings, moe_skeleton_settings_end);
	write_file(dir, "uat.conf", moe_skeleton_uat, moe_skeleton_uat_end);
	write_file(dir, "Makefile", moe_skeleton_make, moe_skeleton_make_end);
	moe_info(
		"%s: env.lua is the environment (moe-env(5)), uat.conf the conditions fixed before "
		"any result (moe-report(1)), settings.mk what the run is made of.",
		dir);
	moe_info("moe-prompts --check-env -e %s/env.lua tests the environment; make -C %s runs it "
		 "all.",
		dir, dir);
	return MOE_OK;
}
