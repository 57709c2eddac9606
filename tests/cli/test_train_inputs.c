/* Models and data that are missing, malformed or do not fit: exit code 3 with one sentence that names the file and the
 * place, before anything is written; --dry-run says the same. */
#include "train_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "io/shard.h"

static struct train_world world;

/* A float model of one update, kept in "model"; the runs of the tests start from copies. */
static int setup(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stages=[stage0]");
    world_expect(&world, 0);
    world_copy(&world, "runs/a/stage0/model", "model");
    world_remove(&world, "runs");
    return 0;
}

static int fresh_model(void **state)
{
    (void)state;
    world_remove(&world, "runs");
    world_copy(&world, "model", "start");
    return 0;
}

/* Both the dry run and the run refuse, in the same words, and every file is as it was. */
static void refuses(int exit_code, const char *sentence, const char *argument)
{
    char expected[256];
    snprintf(expected, sizeof expected, "%s", sentence);
    char *before = world_listing(&world, ".", true);
    for (int dry = 1; dry >= 0; dry--) {
        WORLD_RUN_WITH(&world, "--set=stages=[stage1, stage2]", "--set=model={path: start}",
                       dry ? "--dry-run" : "--progress=none", argument);
        world_expect_error(&world, exit_code, expected);
    }
    char *after = world_listing(&world, ".", true);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void refuses_model(const char *sentence)
{
    refuses(3, sentence, "--progress=none");
    fresh_model(NULL);
}

static void test_the_model_as_it_is(void **state)
{
    (void)state;
    WORLD_RUN_WITH(&world, "--set=stages=[stage1, stage2]", "--set=model={path: start}");
    world_expect(&world, 0);
}

static void test_missing_models(void **state)
{
    (void)state;
    refuses(3, "absent/config.json: cannot open", "--set=model={path: absent}");
    refuses(3, "absent.json: cannot open", "--set=model={config: absent.json}");
    refuses(3, "train.bin/config.json", "--set=model={path: train.bin}");
    world_remove(&world, "start/config.json");
    refuses_model("start/config.json: cannot open");
    world_remove(&world, "start/model.safetensors");
    refuses_model("start: there is neither model.safetensors nor model.safetensors.index.json");
}

/* The first place of `from` in a file becomes `to`, of the same length. */
static void patch(const char *relative, const char *from, const char *to)
{
    size_t size;
    const char *path = world_path(&world, relative);
    unsigned char *data = test_read_file(path, &size), *at = memmem(data, size, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    test_write_file(path, data, size);
    free(data);
}

static void test_malformed_weights(void **state)
{
    static const char file[] = "start/model.safetensors";
    (void)state;
    patch(file, "\"dtype\":\"F32\"", "\"dtype\":\"I32\"");
    refuses_model("I32");
    patch(file, "\"dtype\":\"F32\"", "\"dtype\":\"F64\"");
    refuses_model(file);
    patch(file, "model.layers.1.input_layernorm.weight", "model.layers.1.input_layernerm.weight");
    refuses_model("input_layernerm");
    patch(file, "\"shape\":[64,32]", "\"shape\":[32,64]");
    refuses_model("shape [32, 64]");
    world_flip_byte(&world, file, 7); /* the header's length */
    refuses_model(file);
    world_flip_byte(&world, file, 8); /* its opening brace */
    refuses_model(file);
    size_t size;
    free(test_read_file(world_path(&world, file), &size));
    const size_t lengths[] = {0, 4, 8, 300, size / 2, size - 1};
    for (size_t i = 0; i < BT_ARRAY_LEN(lengths); i++) {
        assert_int_equal(truncate(world_path(&world, file), (off_t)lengths[i]), 0);
        refuses_model(file);
    }
}

static void test_configs_that_do_not_fit(void **state)
{
    static const char file[] = "start/config.json";
    static const char *const edits[][3] = {
        {"\"vocab_size\": 64", "\"vocab_size\": 65", "model.embed_tokens.weight"},
        {"\"vocab_size\": 64", "\"vocab_size\": -4", "vocab_size"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "model.layers.2."},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "model.layers.1."},
        {"\"hidden_size\": 32", "\"hidden_size\": 36", "config.json asks for [64, 36]"},
        {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "num_key_value_heads"},
        {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"selu\"", "hidden_act"},
        {"\"model_type\": \"llama\"", "\"model_type\": \"mamba\"", "model_type"},
        {"\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": -1e-5", "rms_norm_eps"},
        {"{", "[", "start/config.json"},
    };
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(edits); i++) {
        patch(file, edits[i][0], edits[i][1]);
        refuses_model(edits[i][2]);
    }
}

/* A shard of count tokens in which every one is `id`, but the first, which begins a document. */
static void write_shard(const char *name, size_t count, int32_t id)
{
    struct bt_diag diag = {""};
    int32_t *tokens = malloc(count * sizeof *tokens);
    assert_non_null(tokens);
    for (size_t i = 0; i < count; i++)
        tokens[i] = i ? id : 1;
    TEST_OK(bt_shard_write(world_path(&world, name), tokens, count, 2, &diag), diag);
    free(tokens);
}

static void test_missing_data(void **state)
{
    (void)state;
    refuses(3, "absent.bin: no file matches", "--set=data.train=[{path: absent.bin}]");
    refuses(3, "absent-*.bin: no file matches", "--set=data.train=[{path: train.bin}, {path: \"absent-*.bin\"}]");
    refuses(3, "absent.bin: no file matches", "--set=data.validation=[{path: absent.bin}]");
    refuses(3, "absent.bin: no file matches", "--set=stage2.data={train: [{path: absent.bin}]}");
    WORLD_RUN_WITH(&world, "--set=stages=[stage1]", "--set=model={path: start}",
                   "--set=data.train=[{path: absent.bin}]", "--dry-run");
    world_expect_error(&world, 3, "absent.bin: no file matches"); /* for the calibration */
    refuses(3, "tiny", "--set=data.train=[{path: tiny}]");        /* a folder */
    refuses(2, "data.validation: train.bin is trained on too", "--set=data.validation=[{path: train.bin}]");
}

static void test_ids_outside_the_vocabulary(void **state)
{
    (void)state;
    write_shard("other.bin", 100, 5);
    world_flip_byte(&world, "other.bin", 1024 + 2 * 40 + 1); /* the high byte of token 40 */
    refuses(3, "other.bin: token 40 has the id 8197", "--set=data.train=[{path: train.bin}, {path: other.bin}]");
    refuses(3, "other.bin: token 40 has the id 8197", "--set=data.validation=[{path: other.bin}]");
    refuses(3, "other.bin: token 40 has the id 8197", "--set=stage2.data={train: [{path: other.bin}]}");
    write_shard("other.bin", 100, 64);
    refuses(3, "other.bin: token 1 has the id 64", "--set=data.train=[{path: other.bin}]");
}

/* A manifest beside a shard that it lists, naming a tokenizer of this hash. */
static void write_manifest(const char *hash)
{
    world_write(
        &world, "made.json",
        test_format("{\"kind\": \"token shards\", \"tokenizer\": {\"path\": \"elsewhere\", \"xxh3_64\": \"%s\"}, "
                    "\"shards\": [{\"file\": \"made-000000.bin\"}]}",
                    hash));
}

/* Shards whose manifest names another tokenizer than the one in the model folder, wherever they are used. */
static void test_shards_of_another_tokenizer(void **state)
{
    static const char sentence[] = "made-000000.bin was made with another tokenizer: its manifest names elsewhere";
    uint64_t hash, size;
    struct bt_diag diag = {""};
    (void)state;
    write_shard("made-000000.bin", 600, 5);
    write_manifest("0123456789abcdef");
    refuses(3, sentence, "--set=data.train=[{path: train.bin}, {path: made-000000.bin}]");
    refuses(3, sentence, "--set=data.validation=[{path: made-000000.bin}]");
    refuses(3, sentence, "--set=stage2.data={train: [{path: made-000000.bin}]}");
    write_manifest("0123");
    refuses(3, "made.json: \"tokenizer\" has no path, or no xxh3_64", "--set=data.train=[{path: made-000000.bin}]");
    TEST_OK(bt_file_hash(world_path(&world, "start/tokenizer.json"), &hash, &size, &diag), diag);
    write_manifest(test_format("%016llx", (unsigned long long)hash));
    WORLD_RUN_WITH(&world, "--set=stages=[stage1, stage2]", "--set=model={path: start}", "--dry-run",
                   "--set=data.validation=[{path: made-000000.bin}]");
    world_expect(&world, 0);
    write_manifest("0123456789abcdef");
    world_remove(&world, "start/tokenizer.json"); /* nothing to compare with */
    WORLD_RUN_WITH(&world, "--set=stages=[stage1, stage2]", "--set=model={path: start}", "--dry-run",
                   "--set=data.validation=[{path: made-000000.bin}]");
    world_expect(&world, 0);
    fresh_model(NULL);
}

/* One bit of a token: another id of the vocabulary, which nothing else would notice. */
static void test_shards_that_are_not_as_they_were_written(void **state)
{
    char manifest[512];
    uint64_t hash, size;
    struct bt_diag diag = {""};
    (void)state;
    write_shard("made-000000.bin", 600, 5);
    TEST_OK(bt_file_hash(world_path(&world, "made-000000.bin"), &hash, &size, &diag), diag);
    snprintf(
        manifest, sizeof manifest,
        "{\"kind\": \"token shards\", \"tokenizer\": {\"path\": \"elsewhere\", \"xxh3_64\": \"0123456789abcdef\"}, "
        "\"separators\": {\"before\": 7, \"after\": null}, "
        "\"shards\": [{\"file\": \"made-000000.bin\", \"xxh3_64\": \"%016llx\"}]}",
        (unsigned long long)hash);
    world_write(&world, "made.json", manifest);
    world_remove(&world, "start/tokenizer.json"); /* nothing to compare the tokenizer with */
    WORLD_RUN_WITH(&world, "--set=stages=[stage1, stage2]", "--set=model={path: start}", "--dry-run",
                   "--set=data.validation=[{path: made-000000.bin}]");
    world_expect(&world, 0);
    refuses(3, "set data.separators (its manifest says before 7, after -1), or packing: false",
            "--set=stage2.data={train: [{path: made-000000.bin}], separators: {before: 9, after: 9}}");
    world_flip_byte(&world, "made-000000.bin", 1024 + 40);
    refuses(3, "made-000000.bin: its XXH3-64 is ", "--set=data.validation=[{path: made-000000.bin}]");
    refuses(3, "made-000000.bin: its XXH3-64 is ", "--set=data.train=[{path: train.bin}, {path: made-000000.bin}]");
    fresh_model(NULL);
}

static void test_malformed_shards(void **state)
{
    (void)state;
    write_shard("other.bin", 100, 5);
    world_flip_byte(&world, "other.bin", 0);
    refuses(3, "other.bin: byte 0: magic ", "--set=data.train=[{path: other.bin}]");
    write_shard("other.bin", 100, 5);
    world_flip_byte(&world, "other.bin", 4);
    refuses(3, "other.bin: byte 4: version 33", "--set=data.train=[{path: other.bin}]");
    write_shard("other.bin", 100, 5);
    assert_int_equal(truncate(world_path(&world, "other.bin"), 1024 + 199), 0);
    refuses(3, "other.bin: byte 8: 100 tokens of 2 bytes do not make the 199 bytes after the header",
            "--set=data.train=[{path: other.bin}]");
    refuses(3, "other.bin: the file has 1223 bytes; nanoGPT tokens have 2 bytes each",
            "--set=data.train=[{path: other.bin, format: nanogpt}]");
    assert_int_equal(truncate(world_path(&world, "other.bin"), 0), 0);
    refuses(3, "other.bin", "--set=data.train=[{path: other.bin}]");
    refuses(3, "other.bin: the shard holds no token", "--set=data.train=[{path: other.bin, format: nanogpt}]");
}

static void test_data_without_rows(void **state)
{
    (void)state;
    write_shard("other.bin", 100, 5);
    refuses(3, "other.bin", "--set=data={train: [{path: other.bin}], separators: {before: 7}}"); /* none occurs */
    refuses(3, "train.bin: no row of 5000 tokens", "--set=stage2.data={packing: false, max_seq_length: 5000}");
    write_shard("other.bin", 16, 5); /* the label after the row is missing */
    refuses(3, "other.bin: no row of 16 tokens", "--set=stage2.data={packing: false, train: [{path: other.bin}]}");
}

/* Weights that are no numbers are found in training: it stops, and what was done is not lost. */
static void test_diverged(void **state)
{
    const float bad = NAN;
    size_t size;
    (void)state;
    unsigned char *data = test_read_file(world_path(&world, "start/model.safetensors"), &size);
    memcpy(data + size - sizeof bad, &bad, sizeof bad);
    test_write_file(world_path(&world, "start/model.safetensors"), data, size);
    free(data);
    WORLD_RUN_WITH(&world, "--set=stages=[stage2]", "--set=model={path: start}", "--set=stage2.max_skipped_updates=3");
    world_expect(&world, 4);
    assert_non_null(strstr(world.output.err, "training diverged: 3 updates in a row"));
    char *records = world_records(&world, "runs/a", "train");
    assert_non_null(strstr(records, "\"step\":3,\"loss\":null,\"grad_norm\":null"));
    assert_non_null(strstr(records, "\"applied\":false"));
    free(records);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_model_as_it_is, fresh_model),
        cmocka_unit_test_setup(test_missing_models, fresh_model),
        cmocka_unit_test_setup(test_malformed_weights, fresh_model),
        cmocka_unit_test_setup(test_configs_that_do_not_fit, fresh_model),
        cmocka_unit_test_setup(test_missing_data, fresh_model),
        cmocka_unit_test_setup(test_ids_outside_the_vocabulary, fresh_model),
        cmocka_unit_test_setup(test_shards_of_another_tokenizer, fresh_model),
        cmocka_unit_test_setup(test_shards_that_are_not_as_they_were_written, fresh_model),
        cmocka_unit_test_setup(test_malformed_shards, fresh_model),
        cmocka_unit_test_setup(test_data_without_rows, fresh_model),
        cmocka_unit_test_setup(test_diverged, fresh_model),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, setup, NULL);
    world_finish(&world);
    return failed;
}
