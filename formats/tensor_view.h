/* tensor_view.h - single values of tensors of any dtype, and tensors that were cut into chunks.
 * Pure functions; thread-safe. */
#ifndef MOE_FORMATS_TENSOR_VIEW_H
#define MOE_FORMATS_TENSOR_VIEW_H

#include "formats/rec.h"

/* Element i (C order) as a double; 64-bit integers are rounded. The caller keeps i within t->bytes.
 */
double moe_tensor_value(const struct moe_tensor *t, size_t i);
/* The same exactly, as a MessagePack integer, bool or 64-bit float; returns its bytes. */
size_t moe_tensor_element(const struct moe_tensor *t, size_t i, uint8_t out[9]);
/* dtype, rank and shape of the whole tensor that a t="tensor" record is a chunk of; data and bytes
 * are the chunk's. false = not a well-formed chunk. */
bool moe_tensor_chunk(const struct moe_rec *r, struct moe_tensor *whole, int64_t *offset);
/* Bytes of the whole tensor by dtype and shape; false on overflow or an unknown dtype. */
bool moe_tensor_bytes(const struct moe_tensor *t, size_t *bytes);

#endif
