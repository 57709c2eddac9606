/* Warnings: each band from both sides, and each said once. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "train/telemetry_health.h"

enum { LAYERS = 3, WEIGHTS = 10000, GATE = 4, DOWN = 6 };

static const struct bt_shape shape = {.vocab = 8,
                                      .hidden = 100,
                                      .ffn = 100,
                                      .layers = LAYERS,
                                      .heads = 1,
                                      .kv_heads = 1,
                                      .head_dim = 100,
                                      .tied = true,
                                      .rope = {.theta = 10000.0}};

struct healthy {
    struct bt_params params;
    struct bt_telemetry *t;
    struct bt_telemetry_state state;
    struct bt_health_moment moment;
    struct bt_warning list[BT_WARNINGS_MAX];
};

static int setup(void **state)
{
    static struct healthy h;
    struct bt_diag diag = {0};
    h = (struct healthy){.moment = {.updated = true, .full_lambda = true, .late = true, .span = 100}};
    TEST_OK(bt_params_init(&h.params, &shape, &diag), diag);
    TEST_OK(bt_telemetry_create(&h.params, true, 100, &h.t, &diag), diag);
    for (size_t i = 0; i < BT_PROJECTIONS; i++)
        h.state.calmest[i] = NAN;
    for (size_t i = 0; i < h.t->count; i++) {
        struct bt_weight_measure *w = &h.t->weights[i];
        assert_int_equal(w->param->count, WEIGHTS);
        w->counts = (struct bt_code_counts){.minus = 3400, .zero = 3200, .plus = 3400, .flipped = 100};
        w->scale = w->first_scale = 0.02f;
        w->grad_norm = 0.5;
        w->update_ratio = 0.001;
    }
    *state = &h;
    return 0;
}

static int teardown(void **state)
{
    struct healthy *h = *state;
    bt_telemetry_destroy(h->t);
    bt_params_finish(&h->params);
    return 0;
}

static size_t look(struct healthy *h)
{
    return bt_telemetry_warnings(h->t, &h->moment, &h->state, h->list);
}

static struct bt_weight_measure *weight(struct healthy *h, size_t layer, size_t projection)
{
    return &h->t->weights[layer * BT_PROJECTIONS + projection];
}

/* The only warning; what it says and advises must be there. */
static const struct bt_warning *only(struct healthy *h, enum bt_warning_kind kind, size_t projection)
{
    static char sentence[256];
    assert_int_equal(look(h), 1);
    assert_true(h->list[0].kind == kind && h->list[0].projection == projection);
    bt_warning_sentence(&h->list[0], sentence, sizeof sentence);
    assert_int_equal(strncmp(sentence, bt_projection_name(projection), strlen(bt_projection_name(projection))), 0);
    assert_true(strlen(sentence) > 40 && strlen(sentence) < 200);
    assert_true(strlen(bt_warning_advice(&h->list[0])) > 40);
    return &h->list[0];
}

static void health_is_quiet(void **state)
{
    for (int i = 0; i < 5; i++)
        assert_int_equal(look(*state), 0);
    assert_true(((struct healthy *)*state)->state.warned == 0);
}

static void zeros_too_many_and_too_few(void **state)
{
    struct healthy *h = *state;
    weight(h, 0, GATE)->counts.zero = 4500;
    weight(h, 1, GATE)->counts.zero = 2500;
    assert_int_equal(look(h), 0);
    weight(h, 1, GATE)->counts.zero = 4501;
    weight(h, 2, GATE)->counts.zero = 4600;
    const struct bt_warning *w = only(h, BT_WARN_ZERO_SHARE, GATE);
    assert_true(w->value == 0.46 && w->low == 0.25 && w->high == 0.45 && w->of_layers && w->layer == 2);
    assert_false(bt_warning_meets(w, weight(h, 0, GATE)));
    assert_true(bt_warning_meets(w, weight(h, 1, GATE)) && bt_warning_meets(w, weight(h, 2, GATE)));
    const char *too_many = bt_warning_advice(w);
    assert_int_equal(look(h), 0); /* said once, healthy or not in between */
    weight(h, 2, DOWN)->counts.zero = 2499;
    w = only(h, BT_WARN_ZERO_SHARE, DOWN);
    assert_string_not_equal(too_many, bt_warning_advice(w));
    weight(h, 0, DOWN)->packed = NULL;
    weight(h, 0, DOWN)->counts.zero = 0;
    assert_false(bt_warning_meets(w, weight(h, 0, DOWN))); /* excluded */
}

static void scales_that_collapse(void **state)
{
    struct healthy *h = *state;
    weight(h, 1, DOWN)->scale = 0.0021f;
    assert_int_equal(look(h), 0);
    weight(h, 1, DOWN)->scale = 0.0019f;
    const struct bt_warning *w = only(h, BT_WARN_SCALE_COLLAPSED, DOWN);
    assert_true(w->layer == 1 && w->value < 0.1 && w->low == 0.1 && isnan(w->high));
    assert_int_equal(look(h), 0);
}

static void gradients_that_vanish(void **state)
{
    struct healthy *h = *state;
    for (size_t layer = 0; layer < LAYERS; layer++)
        weight(h, layer, 1)->grad_norm = 0.0006;
    assert_int_equal(look(h), 0);
    for (size_t layer = 0; layer < LAYERS; layer++)
        weight(h, layer, 1)->grad_norm = 0.0004;
    h->moment.updated = false;
    assert_int_equal(look(h), 0); /* a skipped update has none to speak of */
    h->moment.updated = true;
    const struct bt_warning *w = only(h, BT_WARN_GRADIENT_VANISHED, 1);
    assert_true(!w->of_layers && w->value < 1e-3 && w->low == 1e-3);
    for (size_t i = 0; i < h->t->count; i++)
        h->t->weights[i].grad_norm = 0.0;
    assert_int_equal(look(h), BT_PROJECTIONS - 1); /* of all the others */
}

static void set_flips(struct healthy *h, size_t projection, uint64_t flipped)
{
    for (size_t layer = 0; layer < LAYERS; layer++)
        weight(h, layer, projection)->counts.flipped = flipped;
}

static void flips_that_rise_late(void **state)
{
    struct healthy *h = *state;
    h->moment.full_lambda = false;
    set_flips(h, GATE, 20);
    assert_int_equal(look(h), 0); /* during the warm-up nothing is remembered */
    assert_true(isnan(h->state.calmest[GATE]));
    h->moment.full_lambda = true;
    h->moment.late = false;
    set_flips(h, GATE, 50);
    assert_int_equal(look(h), 0);
    assert_true(h->state.calmest[GATE] == 0.005 && h->state.flip_span == 100);
    set_flips(h, GATE, 200);
    assert_int_equal(look(h), 0); /* early on they may */
    h->moment.late = true;
    set_flips(h, GATE, 99);
    assert_int_equal(look(h), 0);
    set_flips(h, GATE, 101);
    assert_int_equal(look(h), 0);
    assert_int_equal(look(h), 0); /* it takes three in a row */
    set_flips(h, GATE, 99);
    assert_int_equal(look(h), 0);
    set_flips(h, GATE, 101);
    assert_int_equal(look(h), 0);
    assert_int_equal(look(h), 0);
    const struct bt_warning *w = only(h, BT_WARN_FLIPS_RISING, GATE);
    assert_true(w->high == 0.01 && fabs(w->value - 0.0101) < 1e-12);
    assert_int_equal(look(h), 0);
}

/* Few flips are calm, and shares over another number of updates are not compared. */
static void flips_that_do_not_count(void **state)
{
    struct healthy *h = *state;
    set_flips(h, GATE, 1);
    assert_int_equal(look(h), 0);
    for (int i = 0; i < 4; i++) {
        set_flips(h, GATE, 20);
        assert_int_equal(look(h), 0);
    }
    h->moment.span = 300;
    for (int i = 0; i < 4; i++) {
        set_flips(h, GATE, 900);
        assert_int_equal(look(h), 0);
    }
    assert_true(h->state.flip_span == 300 && h->state.calmest[GATE] == 0.09);
}

#define HEALTH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HEALTH_TEST(health_is_quiet),      HEALTH_TEST(zeros_too_many_and_too_few),
        HEALTH_TEST(scales_that_collapse), HEALTH_TEST(gradients_that_vanish),
        HEALTH_TEST(flips_that_rise_late), HEALTH_TEST(flips_that_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
