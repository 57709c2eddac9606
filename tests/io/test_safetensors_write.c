#include "st_example.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "io/safetensors.h"

static const float four[] = {1, 2, 3, 4};
static const uint16_t five[] = {0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0};
static const int64_t one = -1;
static const unsigned char three[] = {7, 8, 9};

static void the_example_is_written(void **state)
{
    const struct bt_tensor_source a = {.name = "a", .dtype = BT_DTYPE_F32, .rank = 2, .shape = {2, 2}, .data = four};
    struct bt_diag diag;
    uint64_t hash = 0;
    const char *path = in_dir(state, "a.safetensors");
    TEST_OK(bt_safetensors_write(path, &a, 1, &hash, &diag), diag);
    assert_file_holds(path, st_example, ST_EXAMPLE_SIZE);
    assert_true(hash == XXH3_64bits(st_example, ST_EXAMPLE_SIZE));
}

/* Given in an order that is neither the file's nor that of the names. */
static const struct bt_tensor_source mixed[] = {
    {.name = "b", .dtype = BT_DTYPE_BF16, .rank = 1, .shape = {5}, .data = five},
    {.name = "u", .dtype = BT_DTYPE_U8, .rank = 1, .shape = {3}, .data = three},
    {.name = "\"q\"\n", .dtype = BT_DTYPE_F32, .rank = 2, .shape = {4, 1}, .data = four},
    {.name = "i", .dtype = BT_DTYPE_I64, .data = &one},
    {.name = "a", .dtype = BT_DTYPE_F32, .rank = 1, .shape = {1}, .data = four},
    {.name = "none", .dtype = BT_DTYPE_F32, .rank = 2, .shape = {0, 9}},
};
/* Widest first, then by name. */
static const size_t mixed_order[] = {3, 2, 4, 5, 0, 1};

static void tensors_are_ordered_aligned_and_come_back(void **state)
{
    struct bt_safetensors *file = NULL;
    struct bt_diag diag;
    const char *path = in_dir(state, "m.safetensors");
    TEST_OK(bt_safetensors_write(path, mixed, BT_ARRAY_LEN(mixed), NULL, &diag), diag);
    size_t size;
    unsigned char *bytes = test_read_file(path, &size);
    uint64_t header_size;
    memcpy(&header_size, bytes, sizeof header_size);
    assert_int_equal(header_size % 8, 0);
    assert_int_equal(size, 8 + header_size + 8 + 16 + 4 + 10 + 3);

    TEST_OK(bt_safetensors_parse(bytes, size, "m", &file, &diag), diag);
    const unsigned char *end = bytes + 8 + header_size;
    for (size_t i = 0; i < BT_ARRAY_LEN(mixed); i++) {
        const struct bt_tensor_source *source = &mixed[mixed_order[i]];
        const struct bt_tensor_view *view = bt_safetensors_find(file, source->name);
        assert_non_null(view);
        assert_ptr_equal(view->data, end);
        assert_int_equal((size_t)(view->data - bytes) % (bt_dtype_bits(view->dtype) / 8), 0);
        assert_int_equal(view->dtype, source->dtype);
        assert_int_equal(view->rank, source->rank);
        assert_memory_equal(view->shape, source->shape, sizeof view->shape);
        if (view->bytes)
            assert_memory_equal(view->data, source->data, view->bytes);
        end += view->bytes;
    }
    bt_safetensors_close(file);
    free(bytes);
}

static void no_tensors_make_a_file_too(void **state)
{
    struct bt_safetensors *file = NULL;
    struct bt_diag diag;
    TEST_OK(bt_safetensors_write(in_dir(state, "e"), NULL, 0, NULL, &diag), diag);
    TEST_OK(bt_safetensors_open(in_dir(state, "e"), &file, &diag), diag);
    assert_int_equal(bt_safetensors_count(file), 0);
    bt_safetensors_close(file);
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"}}"; /* 32 bytes: no padding */
    struct st_bytes want = st_make(header, 0);
    assert_file_holds(in_dir(state, "e"), want.data, want.size);
    st_free(&want);
}

static void what_no_reader_would_take_is_not_written(void **state)
{
    static const struct {
        struct bt_tensor_source tensors[2];
        const char *sentence;
    } cases[] = {
        {{{.name = "a", .dtype = BT_DTYPE_U8}, {.name = "a", .dtype = BT_DTYPE_U8}}, "tensor \"a\": its name is taken"},
        {{{.name = "a", .dtype = BT_DTYPE_U8}, {.name = "a", .dtype = BT_DTYPE_F32}},
         "tensor \"a\": its name is taken"},
        {{{.name = "a", .dtype = BT_DTYPE_U8}, {.name = "__metadata__", .dtype = BT_DTYPE_U8}}, "its name is taken"},
        {{{.name = "a", .dtype = BT_DTYPE_U8}, {.name = "b", .dtype = BT_DTYPE_F4}}, "do not fill whole bytes"},
        {{{.name = "a", .dtype = BT_DTYPE_U8}, {.name = "b", .dtype = BT_DTYPE_U8, .rank = 9}}, "it has 9 dimensions"},
        {{{.name = "a", .dtype = BT_DTYPE_U8},
          {.name = "b", .dtype = BT_DTYPE_U8, .rank = 2, .shape = {UINT64_MAX, 2}}},
         "than can be counted"},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_diag diag;
        ASSERT_FAILS(BT_EINPUT, cases[i].sentence,
                     bt_safetensors_write(in_dir(state, "x"), cases[i].tensors, 2, NULL, &diag));
        assert_false(bt_file_exists(in_dir(state, "x")));
    }
}

static enum bt_err write_mixed(void *context, struct bt_diag *diag)
{
    return bt_safetensors_write(context, mixed, BT_ARRAY_LEN(mixed), NULL, diag);
}

static enum bt_err write_quietly(void *context)
{
    return write_mixed(context, NULL);
}

static void whatever_fails_is_told(void **state)
{
    void *path = (void *)(uintptr_t)in_dir(state, "m.safetensors");
    const struct disk_faults faults = {write_mixed, NULL, path, "m.safetensors"};
    assert_int_equal(test_every_disk_operation_fails(&faults, EIO), 3); /* open write sync */
    test_every_allocation_fails(write_quietly, path);
}

/* A small file fails when it is closed, a large one while it is written. */
static void a_full_disk_is_told(void **state)
{
    (void)state;
    static const float many[600000];
    const struct bt_tensor_source large = {
        .name = "l", .dtype = BT_DTYPE_F32, .rank = 1, .shape = {600000}, .data = many};
    struct bt_diag diag;
    uint64_t hash = 1;
    ASSERT_FAILS(BT_EIO, "/dev/full: cannot write: No space left on device",
                 bt_safetensors_write("/dev/full", mixed, BT_ARRAY_LEN(mixed), &hash, &diag));
    ASSERT_FAILS(BT_EIO, "/dev/full: cannot write: No space left on device",
                 bt_safetensors_write("/dev/full", &large, 1, &hash, &diag));
    assert_int_equal(hash, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(the_example_is_written),     IN_DIR(tensors_are_ordered_aligned_and_come_back),
        IN_DIR(no_tensors_make_a_file_too), IN_DIR(what_no_reader_would_take_is_not_written),
        IN_DIR(whatever_fails_is_told),     cmocka_unit_test(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
