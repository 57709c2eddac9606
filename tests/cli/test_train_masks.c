/* bitnet-train on shards with label masks: what is counted, what the losses are means of, updates without a label, and
 * masks that are changed, damaged or gone. */
#include "train_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/mask.h"
#include "io/shard.h"

static struct train_world world;

enum { EVERY, ODD, EVEN, NOT_AT_FIRST };

static bool is_label(int kind, size_t i)
{
    return kind == EVERY || (kind == NOT_AT_FIRST ? i > 32 : i % 2 == (kind == ODD));
}

/* A mask for a shard of the world; documents begin where its BOS, 1, is. */
static void write_mask(const char *shard_name, const char *name, int kind)
{
    struct bt_shard shard;
    struct bt_mask_out out = {0};
    struct bt_diag diag = {""};
    uint64_t hash, size;
    TEST_OK(bt_shard_open(world_path(&world, shard_name), BT_SHARD_LLMC, &shard, &diag), diag);
    for (size_t i = 0; i < shard.count; i++) {
        const unsigned char label = is_label(kind, i);
        int32_t id;
        bt_shard_read(&shard, i, 1, &id);
        assert_true(bt_mask_out_append(&out, &label, 1, id == 1));
    }
    bt_shard_close(&shard);
    TEST_OK(bt_file_hash(world_path(&world, shard_name), &hash, &size, &diag), diag);
    TEST_OK(bt_mask_out_write(&out, world_path(&world, name), hash, &hash, &diag), diag);
    bt_mask_out_finish(&out);
}

static int no_mask(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    world_remove(&world, "train.mask");
    world_remove(&world, "validation.mask");
    return 0;
}

/* Plain windows in the order of the file, so that counts can be had by hand. */
#define WINDOWS "--set=data.packing=false", "--set=data.shuffle=false", "--set=stages=[stage0]"

/* A number of the n-th record of an event, or of one term of its loss. */
static double record_of(const char *run, const char *event, size_t n, const char *term, const char *key)
{
    char *text = world_text(&world, test_format("runs/%s/metrics.jsonl", run)), *rest = text, *line;
    double value = NAN;
    while ((line = strsep(&rest, "\n")) && *line) {
        struct bt_diag diag = {""};
        json_t *json;
        TEST_OK(bt_json_parse(line, strlen(line), "metrics", &json, &diag), diag);
        const char *found = json_string_value(json_object_get(json, "event"));
        const json_t *from = term ? json_object_get(json_object_get(json, "terms"), term) : json;
        if (!strcmp(found, event) && n-- == 0)
            value = json_number_value(json_object_get(from, key));
        json_decref(json);
    }
    free(text);
    return value;
}

static double record(const char *event, size_t n, const char *key)
{
    return record_of("a", event, n, NULL, key);
}

/* Update u sees the windows 2 u and 2 u + 1 of 16 tokens: the labels are the tokens behind the first. */
static void test_labels_are_counted(void **state)
{
    size_t labels = 0;
    (void)state;
    write_mask("train.bin", "train.mask", ODD);
    write_mask("validation.bin", "validation.mask", EVEN);
    WORLD_RUN_WITH(&world, WINDOWS);
    world_expect(&world, 0);
    for (size_t u = 0; u < 6; u++) {
        for (size_t i = 1; i <= 32; i++)
            labels += is_label(ODD, 32 * u + i);
        assert_true(record("train", u, "labels") == (double)labels);
        assert_true(record("train", u, "tokens") == 32.0 * (double)(u + 1));
    }
    assert_true(record("eval", 0, "labels") == 32.0); /* of 4 rows */
    assert_true(record("eval", 0, "tokens") == 64.0);
}

/* The loss over all labels is the mean of the losses over two halves, each by its count: before the first update, so
 * the model is the same. */
static void test_losses_are_means_over_labels(void **state)
{
    double loss[3], labels[3];
    (void)state;
    for (int kind = EVERY; kind <= EVEN; kind++) {
        write_mask("train.bin", "train.mask", kind);
        write_mask("validation.bin", "validation.mask", kind);
        world_remove(&world, "runs");
        WORLD_RUN_WITH(&world, "--set=stages=[stage0]", "--set=logging.eval_tokens=0");
        world_expect(&world, 0);
        loss[kind] = record("eval", 0, "loss");
        labels[kind] = record("eval", 0, "labels");
    }
    assert_true(labels[ODD] > 100 && labels[EVEN] > 100);
    assert_true(labels[ODD] + labels[EVEN] == labels[EVERY]);
    const double mean = (labels[ODD] * loss[ODD] + labels[EVEN] * loss[EVEN]) / labels[EVERY];
    assert_true(fabs(loss[ODD] - loss[EVEN]) > 1e-6);            /* or this would show nothing */
    assert_true(fabs(mean - loss[EVERY]) <= 1e-6 * loss[EVERY]); /* float32 sums of a few hundred terms near 4 */
}

/* Beside a teacher too: the first update's cross entropy and divergence of the logits are means over labels, hidden
 * states are compared at every token. */
static void test_what_a_teacher_says_of_labels(void **state)
{
    static const char *const of_labels[] = {"cross_entropy", "logits"};
    static const char *const runs[] = {[EVERY] = "every", [ODD] = "odd", [EVEN] = "even"};
    double labels[3];
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stages=[stage0, stage1]");
    world_expect(&world, 0);
    for (int kind = EVERY; kind <= EVEN; kind++) {
        write_mask("train.bin", "train.mask", kind);
        WORLD_RUN_WITH(&world, WINDOWS, "--set=stages=[stage3]", "--set=data.validation=[]",
                       test_format("--set=name=%s", runs[kind]), "--set=model={path: runs/a/stage1/model}",
                       "--set=stage3={max_steps: 2, batch_size: 4, scheduler: {type: constant, warmup_steps: 0}, "
                       "lambda_warmup: {enabled: false}, teacher: {path: runs/a/stage0/model}, "
                       "losses: {cross_entropy: {}, logits: {}, hidden: {weight: 1.0}}}");
        world_expect(&world, 0);
        labels[kind] = record_of(runs[kind], "train", 0, NULL, "labels");
        assert_true(record_of(runs[kind], "train", 0, "hidden", "raw") ==
                    record_of(runs[EVERY], "train", 0, "hidden", "raw"));
    }
    assert_true(labels[EVERY] == 64.0 && labels[ODD] == 32.0 && labels[EVEN] == 32.0);
    for (size_t t = 0; t < BT_ARRAY_LEN(of_labels); t++) {
        const double odd = record_of(runs[ODD], "train", 0, of_labels[t], "raw");
        const double even = record_of(runs[EVEN], "train", 0, of_labels[t], "raw");
        const double every = record_of(runs[EVERY], "train", 0, of_labels[t], "raw");
        assert_true(fabs(odd - even) > 1e-4 * every); /* or this would show nothing */
        assert_true(fabs(0.5 * (odd + even) - every) <= 1e-6 * every);
    }
}

/* With every bit set a mask changes nothing of plain windows, to the bit. */
static void test_a_mask_of_ones(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, WINDOWS);
    world_expect(&world, 0);
    char *hash = strdup(world_hash(&world, "runs/a/stage0/model/model.safetensors"));
    world_remove(&world, "runs");
    write_mask("train.bin", "train.mask", EVERY);
    write_mask("validation.bin", "validation.mask", EVERY);
    WORLD_RUN_WITH(&world, WINDOWS);
    world_expect(&world, 0);
    assert_string_equal(world_hash(&world, "runs/a/stage0/model/model.safetensors"), hash);
    world_remove(&world, "runs");
    write_mask("train.bin", "train.mask", ODD);
    WORLD_RUN_WITH(&world, WINDOWS);
    world_expect(&world, 0);
    assert_string_not_equal(world_hash(&world, "runs/a/stage0/model/model.safetensors"), hash);
    free(hash);
}

/* The rows of the first update hold nothing to learn: it changes nothing, and is said to have been skipped. */
static void test_an_update_without_a_label(void **state)
{
    (void)state;
    write_mask("train.bin", "train.mask", NOT_AT_FIRST);
    WORLD_RUN_WITH(&world, WINDOWS);
    world_expect(&world, 0);
    assert_true(record("train", 0, "labels") == 0.0);
    assert_true(record("train", 0, "skipped_updates") == 1.0);
    assert_true(record("train", 1, "labels") == 32.0);
    assert_true(record("train", 5, "skipped_updates") == 1.0);
}

/* Calibration is about what the model sees, so it takes every token: the same gains with a mask and without. */
static void test_calibration_ignores_masks(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stages=[stage1]", "--set=data.validation=[]");
    world_expect(&world, 0);
    char *hash = strdup(world_hash(&world, "runs/a/stage1/model/model.safetensors"));
    world_remove(&world, "runs");
    write_mask("train.bin", "train.mask", ODD);
    WORLD_RUN_WITH(&world, "--set=stages=[stage1]", "--set=data.validation=[]");
    world_expect(&world, 0);
    assert_string_equal(world_hash(&world, "runs/a/stage1/model/model.safetensors"), hash);
    free(hash);
}

static void test_masks_that_do_not_fit(void **state)
{
    (void)state;
    write_mask("validation.bin", "train.mask", EVERY);
    world_run(&world);
    world_expect_error(&world, 3, "train.mask: byte 16: a mask of 600 tokens, but train.bin has 4000");
    WORLD_RUN_WITH(&world, "--dry-run");
    world_expect_error(&world, 3, "train.mask: byte 16");
    write_mask("train.bin", "train.mask", EVERY);
    world_flip_byte(&world, "train.mask", 100);
    world_run(&world);
    world_expect_error(&world, 3, "train.mask: byte 1032: the checksum is not that of the file");
    assert_false(bt_dir_exists(world_path(&world, "runs")));
}

/* What was trained on is shard and mask. */
static void test_a_run_keeps_its_masks(void **state)
{
    (void)state;
    write_mask("train.bin", "train.mask", ODD);
    write_mask("validation.bin", "validation.mask", ODD);
    const long operations = world_count_operations(&world);
    world_keep_interrupted(&world, operations);
    world_copy(&world, "interrupted", "runs");
    write_mask("train.bin", "train.mask", EVEN);
    world_run(&world);
    world_expect_error(&world, 2, "train.mask");
    world_remove(&world, "train.mask");
    world_run(&world);
    world_expect_error(&world, 2, "data files");
    write_mask("train.bin", "train.mask", ODD);
    world_run(&world);
    world_expect(&world, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_labels_are_counted, no_mask),
        cmocka_unit_test_setup(test_losses_are_means_over_labels, no_mask),
        cmocka_unit_test_setup(test_what_a_teacher_says_of_labels, no_mask),
        cmocka_unit_test_setup(test_a_mask_of_ones, no_mask),
        cmocka_unit_test_setup(test_an_update_without_a_label, no_mask),
        cmocka_unit_test_setup(test_calibration_ignores_masks, no_mask),
        cmocka_unit_test_setup(test_masks_that_do_not_fit, no_mask),
        cmocka_unit_test_setup(test_a_run_keeps_its_masks, no_mask),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests_name("train_masks", tests, NULL, NULL);
    world_finish(&world);
    return failed;
}
