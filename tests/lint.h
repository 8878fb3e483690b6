/* lint.h - what clang-tidy is told before each file: that the functions which fill an error return
 * -1, which it can not see from where they are used. */
#include "util/err.h"

#define moe_fail(...)       ((void)(moe_fail)(__VA_ARGS__), -1)
#define moe_fail_errno(...) ((void)(moe_fail_errno)(__VA_ARGS__), -1)
#define moe_err_prefix(...) ((void)(moe_err_prefix)(__VA_ARGS__), -1)
