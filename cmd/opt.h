/* opt.h - the options of a program as data, and everything that all programs do alike.
 *
 * One table per program gives parsing (getopt_long), --help, the man page's OPTIONS, and shell
 * completion
 * (--print-options=tsv|mdoc|bash|zsh|fish). Only cmd/ includes this. Functions here may print and
 * exit.
 *
 * A main: moe_main_begin -> open streams -> loop {next, library call, put} -> moe_out_finish ->
 * return moe_main_end().
 */
#ifndef MOE_CMD_OPT_H
#define MOE_CMD_OPT_H

#include "formats/stream.h"
#include "util/err.h"
#include "util/temp.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum moe_opt_type {
	MOE_OPT_FLAG, /* bool */
	MOE_OPT_STR,  /* const char * */
	MOE_OPT_INT,  /* int64_t, decimal; suffixes k, M, G */
	MOE_OPT_F64,  /* double, finite */
	MOE_OPT_SIZE, /* size_t bytes; suffixes K, M, G (powers of 1024) */
	MOE_OPT_LIST, /* struct moe_opt_list: repeatable string option */
	MOE_OPT_HEAD  /* a heading: its text is `help`, it has no name */
};

struct moe_opt_list {
	const char **v;
	size_t n;
};

struct moe_opt {
	char letter;      /* 0 = none */
	const char *name; /* long name, no dashes */
	enum moe_opt_type type;
	void *var;        /* where the value goes; its initial value is the default */
	const char *arg;  /* name of the argument in help, e.g. "FILE"; NULL for flags */
	const char *help; /* one line, no final period; the default is appended from def */
	const char *def;  /* default as text, or NULL */
	double min, max;  /* for INT, F64, SIZE when max > min */
};

struct moe_prog {
	const char *name;          /* "moe-cat" */
	const char *purpose;       /* one line */
	const char *usage;         /* after the name; lines separated by \n for several forms */
	const struct moe_opt *opt; /* ends with {0} */
	const char *examples;      /* lines for the end of --help, or NULL */
	const char *see_also;      /* "moe-rollout(1), moe-stream(5)" */
	int min_operands, max_operands; /* max < 0 = any */
	bool ranks; /* mpirun may start it as several ranks that do one work (util/ranks.h) */
};

/* Options that every program has (-o -f --seed -j --max-mem -q -v -h -V --print-options), set by
 * moe_main_begin. */
struct moe_common {
	const char *output; /* NULL or "-" = standard output */
	bool force;         /* write binary to a terminal */
	uint64_t seed;      /* default 1 */
	int threads;        /* -j; default: cores available */
	size_t max_mem;
	int verbose; /* -q: -1; -v: 1, 2 ... */
	int argc;    /* the original command line, for headers */
	char **argv;
	const struct moe_prog *prog;
};
extern struct moe_common moe_common;

/* Parses; handles --help, --version, --print-options (exit 0) and wrong usage (exit 2, one line +
 * hint). Returns the index of the first operand in argv. Sets locale, line-buffers stderr,
 * remembers the program name. */
int moe_main_begin(int argc, char **argv, const struct moe_prog *prog);
/* Checks standard output for late errors (unless closed by moe_out_finish) and returns the exit
 * code. */
int moe_main_end(int code);

/* "moe-x: MESSAGE" with control characters escaped, one write; exit with e->code. Removes
 * unfinished -o temporaries. */
void moe_die(const struct moe_err *e) __attribute__((noreturn));
void moe_usage_error(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void moe_error(const char *fmt, ...)
	__attribute__((format(printf, 1, 2))); /* as moe_die, and the program goes on */
void moe_warn(const char *fmt, ...) __attribute__((
	format(printf, 1, 2))); /* also with -q: a result that is doubtful must be said */
void moe_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* unless -q */
void moe_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* with -v */

/* The ending of a counted noun: "1 step", "2 steps". */
static inline const char *moe_s(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* ---- input: operands, or standard input; refuses a terminal ---- */
/* Opens operand i of n as a stream of `kind` (NULL = any); "-" or no operand = stdin. Dies on
 * failure. */
struct moe_reader *moe_in_open(const char *path_or_null, const char *kind);
/* Reads to the end without looking, or dies: only the end says whether a stream is whole, and what
 * labels it has seen. */
void moe_in_rest(struct moe_reader *r);
/* Refuses standard input (NULL or "-") when it is a terminal, and any input that the output is
 * appended to, with a usage error. */
void moe_in_allowed(const char *path_or_null);
/* The same, and a file that can not be read: for what is opened only after a header was sent. */
void moe_in_check(const char *path_or_null);

/* ---- output: -o FILE is atomic (temporary in the same directory, fsync, rename); binary is not
 * written to a terminal ---- */
struct moe_out {
	int fd;
	struct moe_writer *w; /* NULL for text output */
	char *path;           /* NULL for standard output */
	struct moe_temp temp; /* without a name where path is a pipe or device */
};
/* The header is sent at once: in a loop of pipes, call this before waiting for input that depends
 * on this output. */
/* The conditions (digest of uat.conf) that headers are to name from here on; otherwise those of the
 * inputs. */
void moe_out_conditions(const char *hex);
/* Stream output of a kind; labels = highest taint known now. extra header keys may be NULL. */
void moe_out_stream(
	struct moe_out *o, const char *kind, enum moe_labels labels, const struct moe_rec *extra);
/* Names the digest of a stream of that kind among the inputs of a stream output. */
void moe_out_name_input(struct moe_out *o, const char *path, const char *kind);
/* The date and time of the user's clock, UTC, ISO 8601; returns out. */
#define MOE_DATE_TEXT 32
char *moe_date_now(char out[MOE_DATE_TEXT]);
/* moe_common.output for binary data that are written without o->w: only o->fd is opened; a terminal
 * is refused. stream: they are one, for advice. */
void moe_out_binary(struct moe_out *o, bool stream);
/* A file or standard output for text. path NULL = moe_common.output. */
void moe_out_text(struct moe_out *o, const char *path);
/* Bytes to a text output; all of them or the program dies. */
void moe_out_write(struct moe_out *o, const void *p, size_t n);
/* End record (stream), flush, fsync, close, rename. Dies on any failure: success is not declared
 * before. */
void moe_out_finish(struct moe_out *o);
/* Removes what is unfinished when a signal ends the program, and names the cause when a mapped
 * input was cut shorter (MOE_DATA); moe_main_begin calls it. */
void moe_watch_signals(void);
/* What is said when SIGINT or SIGTERM ends the program from now on: how far it is, what remains. */
void moe_last_words(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* EPIPE of a reader that left is a quiet exit by SIGPIPE; call once in programs that must outlive
 * it (moe-train). */
void moe_ignore_sigpipe(void);

/* ---- progress: stderr, only on a TTY, at most 5 Hz, with ETA; one summary line at the end
 * otherwise with -v ---- */
struct moe_progress {
	const char *what; /* "step", "rollouts" */
	double total;     /* 0 = unknown */
	double start_sec, last_sec;
	bool tty, shown;
};
void moe_progress_begin(struct moe_progress *p, const char *what, double total);
void moe_progress_at(struct moe_progress *p, double done, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void moe_progress_end(struct moe_progress *p);

double moe_clock_sec(void); /* monotonic */

#endif
