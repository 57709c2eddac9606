#include "support.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "train/metrics.h"

static int teardown(void **state)
{
    test_dir_teardown(state);
    assert_int_equal(bt_alloc_live(), 0);
    return 0;
}

static const char *metrics_path(void **state)
{
    return test_format("%s/metrics.jsonl", (const char *)*state);
}

static json_t *record(const char *stage, int step)
{
    json_t *object = json_object();
    json_object_set_new(object, "event", json_string("train"));
    json_object_set_new(object, "stage", json_string(stage));
    json_object_set_new(object, "step", json_integer(step));
    return object;
}

static void expect_file(const char *path, const char *want)
{
    size_t size;
    unsigned char *text = test_read_file(path, &size);
    assert_string_equal((const char *)text, want);
    assert_int_equal(size, strlen(want));
    free(text);
}

static struct bt_metrics *open_metrics(const char *path, uint64_t keep)
{
    struct bt_diag diag;
    struct bt_metrics *metrics;
    TEST_OK(bt_metrics_open(path, keep, &metrics, &diag), diag);
    return metrics;
}

static void test_lines(void **state)
{
    struct bt_diag diag;
    struct bt_metrics *metrics = open_metrics(metrics_path(state), 0);
    json_t *object = record("stage2", 10);
    json_object_set_new(object, "loss", bt_json_float(3.21F));
    json_object_set_new(object, "grad_norm", bt_json_real(0.1));
    json_object_set_new(object, "lr", bt_json_real(2e-5));
    json_object_set_new(object, "perplexity", bt_json_real((double)INFINITY));
    json_object_set_new(object, "best", bt_json_float(NAN));
    TEST_OK(bt_metrics_write(metrics, object, &diag), diag);
    TEST_OK(bt_metrics_write(metrics, record("stage2", 11), &diag), diag);
    TEST_OK(bt_metrics_sync(metrics, &diag), diag);
    static const char want[] = "{\"event\":\"train\",\"stage\":\"stage2\",\"step\":10,\"loss\":3.21,\"grad_norm\":0.1,"
                               "\"lr\":2e-05,\"perplexity\":null,\"best\":null}\n"
                               "{\"event\":\"train\",\"stage\":\"stage2\",\"step\":11}\n";
    expect_file(metrics_path(state), want); /* without a close: flushed as written */
    assert_int_equal(bt_metrics_size(metrics), strlen(want));
    bt_metrics_close(metrics);
    bt_metrics_close(NULL);
}

/* A resume cuts the file back to what the checkpoint knew of, and goes on from there. */
static void test_cut_back_and_go_on(void **state)
{
    struct bt_diag diag;
    const char *path = metrics_path(state);
    struct bt_metrics *metrics = open_metrics(path, 0);
    TEST_OK(bt_metrics_write(metrics, record("a", 1), &diag), diag);
    const uint64_t keep = bt_metrics_size(metrics);
    TEST_OK(bt_metrics_write(metrics, record("a", 2), &diag), diag);
    bt_metrics_close(metrics);

    metrics = open_metrics(path, keep);
    assert_int_equal(bt_metrics_size(metrics), keep);
    TEST_OK(bt_metrics_write(metrics, record("b", 2), &diag), diag);
    bt_metrics_close(metrics);
    expect_file(path,
                "{\"event\":\"train\",\"stage\":\"a\",\"step\":1}\n{\"event\":\"train\",\"stage\":\"b\",\"step\":2}\n");
}

static void test_shorter_than_the_checkpoint_says(void **state)
{
    struct bt_diag diag = {0};
    struct bt_metrics *metrics;
    const char *path = metrics_path(state);
    test_write_file(path, "{}\n", 3);
    assert_int_equal(bt_metrics_open(path, 4, &metrics, &diag), BT_EINPUT);
    assert_non_null(strstr(diag.text, path));
    expect_file(path, "{}\n");
}

static int full_disk(const char *op, const char *path)
{
    (void)path;
    return strcmp(op, "write") ? 0 : ENOSPC;
}

static void test_full_disk(void **state)
{
    struct bt_diag diag = {0};
    const char *path = metrics_path(state);
    struct bt_metrics *metrics = open_metrics(path, 0);
    TEST_OK(bt_metrics_write(metrics, record("a", 1), &diag), diag);
    bt_io_hook = full_disk;
    assert_int_equal(bt_metrics_write(metrics, record("a", 2), &diag), BT_EIO);
    bt_io_hook = NULL;
    assert_non_null(strstr(diag.text, path));
    bt_metrics_close(metrics);
    expect_file(path, "{\"event\":\"train\",\"stage\":\"a\",\"step\":1}\n");
}

static void expect_start(void **state, const char *text, const char *stage, size_t want)
{
    struct bt_diag diag;
    uint64_t bytes = 12345;
    test_write_file(metrics_path(state), text, strlen(text));
    TEST_OK(bt_metrics_stage_start(metrics_path(state), stage, &bytes, &diag), diag);
    if (bytes != want)
        fail_msg("%s starts at %zu in place of %zu", stage, (size_t)bytes, want);
}

#define S1 "{\"stage\":\"stage1\",\"event\":\"end\"}\n"
#define S2 "{\"event\":\"train\",\"stage\":\"stage2\",\"step\":1}\n"
#define S9 "{\"stage\":\"stage1_9\"}\n"

static void test_stage_start(void **state)
{
    struct bt_diag diag;
    uint64_t bytes = 1;
    TEST_OK(bt_metrics_stage_start(metrics_path(state), "stage2", &bytes, &diag), diag);
    assert_int_equal(bytes, 0); /* no file */
    expect_start(state, "", "stage2", 0);
    expect_start(state, S1 S2 S2, "stage2", strlen(S1));
    expect_start(state, S1 S2 S2, "stage1", 0);
    expect_start(state, S1 S2 S2, "stage3", strlen(S1 S2 S2));
    expect_start(state, S1 S9 S2, "stage2", strlen(S1 S9)); /* 1.9 comes before 2 */
    expect_start(state, S1 S9 S2, "stage1_9", strlen(S1));
    expect_start(state, S1 S2 S1, "stage2", strlen(S1)); /* the first one ends it, whatever follows */
}

static void test_stage_start_ends_at_a_broken_line(void **state)
{
    expect_start(state, S1 "{\"stage\":\"stage1\"", "stage2", strlen(S1));
    expect_start(state, S1 "{\"stage\":\"stage1\"}", "stage2", strlen(S1)); /* the newline is what ends a record */
    expect_start(state, S1 "{\"stage\":\"sta\n" S1, "stage2", strlen(S1));
    expect_start(state, S1 "\n" S1, "stage2", strlen(S1));
    expect_start(state, S1 "[1]\n", "stage2", strlen(S1));
    expect_start(state, S1 "{\"event\":\"end\"}\n", "stage2", strlen(S1));
    expect_start(state, S1 "{\"stage\":\"stage7\"}\n", "stage2", strlen(S1));
    expect_start(state, S1 "{\"stage\":2}\n", "stage2", strlen(S1));
}

/* Every beginning of a file is read without harm, and gives the start of a line. */
static void test_every_prefix(void **state)
{
    static const char text[] = S1 S1 S2;
    struct bt_diag diag;
    uint64_t bytes;
    for (size_t n = 0; n < sizeof text; n++) {
        test_write_file(metrics_path(state), text, n);
        TEST_OK(bt_metrics_stage_start(metrics_path(state), "stage2", &bytes, &diag), diag);
        assert_int_equal(bytes, n < strlen(S1) ? 0 : n < strlen(S1 S1) ? strlen(S1) : strlen(S1 S1));
    }
}

static enum bt_err allocations(void *context)
{
    const char *path = context;
    struct bt_diag diag;
    struct bt_metrics *metrics;
    uint64_t bytes;
    enum bt_err err = bt_metrics_stage_start(path, "stage2", &bytes, &diag);
    if (err || (err = bt_metrics_open(path, bytes, &metrics, &diag)))
        return err;
    json_t *object = json_object();
    if (!object || json_object_set_new(object, "step", json_integer(3))) {
        json_decref(object);
        object = NULL;
    }
    err = bt_metrics_write(metrics, object, &diag);
    bt_metrics_close(metrics);
    return err;
}

static void test_every_allocation_failing(void **state)
{
    char *path = bt_path_join(*state, "metrics.jsonl");
    test_write_file(path, S1, strlen(S1));
    test_every_allocation_fails(allocations, path);
    expect_file(path, S1 "{\"step\":3}\n");
    bt_free(path);
}

#define DIR_TEST(name) cmocka_unit_test_setup_teardown(name, test_dir_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIR_TEST(test_lines),
        DIR_TEST(test_cut_back_and_go_on),
        DIR_TEST(test_shorter_than_the_checkpoint_says),
        DIR_TEST(test_full_disk),
        DIR_TEST(test_stage_start),
        DIR_TEST(test_stage_start_ends_at_a_broken_line),
        DIR_TEST(test_every_prefix),
        DIR_TEST(test_every_allocation_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
