/* libs.c - tells which libraries were linked. */
#include "formats/libs.h"

#include <stdio.h>

#include <archive.h>
#include <json-c/json_c_version.h>
#include <msgpack.h>
#include <zlib.h>

void moe_formats_libs(char *out, size_t cap)
{
	snprintf(out, cap, "msgpack-c %s, %s, zlib %s, json-c %s", msgpack_version(),
		archive_version_string(), zlibVersion(), json_c_version());
}
