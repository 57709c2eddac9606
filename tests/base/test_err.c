#include "support.h"

#include <string.h>

static void sentences_are_written_and_the_code_comes_back(void **state)
{
    (void)state;
    struct bt_diag diag = {""};
    assert_int_equal(bt_fail(&diag, BT_EINPUT, "%s: byte %d", "a.bin", 7), BT_EINPUT);
    assert_string_equal(diag.text, "a.bin: byte 7");
    assert_int_equal(bt_fail_nomem(&diag), BT_ENOMEM);
    assert_string_equal(diag.text, "out of memory");
    assert_int_equal(bt_fail(NULL, BT_EIO, "nobody listens"), BT_EIO);
}

static void a_long_sentence_is_cut(void **state)
{
    (void)state;
    struct bt_diag diag;
    char text[3 * sizeof diag.text];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    bt_fail(&diag, BT_EIO, "%s", text);
    assert_int_equal(strlen(diag.text), sizeof diag.text - 1);
}

static void a_sentence_has_no_line_breaks(void **state)
{
    (void)state;
    struct bt_diag diag;
    bt_fail(&diag, BT_EINPUT, "tensor \"%s\": unknown", "a\nb\x1b[1m\x7f");
    assert_string_equal(diag.text, "tensor \"a b [1m \": unknown");
}

static void exit_codes_are_those_of_the_interface(void **state)
{
    (void)state;
    static const int codes[][2] = {{BT_OK, 0},     {BT_EUSAGE, 2}, {BT_EINPUT, 3},   {BT_EDIVERGED, 4},
                                   {BT_ENOMEM, 5}, {BT_EIO, 5},    {BT_EPARTIAL, 6}, {BT_ESTOPPED, 75}};
    for (size_t i = 0; i < BT_ARRAY_LEN(codes); i++)
        assert_int_equal(bt_exit_code((enum bt_err)codes[i][0]), codes[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_are_written_and_the_code_comes_back),
        cmocka_unit_test(a_long_sentence_is_cut),
        cmocka_unit_test(a_sentence_has_no_line_breaks),
        cmocka_unit_test(exit_codes_are_those_of_the_interface),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
