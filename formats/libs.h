/* libs.h - names and versions of the libraries behind formats/, for --version. */
#ifndef MOE_FORMATS_LIBS_H
#define MOE_FORMATS_LIBS_H

#include <stddef.h>

/* "msgpack-c 4.0.0, libarchive 3.6.2, json-c 0.16" into out[cap]. Always NUL-terminated. */
void moe_formats_libs(char *out, size_t cap);

#endif
