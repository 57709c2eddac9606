/* Run folders as they are, as they become, and as they get damaged. */
#include "report/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "report/effect.h"
#include "report_world.h"

struct world {
    char *folder;
    struct bt_report report;
    struct bt_diag diag;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->folder = test_make_dir();
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    bt_report_finish(&w->report);
    test_remove_dir(w->folder);
    free(w);
    return 0;
}

static void read_one(struct world *w, const struct run_given *given)
{
    const char *path = write_run(w->folder, "run", given);
    TEST_OK(bt_report_read(&path, 1, &w->report, &w->diag), w->diag);
}

static void a_run_is_read(void **state)
{
    struct world *w = *state;
    char *metrics = stage2_metrics(100);
    double step = 0.0;
    read_one(w, &(struct run_given){.config = stage2_config, .metrics = metrics, .finished = true});
    const struct bt_report_run *run = &w->report.runs[0];
    const struct bt_report_stage *stage = &run->stages[BT_STAGE2];
    assert_string_equal(w->report.labels[0], "run");
    assert_int_equal(run->state, BT_REPORT_FINISHED);
    assert_int_equal(run->damaged, 0);
    assert_int_equal(stage->train.records, 100);
    assert_int_equal(stage->eval.records, 10);
    assert_int_equal(bt_series_find(&stage->train, "grad_norm")->count, 100);
    assert_null(bt_series_find(&stage->train, "step"));
    assert_null(bt_series_find(&stage->train, "event"));
    assert_int_equal(bt_report_last_stage(run), BT_STAGE2);
    assert_true(bt_report_final_loss(run, BT_STAGE2) == 1.29);
    assert_true(bt_report_best_loss(run, BT_STAGE2, &step) == 1.29 && step == 100.0);
    assert_true(bt_report_seconds(run) == 100.0);
    free(metrics);
}

/* Best and final look at full lambda alone. */
static void losses_below_full_lambda_do_not_count(void **state)
{
    struct world *w = *state;
    double step = 0.0;
    read_one(w, &(struct run_given){
                    .config = stage2_config,
                    .metrics = "{\"event\":\"eval\",\"stage\":\"stage2\",\"step\":1,\"loss\":0.5,\"lambda\":0.9}\n"
                               "{\"event\":\"eval\",\"stage\":\"stage2\",\"step\":2,\"loss\":2.5,\"lambda\":1.0}\n"
                               "{\"event\":\"eval\",\"stage\":\"stage2\",\"step\":3,\"loss\":3.5,\"lambda\":1.0}\n"
                               "{\"event\":\"eval\",\"stage\":\"stage2\",\"step\":4,\"loss\":null,\"lambda\":1.0}\n"});
    const struct bt_report_run *run = &w->report.runs[0];
    assert_true(bt_report_best_loss(run, BT_STAGE2, &step) == 2.5 && step == 2.0);
    assert_true(bt_report_final_loss(run, BT_STAGE2) == 3.5);
    assert_int_equal(run->state, BT_REPORT_STOPPED);
}

static void numbers_have_the_names_of_their_places(void **state)
{
    struct world *w = *state;
    read_one(w, &(struct run_given){
                    .metrics = "{\"event\":\"telemetry\",\"stage\":\"stage2\",\"step\":5,\"projections\":{\"q_proj\":{"
                               "\"zero\":[0.25,null,0.5]}}}\n"});
    const struct bt_series_set *set = &w->report.runs[0].stages[BT_STAGE2].telemetry;
    const struct bt_series *first = bt_series_find(set, "projections.q_proj.zero.0");
    const struct bt_series *second = bt_series_find(set, "projections.q_proj.zero.1");
    assert_true(first->count == 1 && first->x[0] == 5.0 && first->y[0] == 0.25);
    assert_true(second->count == 1 && isnan(second->y[0]));
    assert_null(bt_series_find(set, "projections.q_proj.zero.3"));
}

static void damaged_lines_are_left_out_and_counted(void **state)
{
    struct world *w = *state;
    read_one(w,
             &(struct run_given){.metrics = "{\"event\":\"train\",\"stage\":\"stage2\",\"step\":1,\"loss\":3.0}\n"
                                            "{\"event\":\"train\",\"stage\":\"sta\n"
                                            "\n"
                                            "[1,2]\n"
                                            "{\"event\":\"train\",\"stage\":\"stage7\",\"step\":2,\"loss\":3.0}\n"
                                            "{\"event\":\"train\",\"stage\":\"stage2\",\"loss\":3.0}\n"
                                            "{\"event\":\"train\",\"stage\":\"stage2\",\"step\":2,\"loss\":\"<b>\"}\n"
                                            "{\"event\":\"something new\",\"stage\":\"stage2\",\"step\":2}\n"
                                            "{\"event\":\"train\",\"stage\":\"stage2\",\"step\":3,\"loss\":1.0}\n"
                                            "{\"event\":\"train\",\"stage\":\"stage2\",\"step\":4,\"lo"});
    const struct bt_report_run *run = &w->report.runs[0];
    const struct bt_series *loss = bt_series_find(&run->stages[BT_STAGE2].train, "loss");
    assert_int_equal(run->damaged, 5);
    assert_int_equal(run->first_damaged, 2);
    assert_int_equal(loss->count, 2);
    char *page = bt_report_page(&w->report, "1", 0);
    assert_non_null(strstr(page, "5 lines could not be read, from line 2 on"));
    bt_free(page);
}

/* Whatever a kill or a disk leaves of the file, there is a page of what is whole. */
static void every_cut_of_the_records_makes_a_page(void **state)
{
    struct world *w = *state;
    char *metrics = stage2_metrics(10);
    const size_t size = strlen(metrics);
    char *path = strdup(write_run(w->folder, "run", &(struct run_given){.metrics = ""}));
    const char *const paths[] = {path};
    for (size_t cut = 0; cut <= size; cut += 37) {
        struct bt_report report;
        test_write_file(test_format("%s/metrics.jsonl", path), metrics, cut);
        TEST_OK(bt_report_read(paths, 1, &report, &w->diag), w->diag);
        assert_int_equal(report.runs[0].damaged, 0);
        char *page = bt_report_page(&report, "1", 0), *text = bt_report_text(&report, true);
        assert_true(page && text);
        bt_free(page);
        bt_free(text);
        bt_report_finish(&report);
    }
    free(path);
    free(metrics);
}

static void a_folder_that_is_no_run_is_named(void **state)
{
    struct world *w = *state;
    const char *path = write_run(w->folder, "empty", &(struct run_given){0});
    assert_int_equal(bt_report_read(&path, 1, &w->report, &w->diag), BT_EINPUT);
    assert_non_null(strstr(w->diag.text, path));
    path = test_format("%s/absent", w->folder);
    assert_int_equal(bt_report_read(&path, 1, &w->report, &w->diag), BT_EINPUT);
    assert_non_null(strstr(w->diag.text, "absent"));
}

/* Another config, and other files that are not what they should be. */
static void damaged_files_are_left_out(void **state)
{
    struct world *w = *state;
    read_one(w, &(struct run_given){.config = "name: [a\n", .conversion = "{\"loss_before\":"});
    assert_int_equal(w->report.runs[0].config.count, 0);
    assert_null(w->report.runs[0].conversion);
    char *page = bt_report_page(&w->report, "1", 0);
    assert_non_null(strstr(page, "name: [a"));
    bt_free(page);
}

static void a_twin_is_found_by_its_config(void **state)
{
    struct world *w = *state;
    char *metrics = stage2_metrics(20);
    char *other = strdup(stage2_config), *twin = strdup(stage2_config), *real = strdup(metrics);
    memcpy(strstr(twin, "weights: ternary"), "weights: none   ", 16);
    memcpy(strstr(twin, "activations: int8"), "activations: none", 17);
    memcpy(strstr(other, "0.001"), "0.002", 5);
    memcpy(strstr(real, "\"weights\":\"ternary\""), "\"weights\":\"none\"   ", 19);
    memcpy(strstr(real, "\"activations\":\"int8\""), "\"activations\":\"none\"", 20);
    memcpy(strstr(real, "\"step\":20,\"loss\":1.45"), "\"step\":20,\"loss\":1.20", 21);
    const char *paths[] = {
        write_run(w->folder, "a", &(struct run_given){.config = stage2_config, .metrics = metrics, .finished = true}),
        write_run(w->folder, "b", &(struct run_given){.config = other, .metrics = metrics}),
        write_run(w->folder, "c", &(struct run_given){.config = twin, .metrics = real}),
    };
    TEST_OK(bt_report_read(paths, 3, &w->report, &w->diag), w->diag);
    assert_int_equal(w->report.twins[0], 2);
    assert_true(w->report.twins[1] == BT_REPORT_NONE);
    assert_true(w->report.twins[2] == BT_REPORT_NONE);
    assert_true(isnan(bt_report_cost(&w->report, 0))); /* the twin goes on */
    assert_true(isnan(bt_report_cost(&w->report, 1)));
    w->report.runs[2].state = BT_REPORT_FINISHED;
    assert_true(fabs(bt_report_cost(&w->report, 0) - 0.25) < 1e-12);
    const char **keys;
    size_t count;
    TEST_OK(bt_report_differences(&w->report, true, &keys, &count, &w->diag), w->diag);
    assert_int_equal(count, 3);
    assert_string_equal(keys[0], "stage2.weights");
    assert_string_equal(keys[2], "stage2.optimizer.lr");
    bt_free(keys);
    free(metrics);
    free(other);
    free(twin);
    free(real);
}

static void runs_of_one_name_go_by_their_paths(void **state)
{
    struct world *w = *state;
    const struct run_given given = {.config = stage2_config};
    write_run(w->folder, "x", &given);
    const char *paths[] = {write_run(w->folder, "a", &given), write_run(test_format("%s/x", w->folder), "a", &given),
                           test_format("%s/x", w->folder)};
    TEST_OK(bt_report_read(paths, 3, &w->report, &w->diag), w->diag);
    assert_string_equal(w->report.labels[0], paths[0]);
    assert_string_equal(w->report.labels[1], paths[1]);
    assert_string_equal(w->report.labels[2], "x");
}

/* ---- sweeps ---- */

static const char sweep_row[] = "{\"name\":\"lr=3-00000003\",\"status\":\"failed\",\"error\":\"<no> memory\"}\n"
                                "{\"name\":\"lr=1-0badcafe\",\"status\":\"finished\",\"error\":null}\n"
                                "{\"name\":";

/* Members with learning rates 1, 2, 2 and 2, of losses 1.45, 1.45 (so far), 5.45 and 1.45; one that is shared; one that
 * never began. */
static const char *write_sweep(const char *folder)
{
    static const char *const names[] = {"lr=1-0badcafe", "lr=2,seed=1-00000001", "lr=2,seed=2-00000002",
                                        "lr=2,seed=3-00000004", "shared-stage1-00000009"};
    static char path[4096]; /* outlives what test_format remembers */
    char *metrics = stage2_metrics(20);
    snprintf(path, sizeof path, "%s/sweep", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(mkdir(test_format("%s/members", path), 0777), 0);
    for (size_t i = 0; i < BT_ARRAY_LEN(names); i++) {
        char *config = strdup(stage2_config), *records = strdup(metrics);
        *strstr(config, "1}\n") = i ? '2' : '1';
        if (i == 2)
            memcpy(strstr(records, "\"step\":20,\"loss\":1.45"), "\"step\":20,\"loss\":5.45", 21);
        write_run(path, names[i], &(struct run_given){.config = config, .metrics = records, .finished = i != 1});
        test_write_file(test_format("%s/members/%s.yaml", path, names[i]), "", 0);
        free(config);
        free(records);
    }
    test_write_file(test_format("%s/members/lr=3-00000003.yaml", path), "", 0);
    test_write_file(test_format("%s/members/%s.json", path, names[1]), "{\"error\":\"disk <full>\"}", 23);
    test_write_file(test_format("%s/results.jsonl", path), sweep_row, strlen(sweep_row));
    free(metrics);
    return path;
}

static void a_sweep_stands_for_its_members(void **state)
{
    struct world *w = *state;
    const char *path = write_sweep(w->folder);
    TEST_OK(bt_report_read(&path, 1, &w->report, &w->diag), w->diag);
    assert_int_equal(w->report.run_count, 4);
    assert_string_equal(w->report.sweep, "sweep");
    assert_string_equal(w->report.labels[0], "lr=1");
    assert_string_equal(w->report.labels[1], "lr=2,seed=1");
    assert_string_equal(w->report.runs[1].error, "disk <full>");
    assert_null(w->report.runs[0].error);
    assert_int_equal(json_array_size(w->report.pending), 1);
    assert_true(bt_report_goes_on(&w->report));
    char *page = bt_report_page(&w->report, "1", 0);
    assert_non_null(strstr(page, "disk &lt;full&gt;"));
    assert_non_null(strstr(page, "&lt;no&gt; memory"));
    assert_non_null(strstr(page, "The effect of each key"));
    bt_free(page);
}

static void the_effect_of_a_key_is_that_of_its_values(void **state)
{
    struct world *w = *state;
    const char *path = write_sweep(w->folder);
    struct bt_effect effect;
    TEST_OK(bt_report_read(&path, 1, &w->report, &w->diag), w->diag);
    TEST_OK(bt_effect_find(&w->report, "stage2.optimizer.lr", &effect, &w->diag), w->diag);
    assert_int_equal(effect.count, 2);
    assert_true(effect.numbers);
    assert_true(effect.values[0].number == 0.001 && effect.values[1].number == 0.002);
    assert_true(effect.values[0].runs == 1 && effect.values[0].median == 1.45);
    assert_true(effect.values[1].runs == 2 && fabs(effect.values[1].median - 3.45) < 1e-12);
    assert_true(effect.values[1].least == 1.45 && effect.values[1].most == 5.45);
    assert_true(isnan(effect.values[1].cost));
    bt_effect_finish(&effect);
}

/* ---- out of memory ---- */

struct reading {
    const char *paths[3];
    struct bt_diag diag;
};

static enum bt_err read_and_write(void *context)
{
    struct reading *r = context;
    struct bt_report report;
    enum bt_err err = bt_report_read(r->paths, 3, &report, &r->diag);
    if (err)
        return err;
    char *page = bt_report_page(&report, "1", 0), *text = page ? bt_report_text(&report, true) : NULL;
    if (!page || !text)
        err = BT_ENOMEM;
    bt_free(page);
    bt_free(text);
    bt_report_finish(&report);
    return err;
}

static void no_allocation_is_taken_for_granted(void **state)
{
    struct world *w = *state;
    char *metrics = stage2_metrics(3);
    const struct run_given given = {
        .config = stage2_config, .metrics = metrics, .conversion = "{\"loss_before\":2.0,\"added\":[\"a\"]}"};
    struct reading r = {.paths = {strdup(write_run(w->folder, "a", &given)), strdup(write_run(w->folder, "b", &given)),
                                  write_sweep(w->folder)}};
    test_every_allocation_fails(read_and_write, &r);
    free((char *)(uintptr_t)r.paths[0]);
    free((char *)(uintptr_t)r.paths[1]);
    free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(losses_below_full_lambda_do_not_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_have_the_names_of_their_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_lines_are_left_out_and_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_cut_of_the_records_makes_a_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_is_no_run_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_files_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_twin_is_found_by_its_config, set_up, tear_down),
        cmocka_unit_test_setup_teardown(runs_of_one_name_go_by_their_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sweep_stands_for_its_members, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_effect_of_a_key_is_that_of_its_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_allocation_is_taken_for_granted, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
