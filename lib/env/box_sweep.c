/* box_sweep.c - what is left when a box ends: processes that left its session, and its folder. It
 * decides nothing about when. */
#define _GNU_SOURCE
#include "env/box_inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- processes ---- */

struct task {
	pid_t pid, parent;
	bool below;
};

/* "pid (name) state parent ...": the name may hold anything, so its end is looked for from behind.
 */
static pid_t parent_of(const char *pid)
{
	char path[300], text[512];
	const char *end;
	int fd, parent = 0;
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	end = strrchr(text, ')');
	return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? (pid_t)parent : 0;
}

static size_t list_tasks(struct task **out)
{
	DIR *d = opendir("/proc");
	struct task *v = NULL;
	struct dirent *x;
	size_t n = 0, cap = 0;

	while (d && (x = readdir(d))) {
		if (x->d_name[0] < '1' || x->d_name[0] > '9')
			continue;
		if (n == cap) {
			void *grown = realloc(v, (cap = cap ? 2 * cap : 256) * sizeof *v);

			if (!grown)
				break;
			v = grown;
		}
		v[n].pid = (pid_t)strtol(x->d_name, NULL, 10);
		v[n].below = false;
		v[n].parent = parent_of(x->d_name);
		n++;
	}
	if (d)
		closedir(d);
	*out = v;
	return n;
}

static bool among(pid_t pid, const pid_t *keep, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (keep[i] == pid)
			return true;
	return false;
}

/* Marks and signals what is below; how many there are. A process whose parent is marked is below as
 * well, so the list is gone through until nothing changes. */
static size_t signal_below(pid_t top, const pid_t *keep, size_t n_keep, int sig)
{
	struct task *v;
	size_t n = list_tasks(&v), found = 0;
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < n; i++) {
			bool below = v[i].parent == top && !among(v[i].pid, keep, n_keep);

			for (size_t k = 0; !below && !v[i].below && k < n; k++)
				below = v[k].below && v[k].pid == v[i].parent;
			if (!below || v[i].below || v[i].pid == top)
				continue;
			v[i].below = more = true;
			found++;
			kill(v[i].pid, sig);
		}
	}
	free(v);
	return found;
}

/* Stopped first, so that none makes others while the list is read; then killed. Those of a parent
 * that is not us are reaped by it. */
void moe_box_kill_below(pid_t pid, const pid_t *keep, size_t n)
{
	size_t now, before = 0;

	for (int i = 0; i < 64; i++, before = now) {
		now = signal_below(pid, keep, n, SIGSTOP);
		if (now == before)
			break;
	}
	for (int i = 0; i < 64 && signal_below(pid, keep, n, SIGKILL); i++) {
		struct task *v;
		size_t m = pid == getpid() ? list_tasks(&v) : 0;

		for (size_t k = 0; k < m; k++)
			if (v[k].parent == pid && !among(v[k].pid, keep, n))
				waitpid(v[k].pid, NULL, 0);
		if (m)
			free(v);
		usleep(2000);
	}
}

size_t moe_box_tasks_of(uid_t uid)
{
	struct task *v;
	size_t n = list_tasks(&v), sum = 0;

	for (size_t i = 0; i < n; i++) {
		char path[64], line[256];
		unsigned owner = ~0u, threads = 1, x;
		FILE *f;

		snprintf(path, sizeof path, "/proc/%d/status", (int)v[i].pid);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof line, f)) {
			if (sscanf(line, "Uid: %u", &x) == 1)
				owner = x;
			else if (sscanf(line, "Threads: %u", &x) == 1)
				threads = x;
		}
		if (f)
			fclose(f);
		sum += owner == uid ? threads : 0;
	}
	free(v);
	return sum;
}

/* ---- the folder ---- */

/* One folder of the top one: its files go, its own folders move up into the top one under a number,
 * then it is empty. So no more than two folders are open, however deep they nest. */
static void flatten(int top, const char *name, unsigned long *number)
{
	int fd;
	DIR *d;
	struct dirent *x;

	fchmodat(top, name, 0700, 0);
	fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d && fd >= 0)
		close(fd);
	while (d && (x = readdir(d))) {
		char to[32];

		if (!strcmp(x->d_name, ".") || !strcmp(x->d_name, "..") ||
			!unlinkat(fd, x->d_name, 0) || !unlinkat(fd, x->d_name, AT_REMOVEDIR))
			continue;
		fchmodat(fd, x->d_name, 0700, 0);
		do
			snprintf(to, sizeof to, ".%lu", ++*number);
		while (renameat(fd, x->d_name, top, to) && (errno == EEXIST || errno == ENOTEMPTY));
	}
	if (d)
		closedir(d);
	unlinkat(top, name, AT_REMOVEDIR);
}

void moe_box_remove(const char *dir)
{
	unsigned long number = 0;
	size_t before = 0, left = 1;

	chmod(dir, 0700);
	for (int same = 0; left && same < 3; same = left == before ? same + 1 : 0) {
		int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
		unsigned long was = number;
		struct dirent *x;

		before = left;
		left = 0;
		while (d && (x = readdir(d))) {
			if (!strcmp(x->d_name, ".") || !strcmp(x->d_name, "..") ||
				!unlinkat(fd, x->d_name, 0))
				continue;
			left++;
			flatten(fd, x->d_name, &number);
		}
		if (d)
			closedir(d);
		else if (fd >= 0)
			close(fd);
		if (number != was)
			before = left + 1; /* something moved: that is progress */
	}
	rmdir(dir);
}

static size_t bytes_at(int at, const char *name, size_t enough, int deep)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	size_t sum = 0;
	struct dirent *x;

	if (!d && fd >= 0)
		close(fd);
	while (d && sum < enough && (x = readdir(d))) {
		struct stat st;

		if (!strcmp(x->d_name, ".") || !strcmp(x->d_name, "..") ||
			fstatat(fd, x->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		sum += 512 + (size_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode))
			sum += deep < 64 ? bytes_at(fd, x->d_name, enough, deep + 1) : enough;
	}
	if (d)
		closedir(d);
	return sum < enough ? sum : enough;
}

size_t moe_box_bytes(const char *dir, size_t enough)
{
	return bytes_at(AT_FDCWD, dir, enough, 0);
}
