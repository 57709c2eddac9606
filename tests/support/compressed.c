#include "compressed.h"

#include "support.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

unsigned char *test_gzip(const void *data, size_t size, size_t *ret_size)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    const size_t room = deflateBound(&z, (uLong)size);
    unsigned char *out = malloc(room);
    assert_non_null(out);
    z.next_in = (void *)(uintptr_t)data;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    *ret_size = room - z.avail_out;
    deflateEnd(&z);
    return out;
}

unsigned char *test_zstd(const void *data, size_t size, size_t *ret_size)
{
    const size_t room = ZSTD_compressBound(size);
    unsigned char *out = malloc(room);
    assert_non_null(out);
    *ret_size = ZSTD_compress(out, room, data, size, 3);
    assert_false(ZSTD_isError(*ret_size));
    return out;
}
