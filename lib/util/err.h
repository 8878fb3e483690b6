/* err.h - the one error type.
 *
 * Fallible functions return 0 or -1 and take `struct moe_err *e` last. The error is written only on
 * failure and holds one complete sentence (file, record, byte, what was expected). Callers may put
 * a prefix before it. Libraries never print, exit or abort; cmd/ turns the error into a message and
 * an exit status.
 */
#ifndef MOE_UTIL_ERR_H
#define MOE_UTIL_ERR_H

/* The values are the programs' exit codes (moe(7), EXIT STATUS). */
enum moe_code {
	MOE_OK = 0,
	MOE_NEGATIVE = 1, /* a check or a verdict that fails */
	MOE_USAGE = 2,    /* wrong options or operands */
	MOE_DATA = 3,     /* bad or truncated input */
	MOE_SYSTEM = 4,   /* system call or memory */
	MOE_NUMERIC = 5   /* NaN, divergence */
};

struct moe_err {
	enum moe_code code;
	int sys;       /* the errno that the message names, or 0 */
	char msg[512]; /* UTF-8 if its parts are; of a longer one the midst is left out, "..." */
};

/* Fills *e (NULL is allowed) and returns -1, so that `return moe_fail(e, ...)` is the usual form.
 * Keeps errno. */
int moe_fail(struct moe_err *e, enum moe_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As moe_fail with MOE_SYSTEM, errno as sys and ": strerror(errno)" appended. */
int moe_fail_errno(struct moe_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the message already in *e, of which code and sys stay; returns -1. */
int moe_err_prefix(struct moe_err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
