/* box_inside.h - the new process of a box, from fork to the command. Internal to lib/env. */
#ifndef MOE_ENV_BOX_INSIDE_H
#define MOE_ENV_BOX_INSIDE_H

#include "env/box.h"

#include <sys/types.h>

#define MOE_BOX_NOBODY  65534 /* user and group */
#define MOE_BOX_TASKS   512   /* processes and threads of one box */
#define MOE_BOX_FILES   ((size_t)256 << 20)
#define MOE_BOX_COMMAND ":box" /* first argument of the image that guards a box */

/* What moe_box_start tells the new process. */
struct moe_box_first {
	const struct moe_box_opts *o;
	struct moe_box_how how;
	const char *dir;  /* the temporary directory */
	int in, out, err; /* its standard descriptors */
	uid_t uid;        /* of the parent: inside of a fresh user namespace nobody knows them */
	gid_t gid;
	int self;     /* descriptor of the program's own file */
	size_t tasks; /* limit of processes and threads */
};

/* Sets everything up and runs the command; never returns. Exit status 126: the box could not be
 * made. */
void moe_box_inside(const struct moe_box_first *f) __attribute__((noreturn));
/* Says on standard error why (with errno) and ends. */
void moe_box_give_up(const char *why) __attribute__((noreturn));

/* box_view.c: what the box sees of the file system. Needs a mount namespace of its own and the
 * right to mount. The working directory is entered again. */
void moe_box_view(const struct moe_box_first *f);

/* box_sweep.c. Kills all processes that descend from pid, but not itself; of our own children
 * (pid = this process), those whose ids are not among keep[n]. */
void moe_box_kill_below(pid_t pid, const pid_t *keep, size_t n);
/* Removes a folder with all that is in it, however deep, without following links. */
void moe_box_remove(const char *dir);
/* Bytes that the files below dir take, each at least 512; at most `enough` are counted. */
size_t moe_box_bytes(const char *dir, size_t enough);
/* Processes and threads that a user has now. */
size_t moe_box_tasks_of(uid_t uid);

/* box_filter.c: no way back from either. False where the kernel has none. */
bool moe_box_filter(bool network, bool own_ipc);
bool moe_box_landlock(const char *dir, bool writable);

#endif
