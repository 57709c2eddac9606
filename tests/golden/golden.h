/* tests/golden/golden.h - what the fixture tests share: a model folder ready to run, batches from JSON, comparisons. */
#ifndef BT_TESTS_GOLDEN_H
#define BT_TESTS_GOLDEN_H

#include "support.h"

#include "io/json.h"
#include "io/safetensors.h"
#include "nn/model.h"
#include "train/model_folder.h"

/* A model folder with gradients, on one of the ways to compute. */
struct golden_model {
    struct bt_loaded_model *loaded;
    float *gradients;
    struct bt_model *model;
    struct bt_compute compute;
};

/* Every way of this machine and build: portable, vectorised, oneDNN. Returns how many were filled in. */
size_t golden_computes(struct bt_compute *computes, size_t room);

void golden_model_open(struct golden_model *g, const char *folder, const struct bt_compute *compute, size_t rows,
                       size_t seq, bool ternary, bool int8);
/* Any options; gradients are there for those that want them. */
void golden_model_open_as(struct golden_model *g, const char *folder, const struct bt_compute *compute,
                          const struct bt_model_options *options);
void golden_model_close(struct golden_model *g);

/* A test program of a group of fixtures, at most GOLDEN_CASES: each runs on every way to compute, and once keeping the
 * inputs of blocks alone; it skips where there is none. Gives the exit status. */
enum { GOLDEN_CASES = 16 };
typedef void golden_case(const char *folder, const struct bt_compute *compute, enum bt_keep keep);
int golden_run_cases(const char *group, const char *const *names, size_t count, golden_case *run);

/* A batch of plain rows; arrays by malloc. */
struct bt_batch golden_batch(size_t rows, size_t seq);
void golden_batch_free(struct bt_batch *batch);
/* Recounts tokens and labels. */
void golden_batch_count(struct bt_batch *batch);

/* The batch of a fixture's case.json. */
struct bt_batch golden_fixture_batch(const json_t *info);
/* A tensor of the fixture's expect.safetensors. */
const float *golden_expected(const struct bt_safetensors *file, const char *name, size_t count);
void golden_compare_gradients(const struct golden_model *g, const struct bt_safetensors *want, double tolerance);
double golden_gradient_norm(const struct golden_model *g);

json_t *golden_json(const char *path);
double golden_number(const json_t *object, const char *key);

/* max |got - want| <= tolerance * max |want|, written so that NaN fails. */
void golden_compare(const char *what, const float *got, const float *want, size_t n, double tolerance);

#endif
