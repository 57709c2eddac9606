#include "sweep_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"

const char sweep_of_twelve[] = "name: twelve\n"
                               "config: run.yaml\n"
                               "grid:\n"
                               "  stage2.optimizer.lr: [1e-3, 2e-3, 4e-3]\n"
                               "  stage1.subln_init: [ones, calibrated]\n"
                               "seeds: [1, 2]\n"
                               "jobs: 2\n"
                               "threads: 2\n";

void sweep_make(struct train_world *world, int argc, char **argv, const char *text)
{
    world_make(world, argc, argv);
    world_write(world, "sweep.yaml", text);
}

void sweep_run(struct train_world *world, int (*signal_now)(void *, double), void *context,
               const char *const *arguments)
{
    const char *argv[32] = {world->program, "--config", "sweep.yaml"};
    for (size_t i = 0; arguments && arguments[i]; i++)
        argv[3 + i] = arguments[i];
    test_output_free(&world->output);
    test_run(
        &(struct test_program){.argv = argv, .directory = world->dir, .signal_now = signal_now, .context = context},
        &world->output);
}

char **sweep_runs(const struct train_world *world, const char *folder, size_t *ret_count)
{
    struct bt_diag diag = {""};
    char **names;
    size_t count, kept = 0;
    TEST_OK(bt_dir_list(world_path(world, folder), &names, &count, &diag), diag);
    for (size_t i = 0; i < count; i++) {
        const char *path = world_path(world, test_format("%s/%s/metrics.jsonl", folder, names[i]));
        if (*names[i] != '.' && bt_file_exists(path))
            names[kept++] = names[i];
        else
            bt_free(names[i]);
    }
    *ret_count = kept;
    return names;
}

size_t sweep_count_finished(const struct train_world *world, const char *folder)
{
    size_t count, finished = 0;
    if (!bt_dir_exists(world_path(world, folder)))
        return 0;
    char **names = sweep_runs(world, folder, &count);
    for (size_t i = 0; i < count; i++)
        finished += bt_dir_exists(world_path(world, test_format("%s/%s/stage2/model", folder, names[i])));
    bt_names_free(names, count);
    return finished;
}

/* The record that the line holds, which moves on to the next one; NULL at the end of the text. */
static json_t *next_record(const char **line)
{
    struct bt_diag diag = {""};
    json_t *record = NULL;
    const char *end = strchr(*line, '\n');
    if (!**line)
        return NULL;
    assert_non_null(end); /* no broken line */
    TEST_OK(bt_json_parse(*line, (size_t)(end - *line), "a line", &record, &diag), diag);
    *line = end + 1;
    return record;
}

/* What `add` writes for each record of a file; free. */
static char *collect(const struct train_world *world, const char *relative, void (*add)(FILE *out, json_t *record))
{
    char *text = NULL;
    size_t size;
    char *lines = world_text(world, relative);
    const char *line = lines;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    for (json_t *record; (record = next_record(&line)); json_decref(record))
        add(out, record);
    assert_int_equal(fclose(out), 0);
    free(lines);
    return text;
}

static void add_result(FILE *out, json_t *record)
{
    assert_int_equal(json_object_del(record, "tokens_per_second"), 0);
    assert_int_equal(json_object_del(record, "seconds"), 0);
    char *rest = bt_json_text(record, 0);
    fprintf(out, "%s\n", rest);
    bt_free(rest);
}

char *sweep_results(const struct train_world *world, const char *folder)
{
    return collect(world, test_format("%s/results.jsonl", folder), add_result);
}

/* "stage0:1 stage0:2 ... stage2:8": what the train records say. */
static void add_update(FILE *out, json_t *record)
{
    if (!strcmp(json_string_value(json_object_get(record, "event")), "train"))
        fprintf(out, "%s:%lld ", json_string_value(json_object_get(record, "stage")),
                (long long)json_integer_value(json_object_get(record, "step")));
}

void sweep_expect_each_update_once(const struct train_world *world, const char *folder)
{
    static const char stage0[] = "stage0:1 stage0:2 stage0:3 stage0:4 stage0:5 stage0:6 ";
    static const char stage2[] = "stage2:1 stage2:2 stage2:3 stage2:4 stage2:5 stage2:6 stage2:7 stage2:8 ";
    size_t count;
    char **names = sweep_runs(world, folder, &count);
    for (size_t i = 0; i < count; i++) {
        char *updates = collect(world, test_format("%s/%s/metrics.jsonl", folder, names[i]), add_update);
        const bool shared = !strncmp(names[i], "shared-", 7);
        assert_string_equal(updates, test_format("%s%s", stage0, shared ? "" : stage2));
        free(updates);
    }
    bt_names_free(names, count);
}
