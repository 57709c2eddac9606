#include "st_example.h"

#include <stdlib.h>
#include <string.h>

struct st_bytes st_make(const char *header, size_t data_size)
{
    const uint64_t header_size = strlen(header);
    struct st_bytes file = {.size = sizeof header_size + (size_t)header_size + data_size};
    file.data = malloc(file.size);
    assert_non_null(file.data);
    memcpy(file.data, &header_size, sizeof header_size);
    memcpy(file.data + sizeof header_size, header, (size_t)header_size);
    for (size_t i = 0; i < data_size; i++)
        file.data[sizeof header_size + (size_t)header_size + i] = (unsigned char)i;
    return file;
}

void st_free(struct st_bytes *file)
{
    free(file->data);
    *file = (struct st_bytes){0};
}

const unsigned char st_example[ST_EXAMPLE_SIZE] =
    "\x58\0\0\0\0\0\0\0" ST_EXAMPLE_HEADER "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40";
