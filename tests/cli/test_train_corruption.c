/* Inputs with random damage, end to end: whatever is in the files, the program ends by itself with a code of its own
 * and at most one sentence. BT_TEST_SEED=<n> draws other damage than the usual. */
#include "train_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/file.h"

static struct train_world world;
static uint64_t draws;

static uint32_t draw(uint32_t below)
{
    const char *seed = getenv("BT_TEST_SEED");
    const uint64_t key = bt_rng_key(seed ? strtoull(seed, NULL, 10) : 1, "damage");
    return (uint32_t)bt_rng_below(key, draws++, below);
}

static int setup(void **state)
{
    (void)state;
    print_message("seed %s\n", getenv("BT_TEST_SEED") ? getenv("BT_TEST_SEED") : "1");
    const long operations = world_count_operations(&world);
    world_keep_good(&world);
    world_keep_interrupted(&world, operations);
    world_copy(&world, "interrupted/a/stage1/model", "model");
    return 0;
}

static int nothing_yet(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    return 0;
}

struct bytes {
    unsigned char *data;
    size_t size, room;
};

static void remove_bytes(struct bytes *b, size_t at, size_t count)
{
    count = count < b->size - at ? count : b->size - at;
    memmove(b->data + at, b->data + at + count, b->size - at - count);
    b->size -= count;
}

/* Bytes of the text itself, which parsers take more seriously than noise. */
static void repeat_bytes(struct bytes *b, size_t at, size_t count)
{
    const size_t from = draw((uint32_t)b->size);
    count = count < b->size - from ? count : b->size - from;
    if (b->size + count > b->room)
        return;
    unsigned char *copy = malloc(count);
    assert_non_null(copy);
    memcpy(copy, b->data + from, count);
    memmove(b->data + at + count, b->data + at, b->size - at);
    memcpy(b->data + at, copy, count);
    b->size += count;
    free(copy);
}

/* Other digits in the next number, or more of them: damage that a parser takes. */
static void change_number(struct bytes *b, size_t at)
{
    while (at < b->size && (b->data[at] < '0' || b->data[at] > '9'))
        at++;
    for (uint32_t i = 0, n = 1 + draw(12); i < n && at < b->size && b->size < b->room; i++) {
        if (draw(2)) {
            memmove(b->data + at + 1, b->data + at, b->size - at);
            b->size++;
        }
        b->data[at] = (unsigned char)('0' + draw(10));
    }
}

/* One to three changes; half of them near the beginning, where the headers are. */
static void damage(struct bytes *b)
{
    static const unsigned char special[] = {0, 0xff, '\n', '"', '{', ']', ':', '-', '9', '%', ' ', '#', '&', '*', 0x80};
    for (uint32_t i = 0, n = 1 + draw(3); i < n && b->size; i++) {
        const size_t within = draw(2) && b->size > 1500 ? 1500 : b->size, at = draw((uint32_t)within);
        switch (draw(9)) {
        case 0:
            b->data[at] ^= (unsigned char)(1u << draw(8));
            break;
        case 1:
            b->data[at] = special[draw(sizeof special)];
            break;
        case 2:
            b->data[at] = (unsigned char)draw(256);
            break;
        case 3:
            remove_bytes(b, at, 1 + draw(20));
            break;
        case 4:
            repeat_bytes(b, at, 1 + draw(40));
            break;
        case 5:
            if (draw(4) == 0)
                b->size = at;
            else
                b->data[at] ^= 0x20;
            break;
        default:
            change_number(b, at);
        }
    }
}

static void damage_file(const char *from, const char *to)
{
    struct bytes b;
    b.data = test_read_file(world_path(&world, from), &b.size);
    b.room = b.size + 256;
    b.data = realloc(b.data, b.room);
    assert_non_null(b.data);
    damage(&b);
    test_write_file(world_path(&world, to), b.data, b.size);
    free(b.data);
}

/* The exit codes that damage may lead to; 4 when weights became too large or no numbers. */
static void expect_orderly(const char *what, int trial)
{
    const struct test_output *o = &world.output;
    const bool fine = o->exit_code == 0 ||
                      ((o->exit_code == 2 || o->exit_code == 3 || o->exit_code == 4) &&
                       strchr(o->err, '\n') == o->err + strlen(o->err) - 1 && strlen(o->err) > sizeof "bitnet-train: ");
    if (!fine)
        fail_msg("%s, trial %d: exit code %d, signal %d, stderr: %s", what, trial, o->exit_code, o->signal, o->err);
}

static const int trials = TEST_IS_SLOW ? 60 : 200;

static void tell(const char *what, int accepted)
{
    print_message("%s: %d of %d accepted\n", what, accepted, trials);
}

static void test_run_config(void **state)
{
    int accepted = 0;
    (void)state;
    for (int i = 0; i < trials; i++) {
        damage_file("run.yaml", "damaged.yaml");
        test_output_free(&world.output);
        test_run(&(struct test_program){.argv = (const char *[]){world.program, "--config", "damaged.yaml", "--dry-run",
                                                                 NULL},
                                        .directory = world.dir},
                 &world.output);
        expect_orderly("run.yaml", i);
        accepted += world.output.exit_code == 0;
        assert_false(bt_file_exists(world_path(&world, "runs")));
    }
    tell("run.yaml", accepted);
}

/* A run of two updates on a damaged file of the model, or of the data. */
static void run_on_damaged(const char *from, const char *to, const char *model, const char *data)
{
    int accepted = 0;
    for (int i = 0; i < trials; i++) {
        world_remove(&world, "runs");
        damage_file(from, to);
        WORLD_RUN_WITH(&world, "--set=stages=[stage2]", test_format("--set=model={path: %s}", model),
                       test_format("--set=data.train=[{path: %s}]", data), "--set=checkpoint.save_interval=0",
                       "--set=stage2={max_steps: 2, batch_size: 2, max_skipped_updates: 1, "
                       "lambda_warmup: {warmup_steps: 1}, scheduler: {type: constant, warmup_steps: 1}}");
        expect_orderly(to, i);
        accepted += world.output.exit_code == 0;
    }
    tell(to, accepted);
}

static void test_model_config(void **state)
{
    (void)state;
    world_copy(&world, "model", "damaged");
    run_on_damaged("model/config.json", "damaged/config.json", "damaged", "train.bin");
}

static void test_model_weights(void **state)
{
    (void)state;
    world_copy(&world, "model", "damaged");
    run_on_damaged("model/model.safetensors", "damaged/model.safetensors", "damaged", "train.bin");
}

static void test_shard(void **state)
{
    (void)state;
    run_on_damaged("train.bin", "damaged.bin", "model", "damaged.bin");
}

/* A checkpoint with damage of any kind is passed over: the run still ends with the same files. */
static void test_checkpoints(void **state)
{
    static const char *const names[] = {"state.json", "optimizer.safetensors", "model.safetensors", "config.json",
                                        "tokenizer.json"};
    (void)state;
    for (int i = 0; i < trials / 4; i++) {
        char path[128], original[128];
        const char *name = names[draw(BT_ARRAY_LEN(names))];
        world_copy(&world, "interrupted", "runs");
        snprintf(path, sizeof path, "runs/a/stage2/checkpoints/step-00000008/%s", name);
        snprintf(original, sizeof original, "interrupted/a/stage2/checkpoints/step-00000008/%s", name);
        damage_file(original, path);
        world_expect_good(&world, true, "trial %d, damaged %s", i, name);
    }
}

/* The other files of a run folder: a run is continued, or refused. */
static void test_run_folder(void **state)
{
    static const char *const names[] = {"config.yaml", "metrics.jsonl", "lock"};
    int accepted = 0;
    (void)state;
    for (int i = 0; i < trials; i++) {
        char path[128], original[128];
        const char *name = names[draw(BT_ARRAY_LEN(names))];
        world_copy(&world, "interrupted", "runs");
        snprintf(path, sizeof path, "runs/a/%s", name);
        snprintf(original, sizeof original, "interrupted/a/%s", name);
        damage_file(original, path);
        world_run(&world);
        expect_orderly(path, i);
        accepted += world.output.exit_code == 0;
    }
    tell("run folder", accepted);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_run_config, nothing_yet),    cmocka_unit_test_setup(test_model_config, nothing_yet),
        cmocka_unit_test_setup(test_model_weights, nothing_yet), cmocka_unit_test_setup(test_shard, nothing_yet),
        cmocka_unit_test_setup(test_checkpoints, nothing_yet),   cmocka_unit_test_setup(test_run_folder, nothing_yet),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, setup, NULL);
    world_finish(&world);
    return failed;
}
