/* tools/model_options.h - the options of programs that run a model: which of its forms, on what. */
#ifndef BT_TOOLS_MODEL_OPTIONS_H
#define BT_TOOLS_MODEL_OPTIONS_H

#include <math.h>
#include <stdint.h>

#include "base/err.h"
#include "nn/compute.h"
#include "options.h"
#include "text/tokenizer.h"
#include "train/model_folder.h"
#include "train/run_as.h"

struct bt_model_options_given {
    const char *weights, *activations, *kernels; /* NULL: not given */
    double lambda;                               /* NaN: not given */
    uint64_t threads;                            /* 0: not given */
};
#define BT_MODEL_OPTIONS_NONE                                                                                          \
    {                                                                                                                  \
        .lambda = NAN                                                                                                  \
    }

/* The rows of an option table, for an initialiser. */
#define BT_MODEL_OPTION_ROWS(given)                                                                                    \
    {"weights",                                                                                                        \
     "ternary|none",                                                                                                   \
     BT_OPTION_CHOICE,                                                                                                 \
     &(given)->weights,                                                                                                \
     0,                                                                                                                \
     "weights of the linear layers; default: as the model was last trained"},                                          \
        {"activations", "int8|none", BT_OPTION_CHOICE, &(given)->activations, 0, "their inputs; default: the same"},   \
        {"lambda",         "X", BT_OPTION_REAL,                                                                        \
         &(given)->lambda, 0,   "strength of the quantisation, from 0 to 1; default: the same"},                       \
        {"kernels",                                                                                                    \
         "auto|portable|avx2|avx512",                                                                                  \
         BT_OPTION_CHOICE,                                                                                             \
         &(given)->kernels,                                                                                            \
         0,                                                                                                            \
         "an upper bound on the instructions used"},                                                                   \
    {                                                                                                                  \
        "threads", "N", BT_OPTION_NUMBER, &(given)->threads, 1, "default: all processors"                              \
    }

/* Sets the number of threads and the kernels. BT_EUSAGE when a value is out of bounds. */
enum bt_err bt_model_options_begin(const struct bt_model_options_given *given, struct bt_compute *compute,
                                   struct bt_diag *diag);
/* What the folder says, with what was given in its place. */
struct bt_run_as bt_model_options_run_as(const struct bt_model_options_given *given,
                                         const struct bt_loaded_model *model);
/* "ternary weights, int8 activations, lambda 0.5", "float" */
void bt_run_as_text(char *text, size_t size, const struct bt_run_as *run_as);
/* The model's tokenizer; BT_EINPUT when it has ids that the model does not have. */
enum bt_err bt_model_open_tokenizer(const struct bt_loaded_model *model, struct bt_tokenizer **ret_tokenizer,
                                    struct bt_diag *diag);

#endif
