/* The table of a sweep, from run folders that the test makes: rows, order, files, spread over seeds. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/lock.h"
#include "sweep/table.h"
#include "sweep/take_over.h"

static const char base[] = "name: base\nstages: [stage0, stage2]\nmodel: {config: tiny.json}\n"
                           "data: {train: [{path: train.bin}]}\n"
                           "stage0: {max_steps: 100}\nstage2: {max_steps: 100, lambda_warmup: {warmup_steps: 10}}\n";
static const char file[] = "name: s\nconfig: base.yaml\ntwins: true\n"
                           "grid: {stage2.optimizer.lr: [1e-3, 2e-3]}\nseeds: [1, 2]\n";

static char *dir;
static struct bt_sweep *sweep;

/* The run's folder as it is when it is finished with this validation loss. */
static void finish(size_t i, double loss)
{
    struct bt_diag diag = {""};
    const struct bt_sweep_run *run = &sweep->runs[i];
    const char *text = test_format("{\"name\": \"x\", \"stages\": {\"stage0\": {\"steps\": 100, \"elapsed_s\": 1.25},"
                                   " \"stage2\": {\"steps\": 100, \"loss\": %.17g, \"eval_loss\": %.17g,"
                                   " \"perplexity\": 2.5, \"best_eval_loss\": %.17g, \"best_step\": 80,"
                                   " \"tokens\": 1000, \"elapsed_s\": 4.0}}}",
                                   loss + 1.0, loss, loss - 0.5);
    for (size_t stage = 0; stage < run->config->stage_count; stage++)
        TEST_OK(bt_dir_make(run->models[stage], &diag), diag);
    test_write_file(test_format("%s/summary.json", run->path), text, strlen(text));
}

static struct bt_sweep_table make_table(void)
{
    struct bt_diag diag = {""};
    struct bt_sweep_table table;
    TEST_OK(bt_sweep_table_make(sweep, true, &table, &diag), diag);
    return table;
}

static int setup(void **state)
{
    struct bt_diag diag = {""};
    struct bt_sweep_file *parsed;
    (void)state;
    dir = test_make_dir();
    assert_int_equal(chdir(dir), 0);
    test_write_file("base.yaml", base, strlen(base));
    TEST_OK(bt_sweep_file_parse(file, strlen(file), "s.yaml", &parsed, &diag), diag);
    TEST_OK(bt_sweep_lay_out(parsed, NULL, 0, &sweep, &diag), diag);
    TEST_OK(bt_dir_make("runs/s/members", &diag), diag);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bt_sweep_destroy(sweep);
    test_remove_dir(dir);
    return 0;
}

static void test_statuses(void **state)
{
    struct bt_diag diag = {""};
    struct bt_lock *lock;
    (void)state;
    finish(2, 3.0);
    TEST_OK(bt_dir_make(sweep->runs[1].path, &diag), diag);
    TEST_OK(bt_sweep_note_failure(sweep, &sweep->runs[3], 4, "it diverged, \"badly\"", &diag), diag);
    char *path = bt_sweep_member_path(sweep, &sweep->runs[4], ".lock");
    TEST_OK(bt_lock_take(path, &lock, &diag), diag);
    struct bt_sweep_table table = make_table();
    assert_int_equal(table.count, 8);
    assert_ptr_equal(table.rows[0].run, &sweep->runs[2]);
    assert_int_equal(table.rows[0].outcome.status, BT_SWEEP_FINISHED);
    for (size_t i = 1; i < table.count; i++) { /* the others in the order of the members */
        static const enum bt_sweep_status expected[] = {BT_SWEEP_PENDING, BT_SWEEP_INTERRUPTED, BT_SWEEP_FINISHED,
                                                        BT_SWEEP_FAILED,  BT_SWEEP_RUNNING,     BT_SWEEP_PENDING,
                                                        BT_SWEEP_PENDING, BT_SWEEP_PENDING};
        const size_t run = (size_t)(table.rows[i].run - sweep->runs);
        assert_int_equal(run, i - 1 < 2 ? i - 1 : i);
        assert_int_equal(table.rows[i].outcome.status, expected[run]);
    }
    bt_sweep_table_finish(&table);
    bt_lock_release(lock);
    bt_free(path);
}

static void test_divergence_is_kept_while_its_folder_is(void **state)
{
    struct bt_diag diag = {""};
    const struct bt_sweep_run *run = &sweep->runs[3];
    (void)state;
    TEST_OK(bt_sweep_note_failure(sweep, run, 4, "it diverged", &diag), diag);
    assert_false(bt_sweep_failures(sweep, run).diverged);
    TEST_OK(bt_dir_make(run->path, &diag), diag);
    assert_true(bt_sweep_failures(sweep, run).diverged);
    TEST_OK(bt_sweep_note_failure(sweep, run, 5, "the disk is full", &diag), diag);
    assert_false(bt_sweep_failures(sweep, run).diverged);
    TEST_OK(bt_sweep_forget_error(sweep, run, &diag), diag);
    assert_int_equal(bt_sweep_failures(sweep, run).count, 2);
    assert_int_equal(bt_sweep_failures(sweep, &sweep->runs[2]).count, 0);
    struct bt_sweep_outcome outcome;
    TEST_OK(bt_sweep_look(sweep, run, false, &outcome, &diag), diag);
    assert_int_equal(outcome.status, BT_SWEEP_INTERRUPTED);
}

/* Two recipes with two seeds each; the second seed of the first recipe has failed. */
static void finish_all(void)
{
    struct bt_diag diag = {""};
    finish(0, 3.0);
    TEST_OK(bt_sweep_note_failure(sweep, &sweep->runs[1], 3, "no data, \"x\"", &diag), diag);
    finish(2, 2.0);
    finish(3, 2.5);
    finish(sweep->runs[2].twin, 1.75);
}

static void test_numbers(void **state)
{
    (void)state;
    finish_all();
    struct bt_sweep_table table = make_table();
    assert_true(table.rows[0].outcome.eval_loss == 1.75 && table.rows[0].run->is_twin);
    const struct bt_sweep_row *row = &table.rows[1];
    assert_ptr_equal(row->run, &sweep->runs[2]);
    assert_true(row->outcome.loss == 3.0 && row->outcome.best_eval_loss == 1.5 && row->cost == 0.25);
    assert_int_equal(row->outcome.best_step, 80);
    assert_true(row->outcome.tokens_per_second == 250.0 && row->outcome.seconds == 5.25);
    assert_true(isnan(table.rows[2].cost)); /* its twin is not finished */
    bt_sweep_table_finish(&table);
}

static void test_spread(void **state)
{
    (void)state;
    finish_all();
    struct bt_sweep_table table = make_table();
    assert_int_equal(table.spread_count, 4); /* two recipes and their twins */
    const struct bt_spread_line *line = &table.spread[1];
    assert_string_equal(line->run->values[0], "0.002");
    assert_int_equal(line->members, 2);
    assert_int_equal(line->finished, 2);
    assert_true(line->mean == 2.25 && line->least == 2.0 && line->most == 2.5 && line->best_mean == 1.75);
    assert_true(fabs(line->deviation - sqrt(0.125)) < 1e-15);
    line = &table.spread[2];
    assert_int_equal(line->finished, 1);
    assert_true(line->mean == 3.0 && isnan(line->deviation));
    assert_true(isnan(table.spread[3].mean) && table.spread[3].finished == 0);
    bt_sweep_table_finish(&table);
}

static void test_files(void **state)
{
    struct bt_diag diag = {""};
    (void)state;
    finish_all();
    struct bt_sweep_table table = make_table();
    TEST_OK(bt_sweep_table_write(&table, &diag), diag);
    char *csv = (char *)test_read_file("runs/s/results.csv", NULL);
    const char header[] =
        "name,stage2.optimizer.lr,seed,status,loss,eval_loss,perplexity,best_eval_loss,best_step,steps,"
        "tokens,tokens_per_second,seconds,error,is_twin,twin,cost\n";
    assert_int_equal(strncmp(csv, header, strlen(header)), 0);
    assert_non_null(strstr(csv, ",0.002,1,finished,3.0,2.0,2.5,1.5,80,100,1000,250.0,5.25,,false,\""));
    assert_non_null(strstr(csv, ",0.001,2,failed,,,,,,,,,,\"no data, \"\"x\"\"\",false,"));
    char *jsonl = (char *)test_read_file("runs/s/results.jsonl", NULL);
    assert_non_null(strstr(jsonl, "\"stage2.optimizer.lr\":0.002,\"seed\":1,\"status\":\"finished\",\"loss\":3.0,"));
    assert_non_null(strstr(jsonl, "\"error\":\"no data, \\\"x\\\"\",\"is_twin\":false"));
    char *spread = (char *)test_read_file("runs/s/spread.csv", NULL);
    assert_non_null(strstr(spread, "stage2.optimizer.lr,members,finished,eval_loss,deviation,least,most,"
                                   "best_eval_loss,is_twin,cost\n"));
    assert_non_null(strstr(spread, "\n0.002,2,2,2.25,0.3535533905932738,2.0,2.5,1.75,false,"));
    char *text = bt_sweep_table_text(&table);
    assert_non_null(strstr(text, "no data, \"x\""));
    assert_non_null(strstr(text, "finished (twin)"));
    bt_free(text);
    free(csv);
    free(jsonl);
    free(spread);
    bt_sweep_table_finish(&table);
}

static enum bt_err make_and_write(void *context)
{
    struct bt_diag diag;
    struct bt_sweep_table table = {0};
    enum bt_err err = bt_sweep_table_make(sweep, true, &table, &diag);
    char *text = err ? NULL : bt_sweep_table_text(&table);
    (void)context;
    if (!err && !text)
        err = BT_ENOMEM;
    if (!err)
        err = bt_sweep_table_write(&table, &diag);
    bt_free(text);
    bt_sweep_table_finish(&table);
    return err;
}

static void test_memory(void **state)
{
    (void)state;
    finish_all();
    test_every_allocation_fails(make_and_write, NULL);
}

/* ---- stages that are taken over ---- */

static int refuse_links(const char *op, const char *path)
{
    (void)path;
    return strcmp(op, "link") ? 0 : 18; /* EXDEV */
}

static void take_over(void)
{
    struct bt_diag diag = {""};
    const struct bt_sweep_run *run = &sweep->runs[0], *shared = &sweep->runs[run->parent];
    assert_true(shared->is_shared);
    TEST_OK(bt_dir_make(shared->models[0], &diag), diag);
    test_write_file(test_format("%s/weights", shared->models[0]), "w", 1);
    test_write_file(test_format("%s/metrics.jsonl", shared->path), "{}\n", 3);
    test_write_file(test_format("%s/summary.json", shared->path), "{}", 2);
    TEST_OK(bt_dir_make(test_format("runs/s/.tmp-%s/left", run->name), &diag), diag); /* by a kill */
    TEST_OK(bt_sweep_take_over(run, shared, &diag), diag);
    char *weights = (char *)test_read_file(test_format("%s/weights", run->models[0]), NULL);
    assert_string_equal(weights, "w");
    free(weights);
    assert_true(bt_file_exists(test_format("%s/metrics.jsonl", run->path)));
    assert_true(bt_file_exists(test_format("%s/summary.json", run->path)));
    assert_false(bt_file_exists(test_format("%s/left", run->path)));
    assert_false(bt_file_exists(test_format("runs/s/.tmp-%s", run->name)));
}

static void test_take_over(void **state)
{
    (void)state;
    take_over();
}

static void test_take_over_without_links(void **state)
{
    (void)state;
    bt_io_hook = refuse_links;
    take_over();
    bt_io_hook = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_statuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_divergence_is_kept_while_its_folder_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_take_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_take_over_without_links, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
