/* The page: nothing of a file is markup, and every record is a point. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/html.h"
#include "report/plot.h"
#include "report/report.h"
#include "report/scale.h"
#include "report_world.h"

static char *page_of(const char *const *paths, size_t count, unsigned refresh)
{
    struct bt_report report;
    struct bt_diag diag = {""};
    TEST_OK(bt_report_read(paths, count, &report, &diag), diag);
    char *page = bt_report_page(&report, "1.2", refresh);
    assert_non_null(page);
    bt_report_finish(&report);
    return page;
}

static void every_record_is_a_point(void **state)
{
    char *folder = test_make_dir(), *metrics = stage2_metrics(230);
    const char *path = write_run(folder, "run", &(struct run_given){.config = stage2_config, .metrics = metrics});
    char *page = page_of(&path, 1, 0);
    const char *at = page;
    struct curve curve;
    size_t curves = 0, of_updates = 0;
    (void)state;
    for (; next_curve(&at, &curve); curves++) {
        assert_int_equal(curve.drawn, curve.promised);
        of_updates += curve.promised == 230;
    }
    /* losses: training, validation below and at full lambda, whole and close-up; four plots of one curve */
    assert_int_equal(curves, 2 * 3 + 4);
    assert_int_equal(of_updates, 2 + 4);
    assert_int_equal(count_of(page, "data-points=\"11\""), 2);
    assert_int_equal(count_of(page, "data-points=\"12\""), 2);
    bt_free(page);
    free(metrics);
    test_remove_dir(folder);
}

static void what_is_not_finite_is_a_cross(void **state)
{
    char *folder = test_make_dir();
    const char *path = write_run(
        folder, "run",
        &(struct run_given){.metrics = "{\"event\":\"train\",\"stage\":\"stage0\",\"step\":1,\"loss\":2.0}\n"
                                       "{\"event\":\"train\",\"stage\":\"stage0\",\"step\":2,\"loss\":null}\n"
                                       "{\"event\":\"train\",\"stage\":\"stage0\",\"step\":3,\"loss\":1.0}\n"});
    char *page = page_of(&path, 1, 0);
    const char *at = page;
    struct curve curve;
    (void)state;
    assert_true(next_curve(&at, &curve));
    assert_int_equal(curve.promised, 3);
    assert_int_equal(curve.drawn, 3);
    assert_non_null(strstr(page, "training: not finite at update 2<"));
    bt_free(page);
    test_remove_dir(folder);
}

static void texts_of_files_are_no_markup(void **state)
{
    char *folder = test_make_dir();
    const char *evil = "a<script>\"'&b";
    const char *path = write_run(
        folder, evil,
        &(struct run_given){
            .config = "name: \"<script>alert(1)</script>\"\nstages: [stage0]\n'<img src=x>': '\"><b>'\n",
            .conversion = "{\"loss_before\":1.0,\"subln_init\":\"<i>\",\"changed\":[\"<u>\"]}",
            .metrics = "{\"event\":\"sample\",\"stage\":\"stage0\",\"step\":1,\"text\":\"</p><script>x</script>\"}\n"});
    const char *paths[] = {path, path};
    char *page = page_of(paths, 2, 0);
    (void)state;
    assert_int_equal(count_of(page, "<script"), 0);
    assert_int_equal(count_of(page, "<img"), 0);
    assert_int_equal(count_of(page, "<u>"), 0);
    assert_null(strstr(page, "\"><b>'"));
    assert_true(count_of(page, "a&lt;script&gt;&quot;&#39;&amp;b") >= 2);
    assert_true(count_of(page, "&lt;/p&gt;&lt;script&gt;x&lt;/script&gt;") >= 1);
    bt_free(page);
    test_remove_dir(folder);
}

static char *escaped(const char *text)
{
    struct bt_text_buf out = {0};
    bt_html_text(&out, text);
    return bt_text_take(&out);
}

static void bytes_that_are_no_text_are_replaced(void **state)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"", ""},
        {"a\tb\n", "a\tb\n"},
        {"a\x1b[31m", "a\xEF\xBF\xBD[31m"},
        {"\xC3\xA9\xC2\x85", "\xC3\xA9\xEF\xBF\xBD"},
        {"x\xFFy", "x\xEF\xBF\xBDy"},
        {"\xE2\x82", "\xEF\xBF\xBD"},
        {"<&>\"'", "&lt;&amp;&gt;&quot;&#39;"},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        char *text = escaped(cases[i].from);
        assert_string_equal(text, cases[i].to);
        bt_free(text);
    }
    struct bt_text_buf out = {0};
    bt_html_short(&out, "\xC3\xA9\xC3\xA9\xC3\xA9<", 3);
    char *text = bt_text_take(&out);
    assert_string_equal(text, "\xC3\xA9\xC3\xA9\xE2\x80\xA6");
    bt_free(text);
}

static void figures_are_short(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.0, "0"},         {1.05981, "1.06"},  {0.0002, "0.0002"},  {2e-5, "2e-05"},
                 {12345.0, "12345"}, {173100.0, "173k"}, {1902336.0, "1.9M"}, {NAN, "\xE2\x80\x93"}};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(cases); i++) {
        char text[32];
        bt_figure(text, sizeof text, cases[i].value, 3);
        assert_string_equal(text, cases[i].text);
    }
}

static void ticks_are_round_and_within(void **state)
{
    static const double ends[][2] = {{0.0, 1.0},      {1.043, 1.117},  {-5.0, 7.0},   {1e-9, 1e9},
                                     {3.0, 3.0},      {0.0, 0.0},      {NAN, 1.0},    {1e20, 1e20 + 1e5},
                                     {-1e300, 1e300}, {1e-300, 1e300}, {INFINITY, 1}, {5.0, -5.0}};
    (void)state;
    for (size_t i = 0; i < 2 * BT_ARRAY_LEN(ends); i++) {
        const struct bt_scale scale = bt_scale_make(ends[i / 2][0], ends[i / 2][1], i % 2);
        const struct bt_ticks ticks = bt_scale_ticks(&scale, 6, false);
        assert_true(scale.low < scale.high);
        assert_true(ticks.count <= BT_TICKS_MAX);
        for (size_t k = 0; k < ticks.count; k++) {
            const double place = bt_scale_place(&scale, ticks.values[k]);
            assert_true(place >= -1e-6 && place <= 1.0 + 1e-6);
        }
    }
    const struct bt_scale plain = bt_scale_make(0.0, 100.0, false);
    const struct bt_ticks ticks = bt_scale_ticks(&plain, 5, true);
    assert_int_equal(ticks.count, 6);
    assert_true(ticks.values[1] == 20.0);
}

static void a_page_may_read_itself_again(void **state)
{
    char *folder = test_make_dir();
    const char *path = write_run(folder, "run", &(struct run_given){.config = stage2_config});
    char *once = page_of(&path, 1, 0), *again = page_of(&path, 1, 7);
    (void)state;
    assert_null(strstr(once, "http-equiv=\"refresh\""));
    assert_non_null(strstr(again, "<meta http-equiv=\"refresh\" content=\"7\">"));
    bt_free(once);
    bt_free(again);
    test_remove_dir(folder);
}

static void the_terminal_gets_a_table_and_curves(void **state)
{
    char *folder = test_make_dir(), *metrics = stage2_metrics(64);
    const char *paths[] = {
        write_run(folder, "one", &(struct run_given){.config = stage2_config, .metrics = metrics, .finished = true}),
        write_run(folder, "t\x1bwo", &(struct run_given){.config = stage2_config})};
    struct bt_report report;
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(bt_report_read(paths, 2, &report, &diag), diag);
    char *text = bt_report_text(&report, true), *ascii = bt_report_text(&report, false);
    assert_non_null(strstr(text, "one   finished  stage2          64/64    1.3167    1.3167"));
    assert_non_null(strstr(text, "t?wo"));
    assert_true(count_of(text, "\xE2\x96\x81") > 20);    /* the loss falls steeply and stays */
    assert_int_equal(count_of(text, "\xE2\x96\x88"), 2); /* each begins at its highest */
    for (const char *c = ascii; *c; c++)
        assert_true((unsigned char)*c < 0x80 && (*c >= ' ' || *c == '\n'));
    bt_free(text);
    bt_free(ascii);
    bt_report_finish(&report);
    free(metrics);
    test_remove_dir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_is_a_point),
        cmocka_unit_test(what_is_not_finite_is_a_cross),
        cmocka_unit_test(texts_of_files_are_no_markup),
        cmocka_unit_test(bytes_that_are_no_text_are_replaced),
        cmocka_unit_test(figures_are_short),
        cmocka_unit_test(ticks_are_round_and_within),
        cmocka_unit_test(a_page_may_read_itself_again),
        cmocka_unit_test(the_terminal_gets_a_table_and_curves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
