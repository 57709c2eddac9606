/* Muon against the same formulas in double, written down plainly. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "train/optimizer.h"

static const size_t shapes[][2] = {{1, 1}, {1, 7}, {7, 1}, {16, 16}, {12, 40}, {40, 12}, {65, 130}, {192, 64}};

static struct bt_compute compute;
static struct bt_arena arena;

static int setup(void **state)
{
    (void)state;
    bt_compute_init(&compute, BT_CPU_AVX512);
    return bt_arena_init(&arena, (size_t)64 << 20) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    bt_arena_finish(&arena);
    return 0;
}

static float *normals(size_t n, const char *name)
{
    float *x = bt_arena_take(&arena, n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)bt_rng_normal(bt_rng_key(5, name), i);
    return x;
}

static double *zeros(size_t n)
{
    return bt_arena_take(&arena, n, sizeof(double));
}

static struct bt_muon_scratch scratch_for(size_t rows, size_t columns)
{
    const size_t side = rows < columns ? rows : columns;
    struct bt_muon_scratch s = {.update = bt_arena_take(&arena, rows * columns, sizeof(float))};
    s.next = bt_arena_take(&arena, rows * columns, sizeof(float));
    s.square = bt_arena_take(&arena, side * side, sizeof(float));
    s.square_next = bt_arena_take(&arena, side * side, sizeof(float));
    return s;
}

/* s (rows, rows) = x x^T */
static void gram(double *s, const double *x, size_t rows, size_t columns)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < rows; j++) {
            s[i * rows + j] = 0.0;
            for (size_t k = 0; k < columns; k++)
                s[i * rows + j] += x[i * columns + k] * x[j * columns + k];
        }
}

/* c (n, m) = a (n, n) b (n, m) */
static void multiply(double *c, const double *a, const double *b, size_t n, size_t m)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) {
            c[i * m + j] = 0.0;
            for (size_t k = 0; k < n; k++)
                c[i * m + j] += a[i * n + k] * b[k * m + j];
        }
}

/* From the left whatever the shape: the iteration is the same from the right. */
static void plain_orthogonal(double *x, size_t rows, size_t columns, int steps)
{
    double norm = 0.0, *s = zeros(rows * rows), *s2 = zeros(rows * rows), *y = zeros(rows * columns);
    for (size_t i = 0; i < rows * columns; i++)
        norm += x[i] * x[i];
    for (size_t i = 0; i < rows * columns; i++)
        x[i] /= sqrt(norm) + 1e-7;
    for (int step = 0; step < steps; step++) {
        gram(s, x, rows, columns);
        multiply(s2, s, s, rows, rows);
        for (size_t i = 0; i < rows * rows; i++)
            s[i] = -4.7750 * s[i] + 2.0315 * s2[i];
        multiply(y, s, x, rows, columns);
        for (size_t i = 0; i < rows * columns; i++)
            x[i] = 3.4445 * x[i] + y[i];
    }
}

static void expect_near(const float *got, const double *want, size_t n, double tolerance)
{
    double size = 0.0;
    for (size_t i = 0; i < n; i++)
        size = fmax(size, fabs(want[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance * size))
            fail_msg("[%zu] of %zu: got %.9g, want %.9g", i, n, (double)got[i], want[i]);
}

/* The quintic's slope is at most 3.4445, so five steps make an error at most 500 times larger; as measured: 1e-5. */
static void orthogonalization_is_that_of_the_formula(void **state)
{
    (void)state;
    for (size_t k = 0; k < BT_ARRAY_LEN(shapes); k++) {
        const size_t rows = shapes[k][0], columns = shapes[k][1], n = rows * columns;
        const struct bt_muon_scratch scratch = scratch_for(rows, columns);
        float *x = normals(n, "x");
        double *want = zeros(n);
        for (size_t i = 0; i < n; i++)
            want[i] = (double)x[i];
        bt_orthogonalize(&compute, x, rows, columns, 5, &scratch);
        plain_orthogonal(want, rows, columns, 5);
        expect_near(x, want, n, 1e-4);
    }
}

/* The quintic does not converge: it leaves singular values between 0.68 and 1.13, those of random matrices that are not
 * square being far enough from 0. */
static void singular_values_end_near_one(void **state)
{
    (void)state;
    for (size_t k = 0; k < BT_ARRAY_LEN(shapes); k++) {
        const size_t rows = shapes[k][0], columns = shapes[k][1], n = rows * columns;
        const size_t side = rows < columns ? rows : columns;
        const struct bt_muon_scratch scratch = scratch_for(rows, columns);
        float *x = normals(n, "y");
        double squares = 0.0;
        if (rows == columns && rows > 1)
            continue;
        bt_orthogonalize(&compute, x, rows, columns, 5, &scratch);
        for (size_t i = 0; i < n; i++)
            squares += (double)x[i] * (double)x[i];
        assert_true(squares >= 0.46 * (double)side && squares <= 1.28 * (double)side); /* mean of their squares */
    }
}

static void nothing_stays_nothing(void **state)
{
    (void)state;
    const struct bt_muon_scratch scratch = scratch_for(4, 6);
    float x[24] = {0};
    bt_orthogonalize(&compute, x, 4, 6, 5, &scratch);
    for (size_t i = 0; i < 24; i++)
        assert_true(x[i] == 0.0f);
}

static void check_steps(bool nesterov, size_t rows, size_t columns)
{
    const struct bt_cfg_optimizer config = {.type = BT_OPTIMIZER_MUON,
                                            .weight_decay = 0.1,
                                            .muon = {.lr = 0.02, .momentum = 0.9, .nesterov = nesterov, .steps = 5}};
    const size_t n = rows * columns;
    const double lr = 0.015, scale = 0.5, factor = sqrt(fmax(1.0, (double)rows / (double)columns));
    const struct bt_muon_scratch scratch = scratch_for(rows, columns);
    float *w = normals(n, "w"), *m = bt_arena_take(&arena, n, sizeof(float));
    double *want_w = zeros(n), *want_m = zeros(n), *u = zeros(n);
    for (size_t i = 0; i < n; i++)
        want_w[i] = (double)w[i];
    for (int step = 0; step < 3; step++) {
        const float *g = normals(n, test_format("g%d", step));
        bt_muon_step(&compute, &config, lr, (float)scale, w, m, g, rows, columns, &scratch);
        for (size_t i = 0; i < n; i++) {
            want_m[i] = 0.9 * want_m[i] + 0.1 * scale * (double)g[i];
            u[i] = nesterov ? 0.9 * want_m[i] + 0.1 * scale * (double)g[i] : want_m[i];
        }
        plain_orthogonal(u, rows, columns, 5);
        for (size_t i = 0; i < n; i++)
            want_w[i] = want_w[i] * (1.0 - lr * 0.1) - lr * factor * u[i];
    }
    expect_near(m, want_m, n, 1e-6);
    expect_near(w, want_w, n, 1e-5);
}

static void steps_are_those_of_the_formula(void **state)
{
    (void)state;
    for (size_t k = 0; k < BT_ARRAY_LEN(shapes); k++)
        for (int nesterov = 0; nesterov < 2; nesterov++)
            check_steps(nesterov, shapes[k][0], shapes[k][1]);
}

/* Of a model, Muon takes the matrices of the blocks and AdamW all else, to the bit; v of the matrices is left alone. */
static void the_rest_is_adamw(void **state)
{
    static const struct bt_shape shape = {.vocab = 19,
                                          .hidden = 10,
                                          .ffn = 14,
                                          .layers = 2,
                                          .heads = 2,
                                          .kv_heads = 1,
                                          .head_dim = 6,
                                          .eps = 1e-5f,
                                          .qkv_bias = true,
                                          .sub_norm = true};
    struct bt_cfg_optimizer config = {.lr = 0.01,
                                      .beta1 = 0.9,
                                      .beta2 = 0.95,
                                      .eps = 1e-8,
                                      .weight_decay = 0.1,
                                      .muon = {.lr = 0.02, .momentum = 0.95, .nesterov = true, .steps = 5}};
    struct bt_params params;
    struct bt_diag diag = {0};
    struct bt_arena measure = {0};
    float *weights[2];
    (void)state;
    TEST_OK(bt_params_init(&params, &shape, &diag), diag);
    for (int muon = 0; muon < 2; muon++) {
        config.type = muon ? BT_OPTIMIZER_MUON : BT_OPTIMIZER_ADAMW;
        struct bt_optimizer o = {.params = &params,
                                 .kernels = &compute.kernels,
                                 .compute = &compute,
                                 .config = &config,
                                 .weights = normals(params.total, "weights"),
                                 .gradients = normals(params.total, "gradients"),
                                 .m = bt_arena_take(&arena, params.total, sizeof(float)),
                                 .v = bt_arena_take(&arena, params.total, sizeof(float))};
        const size_t seconds = bt_second_moment_at(&params, &config, params.count);
        assert_true(muon ? seconds < params.total / 2 : seconds == params.total);
        bt_muon_carve(&o.muon, &arena, &params, &config);
        bt_optimizer_step(&o, 0.005, 1, 1.0f);
        weights[muon] = o.weights;
        for (size_t i = 0; i < params.count; i++)
            assert_true(o.v[bt_second_moment_at(&params, &config, i)] != 0.0f ||
                        bt_muon_takes(&config, &params.list[i]));
        for (size_t i = seconds; i < params.total; i++)
            assert_true(o.v[i] == 0.0f);
    }
    for (size_t i = 0; i < params.count; i++) {
        const struct bt_param *p = &params.list[i];
        const bool same = !memcmp(weights[0] + p->offset, weights[1] + p->offset, p->count * sizeof(float));
        assert_int_equal(same, !p->linear);
    }
    config.type = BT_OPTIMIZER_ADAMW;
    bt_muon_carve(&(struct bt_muon_scratch){NULL, NULL, NULL, NULL}, &measure, &params, &config);
    assert_int_equal(measure.used, 0);
    bt_params_finish(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(orthogonalization_is_that_of_the_formula, setup, teardown),
        cmocka_unit_test_setup_teardown(singular_values_end_near_one, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_stays_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(steps_are_those_of_the_formula, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rest_is_adamw, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
