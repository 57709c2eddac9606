#include "io/gguf_types.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/half.h"

const struct bt_gguf_type_info bt_gguf_types[BT_GGUF_TYPE_COUNT] = {
    {BT_GGUF_F32, "f32", 1, 4, 0, false, 0},       {BT_GGUF_F16, "f16", 1, 2, 0, false, 1},
    {BT_GGUF_BF16, "bf16", 1, 2, 0, false, 32},    {BT_GGUF_Q8_0, "q8_0", 32, 34, 0, false, 7},
    {BT_GGUF_Q2_0, "q2_0", 64, 18, 0, true, 41},   {BT_GGUF_TQ2_0, "tq2_0", 256, 66, 0, true, 37},
    {BT_GGUF_I2_S, "i2_s", 128, 32, 32, true, 40}, {BT_GGUF_TQ1_0, "tq1_0", 256, 54, 0, true, 36},
};

const struct bt_gguf_type_info *bt_gguf_type_find(uint32_t number)
{
    for (size_t i = 0; i < BT_GGUF_TYPE_COUNT; i++)
        if ((uint32_t)bt_gguf_types[i].type == number)
            return &bt_gguf_types[i];
    return NULL;
}

const struct bt_gguf_type_info *bt_gguf_type_named(const char *name)
{
    for (size_t i = 0; i < BT_GGUF_TYPE_COUNT; i++)
        if (!strcmp(bt_gguf_types[i].name, name))
            return &bt_gguf_types[i];
    return NULL;
}

bool bt_gguf_type_bytes(const struct bt_gguf_type_info *type, uint64_t count, uint64_t *ret_bytes)
{
    uint64_t bytes;
    if (__builtin_mul_overflow(count / type->block, (uint64_t)type->bytes, &bytes) ||
        __builtin_add_overflow(bytes, (uint64_t)type->tail, &bytes) || bytes > INT64_MAX)
        return false;
    *ret_bytes = bytes;
    return true;
}

/* ---- halves in bytes that need not be aligned ---- */

static void put_u16(unsigned char *out, uint16_t bits)
{
    memcpy(out, &bits, sizeof bits);
}

static uint16_t get_u16(const unsigned char *data)
{
    uint16_t bits;
    memcpy(&bits, data, sizeof bits);
    return bits;
}

static void put_f16(unsigned char *out, float value)
{
    put_u16(out, bt_f16_from_f32(value));
}

static float get_f16(const unsigned char *data)
{
    return bt_f32_from_f16(get_u16(data));
}

/* ---- two bits a code: the code plus one ---- */

static unsigned two_bits(int8_t code)
{
    return (unsigned)(code + 1);
}

static float of_two_bits(unsigned bits)
{
    return (float)(int)(bits & 3u) - 1.0f;
}

/* Groups of 32 codes lie over each other: byte m has code m of each of the four groups, the first one lowest. */
#define TQ2_QS 64
static void encode_tq2_0(unsigned char *out, const int8_t *codes, float scale)
{
    for (size_t i = 0; i < TQ2_QS; i++) {
        const int8_t *first = codes + i / 32 * 128 + i % 32;
        unsigned bits = 0;
        for (unsigned l = 0; l < 4; l++)
            bits |= two_bits(first[32 * l]) << 2 * l;
        out[i] = (unsigned char)bits;
    }
    put_f16(out + TQ2_QS, scale);
}

static void decode_tq2_0(float *out, const unsigned char *data)
{
    const float d = get_f16(data + TQ2_QS);
    for (size_t i = 0; i < TQ2_QS; i++)
        for (unsigned l = 0; l < 4; l++)
            out[i / 32 * 128 + i % 32 + 32 * l] = of_two_bits(data[i] >> 2 * l) * d;
}

static void encode_q2_0(unsigned char *out, const int8_t *codes, float scale)
{
    put_f16(out, scale);
    for (size_t i = 0; i < 16; i++) {
        unsigned bits = 0;
        for (unsigned l = 0; l < 4; l++)
            bits |= two_bits(codes[4 * i + l]) << 2 * l;
        out[2 + i] = (unsigned char)bits;
    }
}

static void decode_q2_0(float *out, const unsigned char *data)
{
    const float d = get_f16(data);
    for (size_t i = 0; i < 64; i++)
        out[i] = of_two_bits(data[2 + i / 4] >> 2 * (i % 4)) * d;
}

/* As TQ2_0, but with the first of the four groups in the highest bits. */
static void encode_i2_s(unsigned char *out, const int8_t *codes)
{
    for (size_t g = 0; g < 32; g++) {
        unsigned bits = 0;
        for (unsigned k = 0; k < 4; k++)
            bits |= two_bits(codes[32 * k + g]) << (6 - 2 * k);
        out[g] = (unsigned char)bits;
    }
}

static void decode_i2_s(float *out, const unsigned char *data, float scale)
{
    for (size_t i = 0; i < 128; i++)
        out[i] = of_two_bits(data[i % 32] >> (6 - 2 * (i / 32))) * scale;
}

/* ---- TQ1_0: base three ---- */

/* Byte k of a block holds the codes first, first + step, ..., the first as the highest of five digits. */
struct digits {
    size_t first, step, count;
};

#define TQ1_BYTES 52
static struct digits digits_of(size_t byte)
{
    if (byte < 32)
        return (struct digits){byte, 32, 5};
    if (byte < 48)
        return (struct digits){160 + byte - 32, 16, 5};
    return (struct digits){240 + byte - 48, 4, 4};
}

/* A number q of five digits is kept as the byte 256 q / 243, rounded up: then a digit is what a product with a power of
 * three has above its low eight bits. */
static void encode_tq1_0(unsigned char *out, const int8_t *codes, float scale)
{
    for (size_t i = 0; i < TQ1_BYTES; i++) {
        const struct digits digits = digits_of(i);
        unsigned q = 0;
        for (size_t n = 0; n < 5; n++)
            q = 3 * q + (n < digits.count ? two_bits(codes[digits.first + n * digits.step]) : 0);
        out[i] = (unsigned char)((256 * q + 242) / 243);
    }
    put_f16(out + TQ1_BYTES, scale);
}

static void decode_tq1_0(float *out, const unsigned char *data)
{
    const float d = get_f16(data + TQ1_BYTES);
    for (size_t i = 0; i < TQ1_BYTES; i++) {
        const struct digits digits = digits_of(i);
        unsigned rest = data[i];
        for (size_t n = 0; n < digits.count; n++) {
            out[digits.first + n * digits.step] = of_two_bits(rest * 3 >> 8) * d;
            rest = rest * 3 & 255;
        }
    }
}

/* ---- Q8_0 ---- */

/* ggml's quantize_row_q8_0_ref: halves away from zero. */
static void encode_q8_0_floats(unsigned char *out, const float *values)
{
    float most = 0.0f;
    for (size_t i = 0; i < 32; i++)
        most = fmaxf(most, fabsf(values[i]));
    const float d = most / 127.0f, inverse = d >= FLT_MIN ? 1.0f / d : 0.0f;
    put_f16(out, d);
    for (size_t i = 0; i < 32; i++)
        out[2 + i] = (unsigned char)(int8_t)roundf(values[i] * inverse);
}

/* With the scale itself as d and codes of one, which is exact; a d of scale / 127 is not. */
static void encode_q8_0_codes(unsigned char *out, const int8_t *codes, float scale)
{
    put_f16(out, scale);
    memcpy(out + 2, codes, 32);
}

static void decode_q8_0(float *out, const unsigned char *data)
{
    const float d = get_f16(data);
    for (size_t i = 0; i < 32; i++)
        out[i] = (float)(int8_t)data[2 + i] * d;
}

/* ---- one number ---- */

static void encode_float(enum bt_gguf_type type, unsigned char *out, float value)
{
    if (type == BT_GGUF_F32)
        memcpy(out, &value, sizeof value);
    else
        put_u16(out, type == BT_GGUF_F16 ? bt_f16_from_f32(value) : bt_bf16_from_f32(value));
}

static float decode_float(enum bt_gguf_type type, const unsigned char *data)
{
    float value;
    if (type != BT_GGUF_F32)
        return type == BT_GGUF_F16 ? get_f16(data) : bt_f32_from_bf16(get_u16(data));
    memcpy(&value, data, sizeof value);
    return value;
}

/* ---- all of them ---- */

static void encode_block_of_codes(enum bt_gguf_type type, unsigned char *out, const int8_t *codes, float scale)
{
    switch (type) {
    case BT_GGUF_F32:
    case BT_GGUF_F16:
    case BT_GGUF_BF16:
        encode_float(type, out, (float)codes[0] * scale);
        break;
    case BT_GGUF_Q8_0:
        encode_q8_0_codes(out, codes, scale);
        break;
    case BT_GGUF_Q2_0:
        encode_q2_0(out, codes, scale);
        break;
    case BT_GGUF_TQ2_0:
        encode_tq2_0(out, codes, scale);
        break;
    case BT_GGUF_I2_S:
        encode_i2_s(out, codes);
        break;
    case BT_GGUF_TQ1_0:
        encode_tq1_0(out, codes, scale);
        break;
    }
}

void bt_gguf_encode_codes(const struct bt_gguf_type_info *type, unsigned char *out, const int8_t *codes, size_t count,
                          float scale)
{
    for (size_t i = 0; i < count / type->block; i++)
        encode_block_of_codes(type->type, out + i * type->bytes, codes + i * type->block, scale);
}

/* The bytes behind the scale are not read by anyone; they are zero so that files repeat. */
void bt_gguf_encode_tail(unsigned char *tail, float scale)
{
    memset(tail, 0, 32);
    memcpy(tail, &scale, sizeof scale);
}

float bt_gguf_decode_tail(const unsigned char *tail)
{
    float scale;
    memcpy(&scale, tail, sizeof scale);
    return scale;
}

void bt_gguf_encode_floats(const struct bt_gguf_type_info *type, unsigned char *out, const float *values, size_t count)
{
    for (size_t i = 0; i < count / type->block; i++) {
        if (type->type == BT_GGUF_Q8_0)
            encode_q8_0_floats(out + i * type->bytes, values + i * type->block);
        else
            encode_float(type->type, out + i * type->bytes, values[i]);
    }
}

static void decode_block(enum bt_gguf_type type, float *out, const unsigned char *data, float scale)
{
    switch (type) {
    case BT_GGUF_F32:
    case BT_GGUF_F16:
    case BT_GGUF_BF16:
        *out = decode_float(type, data);
        break;
    case BT_GGUF_Q8_0:
        decode_q8_0(out, data);
        break;
    case BT_GGUF_Q2_0:
        decode_q2_0(out, data);
        break;
    case BT_GGUF_TQ2_0:
        decode_tq2_0(out, data);
        break;
    case BT_GGUF_I2_S:
        decode_i2_s(out, data, scale);
        break;
    case BT_GGUF_TQ1_0:
        decode_tq1_0(out, data);
        break;
    }
}

void bt_gguf_decode(const struct bt_gguf_type_info *type, float *out, const unsigned char *data, size_t count,
                    float scale)
{
    for (size_t i = 0; i < count / type->block; i++)
        decode_block(type->type, out + i * type->block, data + i * type->bytes, scale);
}
