/* The checksum that a file carries in itself: where it stands, what it is, and that no changed byte gets past it. */
#include "io_support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "io/gguf.h"
#include "io/safetensors.h"
#include "io/seal.h"

static const float four[] = {1, 2, 3, 4};

static enum bt_err write_gguf(void *path, struct bt_diag *diag)
{
    struct bt_gguf_out *out = NULL;
    const enum bt_err err = bt_gguf_out_open(path, &out, diag);
    if (err)
        return err;
    bt_gguf_put_checksum(out);
    bt_gguf_put_text(out, "general.architecture", "llama", 5);
    bt_gguf_put_tensor(out, "t", bt_gguf_type_named("f32"), 4, 0);
    bt_gguf_put_data(out, four, sizeof four);
    return bt_gguf_out_close(out, NULL, diag);
}

static enum bt_err read_gguf(const void *data, size_t size, struct bt_diag *diag)
{
    struct bt_gguf *file = NULL;
    const enum bt_err err = bt_gguf_parse(data, size, "x", &file, diag);
    bt_gguf_close(file);
    return err;
}

static enum bt_err write_safetensors(void *path, struct bt_diag *diag)
{
    const struct bt_tensor_source t = {.name = "t", .dtype = BT_DTYPE_F32, .rank = 1, .shape = {4}, .data = four};
    return bt_safetensors_write_sealed(path, &t, 1, diag);
}

static enum bt_err read_safetensors(const void *data, size_t size, struct bt_diag *diag)
{
    struct bt_safetensors *file = NULL;
    const enum bt_err err = bt_safetensors_parse(data, size, "x", &file, diag);
    bt_safetensors_close(file);
    return err;
}

/* Bytes name_at and at as docs/interop.md has them. */
static const struct format {
    const char *file;
    enum bt_err (*write)(void *path, struct bt_diag *diag);
    enum bt_err (*read)(const void *data, size_t size, struct bt_diag *diag);
    size_t name_at, at, width;
    char blank;
} formats[] = {
    {"a.gguf", write_gguf, read_gguf, 32, 53, 8, 0},
    {"a.safetensors", write_safetensors, read_safetensors, 26, 46, 16, '0'},
};

static unsigned char *written(void **state, const struct format *f, size_t *ret_size)
{
    struct bt_diag diag;
    TEST_OK(f->write((void *)(uintptr_t)in_dir(state, f->file), &diag), diag);
    return test_read_file(in_dir(state, f->file), ret_size);
}

static void it_is_the_hash_of_the_file_with_blanks(void **state)
{
    for (size_t i = 0; i < BT_ARRAY_LEN(formats); i++) {
        const struct format *f = &formats[i];
        size_t size;
        unsigned char *bytes = written(state, f, &size), value[17] = "";
        struct bt_diag diag;
        assert_memory_equal(bytes + f->name_at, BT_SEAL_NAME, sizeof BT_SEAL_NAME - 1);
        TEST_OK(f->read(bytes, size, &diag), diag);
        memcpy(value, bytes + f->at, f->width);
        memset(bytes + f->at, f->blank, f->width);
        const uint64_t hash = XXH3_64bits(bytes, size);
        if (f->width == 8)
            assert_memory_equal(value, &hash, 8);
        else
            assert_string_equal((const char *)value, test_format("%016llx", (unsigned long long)hash));
        free(bytes);
    }
}

static void no_changed_byte_gets_past_it(void **state)
{
    for (size_t i = 0; i < BT_ARRAY_LEN(formats); i++) {
        const struct format *f = &formats[i];
        size_t size;
        unsigned char *bytes = written(state, f, &size);
        for (size_t at = 0; at < size; at++) {
            for (int bit = 0; bit < 8; bit++) {
                struct bt_diag diag = {0};
                bytes[at] ^= (unsigned char)(1 << bit);
                ASSERT_FAILS(BT_EINPUT, "x: ", f->read(bytes, size, &diag));
                bytes[at] ^= (unsigned char)(1 << bit);
            }
        }
        free(bytes);
    }
}

static void a_file_with_another_name_there_has_none(void **state)
{
    for (size_t i = 0; i < BT_ARRAY_LEN(formats); i++) {
        const struct format *f = &formats[i];
        size_t size;
        unsigned char *bytes = written(state, f, &size);
        struct bt_diag diag;
        memcpy(bytes + f->name_at, "of_some_other_one", sizeof BT_SEAL_NAME - 1);
        bytes[size - 1] ^= 1;
        TEST_OK(f->read(bytes, size, &diag), diag);
        free(bytes);
    }
}

static void every_disk_operation_may_fail(void **state)
{
    for (size_t i = 0; i < BT_ARRAY_LEN(formats); i++) {
        const struct format *f = &formats[i];
        const struct disk_faults faults = {f->write, NULL, (void *)(uintptr_t)in_dir(state, f->file), f->file};
        assert_int_equal(test_every_disk_operation_fails(&faults, ENOSPC), 4); /* open write patch sync */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(it_is_the_hash_of_the_file_with_blanks),
        IN_DIR(no_changed_byte_gets_past_it),
        IN_DIR(a_file_with_another_name_there_has_none),
        IN_DIR(every_disk_operation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
