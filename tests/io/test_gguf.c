/* The GGUF container: a file as llama.cpp has it to the byte, what must be refused, and files that come back. */
#include "io_support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/gguf.h"

/* One pair (general.architecture: llama) and one tensor ("t", four f32): 102 bytes of head, 26 of padding, 16 of data.
 */
static const unsigned char example[144] = {
    0x47, 0x47, 0x55, 0x46, 0x03, 0x00,         0x00, 0x00,         0x01,         0x00, 0x00,         0x00, 0x00,
    0x00, 0x00, 0x00, /* tensors */
    0x01, 0x00, 0x00, 0x00, 0x00, 0x00,         0x00, 0x00,         0x14,         0x00, 0x00,         0x00, 0x00,
    0x00, 0x00, 0x00, /* pairs */
    0x67, 0x65, 0x6e, 0x65, 0x72, 0x61,         0x6c, 0x2e,         0x61,         0x72, 0x63,         0x68, 0x69,
    0x74, 0x65, 0x63, 0x74, 0x75, 0x72,         0x65, 0x08,         0x00,         0x00, 0x00,         0x05, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00,         0x6c, 0x6c,         0x61,         0x6d, 0x61,         0x01, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00,         0x74, 0x01,         0x00,         0x00, 0x00,         0x04, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00,         0x00, 0x00,         0x00,         0x00, 0x00,         0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, [130] = 0x80, 0x3f, [135] = 0x40, [138] = 0x40, 0x40, [142] = 0x80, 0x40};
enum {
    PAIRS_AT = 16,
    KEY_AT = 24,
    KIND_AT = 52,
    NAME_AT = 69,
    RANK_AT = 78,
    SIZE_AT = 82,
    TYPE_AT = 90,
    OFFSET_AT = 94
};

static const float four[] = {1, 2, 3, 4};

static const struct bt_gguf_type_info *type_of(const char *name)
{
    return bt_gguf_type_named(name);
}

static void the_example_is_written(void **state)
{
    struct bt_gguf_out *out = NULL;
    struct bt_diag diag;
    uint64_t bytes = 0;
    const char *path = in_dir(state, "a.gguf");
    TEST_OK(bt_gguf_out_open(path, &out, &diag), diag);
    bt_gguf_put_text(out, "general.architecture", "llama", 5);
    bt_gguf_put_tensor(out, "t", type_of("f32"), 4, 0);
    bt_gguf_put_data(out, four, 12); /* in two parts, as a stream comes */
    bt_gguf_put_data(out, four + 3, 4);
    TEST_OK(bt_gguf_out_close(out, &bytes, &diag), diag);
    assert_int_equal(bytes, sizeof example + 16); /* the data is padded as well */
    size_t size;
    unsigned char *got = test_read_file(path, &size);
    assert_int_equal(size, sizeof example + 16);
    assert_memory_equal(got, example, sizeof example);
    free(got);
}

static void the_example_is_read(void **state)
{
    (void)state;
    struct bt_gguf *file = NULL;
    struct bt_gguf_text text = {0};
    struct bt_diag diag;
    TEST_OK(bt_gguf_parse(example, sizeof example, "x", &file, &diag), diag); /* the last padding may be missing */
    assert_int_equal(bt_gguf_tensor_count(file), 1);
    const struct bt_gguf_tensor *t = bt_gguf_tensor_find(file, "t");
    assert_ptr_equal(t, bt_gguf_tensor_at(file, 0));
    assert_true(t->rank == 1 && t->size[0] == 4 && t->size[1] == 1 && t->count == 4 && t->bytes == 16);
    assert_memory_equal(t->data, four, sizeof four);
    assert_null(bt_gguf_tensor_find(file, "u"));
    TEST_OK(bt_gguf_get_text(file, "general.architecture", true, &text, &diag), diag);
    assert_true(text.size == 5 && !memcmp(text.at, "llama", 5));
    bt_gguf_close(file);
}

/* Every kind that is written, two tensors of other types, an array of texts. */
static enum bt_err write_rich(const char *path, struct bt_diag *diag)
{
    static const unsigned char blocks[2 * 66] = {0x18};
    struct bt_gguf_out *out = NULL;
    const enum bt_err err = bt_gguf_out_open(path, &out, diag);
    if (err)
        return err;
    bt_gguf_put_text(out, "general.architecture", "llama", 5);
    bt_gguf_put_u32(out, "u", 7);
    bt_gguf_put_f32(out, "f", 0.5f);
    bt_gguf_put_f64(out, "d", 0.1);
    bt_gguf_put_bool(out, "b", true);
    bt_gguf_put_array(out, "texts", BT_GGUF_TEXT, 3);
    bt_gguf_add_text(out, "one", 3);
    bt_gguf_add_text(out, "", 0);
    bt_gguf_add_text(out, "three", 5);
    bt_gguf_put_array(out, "ints", BT_GGUF_I32, 2);
    bt_gguf_add_i32(out, -1);
    bt_gguf_add_i32(out, 2);
    bt_gguf_put_array(out, "floats", BT_GGUF_F32_VALUE, 1);
    bt_gguf_add_f32(out, -0.25f);
    bt_gguf_put_array(out, "none", BT_GGUF_TEXT, 0);
    bt_gguf_put_tensor(out, "w", type_of("tq2_0"), 256, 2);
    bt_gguf_put_tensor(out, "v", type_of("f32"), 3, 0);
    bt_gguf_put_tensor(out, "h", type_of("f16"), 2, 2);
    bt_gguf_put_data(out, blocks, sizeof blocks);
    bt_gguf_put_data(out, four, 12);
    bt_gguf_put_data(out, four, 8);
    return bt_gguf_out_close(out, NULL, diag);
}

static void what_is_written_comes_back(void **state)
{
    struct bt_gguf *file = NULL;
    struct bt_diag diag;
    const char *path = in_dir(state, "a.gguf");
    uint32_t u = 0;
    float f = 0;
    double d = 0;
    bool b = false;
    const struct bt_gguf_value *array = NULL;
    TEST_OK(write_rich(path, &diag), diag);
    TEST_OK(bt_gguf_open(path, &file, &diag), diag);
    TEST_OK(bt_gguf_get_u32(file, "u", true, &u, &diag), diag);
    TEST_OK(bt_gguf_get_f32(file, "f", true, &f, &diag), diag);
    TEST_OK(bt_gguf_get_f64(file, "d", true, &d, &diag), diag);
    TEST_OK(bt_gguf_get_bool(file, "b", true, &b, &diag), diag);
    assert_true(u == 7 && f == 0.5f && d == 0.1 && b);
    TEST_OK(bt_gguf_get_array(file, "texts", BT_GGUF_TEXT, true, &array, &diag), diag);
    assert_int_equal(array->count, 3);
    const unsigned char *at = array->data;
    const struct bt_gguf_text one = bt_gguf_next_text(&at), none = bt_gguf_next_text(&at),
                              three = bt_gguf_next_text(&at);
    assert_true(one.size == 3 && none.size == 0 && three.size == 5 && !memcmp(three.at, "three", 5));
    TEST_OK(bt_gguf_get_array(file, "ints", BT_GGUF_I32, true, &array, &diag), diag);
    assert_memory_equal(array->data, ((const int32_t[]){-1, 2}), 8);
    TEST_OK(bt_gguf_get_array(file, "absent", BT_GGUF_I32, false, &array, &diag), diag);
    assert_null(array);
    const struct bt_gguf_tensor *v = bt_gguf_tensor_find(file, "v"), *h = bt_gguf_tensor_find(file, "h");
    assert_memory_equal(v->data, four, 12);
    assert_memory_equal(h->data, four, 8);
    assert_int_equal((h->data - v->data) % BT_GGUF_ALIGNMENT, 0);
    assert_true(h->rank == 2 && h->size[0] == 2 && h->size[1] == 2);
    ASSERT_FAILS(BT_EINPUT, "key \"u\" is of kind u32; f32 was expected", bt_gguf_get_f32(file, "u", false, &f, &diag));
    ASSERT_FAILS(BT_EINPUT, "key \"n\" is missing", bt_gguf_get_u32(file, "n", true, &u, &diag));
    ASSERT_FAILS(BT_EINPUT, "key \"ints\" is an array of i32; one of string was expected",
                 bt_gguf_get_array(file, "ints", BT_GGUF_TEXT, true, &array, &diag));
    bt_gguf_close(file);
}

/* A change of the example, and what is said of it. */
static void changes_are_refused_each_with_its_sentence(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        const char *bytes;
        size_t size;
        const char *sentence;
    } cases[] = {
        {0, "X", 1, "x: byte 0: a GGUF file begins with \"GGUF\""},
        {4, "\1", 1, "x: byte 4: version 1 of the format"},
        {4, "\4", 1, "version 4"},
        {8, "\xff\xff", 2, "byte 8: the number of tensors is 65535, for which the file's 144 bytes are too few"},
        {15, "\x80", 1, "the number of tensors is 9223372036854775809"},
        {PAIRS_AT, "\xff", 1, "the number of keys is 255"},
        {KEY_AT, "\0", 1, "byte 24: a key is empty"},
        {KEY_AT + 3, "\x41", 1, "a key has 1090519060 bytes"},
        {KEY_AT + 1, "\1", 1, "the file ends within a key"},
        {KEY_AT + 10, "\0", 1, "a key is empty or has a NUL in it"},
        {KIND_AT, "\15", 1, "key \"general.architecture\": a value of the unknown kind 13"},
        {KIND_AT, "\11", 1, "key \"general.architecture\": an array of"},
        {NAME_AT + 1, "\1", 1, "the file ends within the name of a tensor"},
        {RANK_AT, "\5", 1, "tensor \"t\": 5 dimensions"},
        {RANK_AT, "\0", 1, "tensor \"t\": 0 dimensions"},
        {SIZE_AT, "\0", 1, "tensor \"t\": its sizes are 0"},
        {SIZE_AT + 7, "\x80", 1, "make more values than can be counted"},
        {SIZE_AT + 5, "\1", 1, "tensor \"t\": its data has"},
        {SIZE_AT, "\5", 1, "tensor \"t\": its data would end at byte 148 of 144"},
        {TYPE_AT, "\2", 1, "tensor \"t\": ggml type 2 is not supported"},
        {TYPE_AT, "\x23", 1, "tensor \"t\": its rows of 4 do not fill blocks of 256, as tq2_0 has"},
        {OFFSET_AT, "\x20", 1, "tensor \"t\": its data begins at byte 32 where the tensor before it ends at 0"},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        unsigned char bytes[sizeof example];
        struct bt_gguf *file = NULL;
        struct bt_diag diag;
        memcpy(bytes, example, sizeof bytes);
        memcpy(bytes + cases[i].at, cases[i].bytes, cases[i].size);
        ASSERT_FAILS(BT_EINPUT, cases[i].sentence, bt_gguf_parse(bytes, sizeof bytes, "x", &file, &diag));
        assert_null(file);
    }
}

static void doubles_and_leftovers_are_refused(void **state)
{
    struct bt_gguf_out *out = NULL;
    struct bt_gguf *file = NULL;
    struct bt_diag diag;
    const char *path = in_dir(state, "a.gguf");
    TEST_OK(bt_gguf_out_open(path, &out, &diag), diag);
    bt_gguf_put_u32(out, "k", 1);
    bt_gguf_put_u32(out, "k", 1);
    TEST_OK(bt_gguf_out_close(out, NULL, &diag), diag);
    ASSERT_FAILS(BT_EINPUT, "key \"k\" stands there twice", bt_gguf_open(path, &file, &diag));
    TEST_OK(bt_gguf_out_open(path, &out, &diag), diag);
    bt_gguf_put_tensor(out, "t", type_of("f32"), 1, 0);
    bt_gguf_put_tensor(out, "t", type_of("f32"), 1, 0);
    bt_gguf_put_data(out, four, 4);
    bt_gguf_put_data(out, four, 4);
    TEST_OK(bt_gguf_out_close(out, NULL, &diag), diag);
    ASSERT_FAILS(BT_EINPUT, "tensor \"t\": it stands there twice", bt_gguf_open(path, &file, &diag));
    TEST_OK(bt_gguf_out_open(path, &out, &diag), diag);
    bt_gguf_put_u32(out, "general.alignment", 24);
    TEST_OK(bt_gguf_out_close(out, NULL, &diag), diag);
    ASSERT_FAILS(BT_EINPUT, "general.alignment is 24, not a power of two", bt_gguf_open(path, &file, &diag));
    unsigned char bytes[sizeof example + 17] = {0};
    memcpy(bytes, example, sizeof example);
    ASSERT_FAILS(BT_EINPUT, "the tensors end at byte 160, the file at 161",
                 bt_gguf_parse(bytes, sizeof bytes, "x", &file, &diag));
}

static void the_writer_refuses_what_no_reader_takes(void **state)
{
    struct bt_gguf_out *out = NULL;
    struct bt_diag diag;
    const char *path = in_dir(state, "a.gguf");
    TEST_OK(bt_gguf_out_open(path, &out, &diag), diag);
    bt_gguf_put_tensor(out, "t", type_of("tq2_0"), 255, 1);
    ASSERT_FAILS(BT_EINPUT, "tensor \"t\": its rows of 255 do not fill blocks of 256, as tq2_0 has",
                 bt_gguf_out_close(out, NULL, &diag));
    TEST_OK(bt_gguf_out_open(path, &out, &diag), diag);
    bt_gguf_put_tensor(out, "0123456789012345678901234567890123456789012345678901234567890123", type_of("f32"), 1, 1);
    ASSERT_FAILS(BT_EINPUT, "its name has more than 63 bytes", bt_gguf_out_close(out, NULL, &diag));
    TEST_OK(bt_gguf_out_open(path, &out, &diag), diag);
    bt_gguf_put_tensor(out, "t", type_of("f32"), UINT64_MAX, UINT64_MAX);
    ASSERT_FAILS(BT_EINPUT, "tensor \"t\": the file would be too large", bt_gguf_out_close(out, NULL, &diag));
}

/* Touches all that the file promises, for the sanitizers to see. */
static void read_all(const struct bt_gguf *file)
{
    static const char *const keys[] = {"general.architecture", "u", "f", "d", "b", "texts", "ints", "floats", "none"};
    uint64_t sum = 0;
    for (size_t i = 0; i < bt_gguf_tensor_count(file); i++) {
        const struct bt_gguf_tensor *t = bt_gguf_tensor_at(file, i);
        for (size_t b = 0; b < t->bytes; b++)
            sum += t->data[b];
        assert_ptr_equal(bt_gguf_tensor_find(file, t->name), t);
    }
    for (size_t k = 0; k < BT_ARRAY_LEN(keys); k++) {
        const struct bt_gguf_value *value = bt_gguf_find(file, keys[k]);
        if (!value || value->element != BT_GGUF_TEXT)
            continue;
        const unsigned char *at = value->data;
        for (uint64_t i = 0; i < value->count; i++) {
            const struct bt_gguf_text text = bt_gguf_next_text(&at);
            for (size_t b = 0; b < text.size; b++)
                sum += (unsigned char)text.at[b];
        }
    }
    assert_true(sum > 0);
}

static void every_prefix_is_refused(void **state)
{
    size_t size;
    struct bt_diag diag;
    TEST_OK(write_rich(in_dir(state, "a.gguf"), &diag), diag);
    unsigned char *whole = test_read_file(in_dir(state, "a.gguf"), &size);
    for (size_t n = 0; n + 24 < size; n++) { /* the last tensor's 24 bytes of padding are no loss */
        struct bt_gguf *file = NULL;
        unsigned char *prefix = malloc(n ? n : 1); /* of exactly that size, so that a read past the end is seen */
        assert_non_null(prefix);
        memcpy(prefix, whole, n);
        ASSERT_FAILS(BT_EINPUT, "x: ", bt_gguf_parse(prefix, n, "x", &file, &diag));
        free(prefix);
    }
    free(whole);
}

static void damaged_files_are_refused_or_read(void **state)
{
    size_t size, read = 0, refused = 0;
    struct bt_diag diag;
    TEST_OK(write_rich(in_dir(state, "a.gguf"), &diag), diag);
    unsigned char *whole = test_read_file(in_dir(state, "a.gguf"), &size);
    for (uint64_t round = 0; round < 10000; round++) {
        const uint64_t key = bt_rng_key(20260817, test_format("gguf %d", (int)round));
        const uint64_t changes = 1 + round % 4;
        unsigned char *bytes = malloc(size);
        struct bt_gguf *file = NULL;
        assert_non_null(bytes);
        memcpy(bytes, whole, size);
        for (uint64_t c = 0; c < changes; c++) /* half of the time a small number, which gets further */
            bytes[bt_rng_below(key, 3 * c, size)] =
                (unsigned char)(bt_rng_u64(key, 3 * c + 1) % (bt_rng_u64(key, 3 * c + 2) % 2 ? 256 : 16));
        diag.text[0] = '\0';
        const enum bt_err err = bt_gguf_parse(bytes, size, "x", &file, &diag);
        if (err) {
            assert_failed(err, BT_EINPUT, &diag, "x: ");
            refused++;
        } else {
            read_all(file);
            read++;
        }
        bt_gguf_close(file);
        free(bytes);
    }
    free(whole);
    assert_true(read > 1000 && refused > 1000);
}

static enum bt_err open_and_close(void *context)
{
    struct bt_gguf *file = NULL;
    const enum bt_err err = bt_gguf_open(context, &file, NULL);
    bt_gguf_close(file);
    return err;
}

static enum bt_err write_without_diag(void *context)
{
    return write_rich(context, NULL);
}

static void every_allocation_may_fail(void **state)
{
    void *path = (void *)(uintptr_t)in_dir(state, "a.gguf");
    test_every_allocation_fails(write_without_diag, path);
    test_every_allocation_fails(open_and_close, path);
}

static enum bt_err write_it(void *context, struct bt_diag *diag)
{
    return write_rich(context, diag);
}

static void every_disk_operation_may_fail(void **state)
{
    const struct disk_faults faults = {
        .body = write_it, .context = (void *)(uintptr_t)in_dir(state, "a.gguf"), .name = "a.gguf"};
    assert_int_equal(test_every_disk_operation_fails(&faults, ENOSPC), 3); /* open write sync */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(the_example_is_written),
        cmocka_unit_test(the_example_is_read),
        IN_DIR(what_is_written_comes_back),
        cmocka_unit_test(changes_are_refused_each_with_its_sentence),
        IN_DIR(doubles_and_leftovers_are_refused),
        IN_DIR(the_writer_refuses_what_no_reader_takes),
        IN_DIR(every_prefix_is_refused),
        IN_DIR(damaged_files_are_refused_or_read),
        IN_DIR(every_allocation_may_fail),
        IN_DIR(every_disk_operation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
