/* The kernels of inference: packed ternary products, products with panels, attention behind a cache. */
#include "support.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/half.h"
#include "kernels/panels.h"
#include "kernels/quantize.h"
#include "kernels/ternary.h"
#include "random_reals.h"

static const enum bt_cpu_level levels[] = {BT_CPU_PORTABLE, BT_CPU_AVX2, BT_CPU_AVX512};

static int8_t *random_codes(struct bt_arena *arena, size_t n, int most, const char *name)
{
    const uint64_t key = bt_rng_key(3, name);
    int8_t *codes = bt_arena_take(arena, n + BT_TERNARY_OVERREAD, 1);
    for (size_t i = 0; i < n; i++)
        codes[i] = (int8_t)((int)bt_rng_below(key, i, (uint64_t)(2 * most + 1)) - most);
    memset(codes + n, 99, BT_TERNARY_OVERREAD); /* must count for nothing */
    return codes;
}

/* The formula of the header, a term at a time. */
static void plain_linear(float *y, const int8_t *t, const struct bt_ternary *layer, const int8_t *codes, const float *a,
                         size_t n)
{
    for (size_t r = 0; r < n; r++)
        for (size_t o = 0; o < layer->out; o++) {
            int32_t sum = 0;
            for (size_t i = 0; i < layer->in; i++)
                sum += codes[r * layer->in + i] * t[o * layer->in + i];
            const float scaled = (float)sum * (a[r] / 127.0f * layer->s);
            y[r * layer->out + o] = layer->bias ? scaled + layer->bias[o] : scaled;
        }
}

static void check_ternary(size_t n, size_t out, size_t in, bool bias, const int8_t *t, const int8_t *codes,
                          struct bt_arena *arena)
{
    uint8_t *packed = bt_arena_take(arena, out, bt_ternary_row_bytes(in));
    const struct bt_ternary layer = {.in = in,
                                     .out = out,
                                     .packed = packed,
                                     .s = 0.0123f,
                                     .bias = bias ? random_reals(arena, out, -1.0, 1.0, "bias") : NULL};
    const float *a = random_reals(arena, n, 0.1, 3.0, "a");
    float *want = bt_arena_take(arena, n * out, 4), *got = bt_arena_take(arena, n * out + 1, 4);
    bt_ternary_pack(packed, t, out, in);
    plain_linear(want, t, &layer, codes, a, n);
    for (size_t level = 0; level < BT_ARRAY_LEN(levels); level++)
        for (int threads = 1; threads <= 3; threads += 2) {
            omp_set_num_threads(threads);
            memset(got, 0xff, n * out * sizeof *got);
            got[n * out] = 77.0f;
            bt_ternary_linear(levels[level], &layer, got, codes, a, n);
            if (memcmp(got, want, n * out * sizeof *got) || got[n * out] != 77.0f)
                fail_msg("%zu tokens, %zu outputs, %zu inputs, level %zu: not the exact sums", n, out, in, level);
        }
}

static void packed_sums_are_exact(void **state)
{
    static const size_t sizes[][3] = {
        {1, 1, 1},   {1, 3, 63},    {2, 5, 64},    {7, 4, 65},    {8, 65, 255},
        {9, 2, 256}, {17, 70, 257}, {65, 3, 2049}, {1, 130, 576}, {130, 67, 300},
    };
    (void)state;
    const int threads = omp_get_max_threads();
    for (size_t s = 0; s < BT_ARRAY_LEN(sizes); s++) {
        const size_t n = sizes[s][0], out = sizes[s][1], in = sizes[s][2];
        struct bt_arena arena;
        assert_true(bt_arena_init(&arena, (size_t)4 << 20));
        check_ternary(n, out, in, s % 2, random_codes(&arena, out * in, 1, "t"), random_codes(&arena, n * in, 127, "c"),
                      &arena);
        bt_arena_finish(&arena);
    }
    omp_set_num_threads(threads);
}

/* Codes and weights as large as they can be, long past where sums of 16 bits must be widened. */
static void the_largest_sums_do_not_overflow(void **state)
{
    enum { IN = 9000, TOKENS = 9 };
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct bt_arena arena;
        assert_true(bt_arena_init(&arena, (size_t)1 << 20));
        int8_t *t = random_codes(&arena, 2 * IN, 1, "t"), *codes = random_codes(&arena, TOKENS * IN, 1, "c");
        memset(t, 1, 2 * IN);
        memset(codes, sign * 127, TOKENS * IN);
        check_ternary(TOKENS, 2, IN, false, t, codes, &arena);
        bt_arena_finish(&arena);
    }
}

/* What a panel format keeps of a weight. */
static float kept_weight(enum bt_panel_format format, const float *w, size_t in, size_t i)
{
    float most = 0.0f;
    if (format == BT_PANEL_F32)
        return w[i];
    if (format == BT_PANEL_BF16)
        return bt_f32_from_bf16(bt_bf16_from_f32(w[i]));
    for (size_t j = 0; j < in; j++)
        most = fmaxf(most, fabsf(w[j]));
    return rintf(w[i] / (most / 127.0f)) * (most / 127.0f);
}

static void check_panels(size_t n, size_t out, size_t in, enum bt_panel_format format)
{
    struct bt_arena arena;
    assert_true(bt_arena_init(&arena, (size_t)8 << 20));
    const float *w = random_reals(&arena, out * in, -1.0, 1.0, "w"), *x = random_reals(&arena, n * in, -1.0, 1.0, "x");
    float *y = bt_arena_take(&arena, n * out, 4), *alone = bt_arena_take(&arena, out, 4);
    float *scales = bt_arena_take(&arena, out, 4);
    void *packed = bt_arena_take(&arena, bt_panels_bytes(format, out, in), 1);
    const struct bt_panels panels = {
        .in = in, .out = out, .format = format, .panels = packed, .scales = format == BT_PANEL_INT8 ? scales : NULL};
    bt_panels_pack(packed, scales, format, w, out, in);
    for (size_t level = 0; level < BT_ARRAY_LEN(levels); level++) {
        bt_panels_multiply(levels[level], &panels, y, x, n);
        for (size_t r = 0; r < n; r++) {
            for (size_t o = 0; o < out; o++) {
                double sum = 0.0, magnitude = 0.0;
                for (size_t i = 0; i < in; i++) {
                    const double term = (double)x[r * in + i] * (double)kept_weight(format, w + o * in, in, i);
                    sum += term;
                    magnitude += fabs(term);
                }
                /* A chain of at most 256 sums, and as many strips as there are. */
                if (!(fabs((double)y[r * out + o] - sum) <= 260.0 * (double)FLT_EPSILON * magnitude))
                    fail_msg("format %d, row %zu, output %zu of %zu: got %.9g, want %.9g", (int)format, r, o, out,
                             (double)y[r * out + o], sum);
            }
            bt_panels_multiply(levels[level], &panels, alone, x + r * in, 1);
            assert_memory_equal(alone, y + r * out, out * sizeof *y);
        }
    }
    bt_arena_finish(&arena);
}

static void panels_equal_the_formula(void **state)
{
    (void)state;
    for (int format = BT_PANEL_F32; format <= BT_PANEL_INT8; format++) {
        check_panels(1, 1, 1, (enum bt_panel_format)format);
        check_panels(3, 33, 257, (enum bt_panel_format)format);
        check_panels(34, 70, 300, (enum bt_panel_format)format);
    }
}

static void bfloat16_numbers_are_known(void **state)
{
    float w[3] = {1.0f, -0.0078125f, 3.0e38f};
    (void)state;
    w[2] = bt_f32_from_bf16(bt_bf16_from_f32(w[2]));
    assert_true(bt_all_bf16(w, 3));
    w[1] = 1.00390625f; /* one bit too many */
    assert_false(bt_all_bf16(w, 3));
}

/* Queries from `past` on, after keys that have none, give the bits of all queries at once. */
static void check_cached(const struct bt_kernels *kernels, const struct bt_attention_shape *all, size_t past,
                         size_t count, const float *q, const float *k, const float *v, const float *want)
{
    const size_t width = all->heads * all->head_dim;
    struct bt_arena arena;
    assert_true(bt_arena_init(&arena, (size_t)4 << 20));
    float *out = bt_arena_take(&arena, count * width, 4), *lse = bt_arena_take(&arena, count * all->heads, 4);
    struct bt_attention_shape part = *all;
    part.seq = count;
    part.first = all->first + past;
    part.past = past;
    part.begin = (size_t)all->first[past / 64 * 64];
    if (count == 1)
        kernels->attention_last(out, q + past * width, k, v, &part);
    else
        kernels->attention_fwd(out, lse, q + past * width, k, v, &part);
    if (memcmp(out, want + past * width, count * width * sizeof *out))
        fail_msg("%s: %zu queries behind %zu keys give other bits than all at once", bt_cpu_level_name(kernels->level),
                 count, past);
    bt_arena_finish(&arena);
}

static void attention_behind_a_cache(void **state)
{
    static const struct bt_attention_shape shapes[] = {{1, 200, 4, 1, 32, NULL, 0, 0},
                                                       {1, 150, 3, 3, 20, NULL, 0, 0},
                                                       {1, 140, 16, 2, 8, NULL, 0, 0},
                                                       {1, 130, 1, 1, 300, NULL, 0, 0}};
    static const enum visible sees[] = {SEES_CAUSAL, SEES_WINDOW, SEES_LONG_WINDOW};
    (void)state;
    for (int level = 0; level <= (int)bt_cpu_level(); level++)
        for (size_t i = 0; i < BT_ARRAY_LEN(shapes) * BT_ARRAY_LEN(sees); i++) {
            struct bt_attention_shape s = shapes[i / BT_ARRAY_LEN(sees)];
            struct bt_kernels kernels;
            struct bt_arena a;
            const size_t queries = s.seq * s.heads * s.head_dim, keys = s.seq * s.kv_heads * s.head_dim;
            bt_kernels_init(&kernels, (enum bt_cpu_level)level);
            assert_true(bt_arena_init(&a, (size_t)4 << 20));
            s.first = first_seen(&a, 1, s.seq, sees[i % BT_ARRAY_LEN(sees)]);
            const float *q = random_reals(&a, queries, -2.0, 2.0, "q"), *k = random_reals(&a, keys, -2.0, 2.0, "k");
            const float *v = random_reals(&a, keys, -1.0, 1.0, "v");
            float *want = bt_arena_take(&a, queries, 4), *lse = bt_arena_take(&a, s.seq * s.heads, 4);
            kernels.attention_fwd(want, lse, q, k, v, &s);
            for (size_t past = 1; past < s.seq; past += 3)
                check_cached(&kernels, &s, past, 1, q, k, v, want);
            check_cached(&kernels, &s, 64, s.seq - 64, q, k, v, want);
            check_cached(&kernels, &s, 70, 58, q, k, v, want);
            bt_arena_finish(&a);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_sums_are_exact),    cmocka_unit_test(the_largest_sums_do_not_overflow),
        cmocka_unit_test(panels_equal_the_formula), cmocka_unit_test(bfloat16_numbers_are_known),
        cmocka_unit_test(attention_behind_a_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
