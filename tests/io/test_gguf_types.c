/* The tensor types of GGUF: bytes as ggml and bitnet.cpp have them, and back. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/rng.h"
#include "io/gguf_types.h"

#define SCALE_BF16 0x1.0cp-5f /* exact in bfloat16, half precision and float32 */

/* t[i] = (i mod 3) - 1, of which the vectors below are. */
static void fill_test_codes(int8_t *codes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        codes[i] = (int8_t)((int)(i % 3) - 1);
}

static void assert_repeats(const unsigned char *bytes, size_t count, const unsigned char *pattern, size_t period)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != pattern[i % period])
            fail_msg("byte %zu is %02x, expected %02x", i, bytes[i], pattern[i % period]);
}

static float f16_at(const unsigned char *data)
{
    uint16_t bits;
    memcpy(&bits, data, sizeof bits);
    return bt_f32_from_f16(bits);
}

static void tq2_0_has_the_known_bytes(void **state)
{
    (void)state;
    int8_t codes[256];
    unsigned char out[66];
    fill_test_codes(codes, 256);
    bt_gguf_encode_codes(bt_gguf_type_named("tq2_0"), out, codes, 256, SCALE_BF16);
    assert_repeats(out, 64, (const unsigned char[]){0x18, 0x61, 0x86}, 3);
    assert_int_equal(out[63], 0x18);
    assert_true(f16_at(out + 64) == SCALE_BF16);
}

static void tq1_0_has_the_known_bytes(void **state)
{
    (void)state;
    int8_t codes[256];
    unsigned char out[54];
    fill_test_codes(codes, 256);
    bt_gguf_encode_codes(bt_gguf_type_named("tq1_0"), out, codes, 256, SCALE_BF16);
    assert_repeats(out, 32, (const unsigned char[]){0x45, 0x6c, 0xcf}, 3);
    assert_repeats(out + 32, 16, (const unsigned char[]){0x94, 0xbb, 0x31}, 3);
    assert_memory_equal(out + 48, ((const unsigned char[]){0x30, 0x92, 0xbb, 0x30}), 4);
    assert_true(f16_at(out + 52) == SCALE_BF16);
}

static void q2_0_has_the_known_bytes(void **state)
{
    (void)state;
    int8_t codes[64];
    unsigned char out[18];
    fill_test_codes(codes, 64);
    bt_gguf_encode_codes(bt_gguf_type_named("q2_0"), out, codes, 64, SCALE_BF16);
    assert_true(f16_at(out) == SCALE_BF16);
    assert_repeats(out + 2, 16, (const unsigned char[]){0x24, 0x49, 0x92}, 3);
}

static void i2_s_has_the_known_bytes(void **state)
{
    (void)state;
    int8_t codes[256];
    unsigned char out[64], tail[32];
    float scale;
    fill_test_codes(codes, 256);
    bt_gguf_encode_codes(bt_gguf_type_named("i2_s"), out, codes, 256, SCALE_BF16);
    assert_repeats(out, 64, (const unsigned char[]){0x24, 0x49, 0x92}, 3);
    assert_int_equal(out[63], 0x24);
    bt_gguf_encode_tail(tail, SCALE_BF16);
    memcpy(&scale, tail, sizeof scale);
    assert_true(scale == SCALE_BF16);
    for (size_t i = 4; i < sizeof tail; i++)
        assert_int_equal(tail[i], 0);
}

/* Of 96 values d = 127 / 127 in the first block, halves away from zero, and nothing but zeros in the last. */
static void q8_0_rounds_as_ggml_does(void **state)
{
    (void)state;
    const struct bt_gguf_type_info *q8_0 = bt_gguf_type_named("q8_0");
    float values[96] = {127.0f, -127.0f, 0.5f, -0.5f, 1.5f, 2.5f, 0.49f};
    unsigned char out[3 * 34];
    values[32] = -2.54f;
    values[33] = 1.0f;
    bt_gguf_encode_floats(q8_0, out, values, 96);
    const int8_t want[] = {127, -127, 1, -1, 2, 3, 0};
    assert_true(f16_at(out) == 1.0f);
    assert_memory_equal(out + 2, want, sizeof want);
    assert_true(f16_at(out + 34) == bt_f32_from_f16(bt_f16_from_f32(2.54f / 127.0f)));
    assert_int_equal((int8_t)out[36], -127);
    assert_int_equal((int8_t)out[37], 50);
    for (size_t i = 68; i < 102; i++)
        assert_int_equal(out[i], 0);
    /* a d that has no inverse in float32 */
    bt_gguf_encode_floats(q8_0, out, (const float[32]){1e-42f}, 32);
    assert_int_equal(out[2], 0);
}

static void sizes_are_those_of_the_formulas(void **state)
{
    (void)state;
    const struct {
        const char *name;
        uint64_t bytes; /* of 1024 values */
        uint32_t number, file_type;
    } want[] = {{"f32", 4096, 0, 0},   {"f16", 2048, 1, 1},    {"bf16", 2048, 30, 32}, {"q8_0", 1088, 8, 7},
                {"q2_0", 288, 42, 41}, {"tq2_0", 264, 35, 37}, {"i2_s", 288, 36, 40},  {"tq1_0", 216, 34, 36}};
    assert_int_equal(BT_ARRAY_LEN(want), BT_GGUF_TYPE_COUNT);
    for (size_t i = 0; i < BT_ARRAY_LEN(want); i++) {
        const struct bt_gguf_type_info *type = bt_gguf_type_named(want[i].name);
        uint64_t bytes;
        assert_non_null(type);
        assert_ptr_equal(bt_gguf_type_find(want[i].number), type);
        assert_int_equal(type->file_type, want[i].file_type);
        assert_true(bt_gguf_type_bytes(type, 1024, &bytes));
        assert_int_equal(bytes, want[i].bytes);
    }
    uint64_t bytes;
    assert_false(bt_gguf_type_bytes(bt_gguf_type_named("f32"), UINT64_MAX / 2, &bytes));
    assert_null(bt_gguf_type_find(39));
    assert_null(bt_gguf_type_named("q4_0"));
}

/* Random codes, and scales that are bfloat16 values down to the smallest that quantising gives. */
static void every_type_gives_codes_and_scale_back(void **state)
{
    (void)state;
    enum { COUNT = 2048 };
    const float scales[] = {1e-5f, 0.00347f, 0.5f, 1.0f, 3.1f, 60000.0f};
    static int8_t codes[COUNT];
    static float back[COUNT];
    static unsigned char bytes[COUNT * 4];
    const uint64_t key = bt_rng_key(7, "gguf codes");
    for (size_t i = 0; i < COUNT; i++)
        codes[i] = (int8_t)((int)bt_rng_below(key, i, 3) - 1);
    memset(codes + 512, 0, 256);
    for (size_t t = 0; t < BT_GGUF_TYPE_COUNT; t++)
        for (size_t s = 0; s < BT_ARRAY_LEN(scales); s++) {
            const float scale = bt_f32_from_bf16(bt_bf16_from_f32(scales[s]));
            bt_gguf_encode_codes(&bt_gguf_types[t], bytes, codes, COUNT, scale);
            bt_gguf_decode(&bt_gguf_types[t], back, bytes, COUNT, scale);
            for (size_t i = 0; i < COUNT; i++)
                if (!(back[i] == (float)codes[i] * scale))
                    fail_msg("%s: value %zu: %g in place of %g", bt_gguf_types[t].name, i, (double)back[i],
                             (double)((float)codes[i] * scale));
        }
}

static void floats_come_back_rounded(void **state)
{
    (void)state;
    const struct {
        const char *name;
        double relative; /* of half a unit in the last place, of the block's largest value for q8_0 */
    } types[] = {{"f32", 0}, {"f16", 0x1p-11}, {"bf16", 0x1p-8}, {"q8_0", 0.5 / 127 + 0x1p-11}};
    float values[256], back[256];
    unsigned char bytes[1024];
    const uint64_t key = bt_rng_key(8, "gguf floats");
    for (size_t i = 0; i < 256; i++)
        values[i] = (float)bt_rng_normal(key, i);
    for (size_t t = 0; t < BT_ARRAY_LEN(types); t++) {
        const struct bt_gguf_type_info *type = bt_gguf_type_named(types[t].name);
        bt_gguf_encode_floats(type, bytes, values, 256);
        bt_gguf_decode(type, back, bytes, 256, 0);
        for (size_t i = 0; i < 256; i++) {
            double most = 0;
            for (size_t j = i / type->block * type->block; j < (i / type->block + 1) * type->block; j++)
                most = fmax(most, fabs((double)values[j]));
            assert_true(fabs((double)back[i] - (double)values[i]) <= types[t].relative * most);
        }
    }
}

/* What no writer makes must still be some number, without reading past a table: the sanitizers look on. */
static void any_bytes_decode(void **state)
{
    (void)state;
    const uint64_t key = bt_rng_key(9, "gguf bytes");
    unsigned char bytes[1024];
    float back[256];
    for (uint64_t round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)bt_rng_u64(key, round * sizeof bytes + i);
        for (size_t t = 0; t < BT_GGUF_TYPE_COUNT; t++)
            bt_gguf_decode(&bt_gguf_types[t], back, bytes, 256, bt_gguf_decode_tail(bytes));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tq2_0_has_the_known_bytes),
        cmocka_unit_test(tq1_0_has_the_known_bytes),
        cmocka_unit_test(q2_0_has_the_known_bytes),
        cmocka_unit_test(i2_s_has_the_known_bytes),
        cmocka_unit_test(q8_0_rounds_as_ggml_does),
        cmocka_unit_test(sizes_are_those_of_the_formulas),
        cmocka_unit_test(every_type_gives_codes_and_scale_back),
        cmocka_unit_test(floats_come_back_rounded),
        cmocka_unit_test(any_bytes_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
