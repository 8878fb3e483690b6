/* moe.c - the front program: `moe pin ...` is moe-pin, `moe new` writes a skeleton experiment, `moe
 * doctor` says what this machine has. It does no work of an experiment itself. */
#include "cmd/front/front.h"
#include "env/box.h"
#include "cmd/opt.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct moe_opt options[] = { { 0 } };

static const struct moe_prog prog = {
	.name = "moe",
	.purpose = "experiments on ablatable experts: one door to all programs\n"
		   "\n"
		   "  moe new DIR        a skeleton experiment: environment, Makefile, conditions\n"
		   "  moe doctor         processor, kernels, libraries, isolation, a self-test\n"
		   "  moe prompts ...    tasks from an environment script, JSONL or an archive\n"
		   "  moe pairs ...      hand-written or environment-written (hack, clean) pairs\n"
		   "  moe base ...       make, pretrain, check, score or describe a base model\n"
		   "  moe pin ...        lay out the experts and fit their router to the pairs\n"
		   "  moe rollout ...    sample completions, one pass per arm\n"
		   "  moe grade ...      run the environment's graders in a sandbox\n"
		   "  moe route ...      annotate rollouts with a routing decision\n"
		   "  moe train ...      GRPO on the experts\n"
		   "  moe ablate ...     one adapter to the arms to compare\n"
		   "  moe report ...     matched-ablation verdict, audit, tables, plots\n"
		   "  moe cat ...        look into, check, convert, pack and unpack any stream\n"
		   "\n"
		   "moe NAME --help explains each; moe help NAME shows its page.",
	.usage = "NAME [options] [operands]\nnew DIR\ndoctor\nhelp [NAME]",
	.opt = options,
	.examples = "moe new mine && make -C mine",
	.see_also = "moe(7), moe-env(5), moe-method(7)",
	.min_operands = 1,
	.max_operands = -1,
};

/* Runs moe-NAME, the one beside this program before any other of that name. Returns only if there
 * is none. */
static void run_program(const char *name, char **argv)
{
	char path[PATH_MAX], other[NAME_MAX];

	if (strlen(name) > 32 || strchr(name, '/'))
		return;
	snprintf(other, sizeof(other), "moe-%s", name);
	if (moe_front_beside(other, path, sizeof(path))) {
		argv[0] = path;
		execv(path, argv);
	}
	argv[0] = other;
	execvp(other, argv);
}

/* `moe help NAME`: the page, where man finds it. */
static int show_page(const char *name)
{
	char page[64];
	struct moe_err e;

	snprintf(page, sizeof(page), "%s%.40s", !strcmp(name, "moe") ? "" : "moe-", name);
	execlp("man", "man", page, (char *)NULL);
	moe_fail(&e, MOE_SYSTEM, "man cannot be run: %s; moe %s --help says the essentials",
		strerror(errno), name);
	moe_die(&e);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	int first;

	moe_box_guard(argc, argv); /* never comes back in a box that `moe doctor' tries */
	/* another program's options are its own: nothing of them is looked at here */
	if (name && *name != '-' && strcmp(name, "new") != 0 && strcmp(name, "doctor") != 0 &&
		strcmp(name, "help") != 0) {
		char self[] = "moe";

		run_program(name, argv + 1);
		argv[0] = self;
		moe_main_begin(1 + 1, (char *[]){ self, argv[1], NULL }, &prog);
		moe_usage_error("'%.40s' is not a program: moe --help lists them", name);
	}
	first = moe_main_begin(argc, argv, &prog);
	name = argv[first];
	if (!strcmp(name, "help"))
		return show_page(first + 1 < argc ? argv[first + 1] : "moe");
	if (!strcmp(name, "doctor")) {
		if (first + 1 < argc)
			moe_usage_error("doctor takes no operand");
		return moe_main_end(moe_front_doctor());
	}
	if (first + 2 != argc)
		moe_usage_error("new takes one operand, the folder to make");
	return moe_main_end(moe_front_new(argv[first + 1]));
}
