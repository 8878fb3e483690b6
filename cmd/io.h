/* io.h - what opt.c and io.c share. Programs include opt.h, which declares the rest of io.c. */
#ifndef MOE_CMD_IO_H
#define MOE_CMD_IO_H

/* --version: "moe-x X.Y.Z" alone on its line, then the libraries. */
void moe_print_version(const char *prog);

#endif
