/* store_bf16.c - a model.safetensors in f32 as one in bf16, rounded to the nearest, for
 * tests/bench: published models are stored so. Not a test, not a tool.
 *
 * usage: store_bf16 IN OUT. Only for files of moe-base: every tensor F32, in the order of the
 * header.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The header with halved offsets: always shorter or equal; padded with spaces to n bytes. */
static void header(const char *in, size_t n, char *out)
{
	size_t o = 0;
	int offsets = 0;

	for (size_t i = 0; i < n;) {
		if (!strncmp(in + i, "\"F32\"", 5)) {
			o += (size_t)sprintf(out + o, "\"BF16\"");
			i += 5;
		} else if (!strncmp(in + i, "\"data_offsets\"", 14)) {
			o += (size_t)sprintf(out + o, "\"data_offsets\"");
			i += 14;
			offsets = 2;
		} else if (offsets && isdigit((unsigned char)in[i])) {
			char *end;

			o += (size_t)sprintf(out + o, "%llu", strtoull(in + i, &end, 10) / 2);
			i = (size_t)(end - in);
			offsets--;
		} else {
			out[o++] = in[i++];
		}
	}
	while (o % 8)
		out[o++] = ' ';
	out[o] = 0;
}

static int copy(FILE *in, FILE *out)
{
	static uint32_t x[1 << 16];
	static uint16_t y[1 << 16];
	size_t n;

	while ((n = fread(x, 4, 1 << 16, in)) > 0) {
		for (size_t i = 0; i < n; i++)
			y[i] = (uint16_t)((x[i] + 0x7FFF + (x[i] >> 16 & 1)) >> 16);
		if (fwrite(y, 2, n, out) != n)
			return -1;
	}
	return ferror(in) ? -1 : 0;
}

int main(int argc, char **argv)
{
	FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL, *out = in ? fopen(argv[2], "wb") : NULL;
	uint64_t n;
	char *a, *b;

	if (!out || fread(&n, 8, 1, in) != 1 || n > 1 << 26 || !(a = calloc(1, n + 1)) ||
		!(b = calloc(1, 2 * n + 16)) || fread(a, 1, n, in) != n)
		return 4;
	header(a, n, b);
	n = strlen(b);
	return fwrite(&n, 8, 1, out) != 1 || fwrite(b, 1, n, out) != n || copy(in, out) ||
			fclose(out)
		? 4
		: 0;
}
