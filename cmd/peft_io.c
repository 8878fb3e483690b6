/* peft_io.c - opens what moe-cat --peft, --from-peft and --gguf-lora read and write; the work is in
 * lib/moe/peft.c and gguf_lora.c. */
#include "cmd/peft_io.h"
#include "cmd/opt.h"
#include "formats/file.h"
#include "model/load.h"
#include "model/model.h"
#include "moe/gguf_lora.h"
#include "moe/method.h"
#include "moe/peft.h"
#include "util/digest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first arm of a stream, which is read to its end: its labels are known only there. */
static enum moe_labels read_arm(const char *in, struct moe_adapter *a)
{
	struct moe_reader *r = moe_in_open(in, "adapter");
	enum moe_labels labels;
	struct moe_err e;
	int got = moe_adapter_read(r, false, a, &e);

	if (got == 0)
		moe_fail(&e, MOE_DATA, "the stream holds no adapter");
	if (got != 1)
		moe_die(&e);
	moe_in_rest(r);
	labels = moe_reader_labels(r);
	moe_reader_close(r);
	return labels;
}

void moe_peft_out(const char *in, const char *base, const char *dir)
{
	struct moe_adapter a = { 0 };
	enum moe_labels labels = read_arm(in, &a);
	struct moe_err e;

	if (moe_adapter_to_peft(&a, base, labels, dir, &e))
		moe_die(&e);
	moe_info("%s: %d expert%s of arm %s", dir, a.x.E, moe_s((uint64_t)a.x.E), a.arm);
	moe_adapter_free(&a);
}

void moe_gguf_lora_out(const char *in, const char *base, struct moe_out *out)
{
	struct moe_adapter a = { 0 };
	enum moe_labels labels = read_arm(in, &a);
	struct moe_config c = { 0 };
	struct moe_buf file = { 0 };
	struct moe_err e;
	char *path = moe_path_join(base, "config.json", &e);

	if (!path || moe_config_read(path, &c, &e) ||
		moe_adapter_to_gguf(&a, &c, labels, &file, &e))
		moe_die(&e);
	moe_out_write(out, file.data, file.len);
	moe_buf_free(&file);
	moe_adapter_free(&a);
	free(path);
}

static enum moe_bank parse_bank(const char *name)
{
	for (int i = 0; i < MOE_BANKS; i++)
		if (!strcmp(name, moe_bank_names[i]))
			return (enum moe_bank)i;
	moe_usage_error("'%s' is not a bank: shared, clean, quarantine", name);
}

/* A file that is no stream, as one of the output's inputs. */
static void name_input(struct moe_writer *w, const char *dir, const char *name)
{
	char hex[MOE_SHA256_HEX], *path;
	struct moe_err e;
	int fd;

	if (!(path = moe_path_join(dir, name, &e)))
		moe_die(&e);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && (moe_sha256_of_fd(fd, path, hex, &e) || moe_writer_from(w, hex, &e)))
		moe_die(&e);
	if (fd >= 0) /* a large adapter may be in shards instead */
		close(fd);
	free(path);
}

void moe_peft_in(const char *dir, const char *base, const char *bank)
{
	enum moe_bank b = parse_bank(bank);
	struct moe_peft_origin from;
	struct moe_adapter a = { 0 };
	struct moe_model m;
	struct moe_out out;
	struct moe_err e;

	if (!base)
		moe_usage_error("--from-peft needs the base model: name its directory with -m");
	moe_out_stream(&out, "adapter", MOE_LABELS_NONE, NULL);
	if (moe_model_load(&m, base, &e) ||
		moe_experts_from_peft(&a.x, &m.config, dir, b, bank, &from, &e))
		moe_die(&e);
	if (!from.told)
		moe_warn("%s: does not tell which labels it has seen: taken as none", dir);
	if (from.base[0] && strcmp(from.base, m.digest) != 0)
		moe_warn("%s: was made for another base than %s; only their shapes agree", dir,
			base);
	moe_writer_raise(out.w, from.labels);
	name_input(out.w, dir, "adapter_config.json");
	name_input(out.w, dir, "adapter_model.safetensors");
	snprintf(a.arm, sizeof(a.arm), "on");
	snprintf(a.method, sizeof(a.method), moe_method_plain()->name);
	snprintf(a.base, sizeof(a.base), "%s", m.digest);
	moe_decision_table_ones(&a.plan);
	if (moe_lineage_add(&a, NULL, NULL, moe_common.argc, moe_common.argv, &e) ||
		moe_adapter_write(out.w, &a, &e))
		moe_die(&e);
	moe_out_finish(&out);
	moe_adapter_free(&a);
	moe_model_free(&m);
}
