/* box_view.c - what a box sees of the file system: everything read-only, nothing of /run and /tmp
 * but what the command needs, its working directory as a copy in which FIFOs and sockets lead
 * nowhere. It starts nothing.
 *
 * A read-only mount lets FIFOs and sockets through, so /run and /tmp are empty but for the entries
 * that the command line, PATH or a variable passed on names, and these and the working directory
 * are seen through an overlay: an overlay's FIFO is another FIFO, its socket nobody's. */
#define _GNU_SOURCE
#include "env/box_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOWN 32

/* A folder, file or link that is put back after what holds it was covered. */
struct shown {
	char path[4096], link[1024]; /* link = "": none */
	struct stat st;
	int fd; /* O_PATH, opened before */
};

struct view {
	const struct moe_box_first *f;
	struct shown at[SHOWN];
	size_t n;
	int empty[SHOWN]; /* topmost layers of overlays: folders without anything */
};

static const char *const covered[] = { "/tmp", "/run" };

/* Only the harmless devices stay. Failing leaves /dev as it is: permissions still hold there. */
static void plain_devices(void)
{
	static const char *const keep[] = { "null", "zero", "full", "random", "urandom" };
	char from[64], to[64];
	int fd[5];

	for (int i = 0; i < 5; i++) {
		snprintf(from, sizeof(from), "/dev/%s", keep[i]);
		fd[i] = open(from, O_PATH | O_CLOEXEC);
	}
	if (mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=1m,mode=0755") == 0) {
		for (int i = 0; i < 5; i++) {
			snprintf(from, sizeof(from), "/proc/self/fd/%d", fd[i]);
			snprintf(to, sizeof(to), "/dev/%s", keep[i]);
			close(open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
			(void)!mount(from, to, NULL, MS_BIND, NULL);
		}
		(void)!symlink("/proc/self/fd", "/dev/fd");
		(void)!symlink("/proc/self/fd/0", "/dev/stdin");
		(void)!symlink("/proc/self/fd/1", "/dev/stdout");
		(void)!symlink("/proc/self/fd/2", "/dev/stderr");
		mkdir("/dev/shm", 0700);
	}
	for (int i = 0; i < 5; i++)
		close(fd[i]);
}

/* ---- what is shown ---- */

static void show(struct view *v, const char *path)
{
	struct shown *x = &v->at[v->n];
	ssize_t n;

	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->at[i].path, path))
			return;
	if (v->n == SHOWN || strlen(path) >= sizeof x->path || lstat(path, &x->st))
		return;
	snprintf(x->path, sizeof x->path, "%s", path);
	x->link[0] = 0;
	x->fd = -1;
	if (S_ISLNK(x->st.st_mode)) {
		n = readlink(path, x->link, sizeof x->link - 1);
		x->link[n > 0 ? n : 0] = 0;
	} else if (S_ISDIR(x->st.st_mode) || S_ISREG(x->st.st_mode)) {
		x->fd = open(path, O_PATH | O_CLOEXEC);
	}
	if (x->fd >= 0 || x->link[0])
		v->n++;
}

/* The entries of the covered folders that a text names. */
static void show_named(struct view *v, const char *text)
{
	static const char end[] = "/ \t\n'\"`;&|<>()$*?[]{}:=,\\";
	char path[512];

	for (size_t i = 0; i < sizeof covered / sizeof *covered; i++) {
		size_t k = strlen(covered[i]);

		for (const char *p = text; (p = strstr(p, covered[i])); p += k) {
			bool begins = p == text || strchr(end + 1, p[-1]);
			size_t n = begins && p[k] == '/' ? strcspn(p + k + 1, end) : 0;

			if (!n || n > 255 || p[k + 1] == '.')
				continue;
			snprintf(path, sizeof path, "%s/%.*s", covered[i], (int)n, p + k + 1);
			show(v, path);
		}
	}
}

static void show_needed(struct view *v, const char *cwd)
{
	const struct moe_box_opts *o = v->f->o;
	const char *path = getenv("PATH");
	char *real;

	show_named(v, o->command);
	show_named(v, path ? path : "");
	for (size_t i = 0; i < o->n_keep_env; i++)
		show_named(v, getenv(o->keep_env[i]) ? getenv(o->keep_env[i]) : "");
	real = o->network ? realpath("/etc/resolv.conf", NULL) : NULL;
	if (real && !strncmp(real, "/run/", 5))
		show(v, real);
	free(real);
	if (strcmp(cwd, "/") != 0)
		show(v, cwd); /* last: it may be in one of them */
}

/* ---- mounting ---- */

static void make_folders(const char *path, bool last)
{
	char part[4096];
	size_t n = strlen(path);

	if (n >= sizeof part)
		return;
	memcpy(part, path, n + 1);
	for (char *s = strchr(part + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = 0;
		mkdir(part, 0755);
		*s = '/';
	}
	if (last)
		mkdir(part, 0755);
}

/* Whether another file system is mounted somewhere below: an overlay would show an empty folder.
 * The box's own folder does not count. */
static bool has_mounts(const char *path, const char *own)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	size_t n = strlen(path);
	char line[8192], at[4096];
	bool any = false;

	while (f && !any && fgets(line, sizeof line, f))
		any = sscanf(line, "%*s %*s %*s %*s %4095s", at) == 1 && !strncmp(at, path, n) &&
			at[n] == '/' && strcmp(at, own) != 0;
	if (f)
		fclose(f);
	return any;
}

/* Folders without anything, on a tmpfs that the box's own folder covers later: the topmost layer of
 * an overlay says what mode its top has. As nobody, the top of what is shown can be entered. */
static void make_empty(struct view *v)
{
	char path[600];

	for (size_t i = 0; i < v->n; i++) {
		const struct stat *st = &v->at[i].st;

		snprintf(path, sizeof path, "%s/%zu", v->f->dir, i);
		v->empty[i] = -1;
		if (!S_ISDIR(st->st_mode) || mkdir(path, 0700))
			continue;
		(void)!chmod(path, v->f->how.nobody ? 0755 : st->st_mode & 0777);
		v->empty[i] = open(path, O_PATH | O_CLOEXEC);
	}
}

static void put_back(struct view *v, size_t i, const bool *whole)
{
	struct shown *x = &v->at[i];
	char from[64], option[128];

	make_folders(x->path, S_ISDIR(x->st.st_mode));
	if (x->link[0]) {
		(void)!symlink(x->link, x->path);
		return;
	}
	snprintf(from, sizeof from, "/proc/self/fd/%d", x->fd);
	snprintf(option, sizeof option, "lowerdir=/proc/self/fd/%d:/proc/self/fd/%d", v->empty[i],
		x->fd);
	if (S_ISREG(x->st.st_mode))
		close(open(x->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	else if (!whole[i] && v->empty[i] >= 0 &&
		!mount("overlay", x->path, "overlay", MS_NOSUID | MS_RDONLY, option))
		return;
	(void)!mount(from, x->path, NULL, MS_BIND | MS_REC, NULL);
}

static void cover(struct view *v)
{
	bool whole[SHOWN];
	struct stat st;

	make_empty(v);
	for (size_t i = 0; i < v->n; i++)
		whole[i] = has_mounts(v->at[i].path, v->f->dir);
	for (size_t i = 0; i < sizeof covered / sizeof *covered; i++)
		if (!lstat(covered[i], &st) && S_ISDIR(st.st_mode))
			(void)!mount("tmpfs", covered[i], "tmpfs", MS_NOSUID | MS_NODEV,
				"size=1m,mode=0755");
	for (size_t i = 0; i < v->n; i++)
		put_back(v, i, whole);
	make_folders(v->f->dir, true);
}

static void mount_folder(const struct moe_box_first *f, const char *size)
{
	if (mount("tmpfs", f->dir, "tmpfs", MS_NOSUID | MS_NODEV, size))
		moe_box_give_up("mounting the temporary directory");
}

void moe_box_view(const struct moe_box_first *f)
{
	struct mount_attr ro = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID };
	/* a user namespace inside of the box writes its map there */
	struct mount_attr proc = { .attr_clr = MOUNT_ATTR_RDONLY };
	unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	struct view *v = calloc(1, sizeof *v);
	char *cwd = getcwd(NULL, 0), size[96];
	unsigned owner = f->how.nobody ? MOE_BOX_NOBODY : (unsigned)f->uid;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		moe_box_give_up("making mounts private");
	if (f->how.kind == MOE_BOX_NAMESPACES) {
		plain_devices();
		/* containers may forbid it: then the old one stays */
		(void)!mount("proc", "/proc", "proc", flags, NULL);
	}
	if (!f->o->writable && v && cwd) {
		v->f = f;
		mount_folder(f, "size=1m,mode=0755");
		show_needed(v, cwd);
		cover(v);
	}
	if (!f->o->writable && mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &ro, sizeof(ro)))
		moe_box_give_up("making the file system read-only");
	(void)!mount_setattr(AT_FDCWD, "/proc", 0, &proc, sizeof(proc));
	snprintf(size, sizeof(size), "size=%zu,nr_inodes=65536,mode=0700,uid=%u",
		f->o->file_bytes ? f->o->file_bytes : MOE_BOX_FILES, owner);
	mount_folder(f, size);
	if (cwd && chdir(cwd))
		moe_box_give_up("entering the working directory");
	free(cwd);
	free(v);
}
