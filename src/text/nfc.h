/* text/nfc.h - Unicode's normalization form C (UAX #15), in time proportional to the text. Marks that came after
 * Unicode 9 are left where they are, as in Hugging Face's library: the ids that a model was trained on are made so. */
#ifndef BT_TEXT_NFC_H
#define BT_TEXT_NFC_H

#include <stdint.h>

#include "text/buffer.h"

#define BT_NFC_CODES 0x30000u /* codes from here on, all rare, take the long way */

/* A bit for every code: it has combining class 0, composing leaves it alone and joins it with nothing in front of it.
 * In front of such a character a text can be cut and each part normalised on its own. */
struct bt_nfc {
    uint64_t quick[BT_NFC_CODES / 64];
};
void bt_nfc_init(struct bt_nfc *nfc);

struct bt_nfc_scratch {      /* zeroed: empty */
    int32_t *codes, *sorted; /* (capacity) each */
    size_t capacity;
};
void bt_nfc_scratch_finish(struct bt_nfc_scratch *scratch);

/* How many bytes at the front are in form C whatever follows; size when all are. Valid UTF-8. */
size_t bt_nfc_quick_prefix(const struct bt_nfc *nfc, const char *text, size_t size);
/* Appends the normalised text. False when memory is out. */
bool bt_nfc_put(const struct bt_nfc *nfc, struct bt_nfc_scratch *scratch, struct bt_buffer *out, const char *text,
                size_t size);

#endif
