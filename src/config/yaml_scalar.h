/* config/yaml_scalar.h - what a scalar means: null, a bool, a number or a string; and writing one so that it is read
 * back the same.
 *
 * Plain text is a number when it is a JSON number, apart from a sign `+` and digits missing on one side of the point
 * (".5", "1."): so `1e-4`, which YAML 1.1 calls a string, is one. Only true and false are bools (not yes, no, on, off).
 * Text in quotes is always a string. */
#ifndef BT_CONFIG_YAML_SCALAR_H
#define BT_CONFIG_YAML_SCALAR_H

#include <stdbool.h>
#include <stdint.h>

#include "config/text_buf.h"
#include "config/yaml_tree.h"

enum bt_scalar_type { BT_SCALAR_NULL, BT_SCALAR_BOOL, BT_SCALAR_INTEGER, BT_SCALAR_REAL, BT_SCALAR_STRING };

enum bt_scalar_type bt_scalar_type(const struct bt_yaml_node *scalar);
bool bt_yaml_is_null(const struct bt_yaml_node *node); /* of any kind */

/* 'the string "abc"', "the number 5", "a list of 3": what an error says that it found. */
struct bt_yaml_words {
    char text[100];
};
struct bt_yaml_words bt_yaml_describe(const struct bt_yaml_node *node);

/* Appends the value as a YAML scalar: a string, quoted when plain text would not be read back as that string, or a real
 * in the fewest digits that give the same double, with a point. */
void bt_yaml_write_string(struct bt_text_buf *out, const char *text);
void bt_yaml_write_real(struct bt_text_buf *out, double value);
/* A whole tree in flow style, in one line. */
void bt_yaml_write_node(struct bt_text_buf *out, const struct bt_yaml_node *node);

#endif
