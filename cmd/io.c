/* io.c - messages, input, atomic output and progress, the same in every program. Option tables are
 * in opt.c. */
#include "cmd/opt.h"
#include "formats/seal.h"
#include "util/buf.h"
#include "util/fd.h"
#include "util/ranks.h"
#include "util/text.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *name(void)
{
	return moe_common.prog ? moe_common.prog->name : "moe";
}

/* ---- messages: one write each, control characters escaped ---- */

static struct moe_progress *on_screen; /* a progress line to be wiped before a message */
static bool alone; /* another rank than 0, which usually speaks for all, has something to say */

static void say(const char *kind, const char *text)
{
	struct moe_buf b = { 0 };
	ssize_t rc;

	if (!moe_rank_leads() && !alone)
		return;
	if (on_screen && on_screen->shown)
		moe_buf_addf(&b, NULL, "\r\033[K");
	if (moe_buf_addf(&b, NULL, "%s: %s", name(), kind) ||
		moe_text_escape(&b, text, strlen(text), false, NULL) ||
		moe_buf_add(&b, "\n", 1, NULL)) {
		b.len = 0; /* out of memory: as it is */
		rc = write(2, "moe: out of memory\n", 19);
	} else {
		rc = write(2, b.data, b.len);
	}
	(void)rc; /* nobody is left to be told */
	moe_buf_free(&b);
}

static void sayf(const char *kind, const char *fmt, va_list ap)
{
	char text[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	say(kind, text);
}

void moe_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	sayf("", fmt, ap);
	va_end(ap);
}

void moe_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	sayf("warning: ", fmt, ap);
	va_end(ap);
}

void moe_info(const char *fmt, ...)
{
	va_list ap;

	if (moe_common.verbose < 0)
		return;
	va_start(ap, fmt);
	sayf("", fmt, ap);
	va_end(ap);
}

void moe_debug(const char *fmt, ...)
{
	va_list ap;

	if (moe_common.verbose < 1)
		return;
	va_start(ap, fmt);
	sayf("", fmt, ap);
	va_end(ap);
}

/* ---- unfinished outputs: removed when the program dies, also by a signal ---- */

static bool sigpipe_ignored;

/* What a user who interrupts is told; the pointer changes at once. */
static char farewell[2][400];
static const char *volatile last_words;

void moe_last_words(const char *fmt, ...)
{
	char *to = farewell[last_words == farewell[0]];
	va_list ap;
	size_t n = (size_t)snprintf(to, sizeof(farewell[0]), "\n%s: ", name());

	va_start(ap, fmt);
	vsnprintf(to + n, sizeof(farewell[0]) - n - 1, fmt, ap);
	va_end(ap);
	n = strlen(to);
	memcpy(to + n, "\n", 2);
	last_words = moe_common.verbose < 0 ? NULL : to;
}

static void on_signal(int sig)
{
	const char *words = last_words;

	/* one of the ranks says it: 0, or 1 where that is gone */
	if (!moe_rank_leads() && (moe_rank() > 1 || !moe_rank_0_is_gone()))
		words = NULL;
	if (words && (sig == SIGINT || sig == SIGTERM) && write(2, words, strlen(words)) < 0)
		errno = 0; /* nobody listens */
	moe_temp_remove_all();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* A page of a mapped file is no longer there: someone cut the file shorter. Safe in a signal
 * handler. */
static void cut_shorter(void)
{
	static const char text[] = ": an input was cut shorter while it was read\n";
	bool heard = !(on_screen && on_screen->shown) || write(2, "\r\033[K", 4) > 0;

	if (!heard || write(2, name(), strlen(name())) < 0 || write(2, text, sizeof(text) - 1) < 0)
		errno = 0; /* nobody listens: the exit status says it as well */
	moe_temp_remove_all();
	_exit(MOE_DATA);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code == BUS_ADRERR)
		cut_shorter();
	on_signal(sig); /* other faults are our own */
}

void moe_watch_signals(void)
{
	static const int sigs[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGXCPU, SIGXFSZ };
	struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &fault, NULL);

	for (size_t i = 0; i < sizeof(sigs) / sizeof(*sigs); i++) {
		struct sigaction old, mine = { .sa_handler = on_signal };

		if (sigaction(sigs[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(sigs[i], &mine, NULL);
	}
}

/* What all ranks meet, rank 0 says, and its end is ours. A rank that is still there after a while
 * has met something of its own. */
static void wait_for_rank_0(void)
{
	if (moe_rank_leads())
		return;
	nanosleep(&(struct timespec){ .tv_sec = 2 }, NULL);
	alone = true;
	moe_error("%s:", moe_rank_name());
}

void moe_die(const struct moe_err *e)
{
	/* a reader that left is no error of ours: end as SIGPIPE would, even where it was inherited
	 * as ignored */
	if (e->sys == EPIPE && !sigpipe_ignored) {
		moe_temp_remove_all();
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	if (e->sys == EFAULT) /* no address is wrong here: a mapped page went, and a system call has
				 met the gap before the program did */
		cut_shorter();
	wait_for_rank_0();
	say("", e->msg);
	moe_temp_remove_all();
	_exit(e->code ? (int)e->code : MOE_SYSTEM);
}

void moe_usage_error(const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, "; try '%s --help'", name());
	wait_for_rank_0();
	say("", text);
	moe_temp_remove_all();
	_exit(MOE_USAGE);
}

void moe_ignore_sigpipe(void)
{
	signal(SIGPIPE, SIG_IGN);
	sigpipe_ignored = true;
}

/* ---- input ---- */

static bool is_file(const char *path)
{
	return path && strcmp(path, "-") != 0;
}

/* Reading what is appended to at the same time would never end. */
static void not_the_output(const char *path)
{
	struct stat in, out;
	int flags = fcntl(1, F_GETFL);

	if (flags < 0 || !(flags & O_APPEND) || (flags & O_ACCMODE) == O_RDONLY || fstat(1, &out) ||
		!S_ISREG(out.st_mode))
		return;
	if ((is_file(path) ? stat(path, &in) : fstat(0, &in)) == 0 && in.st_dev == out.st_dev &&
		in.st_ino == out.st_ino)
		moe_usage_error("%s: is the output too", is_file(path) ? path : "standard input");
}

static void die_errno(const char *what, const char *path)
{
	struct moe_err e;

	moe_fail_errno(&e, "%s: %s", path, what);
	moe_die(&e);
}

void moe_in_allowed(const char *path)
{
	if (!is_file(path) && isatty(0))
		moe_usage_error(
			"standard input is a terminal; pipe data there or name a file as operand");
	not_the_output(path);
}

void moe_in_check(const char *path)
{
	moe_in_allowed(path);
	if (is_file(path) && access(path, R_OK))
		die_errno("can not be opened", path);
}

/* The conditions (uat.conf) that an input's header names: every output names them too. */
static char conditions[65];

void moe_out_conditions(const char *hex)
{
	snprintf(conditions, sizeof(conditions), "%s", hex);
}

static void take_conditions(const struct moe_reader *r)
{
	struct moe_str s;

	if (!moe_rec_str(moe_reader_header(r), "uat", &s) || s.n != sizeof(conditions) - 1)
		return;
	if (conditions[0] && !moe_str_eq(s, conditions))
		moe_warn("the inputs were made under different conditions (uat %.12s and %.12s)",
			conditions, s.p);
	memcpy(conditions, s.p, s.n);
}

struct moe_reader *moe_in_open(const char *path, const char *kind)
{
	struct moe_reader_opts o = { .max_mem = moe_common.max_mem };
	struct moe_reader *r;
	struct moe_err e;

	if (!path)
		path = "-";
	moe_in_allowed(path);
	r = moe_reader_open_path(path, &o, &e);
	if (!r || (kind && moe_reader_expect(r, kind, &e)))
		moe_die(&e);
	if (kind)
		take_conditions(r);
	return r;
}

void moe_in_rest(struct moe_reader *r)
{
	struct moe_rec rec = { 0 };
	struct moe_err e;
	int rc;

	while ((rc = moe_reader_next(r, &rec, &e)) == 1)
		;
	if (rc)
		moe_die(&e);
	moe_rec_free(&rec);
}

/* ---- output ---- */

/* Where a link points, as seen from where the link is. NULL and errno: EINVAL and ENOENT when path
 * is no link. */
static char *follow(const char *path)
{
	char to[4096], *copy = strdup(path), *full = NULL;
	ssize_t n = copy ? readlink(path, to, sizeof(to) - 1) : -1;

	if (n >= 0) {
		const char *folder = *to == '/' ? "" : dirname(copy);
		size_t cap = strlen(folder) + (size_t)n + 2;

		to[n] = 0;
		full = malloc(cap);
		if (full)
			snprintf(full, cap, "%s%s%s", folder, *folder ? "/" : "", to);
	}
	free(copy);
	return full;
}

/* The name that is to be made where path is nothing yet, or a link to a link ... to nothing yet. */
static char *end_of_links(const char *path)
{
	char *at = strdup(path);

	for (int links = 0; at; links++) {
		char *next = follow(at);

		if (!next && (errno == EINVAL || errno == ENOENT))
			return at;
		free(at);
		at = next;
		if (links == 40) { /* as many as Linux follows */
			free(at);
			errno = ELOOP;
			return NULL;
		}
	}
	return NULL;
}

static void open_path(struct moe_out *o, const char *path)
{
	struct moe_err e;
	struct stat st;
	bool there;

	memset(o, 0, sizeof(*o));
	o->fd = 1;
	if (!moe_rank_leads())
		path = "/dev/null"; /* rank 0 writes for all */
	if (!path || !strcmp(path, "-"))
		return;
	there = stat(path, &st) == 0;
	/* a link's target is replaced, not the link; pipes and devices are written straight through
	 */
	o->path = !there              ? end_of_links(path)
		: S_ISREG(st.st_mode) ? realpath(path, NULL)
				      : strdup(path);
	if (!o->path)
		die_errno("its place can not be found", path);
	if (there && !S_ISREG(st.st_mode)) {
		o->fd = open(path, O_WRONLY | O_CLOEXEC);
		if (o->fd < 0)
			die_errno("can not be opened for writing", path);
		return;
	}
	if (moe_temp_open(&o->temp, o->path, &e))
		moe_die(&e);
	o->fd = o->temp.fd;
}

void moe_out_binary(struct moe_out *o, bool stream)
{
	open_path(o, moe_common.output);
	if (isatty(o->fd) && !moe_common.force && !moe_ranks_started())
		moe_usage_error("binary data are not written to a terminal: %s, name a file with "
				"-o, or force it with -f",
			stream ? "pipe them into moe-cat --json" : "redirect them to a file");
}

void moe_out_stream(
	struct moe_out *o, const char *kind, enum moe_labels labels, const struct moe_rec *extra)
{
	struct moe_writer_opts w = { .kind = kind,
		.tool = name(),
		.argv = (const char *const *)moe_common.argv,
		.argc = moe_common.argc,
		.seed = moe_common.seed,
		.labels = labels };
	struct moe_rec head = { 0 };
	struct moe_err e;

	moe_out_binary(o, true);
	if ((extra && moe_rec_copy(&head, extra, &e)) ||
		(conditions[0] && moe_rec_set_str(&head, "uat", conditions, &e)))
		moe_die(&e);
	o->w = moe_writer_open_fd(o->fd, o->path ? o->path : "standard output", &w, &head, &e);
	moe_rec_free(&head);
	/* downstream may wait for the header before it does its own part of a loop */
	if (!o->w || moe_writer_flush(o->w, &e))
		moe_die(&e);
}

void moe_out_name_input(struct moe_out *o, const char *path, const char *kind)
{
	const struct moe_reader_opts opts = { .max_mem = moe_common.max_mem };
	struct moe_rec rec = { 0 };
	struct moe_err e;
	struct moe_reader *in = moe_reader_open_path(path, &opts, &e);
	int got;

	if (!in)
		moe_die(&e);
	while ((got = moe_reader_next(in, &rec, &e)) > 0)
		;
	if (got == 0 && !moe_str_eq(moe_reader_kind(in), kind))
		got = moe_fail(&e, MOE_DATA, "%s: a stream of kind \"%.*s\", not of %s", path,
			(int)moe_reader_kind(in).n, moe_reader_kind(in).p, kind);
	if (got < 0 || moe_writer_from_reader(o->w, in, &e))
		moe_die(&e);
	moe_rec_free(&rec);
	moe_reader_close(in);
}

char *moe_date_now(char out[MOE_DATE_TEXT])
{
	time_t now = time(NULL);
	struct tm tm;

	if (!gmtime_r(&now, &tm) || !strftime(out, MOE_DATE_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(out, MOE_DATE_TEXT, "unknown");
	return out;
}

void moe_out_text(struct moe_out *o, const char *path)
{
	open_path(o, path ? path : moe_common.output);
}

void moe_out_write(struct moe_out *o, const void *data, size_t n)
{
	if (moe_fd_write(o->fd, data, n))
		die_errno("writing failed", o->path ? o->path : "standard output");
}

static bool stdout_closed;

void moe_out_finish(struct moe_out *o)
{
	const char *path = o->path ? o->path : "standard output";
	struct moe_err e;

	if (o->w) {
		moe_writer_raise(o->w, moe_seal_taint()); /* whoever opened a seal marks its output,
							     without having to think of it */
		if (moe_writer_end(o->w, NULL, &e))
			moe_die(&e);
		moe_writer_close(o->w);
		o->w = NULL;
	}
	if (o->fd == 1 && fflush(stdout))
		die_errno("writing failed", path);
	if (o->fd == 1)
		stdout_closed = true;
	if (o->temp.name) {
		if (moe_temp_keep(&o->temp, path, &e))
			moe_die(&e);
	} else if (close(o->fd) && !(o->fd == 1 && errno == EBADF)) {
		die_errno("closing failed", path);
	}
	free(o->path);
	memset(o, 0, sizeof(*o));
	o->fd = -1;
}

int moe_main_end(int code)
{
	moe_ranks_end();
	if (stdout_closed)
		return code;
	stdout_closed = true;
	if (fflush(stdout) || ferror(stdout) || (close(1) && errno != EBADF))
		die_errno("writing failed", "standard output");
	return code;
}

/* ---- progress ---- */

double moe_clock_sec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void moe_progress_begin(struct moe_progress *p, const char *what, double total)
{
	const char *term = getenv("TERM");

	memset(p, 0, sizeof(*p));
	p->what = what;
	p->total = total;
	p->start_sec = moe_clock_sec();
	p->tty = moe_rank_leads() && moe_common.verbose >= 0 && isatty(2) &&
		!(term && !strcmp(term, "dumb"));
	on_screen = p;
}

static void eta(char *out, size_t cap, double sec)
{
	if (sec < 0 || sec > 1e7)
		snprintf(out, cap, "?");
	else if (sec >= 3600)
		snprintf(out, cap, "%dh%02dm", (int)sec / 3600, (int)sec / 60 % 60);
	else
		snprintf(out, cap, "%dm%02ds", (int)sec / 60, (int)sec % 60);
}

void moe_progress_at(struct moe_progress *p, double done, const char *fmt, ...)
{
	double now = moe_clock_sec(), spent = now - p->start_sec;
	char more[160] = "", left[24] = "", line[320];
	va_list ap;
	ssize_t rc;

	if (!p->tty || now - p->last_sec < 0.2)
		return;
	p->last_sec = now;
	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(more, sizeof(more), fmt, ap);
		va_end(ap);
	}
	if (p->total > 0) {
		eta(left, sizeof(left), done > 0 ? spent * (p->total - done) / done : -1);
		snprintf(line, sizeof(line), "\r\033[K%s: %.0f/%.0f %s, %s left%s%s", name(), done,
			p->total, p->what, left, *more ? "; " : "", more);
	} else {
		eta(left, sizeof(left), spent);
		snprintf(line, sizeof(line), "\r\033[K%s: %.0f %s in %s%s%s", name(), done, p->what,
			left, *more ? "; " : "", more);
	}
	rc = write(2, line, strlen(line));
	(void)rc;
	p->shown = true;
}

void moe_progress_end(struct moe_progress *p)
{
	ssize_t rc;

	if (p->shown) {
		rc = write(2, "\r\033[K", 4);
		(void)rc;
	}
	p->shown = false;
	on_screen = NULL;
	moe_debug("%s: %.1f s", p->what, moe_clock_sec() - p->start_sec);
}
