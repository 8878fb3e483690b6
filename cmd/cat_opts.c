/* cat_opts.c - moe-cat's option table, and which options go together. */
#include "cmd/cat_opts.h"

#include <string.h>

struct cat_args cat_args = { .limit = -1 };

const struct moe_opt cat_options[] = { { 0, NULL, MOE_OPT_HEAD, NULL, NULL,
					       "What to do (default: a summary)", NULL, 0, 0 },
	{ 0, "head", MOE_OPT_FLAG, &cat_args.head, NULL,
		"show the first records (-n, default 3) for people", NULL, 0, 0 },
	{ 0, "samples", MOE_OPT_FLAG, &cat_args.samples, NULL,
		"rollouts to read, by arm and mode (-n of each [2])", NULL, 0, 0 },
	{ 0, "completions", MOE_OPT_FLAG, &cat_args.completions, NULL,
		"rollouts by step, with advantages of the metrics", NULL, 0, 0 },
	{ 0, "html", MOE_OPT_FLAG, &cat_args.html, NULL, "with --completions: a page with filters",
		NULL, 0, 0 },
	{ 0, "metrics", MOE_OPT_STR, &cat_args.metrics, "FORM",
		"metrics as csv, wandb (JSON Lines) or tensorboard", NULL, 0, 0 },
	{ 0, "watch", MOE_OPT_FLAG, &cat_args.watch, NULL,
		"follow metrics of runs to their ends (-n: steps)", NULL, 0, 0 },
	{ 0, "json", MOE_OPT_FLAG, &cat_args.json, NULL, "write JSON Lines", NULL, 0, 0 },
	{ 0, "values", MOE_OPT_FLAG, &cat_args.values, NULL,
		"with --json: tensors as numbers, with no way back", NULL, 0, 0 },
	{ 0, "from-json", MOE_OPT_FLAG, &cat_args.from_json, NULL,
		"JSON Lines (of --json, or any with -k) to a stream", NULL, 0, 0 },
	{ 0, "check", MOE_OPT_FLAG, &cat_args.check, NULL,
		"verify counts and checksums of all; a line per file", NULL, 0, 0 },
	{ 0, "lineage", MOE_OPT_FLAG, &cat_args.lineage, NULL,
		"with --check: exit 1 unless every input that a stream names, stream or not, is "
		"among the files",
		NULL, 0, 0 },
	{ 's', "stream", MOE_OPT_FLAG, &cat_args.stream, NULL,
		"write a stream: the inputs, filtered and joined", NULL, 0, 0 },
	{ 0, "numpy", MOE_OPT_FLAG, &cat_args.numpy, NULL,
		"records as MessagePack, tensors as msgpack-numpy's", NULL, 0, 0 },
	{ 0, "safetensors", MOE_OPT_FLAG, &cat_args.to_st, NULL,
		"tensors of one input, all else as metadata, to -o", NULL, 0, 0 },
	{ 0, "from-safetensors", MOE_OPT_FLAG, &cat_args.from_st, NULL,
		"turn a safetensors file into a stream", NULL, 0, 0 },
	{ 0, "peft", MOE_OPT_STR, &cat_args.peft, "DIR",
		"write an adapter's experts as PEFT directories", NULL, 0, 0 },
	{ 0, "from-peft", MOE_OPT_STR, &cat_args.from_peft, "DIR",
		"PEFT directory to an adapter of one expert (with -m)", NULL, 0, 0 },
	{ 0, "gguf-lora", MOE_OPT_FLAG, &cat_args.gguf_lora, NULL,
		"an adapter's first arm as a LoRA of llama.cpp, to -o (with -m)", NULL, 0, 0 },
	{ 0, "pack", MOE_OPT_FLAG, &cat_args.pack, NULL, "pack files and folders into one .tar.zst",
		NULL, 0, 0 },
	{ 0, "unpack", MOE_OPT_STR, &cat_args.unpack, "DIR",
		"unpack such a bundle into DIR, verifying digests", NULL, 0, 0 },
	{ 0, NULL, MOE_OPT_HEAD, NULL, NULL, "Which records", NULL, 0, 0 },
	{ 'k', "kind", MOE_OPT_STR, &cat_args.kind, "KIND",
		"only segments of this kind; with --from-json: the kind of lines without a header",
		NULL, 0, 0 },
	{ 'w', "where", MOE_OPT_LIST, &cat_args.where, "KEY=VALUE",
		"only records of which this holds (also != < <= > >=; dots reach into maps); may "
		"be repeated",
		NULL, 0, 0 },
	{ 'n', "limit", MOE_OPT_INT, &cat_args.limit, "N", "at most N records", "all", 0, 9e18 },
	{ 0, NULL, MOE_OPT_HEAD, NULL, NULL, "How", NULL, 0, 0 },
	{ 'u', "unbuffered", MOE_OPT_FLAG, &cat_args.unbuffered, NULL, "write after every record",
		NULL, 0, 0 },
	{ 'm', "base", MOE_OPT_STR, &cat_args.base, "DIR",
		"the base model: read for --from-peft and --gguf-lora, named in the configurations "
		"by --peft",
		NULL, 0, 0 },
	{ 0, "bank", MOE_OPT_STR, &cat_args.bank, "BANK",
		"with --from-peft: shared, clean, quarantine", "clean", 0, 0 },
	{ 0, "allow-truncated", MOE_OPT_FLAG, &cat_args.truncated, NULL,
		"take a missing end for the end", NULL, 0, 0 },
	{ 0 } };

void cat_check_options(bool operands)
{
	int tasks = cat_args.head + cat_args.samples + cat_args.json + cat_args.check +
		cat_args.completions + (cat_args.metrics != NULL) + cat_args.watch +
		cat_args.stream + cat_args.from_json + cat_args.numpy + cat_args.to_st +
		cat_args.from_st + cat_args.pack + (cat_args.unpack != NULL) +
		(cat_args.peft != NULL) + (cat_args.from_peft != NULL) + cat_args.gguf_lora;
	bool records = cat_args.head || cat_args.samples || cat_args.json || cat_args.stream ||
		cat_args.numpy || cat_args.completions || cat_args.metrics;

	if (tasks > 1)
		moe_usage_error("only one of the options that say what to do");
	if (cat_args.from_peft && operands)
		moe_usage_error("--from-peft takes no operand");
	if (cat_args.lineage && !cat_args.check)
		moe_usage_error("--lineage goes with --check");
	if (cat_args.values && !cat_args.json)
		moe_usage_error("--values goes with --json");
	if (cat_args.html && !cat_args.completions)
		moe_usage_error("--html goes with --completions");
	if (cat_args.watch && !operands)
		moe_usage_error("--watch needs the files of metrics");
	if ((cat_args.where.n && tasks && !records) ||
		(cat_args.kind && tasks && !records && !cat_args.from_json))
		moe_usage_error("--kind and --where choose what is shown, or written by --json, "
				"--metrics, --stream and --numpy");
	if (cat_args.limit >= 0 && !cat_args.watch && (!records || cat_args.metrics))
		moe_usage_error("--limit goes with --head, --samples, --completions, --watch, "
				"--json, --stream and --numpy");
	if (cat_args.truncated && tasks && !records && !cat_args.check)
		moe_usage_error(
			"--allow-truncated is for looking, --check, --json, --stream and --numpy");
	if ((cat_args.base && !cat_args.peft && !cat_args.from_peft && !cat_args.gguf_lora) ||
		(cat_args.bank && !cat_args.from_peft))
		moe_usage_error("--base goes with --peft, --from-peft and --gguf-lora, --bank with "
				"--from-peft");
	if (cat_args.gguf_lora && !cat_args.base)
		moe_usage_error("--gguf-lora needs the base model: name its directory with -m");
	if (moe_common.output && (cat_args.peft || cat_args.unpack))
		moe_usage_error("--peft and --unpack write into their own folder, not to -o");
	if (cat_args.to_st && (!moe_common.output || !strcmp(moe_common.output, "-")))
		moe_usage_error("--safetensors needs a file: name it with -o");
}
