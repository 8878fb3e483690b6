/* report_bring.c - opens what --from names. Parquet is turned into JSON by duckdb, where that is
 * installed; this toolkit reads none itself. */
#include "cmd/report_bring.h"
#include "util/fd.h"
#include "util/temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void die_errno(const char *what)
{
	struct moe_err e;

	moe_fail_errno(&e, "%s", what);
	moe_die(&e);
}

static bool is_parquet(const char *path)
{
	char magic[4] = "";
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	bool is = fd >= 0 && read(fd, magic, 4) == 4 && !memcmp(magic, "PAR1", 4);

	if (fd >= 0)
		close(fd);
	return is;
}

/* duckdb's question for all rows as JSON Lines on its output; the path is a literal of SQL, where a
 * quote is written twice. */
static void write_query(struct moe_buf *q, const char *path)
{
	struct moe_err e;
	int bad = moe_buf_addf(q, &e, "COPY (SELECT * FROM read_parquet('");

	for (const char *p = path; *p && !bad; p++)
		bad = moe_buf_add(q, *p == '\'' ? "''" : p, *p == '\'' ? 2 : 1, &e);
	if (bad || moe_buf_addf(q, &e, "')) TO '/dev/stdout' (FORMAT JSON)") ||
		!moe_buf_cstr(q, &e))
		moe_die(&e);
}

/* Runs duckdb with its output into fd; its exit status, 127 where there is none. No shell has a
 * part in it. */
static int run_duckdb(const char *query, int fd)
{
	char *const argv[] = { (char[]){ "duckdb" }, (char[]){ "-batch" }, (char[]){ "-c" },
		(char *)(uintptr_t)query, NULL };
	int status;
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_RDWR);
		if (null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0)
			_exit(126);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		return 126;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 126;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}

static char *copy_of(const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		die_errno(s);
	return copy;
}

/* The name under which the file's rows can be read: path itself, or JSON that was made of it, whose
 * descriptor stays open. The caller frees it. */
static char *readable(const char *path)
{
	struct moe_buf query = { 0 };
	struct moe_err e;
	char name[40];

	if (!is_parquet(path))
		return copy_of(path);
	int fd = moe_temp_spool(NULL, &e);
	if (fd < 0)
		moe_die(&e);
	write_query(&query, path);
	int status = run_duckdb((char *)query.data, fd);
	moe_buf_free(&query);
	if (status == 127)
		moe_fail(&e, MOE_DATA,
			"%s is Parquet, and duckdb, which turns it into JSON, is not in PATH: "
			"install it, or convert the file, in Python: import pandas; "
			"pandas.read_parquet(\"%s\").to_json(\"rows.jsonl\", orient=\"records\", "
			"lines=True), and give --from rows.jsonl",
			path, path);
	else if (status)
		moe_fail(&e, MOE_DATA, "%s: duckdb, which reads Parquet, failed with status %d",
			path, status);
	if (status)
		moe_die(&e);
	if (lseek(fd, 0, SEEK_SET) < 0)
		die_errno(path);
	snprintf(name, sizeof name, "/dev/fd/%d", fd);
	return copy_of(name);
}

void report_bring(
	struct moe_report *r, const struct moe_opt_list *from, const struct moe_opt_list *map)
{
	struct moe_err e;
	char **path = calloc(from->n + 1, sizeof *path);

	if (!path)
		die_errno("out of memory");
	for (size_t i = 0; i < from->n; i++)
		path[i] = readable(from->v[i]);
	struct moe_bring b = { (const char *const *)path, from->n, (const char *const *)from->v,
		(const char *const *)map->v, map->n, moe_common.max_mem };
	if (moe_report_bring(r, &b, &e))
		moe_die(&e);
	for (size_t i = 0; i < from->n; i++)
		free(path[i]);
	free(path);
}
