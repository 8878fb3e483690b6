/* json_walk.c - walking large objects (a vocabulary has 150,000 entries). All else of json.h is in
 * json.c. */
#include "formats/json.h"

#include <json-c/json.h>

bool moe_json_next(const struct moe_json *j, const void **cursor, const char **key,
	const struct moe_json **value)
{
	struct json_object *o = (struct json_object *)(uintptr_t)j;
	const struct lh_entry *x = *cursor;

	if (moe_json_kind(j) != MOE_J_OBJECT)
		return false;
	x = x ? lh_entry_next(x) : lh_table_head(json_object_get_object(o));
	if (!x)
		return false;
	*cursor = x;
	*key = lh_entry_k(x);
	*value = (const struct moe_json *)lh_entry_v(x);
	return true;
}
