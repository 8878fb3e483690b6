/* bundle.c - packing and unpacking .tar.zst bundles on libarchive. Reading single members without
 * unpacking is input.c's work. */
#define _GNU_SOURCE /* syncfs */
#include "formats/bundle.h"
#include "formats/json.h"
#include "util/digest.h"
#include "util/fd.h"
#include "util/temp.h"
#include "util/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#define BLOCK          ((size_t)1 << 17)
#define MANIFEST_MAX   ((size_t)64 << 20)
#define FOLDERS_DEEP   16
#define NAME_MAX_BYTES 4095 /* a longer path can not be made */

struct file {
	char *path;         /* on disk */
	const char *stored; /* in the bundle: the tail of path */
	char hex[MOE_SHA256_HEX];
	long long bytes;
	bool seen;
	struct moe_temp temp; /* unpacking: where it waits */
};

struct files {
	struct file *v;
	size_t n, cap;
	char **made; /* unpacking: the folders that were made, outermost first */
	size_t n_made, cap_made;
	struct stat out, old; /* packing: the bundle, and the file that it will replace; zero when
				 not known */
};

static void files_free(struct files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i].path);
	for (size_t i = 0; i < f->n_made; i++)
		free(f->made[i]);
	free(f->made);
	free(f->v);
}

static struct file *files_add(struct files *f, const char *path, struct moe_err *e)
{
	struct file *x;

	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 16;
		void *p = realloc(f->v, cap * sizeof(*f->v));

		if (!p) {
			moe_fail(e, MOE_SYSTEM, "out of memory for %zu files", cap);
			return NULL;
		}
		f->v = p;
		f->cap = cap;
	}
	x = &f->v[f->n];
	memset(x, 0, sizeof(*x));
	x->path = strdup(path);
	if (!x->path) {
		moe_fail(e, MOE_SYSTEM, "out of memory for a name");
		return NULL;
	}
	f->n++;
	x->stored = x->path;
	while (*x->stored == '/' || (x->stored[0] == '.' && x->stored[1] == '/'))
		x->stored++;
	return x;
}

/* Bidirectional embeddings, overrides, isolates and marks (U+061C, U+200E, U+200F, U+202A..E,
 * U+2066..9) show a name as what it is not. */
static bool has_override(const char *s)
{
	for (const unsigned char *p = (const unsigned char *)s; *p; p++)
		if ((p[0] == 0xd8 && p[1] == 0x9c) ||
			(p[0] == 0xe2 && p[1] == 0x80 &&
				(p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xaa && p[2] <= 0xae))) ||
			(p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9))
			return true;
	return false;
}

/* Why a bundle has no file of this name, or NULL. */
static const char *unsafe(const char *s)
{
	if (!*s || *s == '/')
		return "an empty or absolute name";
	if (!strcmp(s, MOE_BUNDLE_MANIFEST))
		return "the manifest has this name";
	if (strlen(s) > NAME_MAX_BYTES)
		return "the name is too long";
	if (!moe_utf8_valid(s, strlen(s)))
		return "its name is not UTF-8";
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return "a control character in the name";
	if (has_override(s))
		return "a character in the name that changes the direction of writing";
	for (const char *p = s; p; p = strchr(p, '/')) {
		size_t n;

		p += *p == '/';
		n = strcspn(p, "/");
		if (!n || (n <= 2 && !strncmp(p, "..", n)))
			return "no part of a name may be \"..\", \".\" or empty: pack from the "
			       "folder that holds all files";
	}
	return NULL;
}

static int by_stored(const void *x, const void *y)
{
	return strcmp(((const struct file *)x)->stored, ((const struct file *)y)->stored);
}

/* In a list sorted by_stored. */
static struct file *find(const struct files *f, const char *stored)
{
	struct file key = { .stored = stored };

	return f->n ? bsearch(&key, f->v, f->n, sizeof(*f->v), by_stored) : NULL;
}

static int by_stored_at(const void *x, const void *y)
{
	return by_stored(*(const struct file *const *)x, *(const struct file *const *)y);
}

/* Whether a file is stored as a folder of `stored`, which is then in buf. */
static bool below_a_file(
	const struct file **v, size_t n, const char *stored, char buf[NAME_MAX_BYTES + 1])
{
	struct file key = { .stored = buf };
	const struct file *k = &key;

	for (const char *slash = strchr(stored, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(buf, stored, (size_t)(slash - stored));
		buf[slash - stored] = 0;
		if (bsearch(&k, v, n, sizeof(*v), by_stored_at))
			return true;
	}
	return false;
}

/* No name may be there twice, nor be both a file's and a folder's. */
static int check_names(const struct files *f, enum moe_code code, struct moe_err *e)
{
	const struct file **v = malloc((f->n + 1) * sizeof(*v));
	char folder[NAME_MAX_BYTES + 1];
	int rc = 0;

	if (!v)
		return moe_fail(e, MOE_SYSTEM, "out of memory for %zu files", f->n);
	for (size_t i = 0; i < f->n; i++)
		v[i] = &f->v[i];
	qsort(v, f->n, sizeof(*v), by_stored_at);
	for (size_t i = 0; !rc && i < f->n; i++)
		if (i && !by_stored_at(v + i - 1, v + i))
			rc = moe_fail(e, code, "%s: two files would be stored as %s", v[i]->path,
				v[i]->stored);
		else if (below_a_file(v, f->n, v[i]->stored, folder))
			rc = moe_fail(e, code, "%s: a file and a folder would be stored as %s",
				v[i]->path, folder);
	free(v);
	return rc;
}

/* ---- packing ---- */

static bool is_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static int gather(struct files *f, const char *path, int deep, struct moe_err *e);

static int gather_folder(struct files *f, const char *path, int deep, struct moe_err *e)
{
	struct dirent **list = NULL;
	int n = scandir(path, &list, NULL, alphasort), rc = 0;

	if (n < 0)
		return moe_fail_errno(e, "%s: the folder can not be read", path);
	if (deep >= FOLDERS_DEEP)
		rc = moe_fail(
			e, MOE_USAGE, "%s: folders nested deeper than %d", path, FOLDERS_DEEP);
	for (int i = 0; i < n; i++) {
		size_t len = strlen(path) + strlen(list[i]->d_name) + 2;
		char *sub = rc ? NULL : malloc(len);

		if (!rc && !sub)
			rc = moe_fail(e, MOE_SYSTEM, "out of memory for a name");
		if (sub && strcmp(list[i]->d_name, ".") != 0 &&
			strcmp(list[i]->d_name, "..") != 0) {
			snprintf(sub, len, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/",
				list[i]->d_name);
			rc = gather(f, sub, deep + 1, e);
		}
		free(sub);
		free(list[i]);
	}
	free(list);
	return rc;
}

static int gather(struct files *f, const char *path, int deep, struct moe_err *e)
{
	struct stat st;
	struct file *x;
	const char *why;
	int fd, rc;

	if (!strcmp(path, "-"))
		return moe_fail(e, MOE_USAGE,
			"standard input can not be packed: it must be written to a file first, "
			"since the manifest at the bundle's beginning has its name, size and "
			"digest");
	if (stat(path, &st))
		return moe_fail_errno(e, "%s: can not be read", path);
	if (S_ISDIR(st.st_mode))
		return gather_folder(f, path, deep, e);
	if (deep && (is_file(&f->out, &st) || is_file(&f->old, &st)))
		return 0; /* a bundle written into a folder that it packs */
	if (!S_ISREG(st.st_mode))
		return moe_fail(e, MOE_USAGE,
			"%s: neither a file nor a folder; what comes through a pipe must be "
			"written to a file first, since the manifest at the bundle's beginning has "
			"its size and digest",
			path);
	x = files_add(f, path, e);
	if (!x)
		return -1;
	why = unsafe(x->stored);
	if (why)
		return moe_fail(e, MOE_USAGE, "%s: can not be stored in a bundle: %s", path, why);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return moe_fail_errno(e, "%s: can not be opened", path);
	rc = moe_sha256_of_fd(fd, path, x->hex, e);
	x->bytes = (long long)lseek(fd, 0, SEEK_CUR); /* what was hashed, whatever stat says: a file
							 of /proc has 0 bytes there */
	if (!rc && x->bytes < 0)
		rc = moe_fail_errno(e, "%s: its size is unknown", path);
	close(fd);
	return rc;
}

/* A path as the shell and the user wrote it, without the "//", "/./" and last "/" or "/." that mean
 * nothing. To be freed. */
static char *squeeze(const char *path, struct moe_err *e)
{
	char *s = malloc(strlen(path) + 2), *to = s;

	if (!s) {
		moe_fail(e, MOE_SYSTEM, "out of memory for a name");
		return NULL;
	}
	for (const char *p = path; *p;) {
		if (*p == '/' && p[1] == '/')
			p++;
		else if (*p == '/' && p[1] == '.' && (p[2] == '/' || !p[2]))
			p += 2;
		else
			*to++ = *p++;
	}
	if (to > s + 1 && to[-1] == '/')
		to--;
	if (to == s)
		*to++ = '/'; /* "/." */
	*to = 0;
	return s;
}

static int manifest(const struct files *f, struct moe_buf *out, struct moe_err *e)
{
	int rc = moe_buf_addf(out, e, "{\"bundle\":1,\"files\":[");

	for (size_t i = 0; !rc && i < f->n; i++)
		rc = moe_buf_addf(out, e, "%s\n{\"name\":", i ? "," : "") ||
			moe_json_quote(out, f->v[i].stored, strlen(f->v[i].stored), e) ||
			moe_buf_addf(out, e, ",\"bytes\":%lld,\"sha256\":\"%s\"}", f->v[i].bytes,
				f->v[i].hex);
	return rc || moe_buf_addf(out, e, "\n]}\n") ? -1 : 0;
}

static int fail_archive(struct archive *a, const char *name, enum moe_code code, struct moe_err *e)
{
	const char *why = archive_error_string(a);

	if (code == MOE_SYSTEM && archive_errno(a) > 0) {
		errno = archive_errno(a); /* the library's text does not name the system's reason */
		return moe_fail_errno(e, "%s: %s", name, why ? why : "writing failed");
	}
	return moe_fail(e, code, "%s: %s", name, why ? why : "damaged archive");
}

static int put_data(struct archive *a, const void *p, size_t n, const char *name, struct moe_err *e)
{
	la_ssize_t put = archive_write_data(a, p, n);

	if (put < 0)
		return fail_archive(a, name, MOE_SYSTEM, e);
	return (size_t)put == n ? 0
				: moe_fail(e, MOE_SYSTEM, "%s: %zd of %zu bytes were written", name,
					  (ssize_t)put, n);
}

static int put_head(
	struct archive *a, const char *stored, long long bytes, const char *name, struct moe_err *e)
{
	struct archive_entry *x = archive_entry_new();
	int rc;

	if (!x)
		return moe_fail(e, MOE_SYSTEM, "out of memory for an archive");
	archive_entry_set_pathname(x, stored);
	archive_entry_set_filetype(x, AE_IFREG);
	archive_entry_set_perm(x, 0644);
	archive_entry_set_size(x, bytes);
	archive_entry_set_mtime(x, 0, 0);
	rc = archive_write_header(a, x) == ARCHIVE_OK ? 0 : fail_archive(a, name, MOE_SYSTEM, e);
	archive_entry_free(x);
	return rc;
}

/* Copies a file into the archive and checks that it is still what the manifest says. */
static int put_file(struct archive *a, const struct file *f, const char *name, struct moe_err *e)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC), rc;
	char *block = malloc(BLOCK), hex[MOE_SHA256_HEX] = "";
	long long left = f->bytes;
	struct moe_sha256 s;
	ssize_t got = -1;

	if (fd < 0 || !block) {
		rc = moe_fail_errno(e, "%s: can not be read", f->path);
		goto out;
	}
	moe_sha256_init(&s);
	rc = put_head(a, f->stored, f->bytes, name, e);
	while (!rc && (got = moe_fd_read(fd, block, BLOCK)) > 0) {
		moe_sha256_add(&s, block, (size_t)got);
		left -= got;
		if (left < 0)
			break;
		rc = put_data(a, block, (size_t)got, name, e);
	}
	if (!rc && got < 0)
		rc = moe_fail_errno(e, "%s: reading failed", f->path);
	moe_sha256_hex(&s, hex);
	if (!rc && (left || strcmp(hex, f->hex) != 0))
		rc = moe_fail(e, MOE_DATA, "%s: changed while it was packed", f->path);
out:
	free(block);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Names beyond ASCII are written as they are, in any locale: libarchive would translate them from
 * the locale's encoding. */
static bool beyond_ascii(const struct files *f)
{
	for (size_t i = 0; i < f->n; i++)
		for (const char *p = f->v[i].stored; *p; p++)
			if ((unsigned char)*p >= 0x80)
				return true;
	return false;
}

static int write_bundle(
	struct archive *a, const struct files *f, int fd, const char *name, struct moe_err *e)
{
	struct moe_buf m = { 0 };
	int rc = manifest(f, &m, e);

	if (!rc &&
		(archive_write_add_filter_zstd(a) || archive_write_set_format_pax_restricted(a) ||
			(beyond_ascii(f) &&
				archive_write_set_format_option(
					a, "pax", "hdrcharset", "BINARY")) ||
			archive_write_set_bytes_in_last_block(a, 1) ||
			archive_write_open_fd(a, fd)))
		rc = fail_archive(a, name, MOE_SYSTEM, e);
	rc = rc || put_head(a, MOE_BUNDLE_MANIFEST, (long long)m.len, name, e);
	rc = rc || put_data(a, m.data, m.len, name, e);
	for (size_t i = 0; !rc && i < f->n; i++)
		rc = put_file(a, &f->v[i], name, e);
	if (!rc && archive_write_close(a))
		rc = fail_archive(a, name, MOE_SYSTEM, e);
	moe_buf_free(&m);
	return rc ? -1 : 0;
}

int moe_bundle_pack(const char *const *paths, size_t n, int fd, const char *name, struct moe_err *e)
{
	struct archive *a = archive_write_new();
	struct files f = { 0 };
	int rc = a ? 0 : moe_fail(e, MOE_SYSTEM, "out of memory for an archive");

	if (fstat(fd, &f.out))
		memset(&f.out, 0, sizeof(f.out));
	if (stat(name, &f.old))
		memset(&f.old, 0, sizeof(f.old));
	for (size_t i = 0; !rc && i < n; i++) {
		char *path = squeeze(paths[i], e);

		rc = path ? gather(&f, path, 0, e) : -1;
		free(path);
	}
	if (!rc && !f.n)
		rc = moe_fail(e, MOE_USAGE, "no file to pack");
	rc = rc || check_names(&f, MOE_USAGE, e);
	if (!rc)
		rc = write_bundle(a, &f, fd, name, e);
	archive_write_free(a);
	files_free(&f);
	return rc;
}

/* ---- unpacking ---- */

/* The name of a member in UTF-8. libarchive has either that, or bytes as they are stored, which it
 * takes to be in the locale's encoding. */
static const char *stored_name(struct archive_entry *x, const struct files *f)
{
	const char *as_is = archive_entry_pathname(x);

	return as_is && (!f->n || find(f, as_is)) ? as_is : archive_entry_pathname_utf8(x);
}

static int manifest_file(const struct moe_json *j, struct files *f, struct moe_err *e)
{
	struct moe_str stored = moe_json_str(moe_json_get(j, "name")),
		       hex = moe_json_str(moe_json_get(j, "sha256"));
	char *z = stored.p ? moe_str_dup(stored, NULL) : NULL;
	struct file *x = NULL;
	int64_t bytes = -1;
	int rc = 0;

	if (!z || unsafe(z) || hex.n != MOE_SHA256_HEX - 1)
		rc = moe_fail(e, MOE_DATA, "no usable name or digest");
	else if (!moe_json_int(moe_json_get(j, "bytes"), &bytes) || bytes < 0)
		rc = moe_fail(e, MOE_DATA, "%s: no usable size", z);
	else if (!(x = files_add(f, z, e)))
		rc = -1;
	if (x) {
		memcpy(x->hex, hex.p, hex.n);
		x->bytes = bytes;
	}
	free(z);
	return rc;
}

static int read_manifest(struct archive *a, const char *name, struct files *f, struct moe_err *e)
{
	struct moe_buf text = { 0 };
	struct moe_json_doc *d = NULL;
	const struct moe_json *list;
	la_ssize_t got = 0;
	int rc = 0;

	while (!rc && !(rc = moe_buf_reserve(&text, BLOCK, e)) &&
		(got = archive_read_data(a, text.data + text.len, BLOCK)) > 0) {
		text.len += (size_t)got;
		if (text.len > MANIFEST_MAX)
			rc = moe_fail(e, MOE_DATA, "%s: a manifest of over %zu bytes", name,
				MANIFEST_MAX);
	}
	if (!rc && got < 0)
		rc = fail_archive(a, name, MOE_DATA, e);
	if (!rc && !(d = moe_json_parse((const char *)text.data, text.len, MOE_BUNDLE_MANIFEST, e)))
		rc = moe_err_prefix(e, "%s", name);
	list = d ? moe_json_get(moe_json_root(d), "files") : NULL;
	for (size_t i = 0; !rc && i < moe_json_len(list); i++) {
		rc = manifest_file(moe_json_at(list, i), f, e);
		if (rc)
			moe_err_prefix(e, "%s: file %zu of the manifest", name, i + 1);
	}
	if (!rc && !f->n)
		rc = moe_fail(e, MOE_DATA, "%s: an empty manifest", name);
	if (!rc && f->n)
		qsort(f->v, f->n, sizeof(*f->v), by_stored);
	if (!rc && check_names(f, MOE_DATA, e))
		rc = moe_err_prefix(e, "%s: the manifest", name);
	moe_json_free(d);
	moe_buf_free(&text);
	return rc;
}

/* Makes a folder where there is none, and remembers that. */
static int make_folder(struct files *f, const char *path)
{
	if (f->n_made == f->cap_made) {
		size_t cap = f->cap_made ? 2 * f->cap_made : 16;
		void *p = realloc(f->made, cap * sizeof *f->made);

		if (!p)
			return -1;
		f->made = p;
		f->cap_made = cap;
	}
	if (mkdir(path, 0777))
		return errno == EEXIST ? 0 : -1;
	f->made[f->n_made] = strdup(path);
	f->n_made += f->made[f->n_made] != NULL;
	return 0;
}

/* Folders of dir/stored, each made when missing; a link among them would lead elsewhere and is
 * refused. Returns the path, to be freed. */
static char *place(const char *dir, const char *stored, struct files *f, struct moe_err *e)
{
	size_t base = strlen(dir) + 1, n = base + strlen(stored) + 8;
	char *path = malloc(n);

	if (!path) {
		moe_fail(e, MOE_SYSTEM, "out of memory for a name");
		return NULL;
	}
	snprintf(path, n, "%s/%s", dir, stored);
	for (char *slash = strchr(path + base, '/'); slash; slash = strchr(slash + 1, '/')) {
		struct stat st;
		bool bad;

		*slash = 0;
		bad = make_folder(f, path) || lstat(path, &st) || !S_ISDIR(st.st_mode);
		if (bad) {
			moe_fail(e, MOE_SYSTEM, "%s: not a folder that can be written into", path);
			free(path);
			return NULL;
		}
		*slash = '/';
	}
	return path;
}

/* Copies the member at hand, which must have `bytes` bytes: no more than these are written. fd -1:
 * reads it only. */
static int copy_out(struct archive *a, int fd, const char *path, long long bytes,
	char hex[MOE_SHA256_HEX], struct moe_err *e)
{
	char *block = malloc(BLOCK);
	la_ssize_t got = 0;
	struct moe_sha256 s;
	long long left = bytes;
	int rc = block ? 0
		       : moe_fail(e, MOE_SYSTEM, "out of memory: %zu bytes were asked for", BLOCK);

	moe_sha256_init(&s);
	while (!rc && (got = archive_read_data(a, block, BLOCK)) > 0) {
		moe_sha256_add(&s, block, (size_t)got);
		left -= got;
		if (left < 0)
			break;
		if (fd >= 0 && moe_fd_write(fd, block, (size_t)got))
			rc = moe_fail_errno(e, "%s: writing failed", path);
	}
	if (!rc && got < 0)
		rc = fail_archive(a, path, MOE_DATA, e);
	if (!rc && left)
		rc = moe_fail(
			e, MOE_DATA, "%s: its size is not the manifest's %lld bytes", path, bytes);
	moe_sha256_hex(&s, hex);
	free(block);
	return rc;
}

/* The member at hand, to fd or nowhere (-1), against the manifest. */
static int compare(
	struct archive *a, int fd, const char *path, const struct file *f, struct moe_err *e)
{
	char hex[MOE_SHA256_HEX];

	if (copy_out(a, fd, path, f->bytes, hex, e))
		return -1;
	return strcmp(hex, f->hex) == 0
		? 0
		: moe_fail(e, MOE_DATA, "%s: its SHA-256 is not the manifest's", path);
}

/* Into a temporary beside its place, where it waits until all of them are known to be right. */
static int take_file(
	struct archive *a, const char *dir, struct files *f, struct file *x, struct moe_err *e)
{
	char *path = place(dir, x->stored, f, e);
	int rc = path ? moe_temp_open(&x->temp, path, e) : -1;

	if (!rc)
		rc = compare(a, x->temp.fd, path, x, e);
	if (!rc)
		rc = moe_temp_close(&x->temp, path, e);
	free(path);
	return rc;
}

static int sync_all(const char *dir, struct moe_err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    rc = fd < 0 || syncfs(fd) ? moe_fail_errno(e, "%s: syncing failed", dir) : 0;

	if (fd >= 0)
		close(fd);
	return rc;
}

struct folder {
	const struct files *f;
	const char *stored; /* a member's name, */
	size_t n;           /* so much of which is the folder */
};

static bool is_member(void *ctx, const char *name, size_t n)
{
	const struct folder *x = ctx;
	char full[NAME_MAX_BYTES + 1];

	return x->n + n <= NAME_MAX_BYTES &&
		snprintf(full, sizeof full, "%.*s%.*s", (int)x->n, x->stored, (int)n, name) > 0 &&
		find(x->f, full);
}

/* Sorted names: those of one folder mostly stand together. */
static void sweep_folders(const char *dir, const struct files *f)
{
	struct folder was = { f, "", SIZE_MAX };

	for (size_t i = 0; i < f->n; i++) {
		const char *stored = f->v[i].stored, *slash = strrchr(stored, '/');
		struct folder x = { f, stored, slash ? (size_t)(slash - stored) + 1 : 0 };
		char path[NAME_MAX_BYTES + 1];

		if (x.n == was.n && !strncmp(stored, was.stored, x.n))
			continue;
		was = x;
		snprintf(path, sizeof path, "%s/%.*s", dir, (int)x.n, stored);
		moe_temp_sweep(path, is_member, &x);
	}
}

/* All members are right: each gets its place. One call syncs all of them, before and after, instead
 * of two for each. */
static int publish(const char *dir, struct files *f, struct moe_err *e)
{
	int rc = sync_all(dir, e);

	for (int pass = 0; pass < 2; pass++) /* first whether all can */
		for (size_t i = 0; !rc && i < f->n; i++) {
			char *path = place(dir, f->v[i].stored, f, e);
			struct stat st;

			if (!path)
				rc = -1;
			else if (!lstat(path, &st) && S_ISDIR(st.st_mode))
				rc = moe_fail(e, MOE_SYSTEM, "%s: a folder is there", path);
			else if (pass)
				rc = moe_temp_place(&f->v[i].temp, path, e);
			free(path);
		}
	if (!rc)
		sweep_folders(dir, f);
	return rc ? rc : sync_all(dir, e);
}

/* Nothing of a refused bundle stays: no temporary, no folder made for one. */
static void take_back(struct files *f)
{
	for (size_t i = 0; i < f->n; i++)
		moe_temp_drop(&f->v[i].temp);
	for (size_t i = f->n_made; i-- > 0;)
		rmdir(f->made[i]);
}

/* Every member against the manifest, and below dir unless that is NULL. */
static int unpack(
	struct archive *a, const char *name, const char *dir, struct files *f, struct moe_err *e)
{
	struct archive_entry *x;
	bool first = true;
	int rc;

	/* a warning tells of a name that the locale can not show */
	while ((rc = archive_read_next_header(a, &x)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
		const char *stored = stored_name(x, f);
		struct file *file = stored ? find(f, stored) : NULL;

		if (first && (!stored || strcmp(stored, MOE_BUNDLE_MANIFEST) != 0))
			return moe_fail(e, MOE_DATA, "%s: not a bundle: it does not begin with %s",
				name, MOE_BUNDLE_MANIFEST);
		if (first ? read_manifest(a, name, f, e) : 0)
			return -1;
		if (!first && (!file || file->seen || archive_entry_filetype(x) != AE_IFREG))
			return moe_fail(e, MOE_DATA,
				"%s: holds something that its manifest does not name", name);
		if (!first && archive_entry_size(x) != file->bytes)
			return moe_fail(e, MOE_DATA,
				"%s: %s: its size is not the manifest's %lld bytes", name,
				file->stored, file->bytes);
		if (!first &&
			(dir ? take_file(a, dir, f, file, e)
			     : compare(a, -1, file->stored, file, e)))
			return dir ? -1 : moe_err_prefix(e, "%s", name);
		if (!first)
			file->seen = true;
		first = false;
	}
	if (rc != ARCHIVE_EOF)
		return fail_archive(a, name, MOE_DATA, e);
	if (first)
		return moe_fail(e, MOE_DATA, "%s: empty", name);
	for (size_t i = 0; i < f->n; i++)
		if (!f->v[i].seen)
			return moe_fail(e, MOE_DATA, "%s: %s is missing", name, f->v[i].stored);
	return 0;
}

static struct archive *open_bundle(int fd, const char *name, struct moe_err *e)
{
	struct archive *a = archive_read_new();

	if (a && !archive_read_support_filter_zstd(a) && !archive_read_support_format_tar(a) &&
		!archive_read_support_format_empty(a) &&
		!archive_read_set_format_option(a, "tar", "read_concatenated_archives", "1") &&
		!archive_read_open_fd(a, fd, BLOCK))
		return a; /* concatenated: so that what is behind a bundle is seen, and refused */
	if (a)
		fail_archive(a, name, MOE_DATA, e);
	else
		moe_fail(e, MOE_SYSTEM, "out of memory for an archive");
	moe_err_prefix(e, "not a whole bundle (.tar.zst)");
	archive_read_free(a);
	return NULL;
}

int moe_bundle_unpack(int fd, const char *name, const char *dir, size_t *files, struct moe_err *e)
{
	struct archive *a = open_bundle(fd, name, e);
	struct files f = { 0 };
	bool made;
	int rc = -1;

	*files = 0;
	if (!a)
		return -1;
	made = mkdir(dir, 0777) == 0;
	if (!made && errno != EEXIST)
		moe_fail_errno(e, "%s: the folder can not be made", dir);
	else
		rc = unpack(a, name, dir, &f, e) || publish(dir, &f, e) ? -1 : 0;
	if (rc)
		take_back(&f);
	if (rc && made)
		rmdir(dir); /* nothing came into it, unless placing failed */
	*files = f.n;
	archive_read_free(a);
	files_free(&f);
	return rc;
}

bool moe_bundle_is(int fd)
{
	struct archive *a = open_bundle(fd, "", NULL);
	struct archive_entry *x;
	const char *path = NULL;
	int rc = a ? archive_read_next_header(a, &x) : ARCHIVE_FATAL;
	bool is;

	if (rc == ARCHIVE_OK || rc == ARCHIVE_WARN)
		path = archive_entry_pathname(x);
	is = path && !strcmp(path, MOE_BUNDLE_MANIFEST);
	archive_read_free(a);
	return is;
}

int moe_bundle_check(int fd, const char *name, size_t *files, struct moe_err *e)
{
	struct archive *a = open_bundle(fd, name, e);
	struct files f = { 0 };
	int rc = a ? unpack(a, name, NULL, &f, e) : -1;

	*files = f.n;
	archive_read_free(a);
	files_free(&f);
	return rc;
}
