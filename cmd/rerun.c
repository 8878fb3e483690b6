/* rerun.c - unpacks a bundle, runs its recipe in a folder of its own, and compares every file that
 * comes out. A recipe is a stranger's: rerun_recipe.c says what it may hold. */
#include "cmd/rerun.h"

#include "cmd/opt.h"
#include "formats/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECIPE     "recipe"
#define INPUTS     "# inputs:"
#define RECIPE_MAX ((size_t)1 << 20)

struct plan {
	char *given, *anew; /* folders */
	char *text;         /* the recipe */
	char **file; /* [n] names in the bundle, in the order in which the recipe names them */
	size_t n, cap;
};

static void fail_errno(const char *what, const char *path)
{
	struct moe_err e;

	moe_fail_errno(&e, "%s: %s", path, what);
	moe_die(&e);
}

static void fail(const char *fmt, const char *a, const char *b)
{
	struct moe_err e;

	moe_fail(&e, MOE_DATA, fmt, a, b);
	moe_die(&e);
}

static void *must(void *p)
{
	if (!p)
		moe_die(&(struct moe_err){ .code = MOE_SYSTEM, .msg = "out of memory" });
	return p;
}

static char *join(const char *folder, const char *name)
{
	size_t n = strlen(folder) + strlen(name) + 2;
	char *s = must(malloc(n));

	snprintf(s, n, "%s/%s", folder, name);
	return s;
}

/* ---- unpacking ---- */

static char *read_text(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *s = must(calloc(1, RECIPE_MAX + 1));
	size_t n;

	if (!f)
		fail("%s: the bundle has no file \"%s\": the commands that made it, a line each",
			path, RECIPE);
	n = fread(s, 1, RECIPE_MAX, f);
	if (ferror(f) || n == RECIPE_MAX || memchr(s, 0, n))
		fail("%s: can not be read as a recipe%s", path, "");
	fclose(f);
	return s;
}

static void list_files(struct plan *p, const char *below)
{
	char *folder = *below ? join(p->given, below) : strdup(p->given);
	struct dirent **list = NULL;
	int n = scandir(must(folder), &list, NULL, alphasort);
	struct stat st;

	if (n < 0)
		fail_errno("can not be listed", folder);
	for (int i = 0; i < n; i++) {
		char *name = *below ? join(below, list[i]->d_name) : strdup(list[i]->d_name);
		char *path = join(p->given, must(name));

		if (!strcmp(list[i]->d_name, ".") || !strcmp(list[i]->d_name, "..")) {
			free(name);
		} else if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
			list_files(p, name);
			free(name);
		} else {
			if (p->n == p->cap) {
				p->cap = p->cap ? 2 * p->cap : 64;
				p->file = must(realloc(p->file, p->cap * sizeof(*p->file)));
			}
			p->file[p->n++] = name;
		}
		free(path);
		free(list[i]);
	}
	free(list);
	free(folder);
}

static void unpack(struct plan *p, const char *bundle, const char *dir)
{
	struct moe_err e;
	size_t files;
	int fd = open(bundle, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail_errno("can not be opened", bundle);
	if (mkdir(dir, 0777))
		fail_errno("must be a new folder, and can not be made", dir);
	p->given = join(dir, "given");
	p->anew = join(dir, "anew");
	if (moe_bundle_unpack(fd, bundle, p->given, &files, &e))
		moe_die(&e);
	close(fd);
	if (mkdir(p->anew, 0777))
		fail_errno("can not be made", p->anew);
	char *path = join(p->given, RECIPE);
	p->text = read_text(path);
	free(path);
	list_files(p, "");
}

/* ---- the recipe ---- */

/* Whether a file is an input: named behind "# inputs:", itself or the folder that it is in. */
static bool is_input(const struct plan *p, const char *name)
{
	for (const char *at = p->text; (at = strstr(at, INPUTS)); at++) {
		if (at != p->text && at[-1] != '\n')
			continue;
		for (const char *w = at + strlen(INPUTS); *w && *w != '\n';) {
			size_t n;

			w += strspn(w, " \t");
			n = strcspn(w, " \t\n");
			if (n && !strncmp(name, w, n) &&
				(!name[n] || name[n] == '/' || w[n - 1] == '/'))
				return true;
			w += n;
		}
	}
	return false;
}

static void copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	char buf[1 << 16];
	ssize_t n;

	for (char *slash = strchr(to + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(to, 0777) && errno != EEXIST)
			fail_errno("can not be made", to);
		*slash = '/';
	}
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (in < 0 || out < 0)
		fail_errno("can not be copied", in < 0 ? from : to);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0, put; at < n; at += put)
			if ((put = write(out, buf + at, (size_t)(n - at))) < 0)
				fail_errno("writing failed", to);
	if (n < 0 || close(out))
		fail_errno("copying failed", to);
	close(in);
}

static void copy_inputs(const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (is_input(p, p->file[i])) {
			char *from = join(p->given, p->file[i]), *to = join(p->anew, p->file[i]);

			copy_file(from, to);
			free(from);
			free(to);
		}
}

/* The next command of the recipe, its continued lines joined, at *at; NULL at the end. */
static char *next_command(const char **at, unsigned *number)
{
	for (;;) {
		char *line, *to;

		if (!**at)
			return NULL;
		to = line = must(malloc(strlen(*at) + 1));
		for (; **at && **at != '\n'; ++*at) {
			if (**at == '\\' && (*at)[1] == '\n') {
				++*at;
				++*number;
				*to++ = ' ';
			} else {
				*to++ = **at;
			}
		}
		*to = 0;
		*at += **at == '\n';
		++*number;
		if (line[strspn(line, " \t")] && line[strspn(line, " \t")] != '#')
			return line;
		free(line);
	}
}

/* The programs are those that stand beside this one. */
static void set_path(void)
{
	char self[4096], *slash, *path;
	const char *old = getenv("PATH");
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t size;

	if (n < 0)
		return;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	size = strlen(self) + strlen(old ? old : "/usr/bin:/bin") + 2;
	path = must(malloc(size));
	snprintf(path, size, "%s:%s", self, old ? old : "/usr/bin:/bin");
	setenv("PATH", path, 1);
	free(path);
}

static int run_command(const struct plan *p, const char *line)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		fail_errno("no process", RECIPE);
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		if (chdir(p->anew) || dup2(null, 0) < 0 || dup2(2, 1) < 0)
			_exit(127);
		execl("/bin/sh", "sh", "-c", line, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail_errno("waiting failed", RECIPE);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_recipe(const struct plan *p)
{
	const char *at = p->text;
	unsigned number = 0;
	size_t total = 0, done = 0;
	struct moe_progress bar;
	const char *why;
	char *line;

	/* all of it is looked at before any of it runs */
	while ((line = next_command(&at, &number))) {
		if ((why = rerun_refuses(line))) {
			struct moe_err e;

			moe_fail(&e, MOE_DATA,
				"%s, line %u is not run, nor is any other: %s: %.120s", RECIPE,
				number, why, line);
			moe_die(&e);
		}
		total++;
		free(line);
	}
	moe_progress_begin(&bar, "command", (double)total);
	at = p->text;
	number = 0;
	while ((line = next_command(&at, &number))) {
		int status = run_command(p, line);

		/* 1 is an answer of moe-report: a verdict other than SUPPORTED */
		if (status && !(status == 1 && !strncmp(line, "moe-report", 10)))
			moe_warn("%s, line %u ended with status %d: %.80s", RECIPE, number, status,
				line);
		moe_progress_at(&bar, (double)++done, NULL);
		free(line);
	}
	moe_progress_end(&bar);
}

/* ---- the comparison ---- */

static const char *plan_text; /* of by_recipe, which gets no context */

static int by_recipe(const void *x, const void *y)
{
	const char *a = *(const char *const *)x, *b = *(const char *const *)y;
	const char *p = strstr(plan_text, a), *q = strstr(plan_text, b);

	if (p && q && p != q)
		return p < q ? -1 : 1;
	return p && !q ? -1 : q && !p ? 1 : strcmp(a, b);
}

static bool has_end(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n >= k && !strcmp(name + n - k, end);
}

/* Messages tell of times, pages hold plots: neither is a result. */
static bool is_result(const struct plan *p, const char *name)
{
	return strcmp(name, RECIPE) != 0 && !is_input(p, name) && !has_end(name, ".log") &&
		!has_end(name, ".html");
}

static int compare_all(const struct plan *p)
{
	static const char *const word[] = { "same", "same", "DIFFERS" };
	size_t n[3] = { 0, 0, 0 };
	char what[400], first[600] = "";
	struct moe_buf b = { 0 };
	struct moe_out out;
	struct moe_err e;

	plan_text = p->text;
	qsort(p->file, p->n, sizeof(*p->file), by_recipe);
	for (size_t i = 0; i < p->n; i++) {
		char *given = join(p->given, p->file[i]), *anew = join(p->anew, p->file[i]);

		if (is_result(p, p->file[i])) {
			enum rerun_same s = rerun_compare(given, anew, what, sizeof(what));

			n[s]++;
			if (s == RERUN_DIFFERS && !first[0])
				snprintf(first, sizeof(first), "%s: %s", p->file[i], what);
			if (moe_buf_addf(&b, &e, "%-8s %s%s%s%s\n", word[s], p->file[i],
				    s == RERUN_RECORDS ? " (but for command lines and times)" : "",
				    what[0] ? "  " : "", what))
				moe_die(&e);
		}
		free(given);
		free(anew);
	}
	if (first[0] ? moe_buf_addf(&b, &e,
			       "RERUN: %zu of %zu files differ; the first, in the order of the "
			       "recipe, is %s\n",
			       n[2], n[0] + n[1] + n[2], first)
		     : moe_buf_addf(&b, &e,
			       "RERUN: all %zu files came out the same (%zu byte for byte, %zu but "
			       "for command lines and times)\n",
			       n[0] + n[1], n[0], n[1]))
		moe_die(&e);
	moe_out_text(&out, NULL);
	moe_out_write(&out, b.data, b.len);
	moe_out_finish(&out);
	moe_buf_free(&b);
	return n[2] || !(n[0] + n[1]) ? MOE_NEGATIVE : MOE_OK;
}

int rerun(const char *bundle, const char *dir)
{
	struct plan p = { 0 };
	size_t size = strlen(bundle) + 8, n;
	char *own = must(malloc(size));
	const char *base = strrchr(bundle, '/');
	int code;

	snprintf(own, size, "%s", base ? base + 1 : bundle);
	if (strstr(own, ".tar"))
		*strstr(own, ".tar") = 0;
	n = strlen(own);
	snprintf(own + n, size - n, ".rerun");
	unpack(&p, bundle, dir ? dir : own);
	set_path();
	copy_inputs(&p);
	run_recipe(&p);
	code = compare_all(&p);
	for (size_t i = 0; i < p.n; i++)
		free(p.file[i]);
	free(p.file);
	free(p.text);
	free(p.given);
	free(p.anew);
	free(own);
	return code;
}
