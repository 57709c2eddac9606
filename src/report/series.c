#include "report/series.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { KEY_SIZE = 256, DEPTH_MAX = 8 }; /* what is named longer or lies deeper is no number of ours */

static struct bt_series *new_series(struct bt_series_set *set, const char *key)
{
    if (set->count == set->room) {
        const size_t room = set->room ? 2 * set->room : 16;
        struct bt_series *list = bt_realloc(set->list, room, sizeof *list);
        if (!list)
            return NULL;
        set->list = list;
        set->room = room;
    }
    char *copy = bt_strdup(key);
    if (!copy || (!set->places && !(set->places = json_object())) ||
        json_object_set_new(set->places, key, json_integer((json_int_t)set->count))) {
        bt_free(copy);
        return NULL;
    }
    set->list[set->count] = (struct bt_series){.key = copy};
    return &set->list[set->count++];
}

static struct bt_series *find(const struct bt_series_set *set, const char *key)
{
    const json_t *place = json_object_get(set->places, key);
    return place ? &set->list[json_integer_value(place)] : NULL;
}

static bool make_room(struct bt_series *series)
{
    if (series->count < series->room)
        return true;
    const size_t room = series->room ? 2 * series->room : 8;
    double *x = bt_realloc(series->x, room, sizeof *x);
    if (x)
        series->x = x;
    double *y = x ? bt_realloc(series->y, room, sizeof *y) : NULL;
    if (!y)
        return false;
    series->y = y;
    series->room = room;
    return true;
}

static bool add_point(struct bt_series_set *set, const char *key, double x, double y)
{
    struct bt_series *series = find(set, key);
    if (!series)
        series = new_series(set, key);
    if (!series || !make_room(series))
        return false;
    series->x[series->count] = x;
    series->y[series->count++] = y;
    return true;
}

/* The value of a point, if a value is one. */
static bool is_point(const json_t *value, double *ret_y)
{
    if (json_is_boolean(value))
        *ret_y = json_is_true(value) ? 1.0 : 0.0;
    else if (json_is_null(value))
        *ret_y = NAN;
    else if (json_is_number(value))
        *ret_y = json_number_value(value);
    else
        return false;
    return true;
}

/* `key` holds the name of the place so far, `length` bytes, in KEY_SIZE bytes. */
static bool add_value(struct bt_series_set *set, char *key, size_t length, const json_t *value, double x, int depth);

static bool add_child(struct bt_series_set *set, char *key, size_t length, const char *name, const json_t *value,
                      double x, int depth)
{
    const int more = snprintf(key + length, KEY_SIZE - length, "%s%s", length ? "." : "", name);
    const bool fits = more >= 0 && (size_t)more < KEY_SIZE - length;
    const bool added = !fits || add_value(set, key, length + (size_t)more, value, x, depth + 1);
    key[length] = '\0';
    return added;
}

static bool add_list(struct bt_series_set *set, char *key, size_t length, const json_t *list, double x, int depth)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        char name[32];
        snprintf(name, sizeof name, "%zu", i);
        if (!add_child(set, key, length, name, json_array_get(list, i), x, depth))
            return false;
    }
    return true;
}

static bool add_value(struct bt_series_set *set, char *key, size_t length, const json_t *value, double x, int depth)
{
    double y;
    const char *name;
    json_t *child;
    if (is_point(value, &y))
        return add_point(set, key, x, y);
    if (depth >= DEPTH_MAX)
        return true;
    if (json_is_array(value))
        return add_list(set, key, length, value, x, depth);
    json_object_foreach((json_t *)(uintptr_t)value, name,
                        child) if ((length || strcmp(name, "step") != 0) &&
                                   !add_child(set, key, length, name, child, x, depth)) return false;
    return true;
}

enum bt_err bt_series_add(struct bt_series_set *set, const json_t *record, bool *ret_added, struct bt_diag *diag)
{
    char key[KEY_SIZE] = "";
    const json_t *step = json_object_get(record, "step");
    *ret_added = json_is_number(step);
    if (!*ret_added)
        return BT_OK;
    if (!add_value(set, key, 0, record, json_number_value(step), 0))
        return bt_fail_nomem(diag);
    set->records++;
    return BT_OK;
}

const struct bt_series *bt_series_find(const struct bt_series_set *set, const char *key)
{
    return find(set, key);
}

double bt_series_last(const struct bt_series *series)
{
    for (size_t i = series ? series->count : 0; i > 0; i--)
        if (isfinite(series->y[i - 1]))
            return series->y[i - 1];
    return NAN;
}

void bt_series_finish(struct bt_series_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        bt_free(set->list[i].key);
        bt_free(set->list[i].x);
        bt_free(set->list[i].y);
    }
    bt_free(set->list);
    json_decref(set->places);
    *set = (struct bt_series_set){0};
}
