/* tests/io/st_example.h - safetensors files made by hand. */
#ifndef BT_TESTS_ST_EXAMPLE_H
#define BT_TESTS_ST_EXAMPLE_H

#include "io_support.h"

struct st_bytes {
    unsigned char *data; /* malloc, exactly size bytes, so that a read past the end is seen */
    size_t size;
};

/* Length, header, and data_size bytes 0, 1, 2, ... */
struct st_bytes st_make(const char *header, size_t data_size);
void st_free(struct st_bytes *file);

/* The complete 112-byte file: tensor "a", F32 [2,2] of 1.0 to 4.0. */
#define ST_EXAMPLE_HEADER                                                                                              \
    "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}"
#define ST_EXAMPLE_SIZE 112
extern const unsigned char st_example[ST_EXAMPLE_SIZE];

#endif
