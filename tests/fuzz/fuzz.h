/* fuzz.h - what the harnesses share: inputs that are read through a descriptor. */
#ifndef MOE_TESTS_FUZZ_H
#define MOE_TESTS_FUZZ_H

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* A descriptor from which p[n] can be read; closed by the caller. */
static inline int fuzz_fd(const uint8_t *p, size_t n)
{
	int fd = memfd_create("fuzz", 0);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET) != 0)
		abort();
	return fd;
}

/* A property that must hold of every input. */
#define MUST(x)                                                        \
	do {                                                           \
		if (!(x)) {                                            \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                       \
		}                                                      \
	} while (0)

#endif
