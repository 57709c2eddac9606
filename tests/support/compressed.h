/* tests/support/compressed.h - compressed copies of bytes, for tests of what reads them. */
#ifndef BT_TESTS_COMPRESSED_H
#define BT_TESTS_COMPRESSED_H

#include <stddef.h>

/* malloc; the caller frees. */
unsigned char *test_gzip(const void *data, size_t size, size_t *ret_size);
unsigned char *test_zstd(const void *data, size_t size, size_t *ret_size);

#endif
