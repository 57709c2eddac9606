/* A real pretrained model through the program: the losses of its conversion are those that an independent program
 * finds, and its training has the same bits for any number of threads. Skipped where the shared inputs are absent. */
#include "train_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct train_world world;

static int nothing_yet(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    return 0;
}

/* Stage 1 over the whole validation text, as plain windows of 256 tokens. */
static void convert(const char *subln_init, bool insert, double lambda_0, double lambda_1)
{
    const char *model = test_shared("data/models/stories260K");
    const char *train = test_shared("data/shards/tinystories-stories260K-train.bin");
    const char *validation = test_shared("data/shards/tinystories-stories260K-valid.bin");
    WORLD_RUN_WITH(
        &world, "--set=stages=[stage1]", test_format("--set=model={path: \"%s\"}", model),
        test_format("--set=data={train: [{path: \"%s\"}], validation: [{path: \"%s\"}], max_seq_length: 256, "
                    "packing: false}",
                    train, validation),
        TEST_IS_SLOW ? "--set=logging.eval_tokens=4096" : "--set=logging.eval_tokens=0",
        test_format("--set=stage1.subln_init=%s", subln_init),
        test_format("--set=stage1.insert_subln=%s", insert ? "true" : "false"), "--set=stage1.calibration_tokens=16384",
        "--threads=2");
    world_expect(&world, 0);
    json_t *report = world_json(&world, "runs/a/stage1/conversion.json");
    const double before = json_number_value(json_object_get(report, "loss_before"));
    const double after_0 = json_number_value(json_object_get(report, "loss_lambda_0"));
    const double after_1 = json_number_value(json_object_get(report, "loss_lambda_1"));
    json_decref(report);
    print_message("%s: %.6f, at lambda 0 %.6f, at lambda 1 %.6f\n", insert ? subln_init : "no norms", before, after_0,
                  after_1);
    if (TEST_IS_SLOW) { /* a part of the text, which says that the program works and not which numbers it finds */
        assert_true(fabs(before - 1.4173) < 0.3 && fabs(after_0 - lambda_0) < 0.6 && isfinite(after_1));
        return;
    }
    /* Within half of the last place that the expected losses are given to, and 1e-4; with codes a rounding may flip
     * one. */
    assert_true(fabs(before - 1.4173) < 1e-4);
    assert_true(fabs(after_0 - lambda_0) < 6e-4);
    assert_true(isnan(lambda_1) || fabs(after_1 - lambda_1) < 1e-3);
}

static void test_gains_of_one(void **state)
{
    (void)state;
    convert("ones", true, 6.165, 8.660);
}

static void test_calibrated_gains(void **state)
{
    (void)state;
    convert("calibrated", true, 1.511, 6.807);
}

/* Without norms there is nothing in between at lambda 0. */
static void test_no_norms(void **state)
{
    (void)state;
    convert("ones", false, 1.4173, NAN);
}

static void train(const char *threads)
{
    const char *model = test_shared("data/models/stories260K");
    const char *shard = test_shared("data/shards/tinystories-stories260K-train.bin");
    WORLD_RUN_WITH(&world, "--set=stages=[stage1, stage2]", test_format("--set=model={path: \"%s\"}", model),
                   test_format("--set=data={train: [{path: \"%s\"}], max_seq_length: 128, "
                               "separators: {before: 1, after: null}}",
                               shard),
                   "--set=stage2={max_steps: 12, batch_size: 4, lambda_warmup: {warmup_steps: 6}, "
                   "scheduler: {type: cosine, warmup_steps: 2}, optimizer: {lr: 1e-3}}",
                   "--set=checkpoint={save_interval: 0, keep_last_n: 1}", test_format("--threads=%s", threads));
    world_expect(&world, 0);
}

static void test_same_bits(void **state)
{
    static const char *const threads[] = {"1", "2", "8"};
    char *files = NULL, *records = NULL;
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(threads); i++) {
        world_remove(&world, "runs");
        train(threads[i]);
        char *found_files = world_listing(&world, "runs", false);
        char *found_records = world_records(&world, "runs/a", "train eval end");
        if (i) {
            assert_string_equal(found_files, files);
            assert_string_equal(found_records, records);
        }
        free(files);
        free(records);
        files = found_files;
        records = found_records;
    }
    free(files);
    free(records);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_gains_of_one, nothing_yet),
        cmocka_unit_test_setup(test_calibrated_gains, nothing_yet),
        cmocka_unit_test_setup(test_no_norms, nothing_yet),
        cmocka_unit_test_setup(test_same_bits, nothing_yet),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_finish(&world);
    return failed;
}
