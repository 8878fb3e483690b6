/* gguf_quant.c - ggml's types of tensors: their blocks, and how a block becomes floats. It packs
 * nothing.
 *
 * The formulas are those of dequantize_row_* in ggml's ggml-quants.c, each operation in float and
 * in its order. -std=c11 keeps the compiler from contracting d * q + m into one operation, which
 * would round once where ggml rounds twice. */
#include "formats/gguf.h"
#include "util/half.h"

#include <stdio.h>
#include <string.h>

#define QK   32  /* elements of a block of the simple types */
#define QK_K 256 /* elements of a block of the K types */

static uint16_t read_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static float read_f16(const uint8_t *p)
{
	return moe_f32_from_f16(read_u16(p));
}

static void widen_f32(const uint8_t *p, float *y)
{
	uint32_t u = (uint32_t)read_u16(p) | (uint32_t)read_u16(p + 2) << 16;

	memcpy(y, &u, sizeof(u));
}

static void widen_f16(const uint8_t *p, float *y)
{
	*y = read_f16(p);
}

static void widen_bf16(const uint8_t *p, float *y)
{
	*y = moe_f32_from_bf16(read_u16(p));
}

/* {f16 d; u8 qs[16]}: the low halves are elements 0..15, the high ones 16..31; y = (q - 8) d */
static void widen_q4_0(const uint8_t *p, float *y)
{
	float d = read_f16(p);

	for (int i = 0; i < QK / 2; i++) {
		y[i] = (float)((p[2 + i] & 15) - 8) * d;
		y[i + QK / 2] = (float)((p[2 + i] >> 4) - 8) * d;
	}
}

/* {f16 d, m; u8 qs[16]}: y = q d + m */
static void widen_q4_1(const uint8_t *p, float *y)
{
	float d = read_f16(p), m = read_f16(p + 2);

	for (int i = 0; i < QK / 2; i++) {
		y[i] = (float)(p[4 + i] & 15) * d + m;
		y[i + QK / 2] = (float)(p[4 + i] >> 4) * d + m;
	}
}

/* The fifth bit of element i is bit i of qh, little-endian. */
static int high_bit(const uint8_t *qh, int i)
{
	return (qh[i / 8] >> i % 8 & 1) << 4;
}

/* {f16 d; u8 qh[4], qs[16]}: y = (q - 16) d */
static void widen_q5_0(const uint8_t *p, float *y)
{
	const uint8_t *qh = p + 2, *qs = p + 6;
	float d = read_f16(p);

	for (int i = 0; i < QK / 2; i++) {
		y[i] = (float)(((qs[i] & 15) | high_bit(qh, i)) - 16) * d;
		y[i + QK / 2] = (float)((qs[i] >> 4 | high_bit(qh, i + QK / 2)) - 16) * d;
	}
}

/* {f16 d, m; u8 qh[4], qs[16]}: y = q d + m */
static void widen_q5_1(const uint8_t *p, float *y)
{
	const uint8_t *qh = p + 4, *qs = p + 8;
	float d = read_f16(p), m = read_f16(p + 2);

	for (int i = 0; i < QK / 2; i++) {
		y[i] = (float)((qs[i] & 15) | high_bit(qh, i)) * d + m;
		y[i + QK / 2] = (float)(qs[i] >> 4 | high_bit(qh, i + QK / 2)) * d + m;
	}
}

/* {f16 d; i8 qs[32]}: y = q d */
static void widen_q8_0(const uint8_t *p, float *y)
{
	float d = read_f16(p);

	for (int i = 0; i < QK; i++)
		y[i] = (float)(int8_t)p[2 + i] * d;
}

/* Six-bit scale and minimum j of eight, packed in 12 bytes: 0..3 in the low six bits of bytes j and
 * j + 4; 4..7 with four bits in byte j + 4 and two at the top of bytes j - 4 and j. */
static void unpack_scale(const uint8_t *s, int j, int *scale, int *min)
{
	if (j < 4) {
		*scale = s[j] & 63;
		*min = s[j + 4] & 63;
	} else {
		*scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
		*min = s[j + 4] >> 4 | s[j] >> 6 << 4;
	}
}

/* {f16 d, dmin; u8 scales[12], qs[128]}: eight groups of 32 elements, each with y = (d scale) q -
 * (dmin min). Groups 2k and 2k + 1 are the low and high halves of the bytes qs[32k .. 32k+31]. */
static void widen_q4_k(const uint8_t *p, float *y)
{
	const uint8_t *qs = p + 16;
	float d = read_f16(p), dmin = read_f16(p + 2);

	for (int j = 0; j < QK_K / 32; j++) {
		int scale, min, shift = j % 2 * 4;
		float dj, mj;

		unpack_scale(p + 4, j, &scale, &min);
		dj = d * (float)scale;
		mj = dmin * (float)min;
		for (int i = 0; i < 32; i++)
			y[32 * j + i] = dj * (float)(qs[j / 2 * 32 + i] >> shift & 15) - mj;
	}
}

/* {f16 d, dmin; u8 scales[12], qh[32], qs[128]}: as Q4_K, and bit j of qh[i] is the fifth bit of
 * element i of group j. */
static void widen_q5_k(const uint8_t *p, float *y)
{
	const uint8_t *qh = p + 16, *qs = p + 48;
	float d = read_f16(p), dmin = read_f16(p + 2);

	for (int j = 0; j < QK_K / 32; j++) {
		int scale, min, shift = j % 2 * 4;
		float dj, mj;

		unpack_scale(p + 4, j, &scale, &min);
		dj = d * (float)scale;
		mj = dmin * (float)min;
		for (int i = 0; i < 32; i++) {
			int q = (qs[j / 2 * 32 + i] >> shift & 15) + (qh[i] >> j & 1) * 16;

			y[32 * j + i] = dj * (float)q - mj;
		}
	}
}

/* {u8 ql[128], qh[64]; i8 scales[16]; f16 d}: y = (d scale) (q - 32). In each half of 128 elements,
 * group g of 32 has its low four bits in the low (g < 2) or high halves of ql[32 (g % 2) ..], its
 * top two in bits 2g, 2g + 1 of qh[..]; a scale is for 16 elements. */
static void widen_q6_k(const uint8_t *p, float *y)
{
	float d = read_f16(p + 208);

	for (int h = 0; h < 2; h++) {
		const uint8_t *ql = p + 64 * h, *qh = p + 128 + 32 * h, *scale = p + 192 + 8 * h;

		for (int g = 0; g < 4; g++)
			for (int i = 0; i < 32; i++) {
				int low = ql[g % 2 * 32 + i] >> g / 2 * 4 & 15,
				    q = (low | (qh[i] >> 2 * g & 3) << 4) - 32;

				y[128 * h + 32 * g + i] = d * (float)(int8_t)scale[2 * g + i / 16] *
					(float)q;
			}
	}
}

static const struct type {
	const char *name;
	uint32_t elements, bytes;
	void (*widen)(const uint8_t *p, float *y); /* NULL: the name is known, no more */
} types[] = {
	[0] = { "F32", 1, 4, widen_f32 },
	[1] = { "F16", 1, 2, widen_f16 },
	[2] = { "Q4_0", QK, 18, widen_q4_0 },
	[3] = { "Q4_1", QK, 20, widen_q4_1 },
	[6] = { "Q5_0", QK, 22, widen_q5_0 },
	[7] = { "Q5_1", QK, 24, widen_q5_1 },
	[8] = { "Q8_0", QK, 34, widen_q8_0 },
	[9] = { "Q8_1", 0, 0, NULL },
	[10] = { "Q2_K", 0, 0, NULL },
	[11] = { "Q3_K", 0, 0, NULL },
	[12] = { "Q4_K", QK_K, 144, widen_q4_k },
	[13] = { "Q5_K", QK_K, 176, widen_q5_k },
	[14] = { "Q6_K", QK_K, 210, widen_q6_k },
	[15] = { "Q8_K", 0, 0, NULL },
	[16] = { "IQ2_XXS", 0, 0, NULL },
	[17] = { "IQ2_XS", 0, 0, NULL },
	[18] = { "IQ3_XXS", 0, 0, NULL },
	[19] = { "IQ1_S", 0, 0, NULL },
	[20] = { "IQ4_NL", 0, 0, NULL },
	[21] = { "IQ3_S", 0, 0, NULL },
	[22] = { "IQ2_S", 0, 0, NULL },
	[23] = { "IQ4_XS", 0, 0, NULL },
	[24] = { "I8", 0, 0, NULL },
	[25] = { "I16", 0, 0, NULL },
	[26] = { "I32", 0, 0, NULL },
	[27] = { "I64", 0, 0, NULL },
	[28] = { "F64", 0, 0, NULL },
	[29] = { "IQ1_M", 0, 0, NULL },
	[30] = { "BF16", 1, 2, widen_bf16 },
	[34] = { "TQ1_0", 0, 0, NULL },
	[35] = { "TQ2_0", 0, 0, NULL },
	[39] = { "MXFP4", 0, 0, NULL },
};

#define N_TYPES (sizeof(types) / sizeof(types[0]))

const char *moe_gguf_type_name(uint32_t type, char buf[24])
{
	if (type < N_TYPES && types[type].name)
		return types[type].name;
	snprintf(buf, 24, "type %u", type);
	return buf;
}

bool moe_gguf_block(uint32_t type, uint32_t *elements, uint32_t *bytes)
{
	if (type >= N_TYPES || !types[type].widen)
		return false;
	*elements = types[type].elements;
	*bytes = types[type].bytes;
	return true;
}

void moe_gguf_floats(const struct moe_gguf_tensor *t, uint64_t row, uint64_t rows, float *out)
{
	const struct type *y = &types[t->type];
	const uint8_t *p = t->data + row * t->row_bytes;
	uint64_t blocks = rows * (t->ne[0] / y->elements);

	for (uint64_t i = 0; i < blocks; i++, p += y->bytes, out += y->elements)
		y->widen(p, out);
}
