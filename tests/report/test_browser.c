/* The page in a browser: nothing is complained of, nothing is asked for, every record is a point of the DOM. Skipped
 * where there is no Chromium. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "browser.h"
#include "io/file.h"
#include "report/report.h"
#include "report_world.h"

static const char *find_browser(void)
{
    const char *browser = browser_find();
    if (!browser) {
        print_message("skipped: no chromium in the PATH, and none in BT_CHROMIUM\n");
        skip();
    }
    return browser;
}

static void write_page(const char *const *paths, size_t count, const char *out)
{
    struct bt_report report;
    struct bt_diag diag = {""};
    TEST_OK(bt_report_read(paths, count, &report, &diag), diag);
    char *page = bt_report_page(&report, "1.2", 0);
    assert_non_null(page);
    test_write_file(out, page, strlen(page));
    bt_free(page);
    bt_report_finish(&report);
}

/* Opens the page of some runs; every curve and heat map has all points that it promises. */
static void check_page(const char *folder, const char *const *paths, size_t count, struct browser_page *seen)
{
    char *path = strdup(test_format("%s/page.html", folder));
    struct curve curve;
    write_page(paths, count, path);
    browser_open(find_browser(), path, folder, seen);
    free(path);
    if (seen->requests || seen->complaints)
        fail_msg("%zu requests, %zu complaints: %s", seen->requests, seen->complaints, seen->first);
    const char *at = seen->dom;
    while (next_curve(&at, &curve))
        assert_int_equal(curve.drawn, curve.promised);
    for (at = seen->dom; next_cells(&at, &curve);)
        assert_int_equal(curve.drawn, curve.promised);
}

static void a_page_of_one_run_is_whole_in_a_browser(void **state)
{
    const char *browser = find_browser();
    char *folder = test_make_dir(), *metrics = stage2_metrics(230);
    const char *path = write_run(folder, "run", &(struct run_given){.config = stage2_config, .metrics = metrics});
    struct browser_page seen;
    (void)browser;
    (void)state;
    check_page(folder, &path, 1, &seen);
    assert_int_equal(count_of(seen.dom, "data-points=\"230\""), 6); /* training twice, and four plots beside it */
    assert_int_equal(count_of(seen.dom, "class=\"cells\""), 2 * 2 + 1);
    free(seen.dom);
    free(metrics);
    test_remove_dir(folder);
}

static void a_page_of_many_runs_is_whole_in_a_browser(void **state)
{
    const char *browser = find_browser();
    char *folder = test_make_dir(), *metrics = stage2_metrics(40);
    char *paths[6];
    struct browser_page seen;
    (void)browser;
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(paths); i++) {
        char *config = strdup(stage2_config);
        *strstr(config, "1}\n") = (char)('1' + i / 2);
        paths[i] = strdup(write_run(folder, test_format("<run %zu>", i),
                                    &(struct run_given){.config = config, .metrics = metrics, .finished = true}));
        free(config);
    }
    check_page(folder, (const char *const *)paths, BT_ARRAY_LEN(paths), &seen);
    assert_int_equal(count_of(seen.dom, "<run"), 0);
    assert_int_equal(count_of(seen.dom, "class=\"curve separate"), 1); /* the effect of the one key that varies */
    for (size_t i = 0; i < BT_ARRAY_LEN(paths); i++)
        free(paths[i]);
    free(seen.dom);
    free(metrics);
    test_remove_dir(folder);
}

/* What the tests above could not fail without. */
static void requests_and_errors_are_seen(void **state)
{
    static const char text[] = "<!DOCTYPE html><img src=\"http://127.0.0.1:9/x.png\"><script>throw 1</script>";
    const char *browser = find_browser();
    char *folder = test_make_dir();
    struct browser_page seen;
    (void)state;
    char *path = strdup(test_format("%s/page.html", folder));
    test_write_file(path, text, strlen(text));
    browser_open(browser, path, folder, &seen);
    assert_int_equal(seen.requests, 1);
    assert_true(seen.complaints >= 2);
    free(path);
    free(seen.dom);
    test_remove_dir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_of_one_run_is_whole_in_a_browser),
        cmocka_unit_test(a_page_of_many_runs_is_whole_in_a_browser),
        cmocka_unit_test(requests_and_errors_are_seen),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
