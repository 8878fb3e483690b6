/* test_temp.c - files that are not whole yet: their modes, their names, and what becomes of them.
 */
#include "formats/file.h"
#include "util/temp.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/moe-temp.XXXXXX";
static struct moe_err e;

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) && !chdir(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	unlink("a");
	unlink("new");
	return chdir("/") || rmdir(dir); /* fails when anything is left in it */
}

static int mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : (int)(st.st_mode & 07777);
}

static void modes(void **state)
{
	mode_t mask = umask(027);

	(void)state;
	assert_int_equal(moe_file_replace("a", "one", 3, &e), 0);
	assert_int_equal(mode_of("a"), 0640);
	assert_int_equal(chmod("a", 0604), 0);
	assert_int_equal(moe_file_replace("a", "two", 3, &e), 0);
	assert_int_equal(mode_of("a"), 0604);
	umask(mask);
}

static void kept_or_dropped(void **state)
{
	struct moe_temp t = { 0 };
	char name[64];

	(void)state;
	moe_temp_drop(&t);
	assert_int_equal(moe_temp_open(&t, "./new", &e), 0);
	assert_int_equal(strncmp(t.name, "./new.", 6), 0);
	snprintf(name, sizeof(name), "%s", t.name);
	assert_int_equal(access(name, F_OK), 0);
	moe_temp_drop(&t);
	assert_int_equal(access(name, F_OK), -1);
	assert_int_equal(moe_temp_open(&t, "new", &e), 0);
	assert_int_equal(moe_temp_keep(&t, "new", &e), 0);
	assert_int_equal(access("new", F_OK), 0);
	assert_null(t.name);
	assert_int_equal(moe_temp_open(&t, "new", &e), 0);
	snprintf(name, sizeof(name), "%s", t.name);
	assert_int_equal(moe_temp_keep(&t, "no/such/folder", &e), -1);
	assert_int_equal(e.code, MOE_SYSTEM);
	assert_int_equal(access(name, F_OK), -1);
	assert_int_equal(moe_temp_open(&t, "no/such/folder", &e), -1);
	assert_non_null(strstr(e.msg, "no/such/folder: "));
	assert_null(t.name);
}

/* The list holds what is unfinished, and only the process that made it removes it. */
static void removed(void **state)
{
	struct moe_temp t, whole;
	pid_t pid;
	int status;

	(void)state;
	for (int i = 0; i < 200; i++) { /* the list has fewer places, and gets them back */
		assert_int_equal(moe_temp_open(&whole, "new", &e), 0);
		assert_int_equal(moe_temp_keep(&whole, "new", &e), 0);
	}
	assert_int_equal(moe_temp_open(&whole, "new", &e), 0);
	assert_int_equal(moe_temp_open(&t, "a", &e), 0);
	assert_int_equal(moe_temp_keep(&whole, "new", &e), 0);
	pid = fork();
	if (!pid) {
		moe_temp_remove_all();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(access(t.name, F_OK), 0);
	moe_temp_remove_all();
	assert_int_equal(access(t.name, F_OK), -1);
	assert_int_equal(access("new", F_OK), 0);
	moe_temp_drop(&t);
}

static void spool(void **state)
{
	int fd = moe_temp_spool("a", &e);
	struct stat st;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(close(fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(modes),
		cmocka_unit_test(kept_or_dropped), cmocka_unit_test(removed),
		cmocka_unit_test(spool) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
