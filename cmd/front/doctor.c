/* doctor.c - `moe doctor`: what this machine has, and the whole pipeline once, very small. It
 * measures nothing: make bench does. */
#define _DEFAULT_SOURCE
#include "cmd/front/front.h"
#include "cmd/opt.h"
#include "env/box.h"
#include "formats/libs.h"
#include "tensor/gemm.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void print_processor(void)
{
	char line[256], name[128] = "unknown";
	FILE *f = fopen("/proc/cpuinfo", "r");
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "model name : %127[^\n]", name) == 1)
			break;
	if (f)
		fclose(f);
	printf("processor    %s, %ld cores, %.1f GiB of memory\n", name,
		sysconf(_SC_NPROCESSORS_ONLN), (double)pages * (double)size / (1 << 30));
	printf("kernels      %s\n", moe_gemm_describe());
}

/* What graders of the user's are started in. */
static void print_isolation(void)
{
	struct moe_box_opts o = { .command = "true" };
	struct moe_box_how how;
	struct moe_err e;

	if (moe_box_probe(&o, &how, &e))
		printf("isolation    none: %s\n", e.msg);
	else
		printf("isolation    %s%s\n", moe_box_name(how.kind),
			how.kind == MOE_BOX_PLAIN
				? ": install bubblewrap, or allow user namespaces, before you "
				  "grade what a model wrote with a program of your own"
				: "");
}

static int print_programs(void)
{
	static const char *const names[] = { "prompts", "pairs", "base", "pin", "rollout", "grade",
		"route", "train", "ablate", "report", "cat" };
	char path[PATH_MAX], name[32], missing[256] = "";
	size_t n = sizeof(names) / sizeof(*names), found = 0;

	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "moe-%s", names[i]);
		if (moe_front_beside(name, path, sizeof(path)))
			found++;
		else
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing),
				" %s", name);
	}
	printf("programs     %zu of %zu beside this one%s%s\n", found, n,
		*missing ? "; missing:" : "", missing);
	return found == n ? MOE_OK : MOE_NEGATIVE;
}

/* Helpers that are found in PATH, and what lacks without them. */
static void print_helpers(void)
{
	static const char *const helper[][2] = { { "gnuplot", "plots of moe-report" },
		{ "bwrap", "the strongest box of moe-grade --exec" },
		{ "jq", "the filters of the pages' examples" },
		{ "make", "experiments as files that resume" } };
	const char *path = getenv("PATH");

	for (size_t i = 0; i < sizeof(helper) / sizeof(*helper); i++) {
		bool found = false;

		for (const char *p = path; p && *p && !found; p += strspn(p, ":")) {
			size_t n = strcspn(p, ":");
			char file[PATH_MAX];

			snprintf(file, sizeof(file), "%.*s/%s", (int)n, p, helper[i][0]);
			found = access(file, X_OK) == 0;
			p += n;
		}
		printf("%s%-8s %s: %s\n", i ? "             " : "helpers      ", helper[i][0],
			found ? "found" : "not found", helper[i][1]);
	}
}

/* $1 is a temporary folder that holds env.lua; the programs are first in PATH. Two trainings on one
 * recording must agree to the last bit. */
static const char self_test[] =
	"set -e; cd \"$1\"; q='moe-'\n"
	"${q}base -q --new tiny --seed 1 -o base\n"
	"${q}prompts -q -e env.lua --texts -n 200 --seed 1 | ${q}base -q --pretrain -m base -o b\n"
	"${q}pairs -q -e env.lua -n 8 --modes phrase -o pins.moes\n"
	"${q}pin -q -m b --method logistic -o a0.moes <pins.moes\n"
	"${q}prompts -q -e env.lua --split train -n 8 | ${q}rollout -q -m b -a a0.moes --group 4 "
	"--per-step 4 --max-new 8 | ${q}grade -q -e env.lua | ${q}route -q -m b -a a0.moes -o "
	"run.moes\n"
	"${q}train -q -m b -a a0.moes -o a1.moes run.moes 2>/dev/null\n"
	"${q}train -q -j 2 -m b -a a0.moes -o a2.moes run.moes 2>/dev/null\n"
	"d() { ${q}cat --json \"$1\" | grep -o '\"digest\":\"[0-9a-f]*\"' | tail -n 1; }\n"
	"test -n \"$(d a1.moes)\" && test \"$(d a1.moes)\" = \"$(d a2.moes)\"\n"
	"${q}ablate -q --arms on,quarantine-off -o arms.moes a1.moes\n"
	"${q}prompts -q -e env.lua --split test -n 8 | ${q}rollout -q -m b -a arms.moes --max-new "
	"8 | "
	"${q}grade -q -e env.lua -o eval.moes\n"
	"${q}cat --check -q eval.moes\n";

/* The folder of this program goes to the front of PATH, so that the test is of these programs. */
static void put_path(void)
{
	char beside[PATH_MAX], path[2 * PATH_MAX];
	const char *old = getenv("PATH");

	if (!moe_front_beside("moe-cat", beside, sizeof(beside)))
		return;
	*strrchr(beside, '/') = 0;
	snprintf(path, sizeof(path), "%s:%s", beside, old ? old : "/usr/bin:/bin");
	setenv("PATH", path, 1);
}

static int run_shell(const char *script, const char *dir)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", script, "self-test", dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	return status;
}

static int run_self_test(void)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX], file[PATH_MAX + 16];
	double start = moe_clock_sec();
	struct moe_out out;
	int status;

	snprintf(dir, sizeof(dir), "%s/moe-doctor.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir)) {
		printf("self-test    failed: %s cannot be made\n", dir);
		return MOE_NEGATIVE;
	}
	snprintf(file, sizeof(file), "%s/env.lua", dir);
	moe_out_text(&out, file);
	moe_out_write(&out, moe_skeleton_env, (size_t)(moe_skeleton_env_end - moe_skeleton_env));
	moe_out_finish(&out);
	put_path();
	status = run_shell(self_test, dir);
	if (status == 0)
		printf("self-test    ok: prompts to evaluation in %.1f s; two trainings gave the "
		       "same digest\n",
			moe_clock_sec() - start);
	else
		printf("self-test    failed: the messages are above; its folder is %s\n", dir);
	if (status == 0)
		run_shell("rm -rf \"$1\"", dir);
	return status == 0 ? MOE_OK : MOE_NEGATIVE;
}

int moe_front_doctor(void)
{
	char libs[256];
	int programs, test;

	moe_formats_libs(libs, sizeof(libs));
	print_processor();
	printf("libraries    %s\n", libs);
	print_isolation();
	programs = print_programs();
	print_helpers();
	fflush(stdout);
	test = programs == MOE_OK ? run_self_test() : MOE_NEGATIVE;
	return programs == MOE_OK && test == MOE_OK ? MOE_OK : MOE_NEGATIVE;
}
