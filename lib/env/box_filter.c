/* box_filter.c - two fences that need no namespace: a filter of system calls and Landlock. Both
 * hold for the process and all that it starts. */
#define _GNU_SOURCE
#include "env/box_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- system calls ---- */

/* Sockets: only the families that a network namespace contains. A Unix socket is a file or an
 * abstract name, so docker, dbus and agents would be reached by it; AF_VSOCK reaches the host. */
static bool deny_sockets(scmp_filter_ctx f, bool network)
{
	bool ok = true;

	for (unsigned a = 0; ok && a <= 64; a++) {
		bool inet = a == AF_INET || a == AF_INET6;

		if (a == AF_NETLINK || (inet && network))
			continue;
		ok = seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
			     SCMP_A0(a < 64 ? SCMP_CMP_EQ : SCMP_CMP_GE, a)) == 0;
	}
	return ok;
}

/* What reaches into other processes, into what users share beside files, or past this filter. */
static const int denied[] = { SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp),
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
	SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(add_key),
	SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(open_by_handle_at) };
/* System V memory, queues and semaphores and POSIX queues, where they are not the box's own. */
static const int shared[] = { SCMP_SYS(shmget), SCMP_SYS(shmat), SCMP_SYS(msgget), SCMP_SYS(semget),
	SCMP_SYS(mq_open) };

bool moe_box_filter(bool network, bool own_ipc)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	bool ok = f && deny_sockets(f, network);

	for (size_t i = 0; ok && i < sizeof denied / sizeof *denied; i++)
		ok = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), denied[i], 0) == 0;
	for (size_t i = 0; ok && !own_ipc && i < sizeof shared / sizeof *shared; i++)
		ok = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), shared[i], 0) == 0;
	/* typing into the user's terminal; the kernel looks at 32 bits of the request */
	ok = ok &&
		seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI)) == 0 &&
		seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
			SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCLINUX)) == 0 &&
		seccomp_load(f) == 0;
	if (f)
		seccomp_release(f);
	return ok;
}

/* ---- Landlock ---- */

/* <linux/landlock.h> of older systems lacks what newer kernels know, so the interface stands here:
 * https://docs.kernel.org/userspace-api/landlock.html */
struct ruleset {
	uint64_t fs, net, scoped;
};
struct beneath {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

#define NR_CREATE   444
#define NR_ADD      445
#define NR_SELF     446

#define FS_WRITE    (UINT64_C(1) << 1)
#define FS_CHANGES  (UINT64_C(0x1ff) << 4) /* remove_dir .. make_sym */
#define FS_REFER    (UINT64_C(1) << 13)    /* ABI 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14)    /* ABI 3 */
#define FS_OF_FILE  (FS_WRITE | FS_TRUNCATE)
#define SCOPE_BOTH  UINT64_C(3) /* abstract Unix sockets, signals; ABI 6 */

static void allow(int rules, const char *path, uint64_t what)
{
	struct beneath b = { .allowed = what, .parent = open(path, O_PATH | O_CLOEXEC) };

	if (b.parent < 0)
		return;
	(void)!syscall(NR_ADD, rules, 1, &b, 0);
	close(b.parent);
}

/* Nothing is opened for writing outside of dir: no FIFO either, which a read-only mount would let
 * through. Memory of processes outside of the box, and signals to them, are closed with it. */
bool moe_box_landlock(const char *dir, bool writable)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
		"/dev/urandom" };
	long abi = syscall(NR_CREATE, NULL, 0, 1);
	struct ruleset r = { .fs = FS_WRITE | FS_CHANGES };
	int fd;
	bool ok;

	if (abi < 1)
		return false;
	r.fs |= (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0);
	r.scoped = abi >= 6 ? SCOPE_BOTH : 0;
	fd = (int)syscall(NR_CREATE, &r, abi >= 6 ? sizeof r : abi >= 4 ? 16 : 8, 0);
	if (fd < 0)
		return false;
	allow(fd, writable ? "/" : dir, r.fs);
	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
		allow(fd, devices[i], r.fs & FS_OF_FILE);
	if (geteuid() != 0)
		allow(fd, "/proc", FS_WRITE); /* of itself; of others what its user may */
	ok = syscall(NR_SELF, fd, 0) == 0;
	close(fd);
	return ok;
}
