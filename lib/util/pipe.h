/* pipe.h - pipes that carry much data. */
#ifndef MOE_UTIL_PIPE_H
#define MOE_UTIL_PIPE_H

/* Asks the kernel for a pipe buffer of 1 MiB, which saves switches between its two ends. Does nothing where fd is no pipe or the
 * kernel declines: it is only about speed. */
void moe_pipe_widen(int fd);

#endif
