/* yaml.h - the flat YAML that people write settings in (yaml.md), turned into a JSON text. */
#ifndef MOE_FORMATS_YAML_H
#define MOE_FORMATS_YAML_H

#include "util/buf.h"
#include "util/err.h"

/* Appends one JSON object to out. MOE_DATA, with the line and what was expected, for what the
 * subset does not have. name: of the file, for messages. */
int moe_yaml_to_json(
	const char *p, size_t n, const char *name, struct moe_buf *out, struct moe_err *e);

#endif
