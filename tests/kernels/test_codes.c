/* Products of codes on every instruction set: forward exact, gradients within what their codes allow, the same bits
 * everywhere, in any tiles. */
#include "support.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/codes.h"
#include "random_reals.h"

/* The form of VNNI without its instructions, so that all but those is tested on every machine. */
bt_codes_tile_fn bt_codes_forward_portable_emulated, bt_codes_forward_avx2_emulated, bt_codes_forward_avx512_emulated;
bt_gradient_tile_fn bt_codes_gradient_portable_emulated, bt_codes_gradient_avx2_emulated,
    bt_codes_gradient_avx512_emulated;

static const struct bt_codes emulated[] = {
    [BT_CPU_PORTABLE] = {"emulated-portable", bt_codes_forward_portable_emulated, bt_codes_gradient_portable_emulated},
#ifdef HAVE_AVX2
    [BT_CPU_AVX2] = {"emulated-avx2", bt_codes_forward_avx2_emulated, bt_codes_gradient_avx2_emulated},
#endif
#ifdef HAVE_AVX512
    [BT_CPU_AVX512] = {"emulated-avx512", bt_codes_forward_avx512_emulated, bt_codes_gradient_avx512_emulated},
#endif
};

/* All that this machine can run, the plain one first. */
struct all {
    const struct bt_codes *codes[9];
    size_t count;
};

static struct all all_codes(void)
{
    struct all all = {{NULL}, 0};
    for (int level = BT_CPU_PORTABLE; level <= (int)bt_cpu_level(); level++) {
        all.codes[all.count++] = bt_codes_for((enum bt_cpu_level)level);
        if ((size_t)level < BT_ARRAY_LEN(emulated) && emulated[level].name)
            all.codes[all.count++] = &emulated[level];
        if (bt_codes_vnni((enum bt_cpu_level)level))
            all.codes[all.count++] = bt_codes_vnni((enum bt_cpu_level)level);
    }
    return all;
}

/* Those with the instructions of VNNI are there where the machine has them. */
static void vnni_is_there_where_the_machine_has_it(void **state)
{
    (void)state;
    for (int level = BT_CPU_PORTABLE; level <= BT_CPU_AVX512; level++) {
        const struct bt_codes *vnni = bt_codes_vnni((enum bt_cpu_level)level);
        if (vnni)
            assert_true(bt_cpu_vnni((enum bt_cpu_level)level) && strstr(vnni->name, "vnni"));
        print_message("%s: %s\n", bt_cpu_level_name((enum bt_cpu_level)level), vnni ? vnni->name : "no VNNI");
    }
    assert_null(bt_codes_vnni(BT_CPU_PORTABLE));
}

struct size {
    size_t m, n, k;
};

/* Ragged on every side, and long enough for several strips, panels and groups. */
static const struct size sizes[] = {{1, 1, 1},   {2, 3, 5},     {6, 16, 4},     {7, 17, 9},      {13, 33, 70},
                                    {5, 64, 64}, {97, 65, 322}, {30, 401, 641}, {100, 50, 1154}, {3, 8, 2500}};

static int8_t *random_codes(struct bt_arena *arena, size_t n, int most, const char *purpose)
{
    int8_t *codes = bt_arena_take(arena, n, 1);
    const uint64_t key = bt_rng_key(5, purpose);
    for (size_t i = 0; i < n; i++)
        codes[i] = (int8_t)((int)bt_rng_below(key, i, (uint64_t)(2 * most + 1)) - most);
    return codes;
}

static void check_forward(struct size size, bool biased, bool residual)
{
    const size_t m = size.m, n = size.n, k = size.k;
    struct bt_arena arena;
    assert_true(bt_arena_init(&arena, (size_t)16 << 20));
    float *y = bt_arena_take(&arena, m * n, sizeof *y);
    const struct bt_codes_product p = {.m = m,
                                       .n = n,
                                       .k = k,
                                       .codes = random_codes(&arena, m * k, 127, "codes"),
                                       .a = random_reals(&arena, m, 0.1, 3.0, "a"),
                                       .t = random_codes(&arena, n * k, 1, "t"),
                                       .s = 0.37f,
                                       .bias = biased ? random_reals(&arena, n, -1.0, 1.0, "bias") : NULL,
                                       .y = y,
                                       .residual = residual ? random_reals(&arena, m * n, -2.0, 2.0, "rest") : NULL};
    const struct all all = all_codes();
    for (size_t l = 0; l < all.count; l++) {
        const struct bt_codes *codes = all.codes[l];
        memset(y, 0xff, m * n * sizeof *y);
        bt_codes_forward(codes, &p);
        for (size_t i = 0; i < m * n; i++) {
            int32_t sum = 0;
            for (size_t x = 0; x < k; x++)
                sum += p.codes[i / n * k + x] * p.t[i % n * k + x];
            const volatile float product = (float)sum * (p.a[i / n] / 127.0f * p.s); /* rounded before the bias */
            const volatile float linear = biased ? product + p.bias[i % n] : product;
            const float want = residual ? linear + p.residual[i] : linear;
            if (y[i] != want)
                fail_msg("%s %zu %zu %zu at %zu, %zu: got %.9g, want %.9g", codes->name, m, n, k, i / n, i % n,
                         (double)y[i], (double)want);
        }
    }
    bt_arena_finish(&arena);
}

static void forward_is_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(sizes); i++)
        for (int kind = 0; kind < 4; kind++)
            check_forward(sizes[i], kind & 1, kind & 2);
}

/* Rows of codes at one end against rows of one weight: nothing saturates between the sums of bytes and of words, with
 * one code more or less than what 16 bits hold (64 units of 4), and than a strip (768). */
static void check_ends(size_t k)
{
    enum { ROWS = 14, COLUMNS = 67, MOST = 3000 };
    static const int8_t ends[] = {127, -127, -128}, weights[] = {1, -1, 0};
    static int8_t codes[ROWS * MOST], t[COLUMNS * MOST];
    static float a[ROWS], y[ROWS * COLUMNS];
    const struct all all = all_codes();
    for (size_t i = 0; i < ROWS; i++) {
        memset(codes + i * k, ends[i % 3], k);
        a[i] = 127.0f;
    }
    for (size_t j = 0; j < COLUMNS; j++)
        memset(t + j * k, weights[j % 3], k);
    const struct bt_codes_product p = {
        .m = ROWS, .n = COLUMNS, .k = k, .codes = codes, .a = a, .t = t, .s = 1.0f, .y = y};
    for (size_t l = 0; l < all.count; l++) {
        memset(y, 0xff, sizeof y);
        bt_codes_forward(all.codes[l], &p);
        for (size_t i = 0; i < ROWS * COLUMNS; i++)
            if (y[i] != (float)(ends[i / COLUMNS % 3] * weights[i % COLUMNS % 3] * (int32_t)k))
                fail_msg("%s, k = %zu: codes %d times %d gave %.9g", all.codes[l]->name, k, ends[i / COLUMNS % 3],
                         weights[i % COLUMNS % 3], (double)y[i]);
    }
}

static void forward_does_not_saturate(void **state)
{
    static const size_t around[] = {4, 256, 512, 768, 1024, 1536, 2304};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(around); i++)
        for (size_t k = around[i] - 1; k <= around[i] + 1; k++)
            check_ends(k);
    check_ends(3000);
}

static struct bt_gradient_product make_gradient(struct bt_arena *arena, struct size size, bool transposed)
{
    return (struct bt_gradient_product){.m = size.m,
                                        .n = size.n,
                                        .k = size.k,
                                        .dy = random_reals(arena, size.m * size.k, -1e-3, 1e-3, "dy"),
                                        .transposed = transposed,
                                        .weight = transposed ? random_reals(arena, size.k, 0.5, 4.0, "weight") : NULL,
                                        .b = random_codes(arena, size.k * size.n, transposed ? 127 : 1, "b"),
                                        .scale = 0.01f};
}

/* An element in double, and the largest that its error can be: half a step of every code, and float32 sums. */
static double gradient_element(const struct bt_gradient_product *p, size_t i, size_t j, double *ret_bound)
{
    double sum = 0.0, most = 0.0, absolute = 0.0, all = 0.0;
    for (size_t x = 0; x < p->k; x++) {
        const double g = (double)(p->transposed ? p->dy[x * p->m + i] : p->dy[i * p->k + x]) *
                         (p->weight ? (double)p->weight[x] : 1.0);
        const double b = (double)p->b[x * p->n + j];
        sum += g * b;
        all += fabs(g * b);
        absolute += fabs(b);
        most = fabs(g) > most ? fabs(g) : most;
    }
    const double scale = (double)p->scale;
    *ret_bound = scale * (absolute * most / 32767.0 * 0.51 + all * 2e-6) + 1e-6 * scale * fabs(sum) + 1e-12;
    return scale * sum;
}

static void check_gradient(struct size size, bool transposed, bool accumulate)
{
    struct bt_arena arena;
    const size_t cells = size.m * size.n;
    assert_true(bt_arena_init(&arena, (size_t)16 << 20));
    struct bt_gradient_product p = make_gradient(&arena, size, transposed);
    float *first = bt_arena_take(&arena, cells, sizeof *first), *c = bt_arena_take(&arena, cells, sizeof *c);
    p.accumulate = accumulate;
    const struct all all = all_codes();
    for (size_t l = 0; l < all.count; l++) {
        const struct bt_codes *codes = all.codes[l];
        p.c = l ? c : first;
        for (size_t i = 0; i < cells; i++)
            p.c[i] = accumulate ? 1e-3f : NAN;
        bt_codes_gradient(codes, &p);
        if (l && memcmp(first, c, cells * sizeof *c))
            fail_msg("%s %zu %zu %zu: other bits than %s", codes->name, size.m, size.n, size.k, bt_codes_for(0)->name);
    }
    for (size_t i = 0; i < cells; i++) {
        double bound;
        const double want = gradient_element(&p, i / size.n, i % size.n, &bound) + (accumulate ? (double)1e-3f : 0.0);
        if (!(fabs((double)first[i] - want) <= bound + (accumulate ? 1e-9 : 0.0)))
            fail_msg("%zu %zu %zu at %zu: got %.9g, want %.9g within %.3g", size.m, size.n, size.k, i, (double)first[i],
                     want, bound);
    }
    bt_arena_finish(&arena);
}

static void gradients_are_as_good_as_their_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(sizes); i++)
        for (int kind = 0; kind < 4; kind++)
            check_gradient(sizes[i], kind & 1, kind & 2);
}

/* The largest codes on both sides over a whole strip: the sum is just below 2^31. */
static void gradients_do_not_overflow(void **state)
{
    enum { K = 2 * BT_GRADIENT_STRIP };
    static float dy[K], c;
    static int8_t b[K];
    (void)state;
    for (size_t x = 0; x < K; x++) {
        dy[x] = 2.0f;
        b[x] = 127;
    }
    const struct bt_gradient_product p = {
        .m = 1, .n = 1, .k = K, .dy = dy, .transposed = true, .b = b, .scale = 1.0f, .c = &c};
    const struct all all = all_codes();
    for (size_t l = 0; l < all.count; l++) {
        bt_codes_gradient(all.codes[l], &p);
        assert_true(fabs((double)c / (2.0 * 127.0 * K) - 1.0) < 1e-6);
    }
}

/* A value that is not finite reaches every element of its row of c, and no other row. */
static void what_is_not_finite_comes_through(void **state)
{
    const struct size size = {20, 24, 700};
    const float values[] = {NAN, INFINITY, -INFINITY};
    struct bt_arena arena;
    (void)state;
    assert_true(bt_arena_init(&arena, (size_t)16 << 20));
    for (int transposed = 0; transposed < 2; transposed++)
        for (size_t v = 0; v < BT_ARRAY_LEN(values); v++) {
            struct bt_gradient_product p = make_gradient(&arena, size, transposed);
            float *dy = bt_arena_take(&arena, size.m * size.k, sizeof *dy);
            memcpy(dy, p.dy, size.m * size.k * sizeof *dy);
            dy[transposed ? 500 * size.m + 7 : 7 * size.k + 500] = values[v];
            p.dy = dy;
            p.c = bt_arena_take(&arena, size.m * size.n, sizeof *p.c);
            bt_codes_gradient(bt_codes_for(BT_CPU_AVX512), &p);
            for (size_t i = 0; i < size.m * size.n; i++)
                assert_true(isfinite(p.c[i]) == (i / size.n != 7));
        }
    bt_arena_finish(&arena);
}

/* Rows of zeros, and rows too small for a scale, give zeros. */
static void nothing_gives_nothing(void **state)
{
    float dy[8] = {0.0f, 0.0f, 0.0f, 0.0f, 1e-40f, -1e-40f, 0.0f, 0.0f}, c[6];
    const int8_t b[12] = {1, 1, 1, -1, 1, 0, 1, 0, 1, 1, 1, 1};
    const struct bt_gradient_product p = {.m = 2, .n = 3, .k = 4, .dy = dy, .b = b, .scale = 1.0f, .c = c};
    (void)state;
    bt_codes_gradient(bt_codes_for(BT_CPU_AVX512), &p);
    for (size_t i = 0; i < 6; i++)
        assert_true(c[i] == 0.0f);
}

/* Tiles follow the number of threads here, the bits do not. */
static void bits_do_not_depend_on_threads(void **state)
{
    const struct size size = {300, 500, 700};
    const int before = omp_get_max_threads();
    struct bt_arena arena;
    float *c[2];
    (void)state;
    assert_true(bt_arena_init(&arena, (size_t)32 << 20));
    for (int transposed = 0; transposed < 2; transposed++) {
        struct bt_gradient_product p = make_gradient(&arena, size, transposed);
        for (int i = 0; i < 2; i++)
            c[i] = bt_arena_take(&arena, size.m * size.n, sizeof *c[i]);
        for (int threads = 1; threads <= 16; threads = 2 * threads + 1) {
            omp_set_num_threads(threads);
            p.c = c[threads > 1];
            bt_codes_gradient(bt_codes_for(BT_CPU_AVX512), &p);
            if (threads > 1)
                assert_memory_equal(c[0], c[1], size.m * size.n * sizeof *c[0]);
        }
    }
    omp_set_num_threads(before);
    bt_arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vnni_is_there_where_the_machine_has_it),
        cmocka_unit_test(forward_is_exact),
        cmocka_unit_test(forward_does_not_saturate),
        cmocka_unit_test(gradients_are_as_good_as_their_codes),
        cmocka_unit_test(gradients_do_not_overflow),
        cmocka_unit_test(what_is_not_finite_comes_through),
        cmocka_unit_test(nothing_gives_nothing),
        cmocka_unit_test(bits_do_not_depend_on_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
