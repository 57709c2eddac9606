/* text/normalizer.h - a tokenizer file's "normalizer": what is done to a text before it is cut into words. */
#ifndef BT_TEXT_NORMALIZER_H
#define BT_TEXT_NORMALIZER_H

#include "text/json_field.h"
#include "text/nfc.h"
#include "text/text_place.h"

#define BT_NORMALIZER_STEPS 16

struct bt_normalizer_step {
    enum bt_normalizer_kind { BT_NORMALIZE_NFC, BT_NORMALIZE_PREPEND, BT_NORMALIZE_REPLACE } kind;
    char *from, *to; /* replace: from becomes to; prepend: to */
    size_t from_size, to_size;
};

struct bt_normalizer { /* zeroed: does nothing */
    struct bt_normalizer_step steps[BT_NORMALIZER_STEPS];
    size_t count;
    struct bt_nfc *nfc; /* NULL: no step needs it */
};

/* value: the field, or NULL or null. */
enum bt_err bt_normalizer_read(const json_t *value, const struct bt_where *where, struct bt_normalizer *normalizer,
                               struct bt_diag *diag);
void bt_normalizer_finish(struct bt_normalizer *normalizer);

struct bt_normalizer_scratch { /* zeroed: empty */
    struct bt_buffer texts[2];
    struct bt_nfc_scratch nfc;
};
void bt_normalizer_scratch_finish(struct bt_normalizer_scratch *scratch);

/* What comes out is the text itself or lives in the scratch until the next call. Valid UTF-8. */
enum bt_err bt_normalizer_run(const struct bt_normalizer *normalizer, struct bt_normalizer_scratch *scratch,
                              const char *text, size_t size, enum bt_text_place place, const char **ret_text,
                              size_t *ret_size, struct bt_diag *diag);

#endif
