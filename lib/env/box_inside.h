/* box_inside.h - the new process of a box, from fork to exec. Internal to lib/env. */
#ifndef MOE_ENV_BOX_INSIDE_H
#define MOE_ENV_BOX_INSIDE_H

#include "env/box.h"

/* uid and gid are the parent's: inside of a fresh user namespace nobody knows them. Sets everything
 * up and runs the command with the three descriptors as its standard ones; never returns. Exit
 * status 126: the box could not be made. */
void box_inside(const struct moe_box_opts *o, enum moe_box_kind kind, const char *dir, int in,
	int out, int err, uid_t uid, gid_t gid) __attribute__((noreturn));

#endif
