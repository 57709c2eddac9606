#include "model_options.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "config/train_config.h"
#include "train/compute_choice.h"

enum bt_err bt_model_options_begin(const struct bt_model_options_given *given, struct bt_compute *compute,
                                   struct bt_diag *diag)
{
    const struct bt_train_config config = {.compute.kernels = bt_kernels_by_name(given->kernels)};
    const enum bt_err err = bt_check_threads(given->threads, diag);
    if (err)
        return err;
    if (!isnan(given->lambda) && !(given->lambda >= 0.0 && given->lambda <= 1.0))
        return bt_fail(diag, BT_EUSAGE, "--lambda: found %g, expected a number from 0 to 1", given->lambda);
    omp_set_num_threads(given->threads ? (int)given->threads : bt_cpu_count());
    return bt_compute_choose(&config, compute, diag);
}

struct bt_run_as bt_model_options_run_as(const struct bt_model_options_given *given,
                                         const struct bt_loaded_model *model)
{
    struct bt_run_as run_as = bt_run_as_marked(model);
    if (given->weights)
        run_as.ternary = !strcmp(given->weights, "ternary");
    if (given->activations)
        run_as.int8 = !strcmp(given->activations, "int8");
    if (!isnan(given->lambda))
        run_as.lambda = given->lambda;
    return run_as;
}

void bt_run_as_text(char *text, size_t size, const struct bt_run_as *run_as)
{
    if (!run_as->ternary && !run_as->int8)
        snprintf(text, size, "float");
    else
        snprintf(text, size, "%s%s%s, lambda %g", run_as->ternary ? "ternary weights" : "",
                 run_as->ternary && run_as->int8 ? ", " : "", run_as->int8 ? "int8 activations" : "", run_as->lambda);
}

enum bt_err bt_model_open_tokenizer(const struct bt_loaded_model *model, struct bt_tokenizer **ret_tokenizer,
                                    struct bt_diag *diag)
{
    struct bt_tokenizer *tokenizer = NULL;
    const enum bt_err err = bt_tokenizer_open(model->path, &tokenizer, diag);
    if (err)
        return err;
    if ((size_t)bt_tokenizer_vocab_size(tokenizer) > model->shape.vocab) {
        const int32_t size = bt_tokenizer_vocab_size(tokenizer);
        bt_tokenizer_close(tokenizer);
        return bt_fail(diag, BT_EINPUT, "%s: its tokenizer has %ld tokens, its model %zu", model->path, (long)size,
                       model->shape.vocab);
    }
    *ret_tokenizer = tokenizer;
    return BT_OK;
}
