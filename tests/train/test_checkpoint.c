#include "checkpoint_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "train/checkpoint_state.h"
#include "train/model_folder.h"
#include "train/optimizer.h"

static void test_round_trip(void **state)
{
    struct world *world = *state;
    const char *damaged;
    assert_null(world_newest(world, NULL));
    world_fill_and_save(world, 100, 0);
    world_fill_and_save(world, 200, 0);
    const char *newest = world_newest(world, &damaged);
    assert_string_equal(newest, test_format("%s/step-00000200", world->folder));
    assert_null(damaged);
    world_expect(world, newest, 200, 0);
    world_expect(world, test_format("%s/step-00000100", world->folder), 100, 0);
    assert_string_equal(world_names(world), "step-00000100 step-00000200");
}

static void test_is_a_model_folder(void **state)
{
    struct world *world = *state;
    struct bt_diag diag = {0};
    struct bt_loaded_model *model;
    world_fill_and_save(world, 100, 0);
    const char *path = world_newest(world, NULL);
    TEST_OK(bt_model_load(path, &model, &diag), diag);
    assert_int_equal(model->params.total, world->params.total);
    assert_memory_equal(model->weights, world->weights, world->params.total * sizeof(float));
    bt_model_unload(model);
    assert_true(bt_file_exists(test_format("%s/tokenizer.json", path)));
}

static void test_replaces_a_checkpoint_of_the_same_step(void **state)
{
    struct world *world = *state;
    world_fill_and_save(world, 100, 0);
    world_fill_and_save(world, 100, 1);
    world_expect(world, world_newest(world, NULL), 100, 1);
    assert_string_equal(world_names(world), "step-00000100");
}

/* Every double and every counter comes back as it was. */
static void test_state_to_the_bit(void **state)
{
    static const double reals[] = {0.0,
                                   -0.0,
                                   0.1,
                                   1.0 / 3,
                                   5e-324,
                                   2.2250738585072014e-308,
                                   1.7976931348623157e308,
                                   3.0,
                                   1e16,
                                   123456789012345680.0,
                                   -1e-5,
                                   2.3e-7};
    struct world *world = *state;
    struct bt_diag diag = {0};
    struct bt_checkpoint_state content = {0}, back;
    for (size_t i = 0; i < BT_ARRAY_LEN(reals); i++) {
        content.state = (struct bt_train_state){.step = INT64_MAX,
                                                .best_step = INT64_MIN,
                                                .row = UINT64_MAX,
                                                .tokens = UINT64_C(1) << 63,
                                                .elapsed_s = reals[i],
                                                .best_loss = i ? reals[i - 1] : (double)NAN,
                                                .last_loss = (double)INFINITY,
                                                .matmul = "12345678901234567890123"};
        TEST_OK(bt_checkpoint_state_write(world->dir, &content, &diag), diag);
        TEST_OK(bt_checkpoint_state_read(world->dir, &back, &diag), diag);
        assert_true(back.state.step == INT64_MAX && back.state.best_step == INT64_MIN);
        assert_true(back.state.row == UINT64_MAX && back.state.tokens == UINT64_C(1) << 63);
        assert_memory_equal(&back.state.elapsed_s, &reals[i], sizeof(double));
        assert_true(i ? !memcmp(&back.state.best_loss, &reals[i - 1], sizeof(double)) : isnan(back.state.best_loss));
        assert_true(isnan(back.state.last_loss)); /* what is not finite is not known */
        assert_string_equal(back.state.matmul, content.state.matmul);
        bt_checkpoint_state_finish(&back);
    }
}

static void expect_damaged(struct world *world, const char *what, size_t at, const char *name)
{
    const char *damaged;
    if (world_newest(world, &damaged))
        fail_msg("%s: %s at %zu was not noticed", name, what, at);
    assert_non_null(strstr(damaged, test_format("checkpoint %s/step-00000100 is damaged: ", world->folder)));
    if (!strstr(damaged, name))
        fail_msg("%s: %s at %zu: the file is not named in: %s", name, what, at, damaged);
}

/* Does `damage` to the one checkpoint at sampled places of each of its files, and expects it to be noticed and named.
 */
static void damage_each_file(struct world *world, const char *what,
                             size_t (*damage)(const unsigned char *whole, size_t size, size_t at, unsigned char *out))
{
    struct bt_diag diag = {0};
    char **names;
    size_t count;
    world_fill_and_save(world, 100, 0);
    const char *folder = world_newest(world, NULL);
    assert_non_null(folder);
    char path[4096];
    snprintf(path, sizeof path, "%s", folder);
    TEST_OK(bt_dir_list(path, &names, &count, &diag), diag);
    assert_int_equal(count, 5);
    for (size_t i = 0; i < count; i++) {
        const char *file = bt_path_join(path, names[i]);
        size_t size;
        unsigned char *whole = test_read_file(file, &size), *bad = malloc(size + 1);
        assert_non_null(bad);
        const size_t stride = size > 400 ? size / 199 : 1;
        for (size_t at = 0; at < size; at += stride) {
            const size_t bad_size = damage(whole, size, at, bad);
            test_write_file(file, bad, bad_size);
            expect_damaged(world, what, at, names[i]);
        }
        test_write_file(file, whole, size);
        assert_non_null(world_newest(world, NULL));
        free(bad);
        free(whole);
        bt_free((void *)(uintptr_t)file);
    }
    bt_names_free(names, count);
}

static size_t flip_a_bit(const unsigned char *whole, size_t size, size_t at, unsigned char *out)
{
    memcpy(out, whole, size);
    out[at] ^= (unsigned char)(1U << at % 8);
    return size;
}

static size_t cut_off(const unsigned char *whole, size_t size, size_t at, unsigned char *out)
{
    (void)size;
    memcpy(out, whole, at);
    return at;
}

static size_t repeat_a_byte(const unsigned char *whole, size_t size, size_t at, unsigned char *out)
{
    memcpy(out, whole, at + 1);
    memcpy(out + at + 1, whole + at, size - at);
    return size + 1;
}

static void test_a_flipped_bit_is_noticed(void **state)
{
    damage_each_file(*state, "a flipped bit", flip_a_bit);
}

static void test_a_cut_file_is_noticed(void **state)
{
    damage_each_file(*state, "a cut", cut_off);
}

static void test_a_longer_file_is_noticed(void **state)
{
    damage_each_file(*state, "one byte more", repeat_a_byte);
}

static void test_a_missing_file_is_noticed(void **state)
{
    static const char *const names[] = {"config.json", "model.safetensors", "optimizer.safetensors", "state.json",
                                        "tokenizer.json"};
    struct world *world = *state;
    for (size_t i = 0; i < BT_ARRAY_LEN(names); i++) {
        world_fill_and_save(world, 100, 0);
        assert_int_equal(unlink(test_format("%s/step-00000100/%s", world->folder, names[i])), 0);
        expect_damaged(world, "a missing file", 0, names[i]);
    }
}

static void break_checkpoint(struct world *world, const char *name)
{
    test_write_file(test_format("%s/%s/state.json", world->folder, name), "{}", 2);
}

static void test_damaged_ones_are_passed_over(void **state)
{
    struct world *world = *state;
    const char *damaged;
    for (int64_t step = 100; step <= 300; step += 100)
        world_fill_and_save(world, step, 0);
    break_checkpoint(world, "step-00000300");
    break_checkpoint(world, "step-00000200");
    world_expect(world, world_newest(world, &damaged), 100, 0);
    assert_string_equal(
        damaged, test_format("checkpoint %s/step-00000300 is damaged: %s/step-00000300/state.json: 2 bytes are too few "
                             "for a checkpoint's state; checkpoint %s/step-00000200 is damaged: "
                             "%s/step-00000200/state.json: 2 bytes are too few for a checkpoint's state",
                             world->folder, world->folder, world->folder, world->folder));
}

static void test_hash_in_the_sentence(void **state)
{
    struct world *world = *state;
    const char *damaged;
    world_fill_and_save(world, 100, 0);
    test_write_file(test_format("%s/step-00000100/tokenizer.json", world->folder), "{\"a\": 2}\n", 9);
    assert_null(world_newest(world, &damaged));
    const char *at = strstr(damaged, " is damaged: tokenizer.json has hash ");
    assert_non_null(at);
    assert_non_null(strstr(at, ", expected "));
}

/* A run that went on from an older one must not lose what it saves to the damaged one that stands at a later step. */
static void test_saving_removes_later_steps(void **state)
{
    struct world *world = *state;
    struct bt_diag diag = {0};
    world_fill_and_save(world, 100, 0);
    world_fill_and_save(world, 300, 0);
    break_checkpoint(world, "step-00000300");
    world_fill_and_save(world, 150, 0);
    TEST_OK(bt_checkpoint_prune(world->folder, 1, 0, &diag), diag);
    assert_string_equal(world_names(world), "step-00000150");
    world_expect(world, world_newest(world, NULL), 150, 0);
}

static void test_prune(void **state)
{
    struct world *world = *state;
    struct bt_diag diag = {0};
    TEST_OK(bt_checkpoint_prune(world->folder, 3, 0, &diag), diag); /* no folder, nothing to do */
    for (int64_t step = 100; step <= 600; step += 100)
        world_fill_and_save(world, step, 0);
    TEST_OK(bt_checkpoint_prune(world->folder, 3, 200, &diag), diag);
    assert_string_equal(world_names(world), "step-00000200 step-00000400 step-00000500 step-00000600");
    TEST_OK(bt_checkpoint_prune(world->folder, 3, 600, &diag), diag);
    assert_string_equal(world_names(world), "step-00000400 step-00000500 step-00000600");
    TEST_OK(bt_checkpoint_prune(world->folder, 0, 0, &diag), diag); /* never the last one */
    assert_string_equal(world_names(world), "step-00000600");
}

static void test_prune_leaves_what_is_not_ours(void **state)
{
    struct world *world = *state;
    struct bt_diag diag = {0};
    world_fill_and_save(world, 100, 0);
    static const char *const names[] = {"notes",
                                        "step-best",
                                        "step-1",
                                        "step-0000000x",
                                        ".tmp-mine",
                                        ".tmp-step-00000050",
                                        "step-99999999999999999999"};
    for (size_t i = 0; i < BT_ARRAY_LEN(names); i++)
        assert_int_equal(mkdir(test_format("%s/%s", world->folder, names[i]), 0777), 0);
    TEST_OK(bt_checkpoint_prune(world->folder, 1, 0, &diag), diag);
    assert_string_equal(world_names(world),
                        ".tmp-mine notes step-0000000x step-00000100 step-1 step-99999999999999999999 step-best");
    assert_string_equal(world_newest(world, NULL), test_format("%s/step-00000100", world->folder));
}

/* What a kill between the two renames of a replacement leaves. */
static void test_one_moved_aside_counts_until_it_is_replaced(void **state)
{
    struct world *world = *state;
    struct bt_diag diag = {0};
    const char *place = test_format("%s/step-00000100", world->folder);
    const char *aside = test_format("%s/.old-step-00000100", world->folder);
    world_fill_and_save(world, 100, 0);
    assert_int_equal(rename(place, aside), 0);
    world_expect(world, world_newest(world, NULL), 100, 0);
    TEST_OK(bt_checkpoint_prune(world->folder, 1, 0, &diag), diag);
    assert_string_equal(world_names(world), ".old-step-00000100");
    world_fill_and_save(world, 100, 1);
    assert_string_equal(world_names(world), "step-00000100");
    assert_int_equal(rename(place, aside), 0);
    world_fill_and_save(world, 200, 0);
    assert_int_equal(mkdir(place, 0777), 0);
    TEST_OK(bt_checkpoint_prune(world->folder, 5, 0, &diag), diag);
    assert_string_equal(world_names(world), "step-00000100 step-00000200");
}

static void test_steps_of_nine_digits_sort_as_numbers(void **state)
{
    struct world *world = *state;
    world_fill_and_save(world, 99999999, 0);
    world_fill_and_save(world, 100000000, 0);
    assert_string_equal(world_newest(world, NULL), test_format("%s/step-100000000", world->folder));
}

static void test_a_disk_too_small_is_said_before_anything_is_written(void **state)
{
    struct world *world = *state;
    struct bt_diag diag = {0};
    world_fill_and_save(world, 100, 0);
    world_fill(world, 200, 0);
    world->params.elements = (size_t)1 << 57;
    assert_int_equal(world_save(world, &diag), BT_EIO);
    assert_non_null(strstr(diag.text, world->folder));
    assert_non_null(strstr(diag.text, ": a checkpoint needs 1."));
    assert_non_null(strstr(diag.text, " EB, and the disk has "));
    assert_string_equal(world_names(world), "step-00000100");
}

static void expect_refused(struct world *world, const struct bt_params *params, const char *sentence)
{
    struct bt_diag diag = {0};
    struct bt_train_state loaded_state;
    struct bt_data_file *files;
    size_t count;
    float *room = calloc(3 * params->total, sizeof *room);
    assert_non_null(room);
    assert_int_equal(bt_checkpoint_load(world_newest(world, NULL), params, &world->optimizer, room,
                                        room + params->total, room + 2 * params->total, &loaded_state, &files, &count,
                                        &diag),
                     BT_EINPUT);
    if (!strstr(diag.text, sentence))
        fail_msg("not in the sentence: %s", diag.text);
    free(room);
}

static void test_another_model_is_refused(void **state)
{
    struct world *world = *state;
    struct bt_diag diag = {0};
    struct bt_params other;
    struct bt_shape shape = world->shape;
    world_fill_and_save(world, 100, 0);
    shape.ffn = 16;
    TEST_OK(bt_params_init(&other, &shape, &diag), diag);
    expect_refused(world, &other,
                   "model.safetensors: tensor model.layers.0.mlp.gate_proj.weight is not F32 with the 128");
    snprintf(other.list[0].name, sizeof other.list[0].name, "absent");
    expect_refused(world, &other, "model.safetensors: tensor absent is missing");
    bt_params_finish(&other);
    shape.sub_norm = false;
    TEST_OK(bt_params_init(&other, &shape, &diag), diag);
    expect_refused(world, &other, "tensors, expected the ");
    bt_params_finish(&other);
}

/* What Muon takes has no second moments in a file. An older one, which has them, still loads. */
static void test_muon_has_fewer_moments(void **state)
{
    struct world *world = *state;
    const struct bt_params *params = &world->params;
    const struct bt_cfg_optimizer *muon = &world->optimizer;
    struct bt_diag diag = {0};
    struct bt_train_state loaded;
    struct bt_data_file *files;
    size_t count;
    world_fill_and_save(world, 100, 0);
    const uint64_t size = bt_checkpoint_disk_size(&(struct bt_checkpoint_source){.params = params, .optimizer = muon});
    world->optimizer.type = BT_OPTIMIZER_MUON;
    const uint64_t less = bt_checkpoint_disk_size(&(struct bt_checkpoint_source){.params = params, .optimizer = muon});
    const size_t seconds = bt_second_moment_at(params, muon, params->count);
    assert_true(size - less >= (params->total - seconds) / 2 * sizeof(float));
    TEST_OK(bt_checkpoint_load(world_newest(world, NULL), params, muon, world->loaded[0], world->loaded[1],
                               world->loaded[2], &loaded, &files, &count, &diag),
            diag);
    bt_data_files_free(files, count);
    assert_memory_equal(world->loaded[1], world->m, params->total * sizeof(float));
    for (size_t i = 0; i < params->count; i++)
        if (!bt_muon_takes(muon, &params->list[i]))
            assert_memory_equal(world->loaded[2] + bt_second_moment_at(params, muon, i),
                                world->v + params->list[i].offset, params->list[i].count * sizeof(float));

    memcpy(world->v, world->loaded[2], seconds * sizeof(float));
    world->state.step = 200;
    TEST_OK(world_save(world, &diag), diag);
    memset(world->loaded[2], 0x55, seconds * sizeof(float));
    TEST_OK(bt_checkpoint_load(world_newest(world, NULL), params, muon, world->loaded[0], world->loaded[1],
                               world->loaded[2], &loaded, &files, &count, &diag),
            diag);
    bt_data_files_free(files, count);
    assert_memory_equal(world->loaded[2], world->v, seconds * sizeof(float));
    world->optimizer.type = BT_OPTIMIZER_ADAMW;
    expect_refused(world, params, "optimizer.safetensors: 21 tensors, expected the ");
}

/* A state whose checksum fits but whose content does not: written by another version, or by hand. */
static void expect_bad_state(struct world *world, struct bt_checkpoint_state *content, const char *sentence)
{
    struct bt_diag diag = {0};
    struct bt_checkpoint_state back;
    TEST_OK(bt_checkpoint_state_write(world->dir, content, &diag), diag);
    assert_int_equal(bt_checkpoint_state_read(world->dir, &back, &diag), BT_EINPUT);
    if (!strstr(diag.text, sentence))
        fail_msg("not in the sentence: %s", diag.text);
}

static void test_names_stay_inside_the_folder(void **state)
{
    static const char *const names[] = {"../model.safetensors", "/etc/passwd", "..", ".", ""};
    struct world *world = *state;
    for (size_t i = 0; i < BT_ARRAY_LEN(names); i++) {
        struct bt_data_file file = {.path = (char *)(uintptr_t)names[i]};
        struct bt_checkpoint_state content = {.files = &file, .file_count = 1};
        expect_bad_state(world, &content, test_format("files[0] is \"%s\", expected a name inside", names[i]));
    }
}

static enum bt_err save_body(void *context)
{
    struct bt_diag diag;
    return world_save(context, &diag);
}

static enum bt_err newest_body(void *context)
{
    struct bt_diag diag;
    struct world *world = context;
    char *path, *damaged;
    bool any;
    const enum bt_err err = bt_checkpoint_newest(world->folder, &path, &any, &damaged, &diag);
    if (!err) {
        bt_free(path);
        bt_free(damaged);
    }
    return err;
}

static enum bt_err load_body(void *context)
{
    struct bt_diag diag;
    struct world *world = context;
    struct bt_train_state loaded_state;
    struct bt_data_file *files;
    size_t count;
    const enum bt_err err =
        bt_checkpoint_load(test_format("%s/step-00000100", world->folder), &world->params, &world->optimizer,
                           world->loaded[0], world->loaded[1], world->loaded[2], &loaded_state, &files, &count, &diag);
    if (!err)
        bt_data_files_free(files, count);
    return err;
}

static enum bt_err prune_body(void *context)
{
    struct bt_diag diag;
    return bt_checkpoint_prune(((struct world *)context)->folder, 1, 0, &diag);
}

static void test_every_allocation_failing(void **state)
{
    struct world *world = *state;
    world_fill_and_save(world, 100, 0);
    world_fill(world, 200, 0);
    test_every_allocation_fails(save_body, world);
    world_expect(world, world_newest(world, NULL), 200, 0);
    test_every_allocation_fails(save_body, world); /* a replacement */
    world_expect(world, world_newest(world, NULL), 200, 0);
    test_every_allocation_fails(load_body, world);
    break_checkpoint(world, "step-00000200");
    test_every_allocation_fails(newest_body, world);
    world_fill_and_save(world, 300, 0);
    test_every_allocation_fails(prune_body, world);
    assert_string_equal(world_names(world), "step-00000300");
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_round_trip),
        WORLD_TEST(test_is_a_model_folder),
        WORLD_TEST(test_replaces_a_checkpoint_of_the_same_step),
        WORLD_TEST(test_state_to_the_bit),
        WORLD_TEST(test_a_flipped_bit_is_noticed),
        WORLD_TEST(test_a_cut_file_is_noticed),
        WORLD_TEST(test_a_longer_file_is_noticed),
        WORLD_TEST(test_a_missing_file_is_noticed),
        WORLD_TEST(test_damaged_ones_are_passed_over),
        WORLD_TEST(test_hash_in_the_sentence),
        WORLD_TEST(test_saving_removes_later_steps),
        WORLD_TEST(test_prune),
        WORLD_TEST(test_prune_leaves_what_is_not_ours),
        WORLD_TEST(test_one_moved_aside_counts_until_it_is_replaced),
        WORLD_TEST(test_steps_of_nine_digits_sort_as_numbers),
        WORLD_TEST(test_a_disk_too_small_is_said_before_anything_is_written),
        WORLD_TEST(test_another_model_is_refused),
        WORLD_TEST(test_muon_has_fewer_moments),
        WORLD_TEST(test_names_stay_inside_the_folder),
        WORLD_TEST(test_every_allocation_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
