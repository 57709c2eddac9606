#include "train_world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "io/shard.h"

#define ARGUMENTS_MAX 32
#define VOCABULARY    64
#define COMPARED      "train eval end" /* events that two runs which agree have in common */

static const char model_config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": 32,\n"
    " \"intermediate_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2,\n"
    " \"vocab_size\": 64, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0,\n"
    " \"hidden_act\": \"silu\", \"tie_word_embeddings\": true, \"bos_token_id\": 1, \"eos_token_id\": 1,\n"
    " \"initializer_range\": 0.05}\n";

static const char run_config[] =
    "name: a\n"
    "stages: [stage0, stage1, stage2]\n"
    "model: {config: tiny/config.json}\n"
    "data:\n"
    "  train: [{path: train.bin}]\n"
    "  validation: [{path: validation.bin}]\n"
    "  max_seq_length: 16\n"
    "stage0: {max_steps: 6, batch_size: 2, scheduler: {warmup_steps: 1}, optimizer: {lr: 1e-3}}\n"
    "stage1: {calibration_tokens: 128}\n"
    "stage2: {max_steps: 8, batch_size: 2, scheduler: {warmup_steps: 1}, optimizer: {lr: 1e-3},\n"
    "  lambda_warmup: {warmup_steps: 3}}\n"
    "checkpoint: {save_interval: 2, keep_last_n: 2, keep_best: true}\n"
    "logging: {log_interval: 1, eval_interval: 2, eval_tokens: 64}\n"
    "compute: {threads: 1}\n";

/* Documents of 4 to 25 tokens, each a walk that the model can learn a little of. */
static void write_shard(const struct train_world *world, const char *name, size_t count, uint32_t seed)
{
    struct bt_diag diag = {""};
    int32_t *tokens = malloc(count * sizeof *tokens);
    int32_t left = 0, last = 0;
    assert_non_null(tokens);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        const int32_t draw = (int32_t)(seed >> 16);
        last = left-- > 0 ? 2 + (last * 5 + draw % 3) % (VOCABULARY - 2) : 1;
        if (last == 1)
            left = 3 + draw % 22;
        tokens[i] = last;
    }
    TEST_OK(bt_shard_write(world_path(world, name), tokens, count, 2, &diag), diag);
    free(tokens);
}

/* The leak checker of clang 14 now and then crashes on the threads of its OpenMP runtime, in one of a thousand
 * programs. That of gcc looks for the same leaks. */
static void leave_leaks_to_gcc(void)
{
#if defined __clang__
    const char *options = getenv("ASAN_OPTIONS");
    if (TEST_IS_SLOW)
        setenv("ASAN_OPTIONS", test_format("%s:detect_leaks=0", options ? options : ""), 1);
#endif
}

void world_make(struct train_world *world, int argc, char **argv)
{
    /* In memory where there is such a place: these tests sync thousands of files, and a disk takes 10 ms for each. What
     * a SIGKILL leaves behind is the same in both. */
    if (access("/dev/shm", W_OK | X_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    setenv("OMP_WAIT_POLICY", "passive", 1); /* threads that spin take a busy machine from each other */
    leave_leaks_to_gcc();
    if (TEST_IS_SLOW)
        print_message("built with sanitizers: of the many places for a fault, some\n");
    *world = (struct train_world){.dir = test_make_dir()};
    assert_true(argc > 1);
    world->program = realpath(argv[1], NULL); /* it is started from another folder */
    world->faulty = argc > 2 ? realpath(argv[2], NULL) : NULL;
    assert_int_equal(mkdir(world_path(world, "tiny"), 0777), 0);
    world_write(world, "tiny/config.json", model_config);
    world_write(world, "tiny/tokenizer.json", "{\"a tokenizer\": \"which nobody reads here\"}\n");
    write_shard(world, "train.bin", 4000, 1);
    write_shard(world, "validation.bin", 600, 2);
    world_write(world, "run.yaml", run_config);
}

void world_finish(struct train_world *world)
{
    test_output_free(&world->output);
    test_remove_dir(world->dir);
    free(world->good_files);
    free(world->good_records);
    free(world->program);
    free(world->faulty);
}

int world_run_program(struct train_world *world, const char *program, const char *const *env, const char *const *args)
{
    const char *argv[ARGUMENTS_MAX] = {program, "--config", "run.yaml"};
    size_t count = 3;
    if (!world->loud)
        argv[count++] = "--quiet";
    for (; args && *args; args++) {
        assert_true(count + 1 < ARGUMENTS_MAX);
        argv[count++] = *args;
    }
    test_output_free(&world->output);
    test_run(&(struct test_program){.argv = argv, .env = env, .directory = world->dir}, &world->output);
    return world->output.exit_code;
}

int world_run(struct train_world *world)
{
    return world_run_program(world, world->program, NULL, NULL);
}

void world_expect(const struct train_world *world, int exit_code)
{
    if (world->output.exit_code != exit_code)
        fail_msg("exit code %d, signal %d, expected exit code %d; stderr: %s", world->output.exit_code,
                 world->output.signal, exit_code, world->output.err);
}

void world_expect_error(const struct train_world *world, int exit_code, const char *sentence)
{
    static const char start[] = "bitnet-train: ";
    const char *err = world->output.err, *newline = strchr(err, '\n');
    world_expect(world, exit_code);
    if (!newline || newline[1] || strncmp(err, start, sizeof start - 1) != 0 || !err[sizeof start])
        fail_msg("expected one line on stderr, which begins with the program's name; found: %s", err);
    if (!strstr(err, sentence))
        fail_msg("said: %sexpected: %s", err, sentence);
    assert_string_equal(world->output.out, "");
}

const char *world_path(const struct train_world *world, const char *relative)
{
    return test_format("%s/%s", world->dir, relative);
}

char *world_text(const struct train_world *world, const char *relative)
{
    return (char *)test_read_file(world_path(world, relative), NULL);
}

void world_write(const struct train_world *world, const char *relative, const char *text)
{
    test_write_file(world_path(world, relative), text, strlen(text));
}

void world_remove(const struct train_world *world, const char *relative)
{
    struct bt_diag diag = {""};
    TEST_OK(bt_dir_remove(world_path(world, relative), &diag), diag);
}

void world_copy(const struct train_world *world, const char *from, const char *to)
{
    struct test_output output = {0};
    world_remove(world, to);
    test_run_expect(0, &output, "/bin/cp", "-a", world_path(world, from), world_path(world, to), NULL);
    test_output_free(&output);
}

json_t *world_json(const struct train_world *world, const char *relative)
{
    struct bt_diag diag = {""};
    json_t *value = NULL;
    TEST_OK(bt_json_read(world_path(world, relative), &value, &diag), diag);
    return value;
}

const char *world_hash(const struct train_world *world, const char *relative)
{
    struct bt_diag diag = {""};
    uint64_t hash, size;
    TEST_OK(bt_file_hash(world_path(world, relative), &hash, &size, &diag), diag);
    return test_format("%llu bytes %016llx", (unsigned long long)size, (unsigned long long)hash);
}

void world_flip_byte(const struct train_world *world, const char *relative, size_t at)
{
    size_t size;
    const char *path = world_path(world, relative);
    unsigned char *data = test_read_file(path, &size);
    assert_true(at < size);
    data[at] ^= 0x20;
    test_write_file(path, data, size);
    free(data);
}

static bool differs_between_runs(const char *name)
{
    static const char *const names[] = {"config.yaml", "metrics.jsonl", "summary.json", "state.json"};
    for (size_t i = 0; i < BT_ARRAY_LEN(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static void list_folder(const struct train_world *world, FILE *out, const char *folder, bool same_run)
{
    struct bt_diag diag = {""};
    char **names;
    size_t count;
    TEST_OK(bt_dir_list(world_path(world, folder), &names, &count, &diag), diag);
    for (size_t i = 0; i < count; i++) {
        char relative[1024];
        snprintf(relative, sizeof relative, "%s/%s", folder, names[i]);
        if (!strcmp(names[i], "lock"))
            continue;
        if (bt_dir_exists(world_path(world, relative))) {
            fprintf(out, "%s/\n", relative);
            list_folder(world, out, relative, same_run);
        } else {
            const bool by_name = !same_run && differs_between_runs(names[i]);
            fprintf(out, "%s %s\n", relative, by_name ? "" : world_hash(world, relative));
        }
    }
    bt_names_free(names, count);
}

char *world_listing(const struct train_world *world, const char *folder, bool same_run)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (bt_dir_exists(world_path(world, folder)))
        list_folder(world, out, folder, same_run);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* The record without what times it; NULL when its event is not asked for. */
static char *record_text(const char *line, size_t length, const char *events)
{
    struct bt_diag diag = {""};
    json_t *record = NULL;
    char *text = NULL;
    TEST_OK(bt_json_parse(line, length, "a line of metrics.jsonl", &record, &diag), diag);
    const char *event = json_string_value(json_object_get(record, "event"));
    assert_non_null(event);
    if (strstr(events, event)) {
        json_object_del(record, "tokens_per_second");
        json_object_del(record, "elapsed_s");
        json_object_del(record, "data_wait_s");
        json_object_del(record, "telemetry_s");
        text = bt_json_text(record, JSON_COMPACT);
        assert_non_null(text);
    }
    json_decref(record);
    return text;
}

char *world_records(const struct train_world *world, const char *run, const char *events)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    char *lines = world_text(world, test_format("%s/metrics.jsonl", run));
    assert_non_null(out);
    for (const char *line = lines, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end); /* no broken line */
        char *record = record_text(line, (size_t)(end - line), events);
        if (record)
            fprintf(out, "%s\n", record);
        bt_free(record);
    }
    assert_int_equal(fclose(out), 0);
    free(lines);
    return text;
}

void world_keep_good(struct train_world *world)
{
    world_run(world);
    world_expect(world, 0);
    world->good_files = world_listing(world, "runs", false);
    world->good_records = world_records(world, "runs/a", COMPARED);
    world_remove(world, "runs");
}

/* Takes the lines about checkpoints out of a listing. */
static void drop_checkpoints(char *listing)
{
    char *to = listing;
    for (const char *line = listing, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        const size_t length = (size_t)(end - line) + 1;
        if (!memmem(line, length, "/checkpoints/", 13)) {
            memmove(to, line, length);
            to += length;
        }
    }
    *to = '\0';
}

/* Shows where two texts of lines part. */
static void expect_same(const char *found, const char *expected, const char *when)
{
    size_t line = 0;
    if (!strcmp(found, expected))
        return;
    for (size_t i = 0; found[i] && found[i] == expected[i]; i++)
        if (found[i] == '\n')
            line = i + 1;
    fail_msg("%s, found:\n%.*s\nthe run that was not broken off has:\n%.*s", when, (int)strcspn(found + line, "\n"),
             found + line, (int)strcspn(expected + line, "\n"), expected + line);
}

void world_expect_good(struct train_world *world, bool checkpoints, const char *format, ...)
{
    char when[128];
    va_list args;
    va_start(args, format);
    vsnprintf(when, sizeof when, format, args);
    va_end(args);
    world->loud = false;
    world_run(world);
    if (world->output.exit_code != 0 || *world->output.err)
        fail_msg("%s: exit code %d, signal %d, stderr: %s", when, world->output.exit_code, world->output.signal,
                 world->output.err);
    char *records = world_records(world, "runs/a", COMPARED), *files = world_listing(world, "runs", false);
    char *good_files = strdup(world->good_files);
    assert_non_null(good_files);
    if (!checkpoints) {
        drop_checkpoints(files);
        drop_checkpoints(good_files);
    }
    expect_same(records, world->good_records, when);
    expect_same(files, good_files, when);
    free(good_files);
    free(records);
    free(files);
    world_remove(world, "runs");
}

void world_keep_interrupted(struct train_world *world, long operations)
{
    /* The model folder is written by more than the last ten operations, one of which frees the lock. */
    WORLD_FAULT(world, test_format("BT_TEST_KILL_AT_IO=%ld", operations - 10));
    assert_int_equal(world->output.signal, SIGKILL);
    assert_true(bt_dir_exists(world_path(world, "runs/a/stage2/checkpoints/step-00000006")));
    assert_true(bt_dir_exists(world_path(world, "runs/a/stage2/checkpoints/step-00000008")));
    assert_false(bt_file_exists(world_path(world, "runs/a/stage2/model")));
    world_copy(world, "runs", "interrupted");
    world_remove(world, "runs");
}

long world_count_operations(struct train_world *world)
{
    WORLD_FAULT(world, test_format("BT_TEST_COUNT_IO=%s", world_path(world, "count")));
    world_expect(world, 0);
    char *text = world_text(world, "count");
    const long count = strtol(text, NULL, 10);
    free(text);
    assert_true(count > 50);
    world_remove(world, "runs");
    return count;
}
