/* quickstart-table - the one table that tools/quickstart ends with: every loss beside the best possible one. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "report/source.h"
#include "train/model_folder.h"
#include "train/progress.h"

static const char *const usage = "usage: quickstart-table SOURCE.json VALIDATION-SHARDS.json RUN-FOLDER\n";

/* The number at a path of keys; NaN when it is not there. */
static double number(const json_t *object, const char *const *keys)
{
    for (; *keys; keys++)
        object = json_object_get(object, *keys);
    return json_is_number(object) ? json_number_value(object) : NAN;
}

#define NUMBER(object, ...) number(object, (const char *const[]){__VA_ARGS__, NULL})

static void print_row(const char *what, double loss, double source)
{
    printf("  %-44s %8.4f", what, loss);
    if (isfinite(source))
        printf("  %+8.4f", loss - source);
    printf("\n");
}

static void print_losses(const json_t *text, const json_t *shards, const json_t *summary)
{
    const struct bt_report_source best = bt_report_source_losses(text, shards);
    const double source = best.source, trigram = best.trigram;
    const double real = NUMBER(summary, "stages", "stage0", "eval_loss");
    const double ternary = NUMBER(summary, "stages", "stage2", "eval_loss");
    printf("\n  %-44s %8s  %8s\n", "nats per predicted label", "loss", "- source");
    print_row("entropy of the source", best.entropy, NAN);
    print_row("the source itself, on the validation text", source, source);
    print_row("byte trigram model", trigram, source);
    print_row("float model", real, source);
    print_row("after conversion, lambda 0", NUMBER(summary, "stages", "stage1", "loss_lambda_0"), source);
    print_row("after conversion, lambda 1", NUMBER(summary, "stages", "stage1", "loss_lambda_1"), source);
    print_row("ternary model", ternary, source);
    printf("\n  the ternary model closes %.1f %% of the distance from trigram to source\n",
           100.0 * (trigram - ternary) / (trigram - source));
    printf("  a label is %.2f bytes of text on average; the trigram model predicts the same text byte by byte\n",
           NUMBER(text, "validation", "bytes") / best.labels);
}

static void print_sizes(const struct bt_loaded_model *model)
{
    char real[32], ternary[32];
    uint64_t weights = 0, tensors = 0;
    for (size_t i = 0; i < model->params.count; i++)
        if (model->params.list[i].linear && !model->params.list[i].excluded) {
            weights += model->params.list[i].count;
            tensors++;
        }
    bt_format_bytes(real, sizeof real, weights * sizeof(float));
    bt_format_bytes(ternary, sizeof ternary, weights / 4 + tensors * sizeof(float));
    printf("  linear weights: %s in float32, %s in ternary (2 bits each and a scale a tensor)\n", real, ternary);
}

static void print_places(const char *run)
{
    printf("\n  float model      %s/stage0/model\n"
           "  ternary model    %s/stage2/model\n"
           "  every number     %s/metrics.jsonl, %s/summary.json\n",
           run, run, run, run);
}

static enum bt_err print_table(const char *text_path, const char *shards_path, const char *run, struct bt_diag *diag)
{
    struct bt_loaded_model *model = NULL;
    json_t *text = NULL, *shards = NULL, *summary = NULL;
    char *summary_path = bt_sprintf("%s/summary.json", run), *model_path = bt_sprintf("%s/stage2/model", run);
    enum bt_err err = summary_path && model_path ? BT_OK : bt_fail_nomem(diag);
    if (!err)
        err = bt_json_read(text_path, &text, diag);
    if (!err)
        err = bt_json_read(shards_path, &shards, diag);
    if (!err)
        err = bt_json_read(summary_path, &summary, diag);
    if (!err)
        err = bt_model_load(model_path, &model, diag);
    if (!err) {
        print_losses(text, shards, summary);
        print_sizes(model);
        print_places(run);
    }
    bt_model_unload(model);
    json_decref(text);
    json_decref(shards);
    json_decref(summary);
    bt_free(summary_path);
    bt_free(model_path);
    return err;
}

int main(int argc, char **argv)
{
    struct bt_diag diag = {0};
    if (argc != 4) {
        fputs(usage, stderr);
        return 2;
    }
    const enum bt_err err = print_table(argv[1], argv[2], argv[3], &diag);
    if (err)
        fprintf(stderr, "quickstart-table: %s\n", diag.text);
    return bt_exit_code(err);
}
