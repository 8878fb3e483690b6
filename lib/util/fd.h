/* fd.h - reading and writing descriptors, whether interrupted by signals or set not to block.
 * Thread-safe. */
#ifndef MOE_UTIL_FD_H
#define MOE_UTIL_FD_H

#include <stddef.h>
#include <sys/types.h>

/* Up to n bytes as soon as there are some: their number, 0 at the end, -1 and errno. Of several
 * ranks (ranks.h) rank 0 reads, and all get its bytes; the descriptors of the others are not looked
 * at. */
ssize_t moe_fd_read(int fd, void *p, size_t n);
/* All n bytes: 0, or -1 and errno (some may have been written). */
int moe_fd_write(int fd, const void *p, size_t n);
/* Asks the kernel for a pipe buffer of 1 MiB, which saves switches between its two ends. Does
 * nothing where fd is no pipe or the kernel declines: it is only about speed. */
void moe_pipe_widen(int fd);

#endif
