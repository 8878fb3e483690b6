/* box.h - starts a program of the user's in a box: limits, a temporary directory of its own, and,
 * where the kernel allows, namespaces (no network, its own process tree, the file system
 * read-only), Landlock and a filter of system calls. Linux.
 *
 * What the box is made of is found out once (moe_box_probe) and then the same for all processes.
 * Nothing of the caller's memory is in a process that the program could see: the first process of a
 * box replaces its image with a fresh one of this same program (box_guard.c), which is why main
 * must call moe_box_guard first. Not thread-safe.
 */
#ifndef MOE_ENV_BOX_H
#define MOE_ENV_BOX_H

#include "util/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum moe_box_kind {
	MOE_BOX_AUTO,       /* namespaces if they work, else bwrap if it works, else plain */
	MOE_BOX_BWRAP,      /* bubblewrap */
	MOE_BOX_NAMESPACES, /* user, mount, pid, ipc and network namespaces of our own */
	MOE_BOX_PLAIN       /* no namespaces: limits, Landlock and the filter */
};

/* What the probe found. */
struct moe_box_how {
	enum moe_box_kind kind;
	bool nobody; /* we are root and the box is not: it runs as user and group 65534 */
};

struct moe_box_opts {
	const char *command; /* for /bin/sh -c */
	enum moe_box_kind kind;
	bool network;      /* leave the network reachable */
	bool writable;     /* leave the file system writable */
	size_t mem_bytes;  /* address space of each process; 0 = no limit */
	double cpu_sec;    /* CPU time of each process; 0 = no limit */
	size_t file_bytes; /* of one file, and of the temporary directory; 0 = 256 MiB */
	const char *const
		*keep_env; /* names of environment variables passed on beside PATH, LANG and LC_* */
	size_t n_keep_env;
};

/* To be called by main before anything else: in the first process of a box it never returns, and in
 * any other it does nothing. */
void moe_box_guard(int argc, char **argv);

/* What AUTO comes to on this machine; MOE_USAGE when a kind asked for does not work here. From here
 * on this process's memory is closed to other processes of the same user (not dumpable). */
int moe_box_probe(const struct moe_box_opts *o, struct moe_box_how *out, struct moe_err *e);
const char *moe_box_name(enum moe_box_kind k); /* "bubblewrap", "namespaces", "limits only" */

struct moe_box {
	pid_t pid;
	int in, out, err; /* we write to in (a socket), read from out and err (its standard error);
			     non-blocking, close-on-exec */
	char dir[512];    /* its temporary directory */
	int status;       /* of moe_box_wait */
	bool ended, plain;
};
/* Starts the command; how is what the probe found. */
int moe_box_start(const struct moe_box_opts *o, const struct moe_box_how *how, struct moe_box *b,
	struct moe_err *e);
/* Waits at most sec for it to end by itself; the status is then what moe_box_stop returns. */
void moe_box_wait(struct moe_box *b, double sec);
/* Bytes that its temporary directory takes now, counted until they are more than enough; 0 where
 * the file system bounds it. */
size_t moe_box_folder(const struct moe_box *b, size_t enough);
/* Kills all of it, whatever session it is in, waits, closes the descriptors and removes the
 * temporary directory, however deep. Returns the wait status. A zeroed box is accepted. */
int moe_box_stop(struct moe_box *b);

#endif
