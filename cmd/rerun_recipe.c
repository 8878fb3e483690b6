/* rerun_recipe.c - which lines of a stranger's recipe may be run. It runs nothing. */
#include "cmd/rerun.h"

#include <stdio.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define WORD    LETTERS "_./,:=+@%^-"

static bool one_of(const char *const *list, const char *word)
{
	for (size_t i = 0; list[i]; i++)
		if (!strcmp(list[i], word))
			return true;
	return false;
}

static const char *check_command(const char *word)
{
	static const char *const known[] = { "moe-ablate", "moe-base", "moe-cat", "moe-grade",
		"moe-pairs", "moe-pin", "moe-prompts", "moe-report", "moe-rollout", "moe-route",
		"moe-train", "mkdir", "mkfifo", "rm", "cp", "tee", NULL };

	return one_of(known, word)
		? NULL
		: "it calls a program that is neither of this toolkit nor mkdir, mkfifo, rm, cp or "
		  "tee";
}

/* A file's name must stay below the folder, be it a word or the end of an option. */
static const char *check_word(const char *command, const char *word)
{
	/* of moe-grade, whose --exec runs any command: by name, since getopt takes prefixes */
	static const char *const grade[] = { "-e", "--env", "-j", "-q", "-v", "--seed", "--steps",
		"--memory", "--cpu", "--wall", "--batch", "-o", "--pay", "--registration", NULL };

	if (strstr(word, ".."))
		return "a name holds \"..\"";
	if (word[0] == '-' && word[1] != '-' && strchr(word, '/'))
		return "a name is glued to a short option";
	for (const char *p = word; *p; p++)
		if (*p == '/' && (p == word || strchr("=:,", p[-1])))
			return "a name begins with \"/\"";
	if (!strcmp(command, "moe-grade") && *word == '-' && !one_of(grade, word))
		return "moe-grade gets an option that a recipe may not give it (--exec runs any "
		       "command)";
	if (!strcmp(command, "moe-report") && !strncmp(word, "--rer", 5))
		return "it runs a rerun";
	return NULL;
}

/* One word, quoted or not, into out: its length in the line, 0 = no word here. */
static size_t read_word(const char *p, char *out, size_t size)
{
	size_t n = 0, at = 0;
	char quote = 0;

	for (; p[at] && n + 1 < size; at++) {
		if (quote ? p[at] == quote : p[at] == '"' || p[at] == '\'') {
			quote = quote ? 0 : p[at];
			continue;
		}
		if (!strchr(WORD, p[at]) && !(quote && p[at] == ' '))
			break;
		out[n++] = p[at];
	}
	out[n] = 0;
	return quote || n + 1 >= size ? 0 : at;
}

/* An operator: its length; *command = a command follows, else a file. */
static size_t read_operator(const char *p, bool *command)
{
	static const char *const op[] = { "2>>", "2>", "&&", "||", ">>", "|", "<", ">" };

	for (size_t i = 0; i < sizeof(op) / sizeof(*op); i++)
		if (!strncmp(p, op[i], strlen(op[i]))) {
			*command = op[i][0] == '|' || op[i][0] == '&';
			return strlen(op[i]);
		}
	return 0;
}

const char *rerun_refuses(const char *line)
{
	char command[64] = "", word[1024];
	bool expect_command = true, file = false;
	const char *why;

	for (const char *p = line; *p;) {
		bool next;
		size_t n;

		if (*p == ' ' || *p == '\t') {
			p++;
			continue;
		}
		if ((n = read_operator(p, &next)) > 0) {
			if (expect_command || file)
				return "its syntax is not that of a recipe";
			expect_command = next;
			file = !next;
			p += n;
			continue;
		}
		if (!(n = read_word(p, word, sizeof(word))))
			return "it holds a character that a recipe may not hold ($, `, ;, *, ( and "
			       "the like)";
		p += n;
		if (expect_command) {
			if ((why = check_command(word)) != NULL)
				return why;
			snprintf(command, sizeof(command), "%.63s", word);
		} else if ((why = check_word(file ? "" : command, word)) != NULL) {
			return why;
		}
		expect_command = file = false;
	}
	return expect_command || file ? "its syntax is not that of a recipe" : NULL;
}
