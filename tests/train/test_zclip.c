#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "train/zclip.h"

enum { NORMS = 400 };

/* The paper's program written down plainly: the norms of the warm-up are kept, and mean and variance are sums over
 * them. */
struct plain {
    double kept[NORMS];
    int64_t count;
    double mean, variance;
};

static double plain_zclip(const struct bt_cfg_zclip *c, struct plain *p, double norm, double *z)
{
    const int64_t warm = c->warmup_steps > 1 ? c->warmup_steps : 1;
    *z = NAN;
    if (p->count < warm) {
        p->kept[p->count++] = norm;
        p->mean = p->variance = 0.0;
        for (int64_t i = 0; i < p->count; i++)
            p->mean += p->kept[i] / (double)p->count;
        for (int64_t i = 0; i < p->count; i++)
            p->variance += pow(p->kept[i] - p->mean, 2) / (double)p->count;
        return norm;
    }
    if (p->variance > 0.0)
        *z = (norm - p->mean) / sqrt(p->variance);
    if (*z > c->z_threshold)
        norm = p->mean + c->z_threshold * c->z_threshold / *z * sqrt(p->variance);
    p->mean = c->ema_decay * p->mean + (1.0 - c->ema_decay) * norm;
    p->variance = c->ema_decay * p->variance + (1.0 - c->ema_decay) * pow(norm - p->mean, 2);
    return norm;
}

static bool near(double got, double want)
{
    return (isnan(got) && isnan(want)) || fabs(got - want) <= 1e-12 * fabs(want);
}

/* Norms around 1 that fall slowly, with a spike in one of twenty. */
static double norm_at(int i)
{
    const double noise = 0.2 * bt_rng_uniform(3, (uint64_t)i);
    const double spike = bt_rng_below(4, (uint64_t)i, 20) == 0 ? 10.0 : 1.0;
    return (1.0 + noise) * spike * exp(-i / 300.0);
}

static void it_is_the_formula(void **state)
{
    (void)state;
    static const struct bt_cfg_zclip configs[] = {
        {.enabled = true, .z_threshold = 3.0, .ema_decay = 0.99, .warmup_steps = 25},
        {.enabled = true, .z_threshold = 1.0, .ema_decay = 0.5, .warmup_steps = 2},
        {.enabled = true, .z_threshold = 1.5, .ema_decay = 0.9, .warmup_steps = 1},
        {.enabled = true, .z_threshold = 2.5, .ema_decay = 0.97, .warmup_steps = 0},
    };
    for (size_t k = 0; k < BT_ARRAY_LEN(configs); k++) {
        struct bt_zclip_state zclip = {0};
        struct plain *plain = calloc(1, sizeof *plain);
        int clipped = 0;
        assert_non_null(plain);
        for (int i = 0; i < NORMS; i++) {
            double z, want_z;
            const double norm = norm_at(i), got = bt_zclip(&configs[k], &zclip, norm, &z);
            assert_true(near(got, plain_zclip(&configs[k], plain, norm, &want_z)));
            assert_true(near(z, want_z) || fabs(z - want_z) < 1e-9);
            assert_true(near(zclip.mean, plain->mean) && near(zclip.variance, plain->variance));
            clipped += got < norm;
        }
        assert_true(clipped > 5 && clipped < NORMS - 25);
        assert_int_equal(zclip.norms, NORMS);
        free(plain);
    }
}

static void nothing_is_clipped_in_the_warm_up(void **state)
{
    (void)state;
    const struct bt_cfg_zclip config = {.z_threshold = 3.0, .ema_decay = 0.99, .warmup_steps = 25};
    struct bt_zclip_state zclip = {0};
    double z;
    for (int i = 0; i < 25; i++) {
        assert_true(bt_zclip(&config, &zclip, i == 20 ? 1e6 : 1.0, &z) == (i == 20 ? 1e6 : 1.0));
        assert_true(isnan(z));
    }
    bt_zclip(&config, &zclip, 1.0, &z);
    assert_true(z < 0.0);
}

/* Norms that were all the same have no deviation to measure by. */
static void equal_norms_clip_nothing(void **state)
{
    (void)state;
    const struct bt_cfg_zclip config = {.z_threshold = 3.0, .ema_decay = 0.99, .warmup_steps = 4};
    struct bt_zclip_state zclip = {0};
    double z;
    for (int i = 0; i < 10; i++)
        assert_true(bt_zclip(&config, &zclip, 0.5, &z) == 0.5 && isnan(z));
    assert_true(bt_zclip(&config, &zclip, 0.75, &z) == 0.75 && isnan(z));
    assert_true(bt_zclip(&config, &zclip, 0.5, &z) == 0.5 && z < 0.0);
}

/* Far out, a spike is clipped the harder the larger it is: to the mean in the end. */
static void a_larger_spike_leaves_less(void **state)
{
    (void)state;
    const struct bt_cfg_zclip config = {.z_threshold = 2.0, .ema_decay = 0.9, .warmup_steps = 2};
    const struct bt_zclip_state warm = {.norms = 2, .mean = 1.0, .variance = 0.01};
    const struct {
        double norm, left;
    } cases[] = {{1.2, 1.2}, {1.4, 1.1}, {1.8, 1.05}, {5.0, 1.01}};
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_zclip_state zclip = warm;
        double z;
        assert_true(fabs(bt_zclip(&config, &zclip, cases[i].norm, &z) - cases[i].left) < 1e-12);
        assert_true(fabs(z - (cases[i].norm - 1.0) / 0.1) < 1e-9);
        assert_true(fabs(zclip.mean - (0.9 + 0.1 * cases[i].left)) < 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_formula),
        cmocka_unit_test(nothing_is_clipped_in_the_warm_up),
        cmocka_unit_test(equal_norms_clip_nothing),
        cmocka_unit_test(a_larger_spike_leaves_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
