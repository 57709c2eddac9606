/* Random draws: bt_sweep_draw of axes.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "config/key_table.h"
#include "config/yaml_scalar.h"
#include "sweep/axes.h"

enum scale { SCALE_LINEAR, SCALE_LOG };
static const char *const scale_names[] = {[SCALE_LINEAR] = "linear", [SCALE_LOG] = "log", NULL};

struct range {
    double min, max;
    unsigned scale;
    bool whole; /* both ends are written as integers: so are the draws */
};

#define AT(field) offsetof(struct range, field)
#define REAL_END(n, at)                                                                                                \
    {                                                                                                                  \
        .name = n, .type = BT_KEY_REAL, .offset = at, .flags = BT_KEY_REQUIRED, .low = -BT_KEY_REAL_MAX,               \
        .high = BT_KEY_REAL_MAX                                                                                        \
    }
static const struct bt_key range_keys[] = {
    REAL_END("min", AT(min)),
    REAL_END("max", AT(max)),
    {.name = "scale", .type = BT_KEY_ENUM, .offset = AT(scale), .value = "linear", .names = scale_names},
    {.name = NULL},
};
#undef AT

static enum bt_err read_range(const struct bt_yaml_node *node, const char *what, struct range *range,
                              struct bt_diag *diag)
{
    *range = (struct range){0};
    const enum bt_err err = bt_keys_read_table(range_keys, node, what, range, diag);
    if (err)
        return err;
    if (range->min > range->max)
        return bt_fail(diag, BT_EUSAGE, "%s: %s: found min %g above max %g", bt_yaml_place(node).text, node->key,
                       range->min, range->max);
    if (range->scale == SCALE_LOG && range->min <= 0.0)
        return bt_fail(diag, BT_EUSAGE, "%s: %s: found min %g, expected a number above 0 for scale log",
                       bt_yaml_place(node).text, node->key, range->min);
    range->whole = bt_scalar_type(bt_yaml_find(node, "min")) == BT_SCALAR_INTEGER &&
                   bt_scalar_type(bt_yaml_find(node, "max")) == BT_SCALAR_INTEGER;
    return BT_OK;
}

static double within(const struct range *range, double value)
{
    return fmin(fmax(value, range->min), range->max);
}

/* Reals have four digits, so that names and tables say exactly what was run. */
static void draw_text(const struct range *range, uint64_t key, uint64_t draw, char *text, size_t size)
{
    const double u = bt_rng_uniform(key, draw);
    const double width = range->max - range->min;
    double value;
    if (range->scale == SCALE_LOG)
        value = exp(log(range->min) + u * (log(range->max) - log(range->min)));
    else
        value = range->whole ? range->min + floor(u * (width + 1.0)) : range->min + u * width;
    if (range->whole) {
        snprintf(text, size, "%.0f", within(range, rint(value)));
        return;
    }
    snprintf(text, size, "%.4g", value);
    if (strtod(text, NULL) != within(range, strtod(text, NULL))) /* rounded out of it */
        snprintf(text, size, "%.17g", within(range, strtod(text, NULL)));
}

static enum bt_err draw_range(struct bt_sweep_file *file, const struct bt_yaml_node *node, struct bt_sweep_axis *axis,
                              size_t column, struct bt_diag *diag)
{
    struct range range;
    const uint64_t key = bt_rng_key(file->random.seed, node->key);
    const enum bt_err err = read_range(node, file->what, &range, diag);
    for (size_t i = 0; !err && i < axis->count; i++) {
        char text[40];
        draw_text(&range, key, i, text, sizeof text);
        if (!(axis->values[i * axis->key_count + column] = bt_yaml_copy_text(&file->yaml, text, strlen(text))))
            return bt_fail_nomem(diag);
    }
    return err;
}

static enum bt_err draw_choice(struct bt_sweep_file *file, const struct bt_yaml_node *node, struct bt_sweep_axis *axis,
                               size_t column, struct bt_diag *diag)
{
    const uint64_t key = bt_rng_key(file->random.seed, node->key);
    for (size_t i = 0; i < axis->count; i++) {
        const struct bt_yaml_node *choice = node->first;
        for (uint64_t steps = bt_rng_below(key, i, node->count); steps; steps--)
            choice = choice->next;
        if (!(axis->values[i * axis->key_count + column] = bt_sweep_node_text(file, choice)))
            return bt_fail_nomem(diag);
    }
    return BT_OK;
}

enum bt_err bt_sweep_draw(struct bt_sweep_file *file, struct bt_sweep_axis *ret_axis, struct bt_diag *diag)
{
    const struct bt_sweep_random *random = &file->random;
    size_t column = 0;
    enum bt_err err = bt_sweep_axis_make(file, random->keys->count, (size_t)random->draws, ret_axis, diag);
    for (const struct bt_yaml_node *node = random->keys->first; !err && node; node = node->next, column++) {
        ret_axis->keys[column] = node->key;
        if (node->kind == BT_YAML_MAPPING)
            err = draw_range(file, node, ret_axis, column, diag);
        else if (node->kind == BT_YAML_SEQUENCE && node->count)
            err = draw_choice(file, node, ret_axis, column, diag);
        else
            err = bt_fail(diag, BT_EUSAGE, "%s: %s: found %s, expected {min, max, scale} or a list to choose from",
                          bt_yaml_place(node).text, node->key, bt_yaml_describe(node).text);
    }
    return err;
}
