/* opt.c - parsing, --help and the other views of a program's option table. Messages, input and
 * output are in io.c. */
#include "cmd/opt.h"
#include "cmd/version.h"
#include "tensor/gemm.h"
#include "util/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct moe_common moe_common;

enum { CODE_HELP = 1000, CODE_VERSION, CODE_PRINT, CODE_QUIET, CODE_VERBOSE, CODE_OPTION };

static int64_t seed = 1, threads;
static const char *kernels;

/* The options of every program. A program's own option of the same letter or name takes its place.
 */
static const struct moe_opt common[] = { { 0, NULL, MOE_OPT_HEAD, NULL, NULL, "Common options",
						 NULL, 0, 0 },
	{ 'o', "output", MOE_OPT_STR, &moe_common.output, "FILE",
		"write to FILE, replacing it only on success", "standard output", 0, 0 },
	{ 'f', "force", MOE_OPT_FLAG, &moe_common.force, NULL,
		"write binary data even to a terminal", NULL, 0, 0 },
	{ 0, "seed", MOE_OPT_INT, &seed, "N", "seed of every random draw", "1", 0, 9.2e18 },
	{ 'j', "threads", MOE_OPT_INT, &threads, "N", "threads; the result does not depend on it",
		"cores available", 1, 1024 },
	{ 0, "kernels", MOE_OPT_STR, &kernels, "WHICH",
		"portable: the same bits on every processor; native: BLIS", "portable", 0, 0 },
	{ 0, "max-mem", MOE_OPT_SIZE, &moe_common.max_mem, "BYTES",
		"memory that one record of an input may take (K, M, G)", "256M", 65536, 1e15 },
	{ 'q', "quiet", MOE_OPT_FLAG, NULL, NULL, "only warnings and errors on standard error",
		NULL, 0, 0 },
	{ 'v', "verbose", MOE_OPT_FLAG, NULL, NULL, "say more on standard error; may be repeated",
		NULL, 0, 0 },
	{ 'h', "help", MOE_OPT_FLAG, NULL, NULL, "print this help", NULL, 0, 0 },
	{ 'V', "version", MOE_OPT_FLAG, NULL, NULL, "print version and libraries", NULL, 0, 0 },
	{ 0, "print-options", MOE_OPT_STR, NULL, "FORM",
		"print the options as tsv, mdoc, bash, zsh or fish", NULL, 0, 0 },
	{ 0 } };

/* A table ends with {0}; headings have a text (help) and no name. */
static bool more(const struct moe_opt *o)
{
	return o->name || o->type == MOE_OPT_HEAD;
}

/* All options that count, the program's first. */
struct table {
	const struct moe_opt **v;
	size_t n;
};

static const struct moe_opt *own_option(const struct moe_prog *prog, const struct moe_opt *c)
{
	for (const struct moe_opt *o = prog->opt; more(o); o++)
		if (o->type != MOE_OPT_HEAD &&
			((c->letter && o->letter == c->letter) || !strcmp(o->name, c->name)))
			return o;
	return NULL;
}

static struct table table_of(const struct moe_prog *prog)
{
	struct table t = { NULL, 0 };
	size_t n = sizeof(common) / sizeof(*common);

	for (const struct moe_opt *o = prog->opt; more(o); o++)
		n++;
	t.v = calloc(n, sizeof(*t.v));
	if (!t.v)
		moe_die(&(struct moe_err){
			.code = MOE_SYSTEM, .msg = "out of memory for the options" });
	for (const struct moe_opt *o = prog->opt; more(o); o++)
		t.v[t.n++] = o;
	for (const struct moe_opt *o = common; more(o); o++)
		if (o->type == MOE_OPT_HEAD || !own_option(prog, o))
			t.v[t.n++] = o;
	return t;
}

/* ---- values ---- */

static void bad_value(const struct moe_opt *o, const char *text, const char *expected)
{
	moe_usage_error("--%s: \"%s\" is not %s", o->name, text, expected);
}

static void check_range(const struct moe_opt *o, const char *text, double v)
{
	char want[96];

	if (o->max <= o->min || (v >= o->min && v <= o->max))
		return;
	snprintf(want, sizeof(want), "between %g and %g", o->min, o->max);
	bad_value(o, text, want);
}

/* A number with an optional suffix, each step of which is `base`. */
static int64_t integer(
	const struct moe_opt *o, const char *text, int64_t base, const char *expected)
{
	static const char steps[] = "KMGT";
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (end == text || errno || (*end && end[1]))
		bad_value(o, text, expected);
	if (*end) {
		const char *s = strchr(steps, *end == 'k' ? 'K' : *end);

		if (!s)
			bad_value(o, text, expected);
		for (long i = s - steps; i >= 0; i--)
			if (__builtin_mul_overflow(v, base, &v))
				bad_value(o, text, expected);
	}
	check_range(o, text, (double)v);
	return v;
}

static void store(const struct moe_opt *o, const char *text)
{
	struct moe_opt_list *list;
	const char **grown;
	double f;
	char *end;

	switch (o->type) {
	case MOE_OPT_FLAG:
		*(bool *)o->var = true;
		break;
	case MOE_OPT_STR:
		*(const char **)o->var = text;
		break;
	case MOE_OPT_INT:
		*(int64_t *)o->var = integer(o, text, 1000, "an integer (suffixes k, M, G)");
		break;
	case MOE_OPT_SIZE: {
		int64_t v = integer(o, text, 1024, "a number of bytes (suffixes K, M, G)");

		if (v < 0)
			bad_value(o, text, "a number of bytes (suffixes K, M, G)");
		*(size_t *)o->var = (size_t)v;
		break;
	}
	case MOE_OPT_F64:
		f = strtod(text, &end);
		if (end == text || *end || !isfinite(f))
			bad_value(o, text, "a finite number");
		check_range(o, text, f);
		*(double *)o->var = f;
		break;
	case MOE_OPT_LIST:
		list = o->var;
		grown = realloc(list->v, (list->n + 1) * sizeof(*list->v));
		if (!grown)
			moe_die(&(struct moe_err){
				.code = MOE_SYSTEM, .msg = "out of memory for the options" });
		list->v = grown;
		list->v[list->n++] = text;
		break;
	case MOE_OPT_HEAD:
		break;
	}
}

/* ---- help ---- */

static void wrapped(const char *text, size_t indent, size_t column)
{
	while (*text) {
		size_t n = strcspn(text, " ");

		if (column + 1 + n > 79 && column > indent) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			putchar(' ');
			column++;
		}
		printf("%.*s", (int)n, text);
		column += n;
		text += n;
		while (*text == ' ')
			text++;
	}
	putchar('\n');
}

static void help_option(const struct moe_opt *o)
{
	const size_t indent = 27;
	char left[96], right[512];

	if (o->type == MOE_OPT_HEAD) {
		printf("%s:\n", o->help);
		return;
	}
	if (o->letter)
		snprintf(left, sizeof(left), "  -%c, --%s%s%s", o->letter, o->name,
			o->arg ? "=" : "", o->arg ? o->arg : "");
	else
		snprintf(left, sizeof(left), "      --%s%s%s", o->name, o->arg ? "=" : "",
			o->arg ? o->arg : "");
	snprintf(right, sizeof(right), "%s%s%s%s", o->help, o->def ? " [" : "",
		o->def ? o->def : "", o->def ? "]" : "");
	printf("%s", left);
	if (strlen(left) + 1 > indent)
		printf("\n%*s", (int)indent, "");
	else
		printf("%*s", (int)(indent - strlen(left)), "");
	wrapped(right, indent, indent);
}

/* The options of every program in a few lines, so that help fits a screen; moe(7) and each man page
 * explain them. */
static void help_common(const struct table *t, size_t first)
{
	char text[512] = "";

	for (size_t i = first; i < t->n; i++) {
		size_t n = strlen(text);

		snprintf(text + n, sizeof(text) - n, "%s%s%s", n ? ", " : "",
			t->v[i]->letter ? (char[]){ '-', t->v[i]->letter, '/', 0 } : "", "--");
		n = strlen(text);
		snprintf(text + n, sizeof(text) - n, "%s%s%s", t->v[i]->name,
			t->v[i]->arg ? " " : "", t->v[i]->arg ? t->v[i]->arg : "");
	}
	wrapped(text, 2,
		(size_t)printf("%s, see moe(7); defaults are in brackets:", common[0].help));
}

static void help(const struct moe_prog *prog, const struct table *t)
{
	const char *line = prog->usage;

	for (bool first = true; line; first = false) {
		size_t n = strcspn(line, "\n");

		printf("%s %s%s%.*s\n", first ? "Usage:" : "      ", prog->name, n ? " " : "",
			(int)n, line);
		line = line[n] ? line + n + 1 : NULL;
	}
	printf("%s\n", prog->purpose);
	if (t->n && t->v[0]->type != MOE_OPT_HEAD)
		printf("Options:\n");
	for (size_t i = 0; i < t->n; i++) {
		if (t->v[i] == common) {
			help_common(t, i + 1);
			break;
		}
		help_option(t->v[i]);
	}
	printf("Exit status: 0 ok, 1 no, 2 usage, 3 bad or truncated input, 4 system, 5 "
	       "numerical\n");
	if (prog->examples)
		printf("%s%s%s",
			strchr(prog->examples, '\n') ? "Examples:\n" : "Example: ", prog->examples,
			prog->examples[strlen(prog->examples) - 1] == '\n' ? "" : "\n");
	if (prog->see_also)
		printf("See also: %s\n", prog->see_also);
}

/* ---- the other views ---- */

static void print_tsv(const struct table *t)
{
	static const char *const type[] = { "flag", "string", "integer", "number", "bytes", "list",
		"heading" };

	for (size_t i = 0; i < t->n; i++) {
		const struct moe_opt *o = t->v[i];

		printf("%s\t%s\t%s\t%s\t%s\t%s\n", o->letter ? (char[]){ o->letter, 0 } : "",
			o->name ? o->name : "", type[o->type], o->arg ? o->arg : "",
			o->def ? o->def : "", o->help ? o->help : "");
	}
}

/* Text for a mdoc line: no control line, no escape sequence. */
static void mdoc_text(const char *s)
{
	if (*s == '.' || *s == '\'')
		printf("\\&");
	for (; *s; s++) {
		if (*s == '\\')
			printf("\\e");
		else if (*s == '-' && s[1] == '-')
			printf("\\-");
		else
			putchar(*s);
	}
}

/* A heading is a macro's line, on which a word like No or Ar would be a macro: two or three
 * characters, of which the first is a capital. */
static void mdoc_heading(const char *s)
{
	while (*s) {
		size_t n = strcspn(s, " ");

		if ((n == 2 || n == 3) && *s >= 'A' && *s <= 'Z')
			printf("\\&");
		printf("%.*s", (int)n, s);
		s += n;
		while (*s == ' ')
			putchar(*s++);
	}
}

static void print_mdoc(const struct table *t)
{
	bool open = false;

	for (size_t i = 0; i < t->n; i++) {
		const struct moe_opt *o = t->v[i];

		if (o->type == MOE_OPT_HEAD) {
			printf("%s.Ss ", open ? ".El\n" : "");
			mdoc_heading(o->help);
			putchar('\n');
			open = false;
			continue;
		}
		if (!open)
			printf(".Bl -tag -width Ds\n");
		open = true;
		printf(".It ");
		if (o->letter)
			printf("Fl %c , ", o->letter);
		printf("Fl -%s", o->name);
		if (o->arg)
			printf(" Ns = Ns Ar %s", o->arg);
		printf("\n");
		mdoc_text(o->help);
		if (o->def) {
			printf(" (default: ");
			mdoc_text(o->def);
			printf(")");
		}
		printf(".\n");
	}
	if (open)
		printf(".El\n");
}

/* One line for each option, after a head: what completion of zsh and fish has. Apostrophes end a
 * quoted word, and zsh reads brackets and colons, so neither stays. */
static void print_plain(const char *s)
{
	for (; *s; s++)
		putchar(*s == '\'' || *s == '[' || *s == ']' || *s == ':' ? ' ' : *s);
}

static void print_zsh(const struct moe_prog *prog, const struct table *t)
{
	printf("#compdef %s\n# zsh completion, made from the option table\n_arguments -s -S \\\n",
		prog->name);
	for (size_t i = 0; i < t->n; i++) {
		const struct moe_opt *o = t->v[i];
		const char *value = o->arg ? ":value:_files" : "";

		if (o->type == MOE_OPT_HEAD)
			continue;
		printf("\t'%s--%s%s[", o->type == MOE_OPT_LIST ? "*" : "", o->name,
			o->arg ? "=" : "");
		print_plain(o->help);
		printf("]%s' \\\n", value);
		if (!o->letter)
			continue;
		printf("\t'%s-%c[", o->type == MOE_OPT_LIST ? "*" : "", o->letter);
		print_plain(o->help);
		printf("]%s' \\\n", value);
	}
	printf("\t'*:file:_files'\n");
}

static void print_fish(const struct moe_prog *prog, const struct table *t)
{
	printf("# fish completion for %s, made from its option table\n", prog->name);
	for (size_t i = 0; i < t->n; i++) {
		const struct moe_opt *o = t->v[i];

		if (o->type == MOE_OPT_HEAD)
			continue;
		printf("complete -c %s -l %s", prog->name, o->name);
		if (o->letter)
			printf(" -s %c", o->letter);
		printf("%s -d '", o->arg ? " -r" : "");
		print_plain(o->help);
		printf("'\n");
	}
}

static void print_bash(const struct moe_prog *prog, const struct table *t)
{
	char fn[64];

	snprintf(fn, sizeof(fn), "_%s", prog->name);
	for (char *p = fn; *p; p++)
		if (*p == '-')
			*p = '_';
	printf("# bash completion for %s, made from its option table\n%s()\n{\n\tlocal "
	       "cur=${COMP_WORDS[COMP_CWORD]}\n",
		prog->name, fn);
	printf("\tif [[ $cur == -* ]]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W '");
	for (size_t i = 0; i < t->n; i++) {
		const struct moe_opt *o = t->v[i];

		if (o->type == MOE_OPT_HEAD)
			continue;
		if (o->letter)
			printf("-%c ", o->letter);
		printf("--%s%s ", o->name, o->arg ? "=" : "");
	}
	printf("' -- \"$cur\")\n\t\t[[ ${COMPREPLY[0]-} == *= ]] && compopt -o "
	       "nospace\n\tfi\n}\ncomplete -o default -F %s %s\n",
		fn, prog->name);
}

static void print_options(const struct moe_prog *prog, const struct table *t, const char *form)
{
	if (!strcmp(form, "tsv"))
		print_tsv(t);
	else if (!strcmp(form, "mdoc"))
		print_mdoc(t);
	else if (!strcmp(form, "bash"))
		print_bash(prog, t);
	else if (!strcmp(form, "zsh"))
		print_zsh(prog, t);
	else if (!strcmp(form, "fish"))
		print_fish(prog, t);
	else
		moe_usage_error(
			"--print-options: \"%s\" is not tsv, mdoc, bash, zsh or fish", form);
}

/* ---- parsing ---- */

static int code_of(const struct table *t, size_t i)
{
	const struct moe_opt *o = t->v[i];

	if (o >= common && o < common + sizeof(common) / sizeof(*common) && !o->var) {
		if (!strcmp(o->name, "help"))
			return CODE_HELP;
		if (!strcmp(o->name, "version"))
			return CODE_VERSION;
		if (!strcmp(o->name, "quiet"))
			return CODE_QUIET;
		if (!strcmp(o->name, "verbose"))
			return CODE_VERBOSE;
		return CODE_PRINT;
	}
	return CODE_OPTION + (int)i;
}

static void act(const struct moe_prog *prog, const struct table *t, int code, const char *arg)
{
	switch (code) {
	case CODE_HELP:
		help(prog, t);
		exit(moe_main_end(0));
		break;
	case CODE_VERSION:
		moe_print_version(prog->name);
		exit(moe_main_end(0));
		break;
	case CODE_PRINT:
		print_options(prog, t, arg);
		exit(moe_main_end(0));
		break;
	case CODE_QUIET:
		moe_common.verbose = -1;
		break;
	case CODE_VERBOSE:
		moe_common.verbose = moe_common.verbose < 0 ? 1 : moe_common.verbose + 1;
		break;
	default:
		store(t->v[code - CODE_OPTION], arg);
	}
}

/* The command line for headers, as it was given: getopt_long permutes argv. */
static void remember(int argc, char **argv)
{
	moe_common.argc = argc;
	moe_common.argv = calloc((size_t)argc + 1, sizeof(*argv));
	if (!moe_common.argv)
		moe_die(&(struct moe_err){
			.code = MOE_SYSTEM, .msg = "out of memory for the options" });
	memcpy(moe_common.argv, argv, (size_t)argc * sizeof(*argv));
}

static char *beginning(const char *word, size_t n)
{
	char *s = strndup(word, n);

	if (!s)
		moe_die(&(struct moe_err){
			.code = MOE_SYSTEM, .msg = "out of memory for the options" });
	return s;
}

/* Takes the words of the option just parsed out of what is remembered: they may not change the
 * output. */
static void forget(char **argv, int end)
{
	bool apart = optarg == argv[end - 1];
	const char *word = argv[apart ? end - 2 : end - 1];
	size_t keep = apart ? strlen(word) - 1
			    : (size_t)(optarg - word) - 1; /* of a cluster of letters, -vj4 */
	int n = 0;

	if (!strncmp(word, "--", 2))
		keep = 0;
	for (int i = 0; i < moe_common.argc; i++) {
		char *x = moe_common.argv[i];

		if (x == word && keep > 1)
			moe_common.argv[n++] = beginning(word, keep);
		else if (x != word && !(apart && x == optarg))
			moe_common.argv[n++] = x;
	}
	moe_common.argc = n;
	moe_common.argv[n] = NULL;
}

/* A standard descriptor that the caller closed is opened the wrong way round, so that no file of
 * ours gets its number and that using it fails. */
static void hold_standard(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
			open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			moe_die(&(struct moe_err){ .code = MOE_SYSTEM,
				.msg = "a standard descriptor is closed and /dev/null can not take "
				       "its place" });
}

/* The fewest letters to put in, take out or change until a[n] is b. Long names do not matter: none
 * of ours is near them. */
static size_t distance(const char *a, size_t n, const char *b)
{
	size_t row[64], m = strlen(b);

	if (n >= 64 || m >= 64)
		return SIZE_MAX;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t changed = corner + (a[i - 1] != b[j - 1]),
			       shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			corner = row[j];
			row[j] = changed < shorter ? changed : shorter;
		}
	}
	return row[m];
}

/* TRL's and transformers' names of what our options set. Taken by the programs that have the option
 * (also with underscores for dashes), and suggested by the others. */
static const struct {
	const char *theirs, *ours, *where;
} aliases[] = { { "learning-rate", "lr", "moe-train" }, { "loss-type", "loss", "moe-train" },
	{ "epsilon-low", "epsilon", "moe-train" }, { "output-dir", "output", "every program" },
	{ "model-name-or-path", "base", "moe-rollout" }, { "model", "base", "moe-rollout" },
	{ "warmup-steps", "warmup", "moe-train" }, { "save-steps", "save-every", "moe-train" },
	{ "lr-scheduler-type", "schedule", "moe-base" }, { "max-steps", "steps", "moe-rollout" },
	{ "num-train-epochs", "epochs", "moe-base" }, { "eval-steps", "eval-every", "moe-base" },
	{ "per-device-train-batch-size", "batch", "moe-base" },
	{ "num-generations", "group", "moe-rollout" },
	{ "max-completion-length", "max-new", "moe-rollout" },
	{ "max-new-tokens", "max-new", "moe-rollout" }, { "max-tokens", "max-new", "moe-rollout" },
	{ "group", "group", "moe-rollout" }, { "temperature", "temperature", "moe-rollout" },
	{ "num-iterations", "iterations", "moe-train" },
	{ "gradient-accumulation-steps", "accumulate", "moe-train" },
	{ "importance-sampling-level", "level", "moe-train" }, { "beta", "beta", "moe-train" },
	{ "scale-rewards", "scale-rewards", "moe-train" }, { "lora-r", "clean-rank", "moe-pin" },
	{ "lora-target-modules", "targets", "moe-pin" } };
#define N_ALIASES (sizeof(aliases) / sizeof(aliases[0]))

static bool same_dashed(const char *word, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!name[i] || (word[i] == '_' ? '-' : word[i]) != name[i])
			return false;
	return !name[n];
}

/* Our name of a long option's word, or NULL: one of ours with underscores, or one of theirs. */
static const char *our_name(const struct option *longs, const char *word, size_t n)
{
	for (const struct option *l = longs; l->name; l++)
		if (same_dashed(word, n, l->name))
			return l->name;
	for (size_t i = 0; i < N_ALIASES; i++)
		if (same_dashed(word, n, aliases[i].theirs))
			for (const struct option *l = longs; l->name; l++)
				if (!strcmp(l->name, aliases[i].ours))
					return l->name;
	return NULL;
}

/* Writes the program's own names over theirs in argv, which getopt_long then takes. What follows an
 * option that wants an argument is that, whatever it looks like. */
static void translate(int argc, char **argv, const struct option *longs)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const char *word = argv[i] + 2, *ours;
		size_t n = strcspn(argv[i], "=");
		const struct option *l = longs;

		if (strncmp(argv[i], "--", 2) != 0 || n < 3)
			continue;
		ours = our_name(longs, word, n - 2);
		while (ours && strcmp(l->name, ours) != 0)
			l++;
		if (ours && strncmp(ours, word, n - 2) != 0) {
			size_t len = strlen(ours) + strlen(argv[i] + n) + 3;
			char *whole = malloc(len); /* lives as long as argv */

			if (!whole)
				moe_die(&(struct moe_err){ .code = MOE_SYSTEM,
					.msg = "out of memory for the options" });
			snprintf(whole, len, "--%s%s", ours, argv[i] + n);
			for (int k = 0; k < moe_common.argc; k++)
				if (moe_common.argv[k] == argv[i])
					moe_common.argv[k] = whole;
			argv[i] = whole;
		}
		i += ours && l->has_arg && !strchr(argv[i], '=');
	}
}

/* What getopt_long does not take, told apart: a flag that is given an argument (its code is in
 * optopt), the beginning of several names, no name. */
static void wrong_long(const struct option *longs, const char *word)
{
	const char *name = word + 2, *near = NULL;
	size_t n = strcspn(name, "="),
	       best = n < 3 ? n : 3; /* two changes at most, and not all letters */
	char all[512] = "";

	for (const struct option *l = longs; l->name; l++) {
		size_t d = distance(name, n, l->name), len = strlen(all);

		if (optopt && l->val == optopt)
			moe_usage_error("option --%s takes no argument, but \"%s\" is given",
				l->name, name[n] ? name + n + 1 : "");
		if (!strncmp(name, l->name, n))
			snprintf(all + len, sizeof(all) - len, "%s--%s", len ? ", " : "", l->name);
		if (d < best) {
			best = d;
			near = l->name;
		}
	}
	if (*all)
		moe_usage_error("option %.*s is ambiguous: %s", (int)n + 2, word, all);
	for (size_t i = 0; i < N_ALIASES; i++)
		if (same_dashed(name, n, aliases[i].theirs))
			moe_usage_error("unknown option %.*s: it is --%s of %s", (int)n + 2, word,
				aliases[i].ours, aliases[i].where);
	if (near)
		moe_usage_error("unknown option %.*s (did you mean --%s?)", (int)n + 2, word, near);
	moe_usage_error("unknown option %.*s", (int)n + 2, word);
}

static void parse(int argc, char **argv, const struct moe_prog *prog, const struct table *t)
{
	/* static, because --help and the like end the program from within */
	static struct option *longs;
	static char *shorts;
	char *s;
	size_t n = 0;
	int c;

	longs = calloc(t->n + 1, sizeof(*longs));
	shorts = calloc(2 * t->n + 2, 1);
	if (!longs || !shorts)
		moe_die(&(struct moe_err){
			.code = MOE_SYSTEM, .msg = "out of memory for the options" });
	s = shorts;
	*s++ = ':';
	for (size_t i = 0; i < t->n; i++) {
		const struct moe_opt *o = t->v[i];

		if (o->type == MOE_OPT_HEAD)
			continue;
		longs[n++] = (struct option){ o->name, o->arg ? required_argument : no_argument,
			NULL, code_of(t, i) };
		if (o->letter)
			*s++ = o->letter;
		if (o->letter && o->arg)
			*s++ = ':';
	}
	translate(argc, argv, longs);
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == ':')
			moe_usage_error("option %s needs an argument", argv[optind - 1]);
		if (c == '?' && optopt && optopt < 128)
			moe_usage_error("unknown option -%c", optopt);
		if (c == '?')
			wrong_long(longs, argv[optind - 1]);
		if (c < 256)
			for (size_t i = 0; i < t->n; i++)
				if (t->v[i]->letter == c && t->v[i]->type != MOE_OPT_HEAD) {
					c = code_of(t, i);
					break;
				}
		act(prog, t, c, optarg);
		if (c >= CODE_OPTION && t->v[c - CODE_OPTION]->var == &threads)
			forget(argv, optind);
	}
	free(longs);
	free(shorts);
}

int moe_main_begin(int argc, char **argv, const struct moe_prog *prog)
{
	struct table t;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct moe_err e;
	int operands;

	moe_common.prog = prog;
	hold_standard();
	moe_watch_signals();
	remember(argc, argv);
	moe_common.max_mem = (size_t)256 << 20;
	threads = cores > 0 && cores <= 1024 ? cores : 1;
	setlocale(LC_CTYPE, "");
	setvbuf(stderr, NULL, _IOLBF, 0);
	t = table_of(prog);
	parse(argc, argv, prog, &t);
	free(t.v);
	moe_common.seed = (uint64_t)seed;
	moe_common.threads = (int)threads;
	if (kernels && !moe_kernels_choose(kernels))
		moe_usage_error("--kernels %s: portable or native", kernels);
	if (moe_common.output && !*moe_common.output)
		moe_usage_error("--output: an empty name");
	operands = argc - optind;
	if (operands < prog->min_operands)
		moe_usage_error("%d operand%s expected, %d given", prog->min_operands,
			prog->min_operands == 1 ? "" : "s", operands);
	if (prog->max_operands == 0 && operands)
		moe_usage_error("no operands expected, but \"%s\" given", argv[optind]);
	if (prog->max_operands > 0 && operands > prog->max_operands)
		moe_usage_error("at most %d operand%s expected, %d given", prog->max_operands,
			prog->max_operands == 1 ? "" : "s", operands);
	if (prog->ranks && moe_ranks_begin(&e))
		moe_die(&e);
	return optind;
}
