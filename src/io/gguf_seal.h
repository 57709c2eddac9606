/* io/gguf_seal.h - how a GGUF file holds its checksum: a u64, the first of its pairs. Private to the files gguf*.c. */
#ifndef BT_IO_GGUF_SEAL_H
#define BT_IO_GGUF_SEAL_H

#include "io/seal.h"

extern const struct bt_seal bt_gguf_seal;

#endif
