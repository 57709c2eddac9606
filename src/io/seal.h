/* io/seal.h - a checksum that a file carries in itself: XXH3-64 of all its bytes, those of the checksum taken as
 * blanks. It stands in a fixed place near the beginning, behind its name: so a damaged name is seen as such, and does
 * not pass for a file without a checksum. */
#ifndef BT_IO_SEAL_H
#define BT_IO_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BT_SEAL_NAME  "bitnet_train.xxh3"
#define BT_SEAL_WIDTH 16 /* the most bytes that a checksum takes */

struct bt_seal { /* how one format holds it */
    size_t at;   /* the byte of the file where `lead` begins */
    const char *lead;
    size_t lead_size, name_at; /* what stands in front of the checksum, and where in it the name is */
    size_t width;              /* of the checksum: 8 bytes, little-endian, or 16 hexadecimal digits */
    char blank;
};

/* hash in the form of the file: seal->width bytes. */
void bt_seal_value(const struct bt_seal *seal, uint64_t hash, unsigned char value[BT_SEAL_WIDTH]);
/* A file without the name has no seal, and is fine. BT_EINPUT when the seal is broken. */
enum bt_err bt_seal_check(const struct bt_seal *seal, const unsigned char *data, size_t size, const char *path,
                          struct bt_diag *diag);

#endif
