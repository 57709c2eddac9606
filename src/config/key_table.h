/* config/key_table.h - the one table of all config keys, and what walks it: reading, printing, comparing, freeing. */
#ifndef BT_CONFIG_KEY_TABLE_H
#define BT_CONFIG_KEY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/text_buf.h"
#include "config/train_config.h"
#include "config/yaml_tree.h"

/* What lies at a key's `offset`. */
enum bt_key_type {
    BT_KEY_SECTION,       /* the struct that the offsets of `keys` count from */
    BT_KEY_LIST,          /* pointer to an array of structs of `item_size`, each read by `keys`; and a count */
    BT_KEY_STRING,        /* char * */
    BT_KEY_STRINGS,       /* char **; and a count */
    BT_KEY_INT,           /* int64_t */
    BT_KEY_SEED,          /* uint64_t, without bounds */
    BT_KEY_REAL,          /* double */
    BT_KEY_REAL_PAIR,     /* two doubles */
    BT_KEY_BOOL,          /* bool */
    BT_KEY_ENUM,          /* an enum that counts from 0, as `names` does */
    BT_KEY_STAGES,        /* enum bt_stage_id [BT_STAGE_COUNT]; and a count */
    BT_KEY_WEIGHT,        /* struct bt_cfg_term_weight: a number, or a mapping read by one of two tables */
    BT_KEY_NAME_OR_REALS, /* struct bt_cfg_name_or_list */
    BT_KEY_NODE,          /* const struct bt_yaml_node *: borrowed as it stands, NULL where it is absent; not printed */
};

enum bt_key_flag {
    BT_KEY_REQUIRED = 1,
    BT_KEY_NULLABLE = 2,    /* may be absent: `null_value`, NULL, or for a section the bool at present_offset */
    BT_KEY_MAY_CHANGE = 4,  /* on resume */
    BT_KEY_OFF_ONLY = 8,    /* only 0 and false are built */
    BT_KEY_FLOW = 16,       /* printed in one line */
    BT_KEY_ABOVE_LOW = 32,  /* real: low itself is out of bounds */
    BT_KEY_BELOW_HIGH = 64, /* real: high itself is out of bounds */
    BT_KEY_OVERLAY = 128,   /* section: keys that it does not give come from the root's section of the same name */
};

#define BT_KEY_REAL_MAX 1e30 /* stands for "no upper bound"; a float32 holds it */

struct bt_key {
    const char *name;
    enum bt_key_type type;
    unsigned flags;
    size_t offset;                /* from the struct of the table that the key is in */
    size_t count_offset;          /* LIST, STRINGS, STAGES: where the size_t count lies */
    size_t present_offset;        /* NULLABLE section: where the bool lies */
    const char *value;            /* the default, as YAML; NULL: there is none */
    int64_t min, max, null_value; /* INT */
    double low, high;             /* REAL, REAL_PAIR, WEIGHT (constant), NAME_OR_REALS */
    const char *const *names;     /* ENUM, STAGES, NAME_OR_REALS: ends with NULL */
    unsigned unbuilt;             /* ENUM, STAGES: bit i is set when no code for names[i] exists yet */
    const struct bt_key *keys;    /* SECTION, LIST: ends with a key without name */
    size_t item_size;             /* LIST */
};

/* The two mappings that a BT_KEY_WEIGHT may be; their offsets count from struct bt_cfg_term_weight. */
extern const struct bt_key bt_weight_schedule_keys[], bt_weight_balance_keys[];
extern const struct bt_key bt_config_keys[]; /* the root; its offsets count from struct bt_train_config */

/* Where a key lies, as a chain towards the root; it lives on the stack of whoever walks. */
struct bt_key_path {
    const struct bt_key_path *up;
    const char *name; /* NULL: an item of a list, by its index */
    size_t index;
};
/* "stage2.optimizer.lr", "data.train[0].path"; "" for the root. */
struct bt_key_name {
    char text[160];
};
struct bt_key_name bt_key_path_name(const struct bt_key_path *path);

/* Fills a zeroed config from a tree (NULL: nothing given), with every type and bound of the table checked, but nothing
 * that takes two keys to see. what: the file, where no place is better. expand: replace ${NAME} in strings. On failure
 * the config is half filled; bt_keys_free takes it. */
enum bt_err bt_keys_read(const struct bt_yaml_node *root, const char *what, bool expand, struct bt_train_config *config,
                         struct bt_diag *diag);
/* The same for any other table: a zeroed struct that the offsets of `keys` count from. */
enum bt_err bt_keys_read_table(const struct bt_key *keys, const struct bt_yaml_node *root, const char *what, void *base,
                               struct bt_diag *diag);
/* Frees what the fields of `base` own and sets them to NULL. */
void bt_keys_free(const struct bt_key *keys, void *base);
/* The whole config as YAML, or one value in flow style. */
void bt_keys_print(struct bt_text_buf *out, const struct bt_train_config *config);
void bt_key_print_value(struct bt_text_buf *out, const struct bt_key *key, const void *base);
bool bt_key_is_present(const struct bt_key *section, const void *base);
/* The value of the key at "stage2.optimizer.lr" or "data.train.0.path", in flow style; "null" inside of a section that
 * is absent. False when the table has no key of that name. */
bool bt_key_print_at(struct bt_text_buf *out, const struct bt_key *keys, const void *base, const char *path);

#endif
