/* text/bytes: a byte is a token, and its spelling in tokenizer.json is the byte-level alphabet's. */
#include "support.h"

#include <string.h>

#include "io/json.h"
#include "text/bytes.h"

static void test_round_trip(void **state)
{
    char text[256], back[300];
    int32_t ids[258];
    (void)state;
    for (int i = 0; i < 256; i++)
        text[i] = (char)i;
    bt_bytes_encode(text, sizeof text, ids);
    assert_int_equal(ids[0], BT_BYTES_BOS);
    assert_int_equal(ids[257], BT_BYTES_EOS);
    for (int i = 0; i < 256; i++)
        assert_int_equal(ids[i + 1], i);
    assert_int_equal(bt_bytes_decode(ids, 258, back), 256);
    assert_memory_equal(back, text, 256);
}

static void test_empty_document(void **state)
{
    int32_t ids[2];
    char back[2];
    (void)state;
    bt_bytes_encode("", 0, ids);
    assert_int_equal(ids[0], BT_BYTES_BOS);
    assert_int_equal(ids[1], BT_BYTES_EOS);
    assert_int_equal(bt_bytes_decode(ids, 2, back), 0);
}

static void test_decode_leaves_out_what_is_no_byte(void **state)
{
    const int32_t ids[] = {BT_BYTES_BOS, 'a', -1, 'b', BT_BYTES_EOS, 100000};
    char back[6];
    (void)state;
    assert_int_equal(bt_bytes_decode(ids, BT_ARRAY_LEN(ids), back), 2);
    assert_memory_equal(back, "ab", 2);
}

/* Known spellings, and 256 different ones. */
static void test_vocabulary(void **state)
{
    static const struct {
        const char *text;
        int byte;
    } known[] = {
        {"!", 0x21},        {"~", 0x7e},        {"A", 0x41},        {"\xc4\xa0", 0x20}, {"\xc4\x8a", 0x0a},
        {"\xc4\x80", 0x00}, {"\xc4\xa1", 0x7f}, {"\xc5\x83", 0xad}, {"\xc3\xbf", 0xff}, {"\xc2\xa1", 0xa1},
    };
    char *folder = test_make_dir();
    json_t *tokenizer = NULL;
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(bt_bytes_write_tokenizer(folder, &diag), diag);
    TEST_OK(bt_json_read(test_format("%s/tokenizer.json", folder), &tokenizer, &diag), diag);
    const json_t *vocab = json_object_get(json_object_get(tokenizer, "model"), "vocab");
    assert_int_equal(json_object_size(vocab), 256);
    for (size_t i = 0; i < BT_ARRAY_LEN(known); i++)
        assert_int_equal(json_integer_value(json_object_get(vocab, known[i].text)), known[i].byte);
    const json_t *added = json_object_get(tokenizer, "added_tokens");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(added, 0), "id")), BT_BYTES_BOS);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(added, 1), "id")), BT_BYTES_EOS);
    json_decref(tokenizer);
    test_remove_dir(folder);
}

static void test_no_folder(void **state)
{
    struct bt_diag diag = {""};
    (void)state;
    assert_int_equal(bt_bytes_write_tokenizer("/nonexistent/folder", &diag), BT_EIO);
    assert_non_null(strstr(diag.text, "/nonexistent/folder/tokenizer.json"));
}

static enum bt_err write_files(void *context)
{
    return bt_bytes_write_tokenizer(context, NULL);
}

static void test_failing_allocations(void **state)
{
    char *folder = test_make_dir();
    (void)state;
    test_every_allocation_fails(write_files, folder);
    test_remove_dir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_empty_document),
        cmocka_unit_test(test_decode_leaves_out_what_is_no_byte),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
