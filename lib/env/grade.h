/* grade.h - grading rollouts: the environment's graders in sandboxed worker processes.
 *
 * The reward (a gameable grader) may train; the findings (the oracle's) go into the seal and may
 * only score evaluations. Each rollout is graded in Lua states that are put back to their image
 * first; workers have limits of CPU time, memory, descriptors, file size and processes and a
 * system-call filter, and are killed and replaced when they misbehave. The rollout that made a
 * worker misbehave gets reward 0 and findings "not solved, not hacked"; all others are graded.
 * Results keep the order of the items and do not depend on the number of workers.
 */
#ifndef MOE_ENV_GRADE_H
#define MOE_ENV_GRADE_H

#include "env/env.h"
#include "formats/rec.h"

#define MOE_GRADE_PARTS_MAX 16

enum moe_grade_fault {
	MOE_GRADE_FINE,
	MOE_GRADE_TIME,  /* the worker used too much CPU time or wall time and was killed */
	MOE_GRADE_DIED,  /* the worker died (a forbidden system call, memory, a crash) */
	MOE_GRADE_ERROR, /* the environment's grader itself raised an error: `note` says which */
	MOE_GRADE_FAULTS
};

struct moe_grade {
	double reward; /* sum of the parts; always finite */
	size_t n_part;
	struct {
		char name[MOE_ENV_NAME_MAX];
		double value;
	} part[MOE_GRADE_PARTS_MAX];
	bool solved, hacked;
	char mechanism[MOE_ENV_NAME_MAX]; /* "" unless hacked */
	enum moe_grade_fault fault;
	char note[160];
};

/* What is to be graded: borrowed until the run returns. */
struct moe_grade_item {
	const struct moe_rec *env; /* the prompt's env map */
	struct moe_str completion; /* any bytes */
	uint64_t key;              /* keys the grader's random numbers (hash of the rollout's id) */
};

struct moe_grader;
struct moe_grader_opts {
	int workers;      /* 0 = 1 */
	size_t mem_bytes; /* of one sandboxed Lua state; 0 = 4 MiB */
	uint64_t steps;   /* Lua instructions of one sandbox run; 0 = 100,000 */
	double cpu_sec;   /* CPU time for one rollout; 0 = 0.5 */
	double wall_sec;  /* wall time for one rollout; 0 = 10 */
	uint64_t seed;
	bool in_process; /* no worker processes (for measuring their cost only; nothing is killed)
			  */
};
struct moe_grader *moe_grader_open(
	const char *env_path, const struct moe_grader_opts *o, struct moe_err *e);
void moe_grader_close(struct moe_grader *g); /* NULL is accepted */
/* Grades item[n] into out[n]. -1 only when the system fails (no process can be started, ...). */
int moe_grader_run(struct moe_grader *g, const struct moe_grade_item *item, size_t n,
	struct moe_grade *out, struct moe_err *e);
/* Workers killed and replaced so far. */
uint64_t moe_grader_replaced(const struct moe_grader *g);
/* Items so far that used more than half of their CPU time and were graded all the same: on a slower
 * machine they might not have been. */
uint64_t moe_grader_near_limit(const struct moe_grader *g);
/* SHA-256 (hex) of the environment's file. */
const char *moe_grader_digest(const struct moe_grader *g);
/* "seccomp" or "no filter" (the kernel has none), once a worker has started; "" before. */
const char *moe_grader_filter(const struct moe_grader *g);

/* Has the environment a table "earned"? It names parts of the reward, each with the number that the
 * task is worth: what is paid for solving it when nothing can be gamed. */
bool moe_grader_earns(const struct moe_grader *g);
/* Pays by the oracle: each part that is earned gets its number when the oracle found that the task
 * is solved, else 0; the other parts stay as they were graded. Whoever writes down such a reward
 * raises the label taint (formats/seal.h): what it trains is a bound, never evidence. */
void moe_grader_pay_oracle(const struct moe_grader *g, struct moe_grade *r);
/* Writes reward, rewards{} and seal into a rollout record. */
int moe_grade_apply(const struct moe_grade *r, struct moe_rec *rollout, struct moe_err *e);

#endif
