/* config/hf_fields.h - typed reading of the keys of a JSON object. The first fault is kept and everything after it is
 * skipped, so that a reader is a list of fields with one check at its end. A key that is null counts as absent. */
#ifndef BT_CONFIG_HF_FIELDS_H
#define BT_CONFIG_HF_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/json.h"

#define BT_HF_SIZE_MAX INT64_C(2147483647)

struct bt_hf_fault {
    const char *what; /* the file */
    struct bt_diag *diag;
    enum bt_err err; /* BT_OK so far, BT_EINPUT or BT_ENOMEM */
};

struct bt_hf_fields {
    const json_t *object;
    const char *prefix; /* of the keys in errors: "" or "rope_scaling." */
    struct bt_hf_fault *fault;
};

/* Notes "what: key: ..." as the fault, unless there is one. */
void bt_hf_refuse(const struct bt_hf_fields *f, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void bt_hf_no_memory(const struct bt_hf_fields *f);
/* Refuses a value of the wrong kind: "found the string "64", expected ...". */
void bt_hf_wrong(const struct bt_hf_fields *f, const char *key, const json_t *found, const char *expected);

const json_t *bt_hf_find(const struct bt_hf_fields *f, const char *key); /* NULL when absent or null */
bool bt_hf_is_named(const struct bt_hf_fields *f, const char *key);      /* also when it is null */

uint64_t bt_hf_size(const struct bt_hf_fields *f, const char *key); /* required, 1 to BT_HF_SIZE_MAX; 1 after a fault */
uint64_t bt_hf_size_or(const struct bt_hf_fields *f, const char *key, uint64_t absent); /* 0 to BT_HF_SIZE_MAX */
double bt_hf_positive(const struct bt_hf_fields *f, const char *key);                   /* required; 1 after a fault */
double bt_hf_positive_or(const struct bt_hf_fields *f, const char *key, double absent);
double bt_hf_number_or(const struct bt_hf_fields *f, const char *key, double absent); /* of any sign */
bool bt_hf_bool_or(const struct bt_hf_fields *f, const char *key, bool absent);
const char *bt_hf_string_or(const struct bt_hf_fields *f, const char *key, const char *absent); /* borrowed */
/* An id, or the first of a list of ids; -1 when null or after a fault. */
int64_t bt_hf_token_or(const struct bt_hf_fields *f, const char *key, int64_t absent);

#endif
