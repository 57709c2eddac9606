/* io/json.h - jansson with our allocator and our errors. Include this in place of <jansson.h>. */
#ifndef BT_IO_JSON_H
#define BT_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"

/* Parses one value, duplicate keys refused; `what` names the text in the error ("model/config.json"). BT_EINPUT. */
enum bt_err bt_json_parse(const char *text, size_t size, const char *what, json_t **ret_value, struct bt_diag *diag);
/* The same for a text that begins with the given line of its file, and in which numbers do not matter: all of them are
 * reals, so that an integer may have more digits than fit into 64 bits. */
enum bt_err bt_json_parse_at(const char *text, size_t size, const char *what, uint64_t line, json_t **ret_value,
                             struct bt_diag *diag);
enum bt_err bt_json_read(const char *path, json_t **ret_value, struct bt_diag *diag);
/* The same for a file that need not be there, nor be JSON: *ret_value stays as it is then. Only BT_ENOMEM. */
enum bt_err bt_json_read_any(const char *path, json_t **ret_value, struct bt_diag *diag);
/* The same for a file in which numbers do not matter: tokenizer_config.json has one of 31 digits in most models. */
enum bt_err bt_json_read_texts(const char *path, json_t **ret_value, struct bt_diag *diag);
/* Compact, keys in order of insertion, reals as the shortest text that reads back as the same double. flags: 0, or
 * jansson's JSON_INDENT(n). NULL when memory is out; free with bt_free. */
char *bt_json_text(const json_t *value, size_t flags);
/* Indented, by bt_file_replace; or straight to path. */
enum bt_err bt_json_replace(const char *path, const json_t *value, struct bt_diag *diag);
enum bt_err bt_json_write(const char *path, const json_t *value, struct bt_diag *diag);
/* A real number, or null when it is not finite. float32 values print as the shortest text that reads back the same. */
json_t *bt_json_real(double value);
json_t *bt_json_float(float value);

#endif
