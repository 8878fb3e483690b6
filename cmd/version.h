/* version.h - what a program was made of. */
#ifndef MOE_CMD_VERSION_H
#define MOE_CMD_VERSION_H

/* --version: "moe-x X.Y.Z" alone on its line, then commit and flags, then the libraries. */
void moe_print_version(const char *prog);

#endif
