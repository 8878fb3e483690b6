/* report_gnuplot.c - writes the plots' files into a directory, runs gnuplot on them as a child, and
 * reads what it drew. */
#include "stat/report_plot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GNUPLOT_SECONDS 60
#define SVG_BYTES_MAX   ((size_t)16 << 20)

static int write_file(const char *dir, const char *name, const char *ext, const struct moe_buf *b,
	struct moe_err *e)
{
	char path[4096];

	if ((size_t)snprintf(path, sizeof path, "%s/%s%s", dir, name, ext) >= sizeof path)
		return moe_fail(e, MOE_SYSTEM, "%s: the path is too long", dir);
	FILE *f = fopen(path, "we");
	if (!f)
		return moe_fail_errno(e, "%s", path);
	bool bad = b->len && fwrite(b->data, 1, b->len, f) != b->len;
	bad |= fclose(f) != 0;
	return bad ? moe_fail_errno(e, "%s", path) : 0;
}

static int write_all(const struct moe_plots *p, const char *dir, struct moe_err *e)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct moe_plot *x = &p->plot[i];
		if (write_file(dir, x->name, ".gp", &x->gp, e))
			return -1;
		for (int k = 0; k < MOE_PLOT_FILES; k++)
			if (x->file[k] && write_file(dir, x->file[k], "", &x->data[k], e))
				return -1;
	}
	return 0;
}

/* In the child: only calls that are allowed after fork in a process with threads. */
static void child(const char *dir, char *script)
{
	char *argv[] = { (char[]){ "gnuplot" }, (char[]){ "-d" }, script, NULL };
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || chdir(dir))
		_exit(126);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execvp(argv[0], argv);
	_exit(127);
}

/* Exit status of gnuplot, 127 when there is none; -1 on a system failure. */
static int run_gnuplot(const char *dir, const char *name, struct moe_err *e)
{
	char script[128];
	int status = 0;

	snprintf(script, sizeof script, "%s.gp", name);
	pid_t pid = fork();
	if (pid < 0)
		return moe_fail_errno(e, "can not start gnuplot");
	if (!pid)
		child(dir, script);
	for (int tick = 0;; tick++) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			break;
		if (got < 0 && errno != EINTR)
			return moe_fail_errno(e, "waiting for gnuplot");
		if (tick == GNUPLOT_SECONDS * 100)
			kill(pid, 9);
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}

/* Appends s[n] with every `id="x` and `#x` of a reference given the plot's name as a prefix, so
 * that several drawings can share a page. */
static int add_svg(
	struct moe_buf *out, const char *prefix, const char *s, size_t n, struct moe_err *e)
{
	static const char *const key[] = { " id=\"", " id='", "href=\"#", "href='#", "url(#" };

	for (size_t i = 0; i < n;) {
		size_t hit = 0;
		for (size_t k = 0; k < sizeof key / sizeof *key && !hit; k++)
			if (i + strlen(key[k]) <= n && !memcmp(s + i, key[k], strlen(key[k])))
				hit = strlen(key[k]);
		if (moe_buf_add(out, s + i, hit ? hit : 1, e) ||
			(hit && moe_buf_addf(out, e, "%s-", prefix)))
			return -1;
		i += hit ? hit : 1;
	}
	return 0;
}

/* The drawing from its <svg on; anything that is not plainly a drawing is left out. */
static int read_svg(const char *dir, struct moe_plot *x, struct moe_err *e)
{
	char path[4096], *text;
	struct stat st;

	snprintf(path, sizeof path, "%s/%s.svg", dir, x->name);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	if (fstat(fileno(f), &st) || st.st_size <= 0 || (uintmax_t)st.st_size > SVG_BYTES_MAX ||
		!(text = malloc((size_t)st.st_size + 1))) {
		fclose(f);
		return 0;
	}
	size_t n = fread(text, 1, (size_t)st.st_size, f);
	fclose(f);
	text[n] = 0;
	const char *from = strstr(text, "<svg"), *to = strstr(text, "</svg>");
	int bad = 0;
	if (from && to && to > from && !strstr(text, "<script") && !strstr(text, "href=\"http"))
		bad = add_svg(&x->svg, x->name, from, (size_t)(to - from) + 6, e);
	free(text);
	return bad;
}

/* gnuplot does not always say that it could not write: what it left must be whole. */
static int check_svg(const char *dir, const struct moe_plot *x, struct moe_err *e)
{
	static const char end[] = "</svg>";
	char path[4096], last[64] = "";
	struct stat st;

	snprintf(path, sizeof path, "%s/%s.svg", dir, x->name);
	FILE *f = fopen(path, "re");
	if (f && !fstat(fileno(f), &st) && st.st_size > (off_t)sizeof last &&
		!fseek(f, -(long)(sizeof last - 1), SEEK_END))
		(void)!fread(last, 1, sizeof last - 1, f);
	if (f)
		fclose(f);
	return strstr(last, end) ? 0
				 : moe_fail(e, MOE_SYSTEM,
					   "%s: gnuplot did not write a whole drawing: is the disk "
					   "full?",
					   path);
}

static void remove_all(const struct moe_plots *p, const char *dir)
{
	char path[4096];
	static const char *const ext[] = { ".gp", ".svg" };

	for (size_t i = 0; i < p->n; i++) {
		for (int k = 0; k < 2; k++) {
			snprintf(path, sizeof path, "%s/%s%s", dir, p->plot[i].name, ext[k]);
			unlink(path);
		}
		for (int k = 0; k < MOE_PLOT_FILES; k++) {
			if (!p->plot[i].file[k])
				continue;
			snprintf(path, sizeof path, "%s/%s", dir, p->plot[i].file[k]);
			unlink(path);
		}
	}
	rmdir(dir);
}

int moe_plots_run(struct moe_plots *p, const char *dir, struct moe_err *e)
{
	char temp[2048];
	const char *base = getenv("TMPDIR");

	if (!dir) {
		snprintf(temp, sizeof temp, "%s/moe-plots.XXXXXX", base && base[0] ? base : "/tmp");
		if (!mkdtemp(temp))
			return moe_fail_errno(e,
				"no temporary directory can be made in %s (TMPDIR names where)",
				base && base[0] ? base : "/tmp");
	} else if (mkdir(dir, 0777) && errno != EEXIST) {
		return moe_fail_errno(e, "%s", dir);
	}
	const char *in = dir ? dir : temp;
	int bad = write_all(p, in, e);
	for (size_t i = 0; i < p->n && !bad && !p->no_gnuplot; i++) {
		int status = run_gnuplot(in, p->plot[i].name, e);
		p->no_gnuplot = status == 127;
		bad = status < 0 || (status == 0 && read_svg(in, &p->plot[i], e)) ||
			(dir && !p->no_gnuplot && check_svg(in, &p->plot[i], e));
	}
	if (!dir)
		remove_all(p, temp);
	return bad ? -1 : 0;
}

int moe_report_plots(const struct moe_report *r, const char *dir, struct moe_err *e)
{
	struct moe_plots p;
	int bad = moe_plots_make(r, &p, e) || moe_plots_run(&p, dir, e);

	moe_plots_free(&p);
	return bad ? -1 : 0;
}
