/* convert.c - the conversions of moe-cat that read or write other formats: files are opened here,
 * the work is in formats/. */
#include "cmd/convert.h"
#include "formats/bundle.h"
#include "formats/jsonl.h"
#include "inspect/st_bridge.h"
#include "util/text.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *moe_convert_display(const char *path)
{
	return !path || !strcmp(path, "-") ? "standard input" : path;
}

struct moe_reader *moe_convert_open(
	const char *path, bool truncated, bool others, struct moe_err *e)
{
	struct moe_reader_opts o = {
		.max_mem = moe_common.max_mem, .allow_truncated = truncated, .others = others
	};

	moe_in_allowed(path);
	return moe_reader_open_path(path ? path : "-", &o, e);
}

/* Streams of other kinds are streams as well, but none of our programs reads them: most likely the
 * name is misspelt. */
static void warn_kind(const char *kind)
{
	static const char *const known[] = { "texts", "prompts", "pairs", "rollouts", "adapter",
		"metrics", "scores", "routes", "tensors" };
	static bool warned;
	char all[128] = "";

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		size_t n = strlen(all);

		if (!strcmp(kind, known[i]))
			return;
		snprintf(all + n, sizeof(all) - n, "%s%s", n ? ", " : "", known[i]);
	}
	if (!warned)
		moe_warn("no program reads streams of kind %s: the kinds are %s", kind, all);
	warned = true;
}

void moe_convert_from_json(const char *path, const char *kind, bool unbuffered, struct moe_out *out)
{
	struct moe_jsonl_opts o = { .kind = kind,
		.tool = moe_common.prog->name,
		.argv = (const char *const *)moe_common.argv,
		.argc = moe_common.argc,
		.seed = moe_common.seed,
		.name = out->path ? out->path : "standard output",
		.unbuffered = unbuffered,
		.max_mem = moe_common.max_mem };
	struct moe_input *in;
	struct moe_err e;
	bool headless;

	if (kind)
		warn_kind(kind);
	moe_in_allowed(path);
	in = moe_input_open(path ? path : "-", &e);
	if (!in || moe_jsonl_to_stream(in, out->fd, &o, &headless, &e))
		moe_die(&e);
	if (headless)
		moe_warn(
			"%s: no header line, so whether sealed labels have touched these %s is not "
			"known: the stream says `unknown'; moe-cat --json writes the header that "
			"knows",
			moe_convert_display(path), kind);
	moe_input_close(in);
}

void moe_convert_to_safetensors(const char *path, struct moe_out *out)
{
	struct moe_reader *r = NULL;
	struct moe_err e;
	int spool = moe_temp_spool(out->temp.name ? out->path : NULL,
		&e); /* beside the file to come: there must be room for it anyway */

	if (spool < 0 || !(r = moe_convert_open(path, false, false, &e)) ||
		moe_stream_to_safetensors(r, out->fd, out->path, spool, &e))
		moe_die(&e);
	moe_reader_close(r);
	close(spool);
}

void moe_convert_from_safetensors(const char *path, struct moe_out *out)
{
	struct moe_writer_opts o = { .kind = "tensors",
		.tool = moe_common.prog->name,
		.argv = (const char *const *)moe_common.argv,
		.argc = moe_common.argc,
		.seed = moe_common.seed };
	struct moe_err e;

	if (!path || !strcmp(path, "-"))
		moe_usage_error("--from-safetensors needs a file, since it is mapped into memory");
	if (moe_safetensors_to_stream(
		    path, out->fd, out->path ? out->path : "standard output", &o, &e))
		moe_die(&e);
}

void moe_convert_unpack(const char *path, const char *dir)
{
	struct moe_err e;
	size_t files;
	int fd = 0;

	moe_in_allowed(path);
	if (path && strcmp(path, "-") != 0 && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
		moe_fail_errno(&e, "%s: can not be opened", path);
		moe_die(&e);
	}
	if (moe_bundle_unpack(fd, moe_convert_display(path), dir, &files, &e))
		moe_die(&e);
	moe_info("%zu file%s unpacked, digests right", files, moe_s(files));
	if (fd)
		close(fd);
}

int moe_convert_check_bundle(struct moe_show *o, const char *path, struct moe_err *e)
{
	const char *name = moe_convert_display(path);
	struct stat st;
	size_t files;
	int fd = path && strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode)
		? open(path, O_RDONLY | O_CLOEXEC)
		: -1,
	    rc = 0;

	if (fd >= 0 && moe_bundle_is(fd))
		rc = lseek(fd, 0, SEEK_SET) || moe_bundle_check(fd, name, &files, e) ||
				moe_text_escape(&o->out, name, strlen(name), false, e) ||
				moe_buf_addf(&o->out, e,
					": ok: bundle of %zu files, as its manifest says\n",
					files) ||
				moe_show_flush(o, e)
			? -1
			: 0;
	if (fd >= 0)
		close(fd);
	return rc;
}
