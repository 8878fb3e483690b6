/* judge.h - grading one rollout in this process. Internal to lib/env: worker.c calls it behind the
 * process boundary. */
#ifndef MOE_ENV_JUDGE_H
#define MOE_ENV_JUDGE_H

#include "env/grade.h"
#include "env/host.h"

/* Runs the environment's grader, then, from the image again, its oracle. Everything lands in *out,
 * errors of the environment's code too (MOE_GRADE_ERROR, reward 0, nothing found). */
void moe_judge(
	struct moe_env *v, uint64_t seed, const struct moe_grade_item *item, struct moe_grade *out);
/* *out = the result of a rollout that could not be graded. */
void moe_judge_fault(struct moe_grade *out, enum moe_grade_fault fault, const char *note);
/* *out = the answer that a grading process sent, checked like any input: from[sizeof(struct
 * moe_grade)] are bytes, any bytes. One that no honest process sends becomes MOE_GRADE_DIED. */
void moe_judge_accept(struct moe_grade *out, const void *from);

/* worker.c: the child's life. `fd` is its end of a socket pair; returns only into _exit. *at
 * (shared with the parent) counts the rollouts of the current chunk that it has answered: the
 * watch's sign of life. */
struct moe_worker_limits {
	size_t address_bytes; /* more address space than the process has now */
	uint64_t seed;
};
void moe_worker_main(int fd, volatile uint32_t *at, struct moe_env *v,
	const struct moe_worker_limits *lim) __attribute__((noreturn));

/* What goes over the socket. A request: this head, then the env map as msgpack, then the
 * completion. An answer is sent when it is there. */
struct moe_worker_head {
	uint64_t key;
	uint32_t env_len, text_len;
	uint32_t n, i; /* request i of n in this chunk */
};
struct moe_worker_answer {
	struct moe_grade grade;
	double cpu; /* seconds that it took */
};
/* The first answer of a worker: its part[0].name says which filter is on. */
#define MOE_WORKER_HELLO "hello"

#endif
