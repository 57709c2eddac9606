/* One layer on its own, against the formulas written out. */
#include "nn_world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/bitlinear.h"

enum { ROWS = 7, IN = 45, OUT = 19 };

struct layer_world {
    struct bt_bitlinear layer;
    struct bt_linear_input input;
    float w[OUT * IN], bias[OUT], dw[OUT * IN], dbias[OUT], s;
    int8_t t[OUT * IN], codes[ROWS * IN];
    float a[ROWS], x[ROWS * IN], scratch[ROWS * IN], we[OUT * IN], y[ROWS * OUT], dy[ROWS * OUT], dx[ROWS * IN];
};

static void layer_world_init(struct layer_world *world, bool ternary, bool int8, bool bias, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    nn_fill_normal(world->w, OUT * IN, seed, "w", 0.0, 0.05);
    nn_fill_normal(world->bias, OUT, seed, "bias", 0.0, 0.3);
    nn_fill_normal(world->x, ROWS * IN, seed, "x", 0.1, 2.0);
    nn_fill_normal(world->dy, ROWS * OUT, seed, "dy", 0.0, 1.0);
    memset(world->x + 3 * IN, 0, IN * sizeof(float)); /* a row of zeros has a scale, too */
    world->layer = (struct bt_bitlinear){.in = IN,
                                         .out = OUT,
                                         .w = world->w,
                                         .bias = bias ? world->bias : NULL,
                                         .dw = world->dw,
                                         .dbias = bias ? world->dbias : NULL,
                                         .t = ternary ? world->t : NULL,
                                         .s = ternary ? &world->s : NULL,
                                         .int8 = int8};
    world->input = (struct bt_linear_input){.n = ROWS,
                                            .d = IN,
                                            .codes = int8 ? world->codes : NULL,
                                            .a = int8 ? world->a : NULL,
                                            .x = world->x,
                                            .scratch = world->scratch};
    bt_bitlinear_prepare(&world->layer);
}

static void forward(struct layer_world *world, const struct bt_compute *compute, float lambda)
{
    bt_linear_input_begin(&world->input, lambda);
    bt_bitlinear_fwd(&world->layer, compute, lambda, world->y, &world->input, world->we);
}

/* The formulas, element by element, in the order in which they are written. */
static float scale_of_weights(const float *w, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)w[i]);
    return fmaxf((float)(sum / (double)n), 1e-5f);
}

static int code_of_weight(float w, float s)
{
    return (int)fminf(fmaxf(rintf(w * (1.0f / s)), -1.0f), 1.0f);
}

static float scale_of_row(const float *x)
{
    float most = 1e-5f;
    for (size_t i = 0; i < IN; i++)
        most = fmaxf(most, fabsf(x[i]));
    return most;
}

static int code_of_input(float x, float a)
{
    return (int)fminf(fmaxf(rintf(x * (127.0f / a)), -128.0f), 127.0f);
}

static float effective_weight(const struct layer_world *world, size_t i, float lambda)
{
    if (!world->layer.t || lambda == 0.0f)
        return world->w[i];
    const float s = scale_of_weights(world->w, OUT * IN), wq = (float)code_of_weight(world->w[i], s) * s;
    return lambda == 1.0f ? wq : world->w[i] + lambda * (wq - world->w[i]);
}

static float effective_input(const struct layer_world *world, size_t i, float lambda)
{
    const float x = world->x[i];
    if (!world->layer.int8 || lambda == 0.0f)
        return x;
    const float a = scale_of_row(world->x + i / IN * IN), xq = (float)code_of_input(x, a) * (a / 127.0f);
    return lambda == 1.0f ? xq : x + lambda * (xq - x);
}

static void close_to(const char *what, size_t i, float got, double want, double size)
{
    if (!(fabs((double)got - want) <= (double)IN * 6e-8 * size + 1e-9))
        fail_msg("%s[%zu]: got %.9g, want %.9g", what, i, (double)got, want);
}

static void codes_are_made_once_and_saved(void **state)
{
    (void)state;
    struct bt_compute computes[NN_MAX_COMPUTES];
    static struct layer_world world;
    nn_computes(computes);
    for (uint64_t seed = 0; seed < 20; seed++) {
        layer_world_init(&world, true, true, true, seed);
        forward(&world, &computes[0], 1.0f);
        const float s = scale_of_weights(world.w, OUT * IN);
        assert_true(world.s == s);
        for (size_t i = 0; i < OUT * IN; i++)
            assert_int_equal(world.t[i], code_of_weight(world.w[i], s));
        for (size_t r = 0; r < ROWS; r++) {
            const float a = scale_of_row(world.x + r * IN);
            assert_true(world.a[r] == a);
            for (size_t i = 0; i < IN; i++)
                assert_int_equal(world.codes[r * IN + i], code_of_input(world.x[r * IN + i], a));
        }
    }
}

/* y = (float)(sum of products of codes) * ((a / 127) * s) + b, to the bit, whatever runs it. */
static void the_product_of_codes_is_exact(void **state)
{
    (void)state;
    struct bt_compute computes[NN_MAX_COMPUTES];
    static struct layer_world world;
    const size_t count = nn_computes(computes);
    for (uint64_t seed = 0; seed < 20; seed++)
        for (size_t k = 0; k < 2 * count; k++) {
            layer_world_init(&world, true, true, k % 2, seed);
            forward(&world, &computes[k / 2], 1.0f);
            for (size_t r = 0; r < ROWS; r++)
                for (size_t o = 0; o < OUT; o++) {
                    int64_t sum = 0;
                    for (size_t i = 0; i < IN; i++)
                        sum += (int64_t)world.codes[r * IN + i] * (int64_t)world.t[o * IN + i];
                    float want = (float)sum * ((world.a[r] / 127.0f) * world.s);
                    if (world.layer.bias)
                        want = want + world.bias[o];
                    assert_true(world.y[r * OUT + o] == want);
                }
        }
}

/* The longest row that is allowed, with every code at its largest: the sum is 127 * 132104 = 2^24 - 8. */
static void the_longest_row_is_still_exact(void **state)
{
    (void)state;
    struct bt_compute computes[NN_MAX_COMPUTES];
    const size_t count = nn_computes(computes), in = BT_EXACT_MAX_IN;
    float *values = malloc(5 * in * sizeof *values), *w = values, *x = w + in, *scratch = x + in, *we = scratch + in;
    int8_t *codes = malloc(2 * in), *t = codes + in;
    float s, a, y;
    assert_true(values && codes);
    for (size_t i = 0; i < in; i++)
        w[i] = x[i] = 1.0f;
    const struct bt_bitlinear layer = {.in = in, .out = 1, .w = w, .t = t, .s = &s, .int8 = true};
    bt_bitlinear_prepare(&layer);
    for (size_t k = 0; k < count; k++) {
        struct bt_linear_input input = {.n = 1, .d = in, .codes = codes, .a = &a, .x = x, .scratch = scratch};
        bt_linear_input_begin(&input, 1.0f);
        bt_bitlinear_fwd(&layer, &computes[k], 1.0f, &y, &input, we);
        assert_true(y == (float)(127 * in) * ((1.0f / 127.0f) * 1.0f));
    }
    free(values);
    free(codes);
}

static const struct {
    bool ternary, int8;
    float lambda;
} modes[] = {{false, false, 1.0f}, {true, true, 0.0f},  {true, true, 0.3f},  {true, true, 1.0f},
             {true, false, 0.6f},  {true, false, 1.0f}, {false, true, 0.6f}, {false, true, 1.0f}};

static void check_forward(const struct layer_world *world, float lambda)
{
    for (size_t r = 0; r < ROWS; r++)
        for (size_t o = 0; o < OUT; o++) {
            double want = world->layer.bias ? (double)world->bias[o] : 0.0, size = fabs(want);
            for (size_t i = 0; i < IN; i++) {
                const double term = (double)effective_input(world, r * IN + i, lambda) *
                                    (double)effective_weight(world, o * IN + i, lambda);
                want += term;
                size += fabs(term);
            }
            close_to("y", r * OUT + o, world->y[r * OUT + o], want, size);
        }
}

static void forward_is_the_formula_at_every_lambda(void **state)
{
    (void)state;
    struct bt_compute computes[NN_MAX_COMPUTES];
    static struct layer_world world;
    const size_t count = nn_computes(computes);
    for (size_t k = 0; k < count; k++)
        for (size_t m = 0; m < BT_ARRAY_LEN(modes); m++) {
            layer_world_init(&world, modes[m].ternary, modes[m].int8, m % 2, m);
            forward(&world, &computes[k], modes[m].lambda);
            check_forward(&world, modes[m].lambda);
        }
}

/* dx = dy we (+ what was there), dw and dbias added to what was there. */
static void check_backward(const struct layer_world *world, float lambda, double dx_before)
{
    for (size_t r = 0; r < ROWS; r++)
        for (size_t i = 0; i < IN; i++) {
            double want = dx_before, size = dx_before;
            for (size_t o = 0; o < OUT; o++) {
                const double term =
                    (double)world->dy[r * OUT + o] * (double)effective_weight(world, o * IN + i, lambda);
                want += term;
                size += fabs(term);
            }
            close_to("dx", r * IN + i, world->dx[r * IN + i], want, size);
        }
    for (size_t o = 0; o < OUT; o++)
        for (size_t i = 0; i < IN; i++) {
            double want = 2.0, size = 2.0;
            for (size_t r = 0; r < ROWS; r++) {
                const double term = (double)world->dy[r * OUT + o] * (double)effective_input(world, r * IN + i, lambda);
                want += term;
                size += fabs(term);
            }
            close_to("dw", o * IN + i, world->dw[o * IN + i], want, size);
        }
    for (size_t o = 0; o < OUT && world->layer.dbias; o++) {
        double want = 2.0, size = 2.0;
        for (size_t r = 0; r < ROWS; r++) {
            want += (double)world->dy[r * OUT + o];
            size += fabs((double)world->dy[r * OUT + o]);
        }
        close_to("dbias", o, world->dbias[o], want, size);
    }
}

static void fill(float *out, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        out[i] = value;
}

/* From what forward saved; where the layer says it does not need x, it gets none. */
static void backward_is_straight_through_at_every_lambda(void **state)
{
    (void)state;
    struct bt_compute computes[NN_MAX_COMPUTES];
    static struct layer_world world;
    const size_t count = nn_computes(computes);
    for (size_t k = 0; k < count; k++)
        for (size_t m = 0; m < 2 * BT_ARRAY_LEN(modes); m++) {
            const float lambda = modes[m / 2].lambda;
            const bool add = m % 2;
            layer_world_init(&world, modes[m / 2].ternary, modes[m / 2].int8, true, m);
            forward(&world, &computes[k], lambda);
            fill(world.dw, OUT * IN, 2.0f);
            fill(world.dbias, OUT, 2.0f);
            fill(world.dx, ROWS * IN, add ? 3.0f : NAN);
            const bool needs_x = bt_bitlinear_needs_x(&world.layer, lambda);
            assert_int_equal(needs_x, !world.layer.int8 || lambda < 1.0f);
            struct bt_linear_input again = world.input;
            again.x = needs_x ? world.x : NULL;
            again.operand = 0;
            bt_bitlinear_bwd(&world.layer, &computes[k], lambda, world.dx, add, world.dy, &again, world.we);
            check_backward(&world, lambda, add ? 3.0 : 0.0);
        }
}

/* Three layers of one group, of which the middle one is not quantised: each gives what it gives alone, in any order of
 * use, since they share the scratch of the operand. */
static void layers_of_a_group_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct bt_compute computes[NN_MAX_COMPUTES];
    static struct layer_world world;
    nn_computes(computes);
    const float lambdas[] = {0.0f, 0.4f, 1.0f};
    for (size_t k = 0; k < BT_ARRAY_LEN(lambdas); k++) {
        const float lambda = lambdas[k];
        float alone[3][ROWS * OUT], together[3][ROWS * OUT];
        struct bt_bitlinear layers[3];
        layer_world_init(&world, true, true, true, k);
        for (size_t i = 0; i < 3; i++)
            layers[i] = world.layer;
        layers[1].t = NULL, layers[1].s = NULL, layers[1].int8 = false;
        layers[2].t = NULL, layers[2].s = NULL; /* activations only */
        for (size_t i = 0; i < 3; i++) {
            bt_linear_input_begin(&world.input, lambda);
            bt_bitlinear_fwd(&layers[i], &computes[0], lambda, alone[i], &world.input, world.we);
        }
        bt_linear_input_begin(&world.input, lambda);
        for (size_t i = 0; i < 6; i++)
            bt_bitlinear_fwd(&layers[i % 3], &computes[0], lambda, together[i % 3], &world.input, world.we);
        assert_memory_equal(alone, together, sizeof alone);
    }
}

/* A weight that is not finite shows in the output: it must stop the update, not vanish in a code. */
static void what_is_not_finite_comes_through(void **state)
{
    (void)state;
    struct bt_compute computes[NN_MAX_COMPUTES];
    static struct layer_world world;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    nn_computes(computes);
    for (size_t k = 0; k < BT_ARRAY_LEN(bad); k++) {
        layer_world_init(&world, true, true, true, k);
        world.w[5] = bad[k];
        bt_bitlinear_prepare(&world.layer);
        forward(&world, &computes[0], 1.0f);
        assert_false(isfinite(world.y[0]));

        layer_world_init(&world, true, true, true, k);
        world.x[2 * IN + 7] = bad[k];
        forward(&world, &computes[0], 1.0f);
        assert_false(isfinite(world.y[2 * OUT]));
        assert_true(isfinite(world.y[0]) && isfinite(world.y[3 * OUT]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_made_once_and_saved),
        cmocka_unit_test(the_product_of_codes_is_exact),
        cmocka_unit_test(the_longest_row_is_still_exact),
        cmocka_unit_test(forward_is_the_formula_at_every_lambda),
        cmocka_unit_test(backward_is_straight_through_at_every_lambda),
        cmocka_unit_test(layers_of_a_group_do_not_disturb_each_other),
        cmocka_unit_test(what_is_not_finite_comes_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
