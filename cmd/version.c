/* version.c - --version: what this program was made of. MOE_MADE_OF (commit and flags) comes from
 * the Makefile. */
#include "cmd/version.h"
#include "formats/libs.h"
#include "tensor/gemm.h"

#include <stdio.h>

void moe_print_version(const char *prog)
{
	char libs[256];

	moe_formats_libs(libs, sizeof(libs));
	printf("%s %s\n%s, compiler %s\n%s\n%s\n", prog, MOE_VERSION, MOE_MADE_OF, __VERSION__,
		libs, moe_gemm_describe());
}
