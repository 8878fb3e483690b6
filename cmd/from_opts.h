/* from_opts.h - options of the programs that read what others recorded, worded once. Each is a row
 * of an option table for the given variable. */
#ifndef MOE_CMD_FROM_OPTS_H
#define MOE_CMD_FROM_OPTS_H

#include "cmd/opt.h"

/* struct moe_opt_list */
#define MOE_OPT_FROM(var)                                                                          \
	{                                                                                          \
		0, "from", MOE_OPT_LIST, &(var), "FILE",                                           \
			"JSON Lines, an archive, a directory, or - for standard input; may be "    \
			"repeated",                                                                \
			NULL, 0, 0                                                                 \
	}
#define MOE_OPT_MAP(var, presets)                                                                  \
	{                                                                                          \
		0, "map", MOE_OPT_LIST, &(var), "KEY=PATH,...",                                    \
			"where in a row to look for a key" presets "; may be repeated", NULL, 0, 0 \
	}
/* bool */
#define MOE_OPT_SKIP_BAD(var)                                                                      \
	{                                                                                          \
		0, "skip-bad", MOE_OPT_FLAG, &(var), NULL,                                         \
			"leave out and count what is bad or too long", NULL, 0, 0                  \
	}
/* const char * */
#define MOE_OPT_PARTITION(var)                                                                     \
	{                                                                                          \
		0, "partition", MOE_OPT_STR, &(var), "FILE",                                       \
			"JSON object of prompt id and mode, for rows that name none", NULL, 0, 0   \
	}
#define MOE_OPT_TEMPLATE(var)                                                                      \
	{                                                                                          \
		0, "chat-template", MOE_OPT_STR, &(var), "FORM",                                   \
			"how messages are written: a file, a model's directory, llama3, ...",      \
			"ChatML", 0, 0                                                             \
	}
/* The environment, of tasks or pairs. */
#define MOE_OPT_ENV(var)                                                                           \
	{                                                                                          \
		'e', "env", MOE_OPT_STR, &(var), "FILE", "environment script, see moe-env(5)",     \
			NULL, 0, 0                                                                 \
	}

#endif
