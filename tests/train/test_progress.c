#include "support.h"

#include <math.h>
#include <string.h>

#include "train/progress.h"

static void check_duration(double seconds, const char *want)
{
    char text[40];
    assert_int_equal(bt_format_duration(text, sizeof text, seconds), strlen(want));
    assert_string_equal(text, want);
}

static void test_duration(void **state)
{
    (void)state;
    check_duration(0, "0 s");
    check_duration(7.6, "8 s");
    check_duration(59.4, "59 s");
    check_duration(59.6, "1 m 00 s");
    check_duration(185, "3 m 05 s");
    check_duration(3599.4, "59 m 59 s");
    check_duration(3599.6, "1 h 00 m");
    check_duration(3720, "1 h 02 m");
    check_duration(86399, "1 d 00 h");
    check_duration(183600, "2 d 03 h");
    check_duration(1e300, "1000000000 d 00 h");
    check_duration(-1, "?");
    check_duration(NAN, "?");
    check_duration(INFINITY, "?");
}

static void check_bytes(uint64_t bytes, const char *want)
{
    char text[40];
    assert_int_equal(bt_format_bytes(text, sizeof text, bytes), strlen(want));
    assert_string_equal(text, want);
}

static void test_bytes(void **state)
{
    (void)state;
    check_bytes(0, "0 B");
    check_bytes(999, "999 B");
    check_bytes(1000, "1.0 kB");
    check_bytes(999949, "999.9 kB");
    check_bytes(999950, "1.0 MB");
    check_bytes(1234567890, "1.2 GB");
    check_bytes(UINT64_MAX, "18.4 EB");
}

static void check_rate(double rate, const char *want)
{
    char text[40];
    assert_int_equal(bt_format_rate(text, sizeof text, rate), strlen(want));
    assert_string_equal(text, want);
}

static void test_rate(void **state)
{
    (void)state;
    check_rate(0, "0.00");
    check_rate(0.516, "0.52");
    check_rate(8.13, "8.1");
    check_rate(81.3, "81");
    check_rate(812.4, "812");
    check_rate(999.4, "999");
    check_rate(999.6, "1.00k");
    check_rate(12345, "12.3k");
    check_rate(123456, "123k");
    check_rate(1.2e6, "1.20M");
    check_rate(3e18, "3000000T");
    check_rate(NAN, "?");
}

static const struct bt_progress sample = {
    .stage = "stage2",
    .step = 120,
    .steps = 1000,
    .loss = 3.21044,
    .tokens_per_second = 812.4,
    .lambda = 0.238,
    .lr = 2e-5,
    .seconds_left = 3720,
};

static void test_line(void **state)
{
    char text[200];
    (void)state;
    static const char want[] = "stage2 120/1000  loss 3.2104  812 tokens/s  lambda 0.238  lr 2.00e-05  1 h 02 m left";
    assert_int_equal(bt_progress_line(text, sizeof text, &sample), strlen(want));
    assert_string_equal(text, want);
}

static void test_line_leaves_out_what_is_not_known(void **state)
{
    char text[200];
    (void)state;
    const struct bt_progress start = {.stage = "stage0",
                                      .step = 0,
                                      .steps = 10,
                                      .loss = NAN,
                                      .tokens_per_second = NAN,
                                      .lambda = 1,
                                      .lr = INFINITY,
                                      .seconds_left = NAN};
    bt_progress_line(text, sizeof text, &start);
    assert_string_equal(text, "stage0 0/10  lambda 1.000");
}

/* Every size is kept to, with a NUL, and the text is the beginning of the whole one. */
static void test_line_is_cut_to_the_buffer(void **state)
{
    char whole[200], text[200];
    (void)state;
    const size_t length = bt_progress_line(whole, sizeof whole, &sample);
    assert_int_equal(bt_progress_line(text, 0, &sample), 0);
    for (size_t size = 1; size <= length; size++) {
        memset(text, 'x', sizeof text);
        assert_int_equal(bt_progress_line(text, size, &sample), size - 1);
        assert_int_equal(strlen(text), size - 1);
        assert_memory_equal(text, whole, size - 1);
        assert_int_equal(text[size], 'x');
    }
}

static void check_bar(size_t width, const char *want)
{
    char text[200];
    assert_int_equal(bt_progress_bar(text, sizeof text, width, &sample), strlen(want));
    assert_string_equal(text, want);
}

static void test_bar(void **state)
{
    (void)state;
    check_bar(150, "stage2 [###---------------------------]  12% 120/1000  loss 3.2104  812 tokens/s  lambda 0.238  "
                   "lr 2.00e-05  1 h 02 m left");
    check_bar(110, "stage2 [##---------------]  12% 120/1000  loss 3.2104  812 tokens/s  lambda 0.238  "
                   "lr 2.00e-05  1 h 02 m left");
    check_bar(80, "stage2 [#---------]  12% 120/1000  loss 3.2104  812 tokens/s  lambda 0.238");
    check_bar(50, "stage2 [#---------]  12% 120/1000  loss 3.2104");
    check_bar(30, "stage2  12% 120/1000");
    check_bar(8, "stage2 ");
    check_bar(1, "");
}

static void test_bar_never_reaches_the_last_column(void **state)
{
    char text[200];
    (void)state;
    for (size_t width = 1; width < 190; width++) {
        assert_true(bt_progress_bar(text, sizeof text, width, &sample) < width);
        assert_true(strlen(text) < width);
    }
    for (size_t size = 1; size < 190; size++)
        assert_true(bt_progress_bar(text, size, 190, &sample) < size);
}

static void test_bar_from_empty_to_full(void **state)
{
    char text[200];
    (void)state;
    struct bt_progress progress = {
        .stage = "s", .steps = 4, .loss = NAN, .tokens_per_second = NAN, .lambda = NAN, .lr = NAN, .seconds_left = NAN};
    bt_progress_bar(text, sizeof text, 30, &progress);
    assert_string_equal(text, "s [----------------]   0% 0/4");
    progress.step = 2;
    bt_progress_bar(text, sizeof text, 30, &progress);
    assert_string_equal(text, "s [########--------]  50% 2/4");
    progress.step = 4;
    bt_progress_bar(text, sizeof text, 30, &progress);
    assert_string_equal(text, "s [################] 100% 4/4");
    progress.step = 5; /* never past the end */
    bt_progress_bar(text, sizeof text, 30, &progress);
    assert_string_equal(text, "s [################] 100% 5/4");
    progress.steps = 0;
    bt_progress_bar(text, sizeof text, 30, &progress);
    assert_string_equal(text, "s [----------------]   0% 5/0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_line_leaves_out_what_is_not_known),
        cmocka_unit_test(test_line_is_cut_to_the_buffer),
        cmocka_unit_test(test_bar),
        cmocka_unit_test(test_bar_never_reaches_the_last_column),
        cmocka_unit_test(test_bar_from_empty_to_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
