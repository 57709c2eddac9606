/* A config as YAML, by the key table: bt_keys_print, bt_key_print_value and bt_key_print_at of key_table.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/key_table.h"
#include "config/yaml_scalar.h"

static const void *at(const void *base, size_t offset)
{
    return (const char *)base + offset;
}

static size_t count_of(const struct bt_key *key, const void *base)
{
    return *(const size_t *)at(base, key->count_offset);
}

/* {a: 1, b: 2} */
static void print_flow_section(struct bt_text_buf *out, const struct bt_key *keys, const void *base)
{
    bt_text_add(out, "{");
    for (const struct bt_key *key = keys; key->name; key++) {
        bt_text_add(out, "%s%s: ", key == keys ? "" : ", ", key->name);
        bt_key_print_value(out, key, base);
    }
    bt_text_add(out, "}");
}

static void print_flow_list(struct bt_text_buf *out, const struct bt_key *key, const void *base)
{
    const void *items = *(void *const *)at(base, key->offset);
    const size_t count = count_of(key, base);
    bt_text_add(out, "[");
    for (size_t i = 0; i < count; i++) {
        bt_text_add(out, "%s", i ? ", " : "");
        if (key->type == BT_KEY_LIST)
            print_flow_section(out, key->keys, at(items, i * key->item_size));
        else
            bt_yaml_write_string(out, ((char *const *)items)[i]);
    }
    bt_text_add(out, "]");
}

static void print_stages(struct bt_text_buf *out, const struct bt_key *key, const void *base)
{
    const enum bt_stage_id *stages = at(base, key->offset);
    const size_t count = count_of(key, base);
    bt_text_add(out, "[");
    for (size_t i = 0; i < count; i++)
        bt_text_add(out, "%s%s", i ? ", " : "", bt_stage_name(stages[i]));
    bt_text_add(out, "]");
}

static void print_int(struct bt_text_buf *out, const struct bt_key *key, int64_t value)
{
    if (key->flags & BT_KEY_NULLABLE && value == key->null_value)
        bt_text_add(out, "null");
    else
        bt_text_add(out, "%" PRId64, value);
}

static void print_pair(struct bt_text_buf *out, const double *pair)
{
    bt_text_add(out, "[");
    bt_yaml_write_real(out, pair[0]);
    bt_text_add(out, ", ");
    bt_yaml_write_real(out, pair[1]);
    bt_text_add(out, "]");
}

static void print_weight(struct bt_text_buf *out, const struct bt_cfg_term_weight *weight)
{
    if (weight->kind == BT_WEIGHT_CONSTANT)
        bt_yaml_write_real(out, weight->constant);
    else
        print_flow_section(out, weight->kind == BT_WEIGHT_BALANCE ? bt_weight_balance_keys : bt_weight_schedule_keys,
                           weight);
}

static void print_name_or_reals(struct bt_text_buf *out, const struct bt_key *key,
                                const struct bt_cfg_name_or_list *value)
{
    if (key->names[value->name]) {
        bt_text_add(out, "%s", key->names[value->name]);
        return;
    }
    bt_text_add(out, "[");
    for (size_t i = 0; i < value->count; i++) {
        bt_text_add(out, "%s", i ? ", " : "");
        bt_yaml_write_real(out, value->list[i]);
    }
    bt_text_add(out, "]");
}

void bt_key_print_value(struct bt_text_buf *out, const struct bt_key *key, const void *base)
{
    const void *value = at(base, key->offset);
    switch (key->type) {
    case BT_KEY_SECTION:
        if (bt_key_is_present(key, base))
            print_flow_section(out, key->keys, value);
        else
            bt_text_add(out, "null");
        break;
    case BT_KEY_LIST:
    case BT_KEY_STRINGS:
        print_flow_list(out, key, base);
        break;
    case BT_KEY_STRING:
        if (*(char *const *)value)
            bt_yaml_write_string(out, *(char *const *)value);
        else
            bt_text_add(out, "null");
        break;
    case BT_KEY_INT:
        print_int(out, key, *(const int64_t *)value);
        break;
    case BT_KEY_SEED:
        bt_text_add(out, "%" PRIu64, *(const uint64_t *)value);
        break;
    case BT_KEY_REAL:
        bt_yaml_write_real(out, *(const double *)value);
        break;
    case BT_KEY_REAL_PAIR:
        print_pair(out, value);
        break;
    case BT_KEY_BOOL:
        bt_text_add(out, "%s", *(const bool *)value ? "true" : "false");
        break;
    case BT_KEY_ENUM:
        bt_text_add(out, "%s", key->names[*(const unsigned *)value]);
        break;
    case BT_KEY_STAGES:
        print_stages(out, key, base);
        break;
    case BT_KEY_WEIGHT:
        print_weight(out, value);
        break;
    case BT_KEY_NAME_OR_REALS:
        print_name_or_reals(out, key, value);
        break;
    case BT_KEY_NODE: /* what the text said has no other form */
        break;
    }
}

/* Key and base of the item of a list that the path begins with; the path moves on behind it. False: there is none. */
static bool enter_item(const struct bt_key *list, const void **base, const char **path)
{
    char *end;
    if (**path < '0' || **path > '9')
        return false;
    const unsigned long i = strtoul(*path, &end, 10);
    if (*end != '.' || i >= count_of(list, *base))
        return false;
    *base = (const char *)*(void *const *)at(*base, list->offset) + i * list->item_size;
    *path = end + 1;
    return true;
}

bool bt_key_print_at(struct bt_text_buf *out, const struct bt_key *keys, const void *base, const char *path)
{
    const size_t length = strcspn(path, ".");
    while (keys->name && (strlen(keys->name) != length || strncmp(keys->name, path, length)))
        keys++;
    if (!keys->name)
        return false;
    path += length + (path[length] == '.');
    if (!*path) {
        bt_key_print_value(out, keys, base);
        return true;
    }
    if (keys->type == BT_KEY_LIST)
        return enter_item(keys, &base, &path) && bt_key_print_at(out, keys->keys, base, path);
    if (keys->type != BT_KEY_SECTION)
        return false;
    if (bt_key_is_present(keys, base))
        return bt_key_print_at(out, keys->keys, at(base, keys->offset), path);
    bt_text_add(out, "null");
    return true;
}

static void print_block_list(struct bt_text_buf *out, const struct bt_key *key, const void *base, int indent)
{
    const void *items = *(void *const *)at(base, key->offset);
    const size_t count = count_of(key, base);
    bt_text_add(out, "\n");
    for (size_t i = 0; i < count; i++) {
        bt_text_add(out, "%*s- ", indent + 2, "");
        print_flow_section(out, key->keys, at(items, i * key->item_size));
        bt_text_add(out, "\n");
    }
}

static void print_block_section(struct bt_text_buf *out, const struct bt_key *keys, const void *base, int indent)
{
    for (const struct bt_key *key = keys; key->name; key++) {
        const bool block = key->type == BT_KEY_SECTION && !(key->flags & BT_KEY_FLOW) && bt_key_is_present(key, base);
        bt_text_add(out, "%s%*s%s:", block && !indent ? "\n" : "", indent, "", key->name);
        if (block) {
            bt_text_add(out, "\n");
            print_block_section(out, key->keys, at(base, key->offset), indent + 2);
        } else if (key->type == BT_KEY_LIST && count_of(key, base)) {
            print_block_list(out, key, base, indent);
        } else {
            bt_text_add(out, " ");
            bt_key_print_value(out, key, base);
            bt_text_add(out, "\n");
        }
    }
}

void bt_keys_print(struct bt_text_buf *out, const struct bt_train_config *config)
{
    print_block_section(out, bt_config_keys, config, 0);
}
