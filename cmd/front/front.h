/* front.h - the parts of the program `moe`. They print and exit as mains do. */
#ifndef MOE_CMD_FRONT_H
#define MOE_CMD_FRONT_H

#include <stdbool.h>
#include <stddef.h>

/* path [n] = the executable file `name` in the folder of the running program; false if there is
 * none. */
bool moe_front_beside(const char *name, char *path, size_t n);

/* Writes a skeleton experiment into dir, which is made and must not exist or must be empty. Returns
 * an exit code. */
int moe_front_new(const char *dir);

/* Prints what this machine has and tries the whole pipeline in a temporary folder. Returns MOE_OK,
 * or MOE_NEGATIVE if a part of it failed. */
int moe_front_doctor(void);

/* The skeleton's environment, as text. Static storage. */
extern const char moe_skeleton_env[], moe_skeleton_env_end[];

#endif
