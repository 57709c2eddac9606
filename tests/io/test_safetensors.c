/* Reading one file: what is taken, and what is refused with which sentence. */
#include "st_example.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/safetensors.h"

static enum bt_err parse(const struct st_bytes *bytes, struct bt_safetensors **ret_file, struct bt_diag *diag)
{
    return bt_safetensors_parse(bytes->data, bytes->size, "x.safetensors", ret_file, diag);
}

static void the_example_is_read(void **state)
{
    struct bt_safetensors *file = NULL;
    struct bt_diag diag;
    static const float values[] = {1, 2, 3, 4};
    float out[4];
    const char *path = in_dir(state, "a.safetensors");
    test_write_file(path, st_example, ST_EXAMPLE_SIZE);
    TEST_OK(bt_safetensors_open(path, &file, &diag), diag);
    assert_int_equal(bt_safetensors_count(file), 1);
    const struct bt_tensor_view *view = bt_safetensors_at(file, 0);
    assert_string_equal(view->name, "a");
    assert_int_equal(view->dtype, BT_DTYPE_F32);
    assert_int_equal(view->rank, 2);
    assert_int_equal(view->shape[0], 2);
    assert_int_equal(view->shape[1], 2);
    assert_int_equal(view->bytes, 16);
    assert_string_equal(view->file, path);
    TEST_OK(bt_tensor_to_f32(view, out, &diag), diag);
    assert_memory_equal(out, values, sizeof values);
    assert_ptr_equal(bt_safetensors_find(file, "a"), view);
    assert_null(bt_safetensors_find(file, "b"));
    assert_null(bt_safetensors_find(file, "__metadata__"));
    bt_safetensors_close(file);
    bt_safetensors_close(NULL);
    ASSERT_FAILS(BT_EINPUT, "absent: cannot open", bt_safetensors_open(in_dir(state, "absent"), &file, &diag));
}

static void odd_but_valid_headers_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_size, count;
    } cases[] = {
        {"{}", 0, 0},
        {"{}      ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{\"s\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}   ", 8, 1},
        {"{\"z\":{\"dtype\":\"F32\",\"shape\":[3,0,7],\"data_offsets\":[0,0]}}", 0, 1},
        {"{\"z\":{\"data_offsets\":[0,0],\"shape\":[0],\"dtype\":\"BOOL\"}}", 0, 1},
        {"{\"n\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2, 1},
        {"{\"n\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3, 1},
        {"{\"r\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,3],\"data_offsets\":[0,3]}}", 3, 1},
        /* offsets in another order than names, an empty tensor in between, no alignment */
        {"{\"a\":{\"dtype\":\"U16\",\"shape\":[1],\"data_offsets\":[1,3]},"
         "\"c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]}}",
         3, 3},
        {"{ \"\\u00e4\\n\" : {\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}\n}", 1, 1},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_safetensors *file = NULL;
        struct bt_diag diag;
        struct st_bytes bytes = st_make(cases[i].header, cases[i].data_size);
        TEST_OK(parse(&bytes, &file, &diag), diag);
        assert_int_equal(bt_safetensors_count(file), cases[i].count);
        bt_safetensors_close(file);
        st_free(&bytes);
    }
}

static void tensors_come_in_order_of_their_names(void **state)
{
    (void)state;
    struct bt_safetensors *file = NULL;
    struct bt_diag diag;
    struct st_bytes bytes = st_make("{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                                    "\"a.b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]},"
                                    "\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[3,6]}}",
                                    6);
    static const char *const names[] = {"a", "a.b", "b"};
    static const unsigned char first_bytes[] = {3, 2, 0};
    TEST_OK(parse(&bytes, &file, &diag), diag);
    for (size_t i = 0; i < 3; i++) {
        const struct bt_tensor_view *view = bt_safetensors_at(file, i);
        assert_string_equal(view->name, names[i]);
        assert_int_equal(view->data[0], first_bytes[i]);
        assert_ptr_equal(bt_safetensors_find(file, names[i]), view);
    }
    bt_safetensors_close(file);
    st_free(&bytes);
}

#define TENSOR(name, dtype, shape, offsets)                                                                            \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void bad_headers_are_refused_each_with_its_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_size;
        const char *sentence;
    } cases[] = {
        {"", 0, "x.safetensors: byte 8: the header does not begin with '{'"},
        {"[]", 0, "byte 8: the header does not begin with '{'"},
        {" {}", 0, "byte 8: the header does not begin with '{'"},
        {"{", 0, "x.safetensors: header: line 1, column 1: not valid JSON"},
        {"{} x", 0, "header: line 1, column 4: not valid JSON"},
        {"{\"\xff\":1}", 0, "unable to decode byte 0xff"},
        {"{" TENSOR("a", "U8", "[0]", "[0,0]") "," TENSOR("a", "U8", "[0]", "[0,0]") "}", 0, "duplicate object key"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "duplicate object key"},
        {"{\"__metadata__\":[]}", 0, "\"__metadata__\" is not an object"},
        {"{\"__metadata__\":{\"format\":1}}", 0, "\"format\" in \"__metadata__\" is not a string"},
        {"{\"__metadata__\":{\"a\":\"x\",\"b\":null}}", 0, "\"b\" in \"__metadata__\" is not a string"},
        {"{\"a\":1}", 0, "x.safetensors: tensor \"a\": its entry in the header is not an object"},
        {"{\"a\":{\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "tensor \"a\": \"dtype\" is missing or not a string"},
        {"{\"a\":{\"dtype\":3,\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "\"dtype\" is missing or not a string"},
        {"{" TENSOR("a", "F33", "[0]", "[0,0]") "}", 0, "tensor \"a\": unknown dtype \"F33\""},
        {"{" TENSOR("a", "f32", "[0]", "[0,0]") "}", 0, "unknown dtype \"f32\""},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}}", 0, "\"shape\" is missing or not an array"},
        {"{" TENSOR("a", "U8", "{}", "[0,0]") "}", 0, "\"shape\" is missing or not an array"},
        {"{" TENSOR("a", "U8", "[2,-1]", "[0,2]") "}", 2, "dimension 1 of its shape is not a count"},
        {"{" TENSOR("a", "U8", "[2.0]", "[0,2]") "}", 2, "dimension 0 of its shape is not a count"},
        {"{" TENSOR("a", "U8", "[true]", "[0,1]") "}", 1, "dimension 0 of its shape is not a count"},
        {"{" TENSOR("a", "U8", "[\"1\"]", "[0,1]") "}", 1, "dimension 0 of its shape is not a count"},
        {"{" TENSOR("a", "U8", "[99999999999999999999]", "[0,1]") "}", 1, "too big integer"},
        {"{" TENSOR("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "it has 9 dimensions; at most 8 are supported"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0]}}", 0, "\"data_offsets\" is not a pair of byte offsets"},
        {"{" TENSOR("a", "U8", "[0]", "[0]") "}", 0, "\"data_offsets\" is not a pair"},
        {"{" TENSOR("a", "U8", "[0]", "[0,0,0]") "}", 0, "\"data_offsets\" is not a pair"},
        {"{" TENSOR("a", "U8", "[0]", "[0,false]") "}", 0, "\"data_offsets\" is not a pair"},
        {"{" TENSOR("a", "U8", "[0]", "[-1,0]") "}", 0, "\"data_offsets\" is not a pair"},
        {"{" TENSOR("a", "U8", "[0]", "[0,0.0]") "}", 0, "\"data_offsets\" is not a pair"},
        /* holes, overlaps, reversed */
        {"{" TENSOR("a", "U8", "[1]", "[1,2]") "}", 2,
         "tensor \"a\": its data begins at byte 1 where the tensor before it "
         "ends at 0"},
        {"{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("b", "U8", "[2]", "[3,5]") "}", 5,
         "tensor \"b\": its data begins at byte 3 where the tensor before it ends at 2"},
        {"{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("b", "U8", "[2]", "[1,3]") "}", 3,
         "tensor \"b\": its data begins at byte 1 where the tensor before it ends at 2"},
        {"{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("b", "U8", "[2]", "[0,2]") "}", 2,
         "its data begins at byte 0 where the tensor before it ends at 2"},
        {"{" TENSOR("a", "U8", "[2]", "[2,0]") "}", 2, "tensor \"a\": its data ends at byte 0, before it begins at 2"},
        /* sizes */
        {"{" TENSOR("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", 0, "more elements than can be counted"},
        {"{" TENSOR("a", "U64", "[4294967296,1073741824]", "[0,0]") "}", 0, "more elements than can be counted"},
        {"{" TENSOR("a", "F4", "[3]", "[0,2]") "}", 2, "tensor \"a\": its elements do not fill whole bytes"},
        {"{" TENSOR("a", "F6_E3M2", "[2]", "[0,2]") "}", 2, "its elements do not fill whole bytes"},
        {"{" TENSOR("a", "F32", "[2]", "[0,4]") "}", 4, "its offsets span 4 bytes where its shape and dtype make 8"},
        {"{" TENSOR("a", "F32", "[]", "[0,0]") "}", 0, "its offsets span 0 bytes where its shape and dtype make 4"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") "}", 3,
         "tensor \"a\": its data ends at byte 4 of the data, which has 3"},
        {"{" TENSOR("a", "U8", "[9223372036854775807]", "[0,9223372036854775807]") "}", 3,
         "more elements than can be counted"},
        {"{" TENSOR("a", "U8", "[1152921504606846976]", "[0,1152921504606846976]") "}", 3,
         "its data ends at byte 1152921504606846976"},
        {"{" TENSOR("a", "U8", "[4]", "[0,4]") "}", 5,
         "x.safetensors: the tensors end at byte 4 of the data, which has 5"},
        {"{}", 1, "the tensors end at byte 0 of the data, which has 1"},
    };
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        struct bt_safetensors *file = NULL;
        struct bt_diag diag;
        struct st_bytes bytes = st_make(cases[i].header, cases[i].data_size);
        ASSERT_FAILS(BT_EINPUT, cases[i].sentence, parse(&bytes, &file, &diag));
        assert_null(file);
        st_free(&bytes);
    }
}

static void impossible_header_lengths_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t length;
        const char *sentence;
    } cases[] = {
        {105, "byte 0: a header of 105 bytes does not fit into the 104 bytes that follow"},
        {100000000, "byte 0: a header of 100000000 bytes does not fit"},
        {100000001, "byte 0: a header of 100000001 bytes is over the limit of 100000000"},
        {UINT64_MAX, "byte 0: a header of 18446744073709551615 bytes is over the limit"},
        {UINT64_MAX - 7, "is over the limit"},
    };
    unsigned char bytes[ST_EXAMPLE_SIZE];
    struct bt_safetensors *file = NULL;
    struct bt_diag diag;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        memcpy(bytes, st_example, sizeof bytes);
        memcpy(bytes, &cases[i].length, sizeof cases[i].length);
        ASSERT_FAILS(BT_EINPUT, cases[i].sentence, bt_safetensors_parse(bytes, sizeof bytes, "x", &file, &diag));
    }
    ASSERT_FAILS(BT_EINPUT, "x: the file has 7 bytes; a safetensors file begins with 8 bytes",
                 bt_safetensors_parse(bytes, 7, "x", &file, &diag));
}

static void a_long_name_does_not_hide_the_fault(void **state)
{
    (void)state;
    struct bt_safetensors *file = NULL;
    struct bt_diag diag;
    char header[6000] = "{\"";
    memset(header + 2, 'n', 5000);
    strcat(header, "\\u000a\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,0]}}");
    struct st_bytes bytes = st_make(header, 0);
    ASSERT_FAILS(BT_EINPUT, "unknown dtype \"F33\"", parse(&bytes, &file, &diag));
    st_free(&bytes);
}

static void every_dtype_has_its_name_and_size(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned bits;
    } want[] = {{"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
                {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
                {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
                {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};
    assert_int_equal(BT_ARRAY_LEN(want), BT_DTYPE_COUNT);
    for (size_t i = 0; i < BT_ARRAY_LEN(want); i++) {
        struct bt_safetensors *file = NULL;
        struct bt_diag diag;
        assert_string_equal(bt_dtype_name((enum bt_dtype)i), want[i].name);
        assert_int_equal(bt_dtype_bits((enum bt_dtype)i), want[i].bits);
        struct st_bytes bytes = st_make(
            test_format("{\"a\":{\"dtype\":\"%s\",\"shape\":[8],\"data_offsets\":[0,%u]}}", want[i].name, want[i].bits),
            want[i].bits);
        TEST_OK(parse(&bytes, &file, &diag), diag);
        assert_int_equal(bt_safetensors_at(file, 0)->dtype, i);
        bt_safetensors_close(file);
        st_free(&bytes);
    }
}

/* At an odd address, as a file may have it. */
static void three_dtypes_widen_to_float(void **state)
{
    (void)state;
    static const unsigned char f32[] = {0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, f16[] = {0, 0, 0x3c, 1, 0},
                               bf16[] = {0, 0x80, 0x3f, 0x49, 0x40};
    struct bt_tensor_view view = {.name = "t", .file = "x", .rank = 1, .shape = {2}};
    struct bt_diag diag;
    float out[2];
    view.dtype = BT_DTYPE_F32, view.data = f32 + 1, view.bytes = 8;
    TEST_OK(bt_tensor_to_f32(&view, out, &diag), diag);
    assert_true(out[0] == 1 && out[1] == -2);
    view.dtype = BT_DTYPE_F16, view.data = f16 + 1, view.bytes = 4;
    TEST_OK(bt_tensor_to_f32(&view, out, &diag), diag);
    assert_true(out[0] == 1 && out[1] == 0x1p-24f);
    view.dtype = BT_DTYPE_BF16, view.data = bf16 + 1, view.bytes = 4;
    TEST_OK(bt_tensor_to_f32(&view, out, &diag), diag);
    assert_true(out[0] == 1 && out[1] == 3.140625f);
    view.dtype = BT_DTYPE_I32;
    ASSERT_FAILS(BT_EINPUT, "x: tensor \"t\" is I32 where F32, F16 or BF16 was expected",
                 bt_tensor_to_f32(&view, out, &diag));
}

/* Touches all that a view promises, for the sanitizers to see. */
static uint64_t read_all(const struct bt_safetensors *file)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bt_safetensors_count(file); i++) {
        const struct bt_tensor_view *view = bt_safetensors_at(file, i);
        assert_true(view->rank <= BT_TENSOR_MAX_RANK);
        assert_ptr_equal(bt_safetensors_find(file, view->name), view);
        for (size_t b = 0; b < view->bytes; b++)
            sum += view->data[b];
    }
    return sum;
}

static struct st_bytes make_rich_file(void)
{
    return st_make(
        "{\"__metadata__\":{\"format\":\"pt\",\"k\":\"v\"}," TENSOR("w", "F32", "[2,3]", "[0,24]") "," TENSOR(
            "z", "I64", "[0]", "[24,24]") "," TENSOR("h", "BF16", "[5]",
                                                     "[24,34]") "," TENSOR("n", "F4", "[2,3]",
                                                                           "[34,37]") "," TENSOR("s", "U8", "[]",
                                                                                                 "[37,38]") "}   ",
        38);
}

static void every_prefix_is_refused(void **state)
{
    (void)state;
    struct st_bytes whole = make_rich_file();
    for (size_t n = 0; n < whole.size; n++) {
        struct bt_safetensors *file = NULL;
        struct bt_diag diag;
        unsigned char *prefix = malloc(n ? n : 1); /* of exactly that size, so that a read past the end is seen */
        assert_non_null(prefix);
        memcpy(prefix, whole.data, n);
        ASSERT_FAILS(BT_EINPUT, "x: ", bt_safetensors_parse(prefix, n, "x", &file, &diag));
        free(prefix);
    }
    st_free(&whole);
}

static void damage(struct st_bytes *bytes, uint64_t seed, uint64_t round)
{
    const uint64_t key = bt_rng_key(seed, test_format("round %d", (int)round));
    const uint64_t changes = round % 2 ? 1 : 2 + bt_rng_below(key, 0, 15);
    const uint64_t header_end = bytes->size - 38;
    for (uint64_t c = 0; c < changes; c++) {
        const uint64_t at = bt_rng_below(key, 3 * c + 1, header_end);
        /* half of the time a character that means something in a header, which gets further than a random byte */
        static const char meaningful[] = "{}[]\",:0123456789.-eF";
        bytes->data[at] = bt_rng_u64(key, 3 * c + 2) % 2
                              ? (unsigned char)bt_rng_u64(key, 3 * c + 3)
                              : (unsigned char)meaningful[bt_rng_below(key, 3 * c + 3, sizeof meaningful - 1)];
    }
}

static void damaged_files_are_refused_or_read(void **state)
{
    (void)state;
    const uint64_t seed = 20240801;
    size_t read = 0, refused = 0;
    print_message("seed %d\n", (int)seed);
    for (uint64_t round = 0; round < 10000; round++) {
        struct bt_safetensors *file = NULL;
        struct bt_diag diag = {""};
        struct st_bytes bytes = make_rich_file();
        damage(&bytes, seed, round);
        const enum bt_err err = parse(&bytes, &file, &diag);
        if (err == BT_OK) {
            read_all(file);
            read++;
        } else {
            assert_failed(err, BT_EINPUT, &diag, "x.safetensors: ");
            refused++;
        }
        bt_safetensors_close(file);
        st_free(&bytes);
    }
    assert_true(read > 100); /* a damaged name or metadata is still a file */
    assert_true(refused > 1000);
}

static enum bt_err open_and_close(void *context)
{
    struct bt_safetensors *file = NULL;
    const enum bt_err err = bt_safetensors_open(context, &file, NULL);
    if (!err)
        assert_int_equal(bt_safetensors_count(file), 5);
    bt_safetensors_close(file);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    struct st_bytes bytes = make_rich_file();
    void *path = (void *)(uintptr_t)in_dir(state, "a.safetensors");
    test_write_file(path, bytes.data, bytes.size);
    test_every_allocation_fails(open_and_close, path);
    st_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(the_example_is_read),
        cmocka_unit_test(odd_but_valid_headers_are_taken),
        cmocka_unit_test(tensors_come_in_order_of_their_names),
        cmocka_unit_test(bad_headers_are_refused_each_with_its_sentence),
        cmocka_unit_test(impossible_header_lengths_are_refused),
        cmocka_unit_test(a_long_name_does_not_hide_the_fault),
        cmocka_unit_test(every_dtype_has_its_name_and_size),
        cmocka_unit_test(three_dtypes_widen_to_float),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(damaged_files_are_refused_or_read),
        IN_DIR(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
