/* bitnet-report as its users start it: bitnet-report's path is the argument. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "report_world.h"
#include "run_program.h"

static const char *program;

static void a_page_and_a_text_are_made(void **state)
{
    char *folder = test_make_dir(), *metrics = stage2_metrics(20);
    const struct run_given given = {.config = stage2_config, .metrics = metrics, .finished = true};
    char *run = strdup(write_run(folder, "run", &given)), *page = strdup(test_format("%s/a.html", folder));
    struct test_output output;
    (void)state;
    test_run_expect(0, &output, program, "--out", page, run, NULL);
    assert_string_equal(output.out, test_format("%s\n", page));
    test_output_free(&output);
    assert_true(bt_file_exists(page));
    test_run_expect(0, &output, program, "--text", run, NULL);
    assert_non_null(strstr(output.out, "finished"));
    test_output_free(&output);
    /* nothing goes on: it ends by itself, and the page does not reload */
    test_run_expect(0, &output, program, "--watch", "--out", page, run, NULL);
    test_output_free(&output);
    char *text = (char *)test_read_file(page, NULL);
    assert_null(strstr(text, "http-equiv=\"refresh\""));
    free(text);
    free(page);
    free(run);
    free(metrics);
    test_remove_dir(folder);
}

static void what_cannot_be_is_said(void **state)
{
    struct test_output output;
    (void)state;
    test_run_expect(2, &output, program, NULL);
    test_output_free(&output);
    test_run_expect(2, &output, program, "--watch", "--text", "x", NULL);
    test_output_free(&output);
    test_run_expect(3, &output, program, "/nonexistent/run", NULL);
    assert_non_null(strstr(output.err, "/nonexistent/run"));
    assert_string_equal(output.out, "");
    test_output_free(&output);
}

static int stop_after_a_second(void *context, double elapsed_s)
{
    bool *sent = context;
    if (*sent || elapsed_s < 1.0)
        return 0;
    *sent = true;
    return SIGINT;
}

static void a_watch_ends_when_told_to(void **state)
{
    char *folder = test_make_dir();
    const char *path = write_run(folder, "run", &(struct run_given){.config = stage2_config});
    const char *page = test_format("%s/a.html", folder);
    bool sent = false;
    const char *argv[] = {program, "--watch", "--out", page, path, NULL};
    struct test_output output;
    (void)state;
    test_run(&(struct test_program){.argv = argv, .signal_now = stop_after_a_second, .context = &sent}, &output);
    assert_int_equal(output.exit_code, 75);
    test_output_free(&output);
    char *text = (char *)test_read_file(page, NULL);
    assert_non_null(strstr(text, "http-equiv=\"refresh\""));
    free(text);
    test_remove_dir(folder);
}

struct going {
    const char *run, *page, *metrics;
    bool more;
};

/* Once there is a page of its first half, the run writes the other and is finished. */
static int go_on(void *context, double elapsed_s)
{
    struct going *going = context;
    (void)elapsed_s;
    if (going->more || !bt_file_exists(going->page))
        return 0;
    going->more = true;
    test_write_file(test_format("%s/metrics.jsonl", going->run), going->metrics, strlen(going->metrics));
    assert_int_equal(mkdir(test_format("%s/stage2", going->run), 0777), 0);
    assert_int_equal(mkdir(test_format("%s/stage2/model", going->run), 0777), 0);
    return 0;
}

static void a_watch_follows_a_run_to_its_end(void **state)
{
    char *folder = test_make_dir(), *metrics = stage2_metrics(40), *half = strdup(metrics);
    *strstr(half, "{\"event\":\"train\",\"stage\":\"stage2\",\"step\":21,") = '\0';
    char *run = strdup(write_run(folder, "run", &(struct run_given){.config = stage2_config, .metrics = half}));
    char *page = strdup(test_format("%s/a.html", folder));
    struct going going = {.run = run, .page = page, .metrics = metrics};
    const char *argv[] = {program, "--watch", "--every", "1", "--out", page, run, NULL};
    struct test_output output;
    (void)state;
    test_run(&(struct test_program){.argv = argv, .signal_now = go_on, .context = &going}, &output);
    assert_int_equal(output.exit_code, 0);
    assert_true(going.more);
    test_output_free(&output);
    char *text = (char *)test_read_file(page, NULL);
    assert_non_null(strstr(text, "data-points=\"40\""));
    assert_null(strstr(text, "data-points=\"20\""));
    assert_null(strstr(text, "http-equiv=\"refresh\""));
    free(text);
    free(page);
    free(run);
    free(half);
    free(metrics);
    test_remove_dir(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_and_a_text_are_made),
        cmocka_unit_test(what_cannot_be_is_said),
        cmocka_unit_test(a_watch_ends_when_told_to),
        cmocka_unit_test(a_watch_follows_a_run_to_its_end),
    };
    program = argc > 1 ? realpath(argv[1], NULL) : NULL;
    return program ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
