#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t golden_computes(struct bt_compute *computes, size_t room)
{
    size_t count = 0;
    for (int level = BT_CPU_PORTABLE; level <= BT_CPU_AVX512; level++) {
        struct bt_compute compute;
        bt_compute_init(&compute, (enum bt_cpu_level)level);
        if (compute.kernels.level != (enum bt_cpu_level)level)
            break;
        assert_true(count < room);
        computes[count++] = compute;
    }
    if (bt_matmul_onednn()) {
        assert_true(count < room);
        computes[count] = computes[count - 1];
        computes[count].int8_forward = false;
        computes[count++].matmul = bt_matmul_onednn();
    }
    return count;
}

void golden_model_open(struct golden_model *g, const char *folder, const struct bt_compute *compute, size_t rows,
                       size_t seq, bool ternary, bool int8)
{
    const struct bt_model_options options = {
        .rows = rows, .seq = seq, .ternary_weights = ternary, .int8_activations = int8, .gradients = true};
    golden_model_open_as(g, folder, compute, &options);
}

void golden_model_open_as(struct golden_model *g, const char *folder, const struct bt_compute *compute,
                          const struct bt_model_options *options)
{
    struct bt_diag diag = {0};
    memset(g, 0, sizeof *g);
    g->compute = *compute;
    TEST_OK(bt_model_load(folder, &g->loaded, &diag), diag);
    g->gradients = calloc(g->loaded->params.total, sizeof(float));
    assert_non_null(g->gradients);
    TEST_OK(
        bt_model_create(&g->loaded->params, options, g->loaded->weights, g->gradients, &g->compute, &g->model, &diag),
        diag);
    bt_model_prepare(g->model);
}

void golden_model_close(struct golden_model *g)
{
    bt_model_destroy(g->model);
    free(g->gradients);
    bt_model_unload(g->loaded);
}

static golden_case *run_case;

static void test_case(void **state)
{
    const char *name = *state, *folder = test_shared(test_format("golden/%s", name));
    struct bt_compute computes[8];
    const size_t count = golden_computes(computes, BT_ARRAY_LEN(computes));
    for (size_t i = 0; i < count; i++) {
        print_message("%s: %s kernels, %s products\n", name, bt_cpu_level_name(computes[i].kernels.level),
                      computes[i].matmul->name);
        run_case(folder, &computes[i], BT_KEEP_ALL);
    }
    run_case(folder, &computes[0], BT_KEEP_INPUTS);
}

int golden_run_cases(const char *group, const char *const *names, size_t count, golden_case *run)
{
    struct CMUnitTest tests[GOLDEN_CASES] = {{0}}; /* cmocka passes over what has no name */
    assert_true(count <= GOLDEN_CASES);
    run_case = run;
    for (size_t i = 0; i < count; i++)
        tests[i] =
            (struct CMUnitTest){.name = names[i], .test_func = test_case, .initial_state = (void *)(uintptr_t)names[i]};
    return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

struct bt_batch golden_batch(size_t rows, size_t seq)
{
    const size_t n = rows * seq;
    struct bt_batch batch = {.rows = rows, .seq = seq};
    batch.ids = calloc(n, sizeof(int32_t));
    batch.labels = calloc(n, sizeof(int32_t));
    batch.position = calloc(n, sizeof(int32_t));
    batch.first = calloc(n, sizeof(int32_t));
    for (size_t i = 0; i < n; i++) {
        batch.labels[i] = BT_IGNORE_LABEL;
        batch.position[i] = (int32_t)(i % seq);
    }
    return batch;
}

void golden_batch_free(struct bt_batch *batch)
{
    free(batch->ids);
    free(batch->labels);
    free(batch->position);
    free(batch->first);
}

void golden_batch_count(struct bt_batch *batch)
{
    batch->tokens = batch->rows * batch->seq;
    batch->label_count = 0;
    for (size_t i = 0; i < batch->tokens; i++)
        batch->label_count += batch->labels[i] != BT_IGNORE_LABEL;
}

json_t *golden_json(const char *path)
{
    struct bt_diag diag = {0};
    json_t *value = NULL;
    TEST_OK(bt_json_read(path, &value, &diag), diag);
    return value;
}

double golden_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        fail_msg("no number \"%s\"", key);
    return json_number_value(value);
}

void golden_compare(const char *what, const float *got, const float *want, size_t n, double tolerance)
{
    double scale = 0.0;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs((double)want[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= tolerance * scale))
            fail_msg("%s[%zu] of %zu: got %.9g, want %.9g, tolerance %.3g of %.3g", what, i, n, (double)got[i],
                     (double)want[i], tolerance, scale);
}

static int32_t cell(const json_t *table, size_t row, size_t column)
{
    return (int32_t)json_integer_value(json_array_get(json_array_get(table, row), column));
}

/* Positions and visibility start over with each document. */
static void mark_documents(struct bt_batch *batch, const json_t *documents)
{
    for (size_t r = 0; r < batch->rows; r++)
        for (size_t i = 1; i < batch->seq; i++) {
            const size_t at = r * batch->seq + i;
            const bool same = cell(documents, r, i) == cell(documents, r, i - 1);
            batch->first[at] = same ? batch->first[at - 1] : (int32_t)i;
            batch->position[at] = (int32_t)i - batch->first[at];
        }
}

struct bt_batch golden_fixture_batch(const json_t *info)
{
    const json_t *ids = json_object_get(info, "input_ids"), *labels = json_object_get(info, "labels");
    const json_t *documents = json_object_get(info, "document_ids");
    struct bt_batch batch = golden_batch(json_array_size(ids), json_array_size(json_array_get(ids, 0)));
    for (size_t r = 0; r < batch.rows; r++)
        for (size_t i = 0; i < batch.seq; i++) {
            batch.ids[r * batch.seq + i] = cell(ids, r, i);
            batch.labels[r * batch.seq + i] = cell(labels, r, i);
        }
    if (json_is_array(documents))
        mark_documents(&batch, documents);
    golden_batch_count(&batch);
    return batch;
}

const float *golden_expected(const struct bt_safetensors *file, const char *name, size_t count)
{
    const struct bt_tensor_view *view = bt_safetensors_find(file, name);
    if (!view)
        fail_msg("the fixture has no %s", name);
    assert_int_equal(view->bytes, count * sizeof(float));
    return (const float *)(const void *)view->data;
}

void golden_compare_gradients(const struct golden_model *g, const struct bt_safetensors *want, double tolerance)
{
    for (size_t i = 0; i < g->loaded->params.count; i++) {
        const struct bt_param *p = &g->loaded->params.list[i];
        const char *name = test_format("grad.%s", p->name);
        golden_compare(name, g->gradients + p->offset, golden_expected(want, name, p->count), p->count, tolerance);
    }
}

double golden_gradient_norm(const struct golden_model *g)
{
    double sum = 0.0;
    for (size_t i = 0; i < g->loaded->params.total; i++)
        sum += (double)g->gradients[i] * (double)g->gradients[i];
    return sqrt(sum);
}
