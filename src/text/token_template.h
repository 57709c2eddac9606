/* text/token_template.h - a tokenizer file's "post_processor": the ids that special tokens add around a text. */
#ifndef BT_TEXT_TOKEN_TEMPLATE_H
#define BT_TEXT_TOKEN_TEMPLATE_H

#include "text/json_field.h"

#define BT_TEMPLATE_IDS 64

struct bt_token_template { /* zeroed: adds nothing */
    int32_t before[BT_TEMPLATE_IDS], behind[BT_TEMPLATE_IDS];
    size_t before_count, behind_count;
    bool read; /* from a TemplateProcessing */
};

/* value: the field, or NULL or null. Ids are below vocab_size. Only what is said of single texts is read. */
enum bt_err bt_token_template_read(const json_t *value, const struct bt_where *where, int32_t vocab_size,
                                   struct bt_token_template *ret_template, struct bt_diag *diag);

#endif
