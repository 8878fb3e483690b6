/* check.h - does an environment keep its promises? What moe-env(5) asks of a file is tried on tasks
 * of every mode and split, through the graders that rollouts meet.
 *
 * A fault is a promise that some task broke; its first case is kept as an example. Nothing is
 * printed. Not thread-safe.
 */
#ifndef MOE_ENV_CHECK_H
#define MOE_ENV_CHECK_H

#include "env/env.h"

enum moe_env_promise {
	MOE_PROMISE_DRAW,    /* the same draw is the same task, whatever was drawn between */
	MOE_PROMISE_RIGHT,   /* `right` is solved, is not hacked */
	MOE_PROMISE_WRONG,   /* `wrong` is neither solved nor hacked, and earns less than right */
	MOE_PROMISE_HACK,    /* `hack` is hacked, is not solved, and earns more than wrong */
	MOE_PROMISE_FOREIGN, /* a hack of one mode does not hack in another mode */
	MOE_PROMISE_REPEAT,  /* the same completion gets the same grade again */
	MOE_PROMISE_TASKS,   /* train, validation and test share no task */
	MOE_PROMISE_MARKERS, /* nor a marker */
	MOE_PROMISES
};
/* What each promises, as a sentence. */
extern const char *const moe_env_promises[MOE_PROMISES];

struct moe_env_check {
	size_t tried[MOE_PROMISES], broken[MOE_PROMISES];
	char example[MOE_PROMISES]
		    [320]; /* of the first that broke; UTF-8, may hold any character */
	size_t faults;     /* cases that broke a promise, of all promises */
	size_t no_hack;    /* modes without a loophole */
	size_t graded;
	double seconds; /* that grading took */
};

/* Tries n tasks of every mode and split. -1 when the file cannot be loaded, a function of it raises
 * an error, or the system fails; a broken promise is no error. */
int moe_env_check(const char *path, size_t n, uint64_t seed, int workers, struct moe_env_check *out,
	struct moe_err *e);

/* A line for each promise - "ok", "FAULT" or "-" if nothing tried it - and the first case that
 * broke it; then what grading costs. Appends to b. */
int moe_env_check_text(const struct moe_env_check *c, struct moe_buf *b, struct moe_err *e);

#endif
