/* io/gguf_types.h - the tensor types of GGUF files that are written and read here: how many bytes, from numbers to
 * bytes, and back. Layouts: ggml's ggml-common.h and ggml-quants.c (quantize_row_*_ref, dequantize_row_*); I2_S:
 * bitnet.cpp's ggml-bitnet-mad.cpp, in its x86 order.
 *
 * A type cuts a row into blocks of `block` values; a row has whole blocks. All types but I2_S carry what a block needs
 * inside it. I2_S has one scale for the tensor, behind its codes. */
#ifndef BT_IO_GGUF_TYPES_H
#define BT_IO_GGUF_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bt_gguf_type { /* ggml's numbers, as they stand in files */
                    BT_GGUF_F32 = 0,
                    BT_GGUF_F16 = 1,
                    BT_GGUF_Q8_0 = 8,
                    BT_GGUF_BF16 = 30,
                    BT_GGUF_TQ1_0 = 34,
                    BT_GGUF_TQ2_0 = 35,
                    BT_GGUF_I2_S = 36, /* of bitnet.cpp alone: llama.cpp refuses the number */
                    BT_GGUF_Q2_0 = 42
};

struct bt_gguf_type_info {
    enum bt_gguf_type type;
    const char *name;    /* "tq2_0" */
    size_t block, bytes; /* values and bytes of a block */
    size_t tail;         /* bytes behind the last block of a tensor */
    bool ternary;        /* holds codes and a scale; otherwise any numbers, rounded */
    unsigned file_type;  /* general.file_type of a file whose matrices are mostly of this type */
};

#define BT_GGUF_TYPE_COUNT 8
extern const struct bt_gguf_type_info bt_gguf_types[BT_GGUF_TYPE_COUNT]; /* widest first */
const struct bt_gguf_type_info *bt_gguf_type_find(uint32_t number);      /* or NULL */
const struct bt_gguf_type_info *bt_gguf_type_named(const char *name);    /* or NULL */
/* Of a tensor of `count` values, which is whole blocks; false when that cannot be counted. */
bool bt_gguf_type_bytes(const struct bt_gguf_type_info *type, uint64_t count, uint64_t *ret_bytes);

/* count values, which are whole blocks, as the bytes of any type; value = code * scale, to the bit when the scale is a
 * bfloat16 value of at least 2^-17 (and the type is not bf16 or f16 of a scale above 65504). The tail of I2_S is apart.
 */
void bt_gguf_encode_codes(const struct bt_gguf_type_info *type, unsigned char *out, const int8_t *codes, size_t count,
                          float scale);
void bt_gguf_encode_tail(unsigned char *tail, float scale); /* the 32 bytes behind the codes of I2_S */
/* count numbers, whole blocks, in a type that is not ternary: rounded to nearest, and q8_0 as ggml's reference does. */
void bt_gguf_encode_floats(const struct bt_gguf_type_info *type, unsigned char *out, const float *values, size_t count);
/* The way back, for every type. scale: that of the tail of I2_S, else unused. */
void bt_gguf_decode(const struct bt_gguf_type_info *type, float *out, const unsigned char *data, size_t count,
                    float scale);
float bt_gguf_decode_tail(const unsigned char *tail);

#endif
