/* text/json_field.h - typed fields of a JSON object that was read from a file, with errors that say where they stand.
 * Whatever is wrong is BT_EINPUT. Strings and containers are borrowed from the object. */
#ifndef BT_TEXT_JSON_FIELD_H
#define BT_TEXT_JSON_FIELD_H

#include "io/json.h"

/* "model/tokenizer.json: decoder.decoders[2]": the file and the place in it. */
struct bt_where {
    char text[512];
};
void bt_where_at(struct bt_where *where, const struct bt_where *file, const char *key); /* at the top of the file */
void bt_where_key(struct bt_where *where, const struct bt_where *parent, const char *key);
void bt_where_index(struct bt_where *where, const struct bt_where *parent, size_t index);

struct bt_json_text {
    const char *at;
    size_t size;
};
enum bt_err bt_field_text(const json_t *object, const char *key, const struct bt_where *where,
                          struct bt_json_text *ret_text, struct bt_diag *diag);
/* A text of a single character. */
enum bt_err bt_field_character(const json_t *object, const char *key, const struct bt_where *where,
                               struct bt_json_text *ret_text, struct bt_diag *diag);
enum bt_err bt_field_bool(const json_t *object, const char *key, const struct bt_where *where, bool *ret_value,
                          struct bt_diag *diag);
/* The same for one that may be missing or null. */
enum bt_err bt_field_bool_or(const json_t *object, const char *key, bool otherwise, const struct bt_where *where,
                             bool *ret_value, struct bt_diag *diag);
enum bt_err bt_field_id(const json_t *object, const char *key, const struct bt_where *where, int32_t *ret_id,
                        struct bt_diag *diag);
enum bt_err bt_field_array(const json_t *object, const char *key, const struct bt_where *where, json_t **ret_array,
                           struct bt_diag *diag);
enum bt_err bt_field_object(const json_t *object, const char *key, const struct bt_where *where, json_t **ret_object,
                            struct bt_diag *diag);
/* An id from 0 to INT32_MAX, or false. */
bool bt_json_is_id(const json_t *value, int32_t *ret_id);
/* Missing or null. */
bool bt_field_is_null(const json_t *object, const char *key);
/* The field "type" of something that must be an object. */
enum bt_err bt_json_type(const json_t *value, const struct bt_where *where, const char **ret_type,
                         struct bt_diag *diag);
/* A type that is not supported, by name. */
enum bt_err bt_fail_type(struct bt_diag *diag, const struct bt_where *where, const char *type, const char *supported);

/* Does something with one element of an array, or with one step; `reader` is whatever the caller handed on. */
typedef enum bt_err bt_element_fn(void *reader, const json_t *element, const struct bt_where *where,
                                  struct bt_diag *diag);
/* The elements of an array in order, up to the first error. */
enum bt_err bt_field_each(const json_t *object, const char *key, const struct bt_where *where, bt_element_fn *each,
                          void *reader, struct bt_diag *diag);
/* A part of a tokenizer: nothing (NULL or null), one step, or a Sequence of those that lie under `key`. */
enum bt_err bt_json_steps(const json_t *value, const char *key, const struct bt_where *where, bt_element_fn *each,
                          void *reader, struct bt_diag *diag);

/* What a Replace step replaces (from, never empty) and puts there (to); one with a Regex is refused. */
enum bt_err bt_field_replace(const json_t *value, const struct bt_where *where, struct bt_json_text *ret_from,
                             struct bt_json_text *ret_to, struct bt_diag *diag);

#endif
