/* train/telemetry.h - what the linear weights of a stage and the inputs of its linear layers are doing, measured at
 * every interval-th update and kept until the next one (docs/telemetry.md). Measuring changes nothing of an update. */
#ifndef BT_TRAIN_TELEMETRY_H
#define BT_TRAIN_TELEMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "kernels/code_counts.h"
#include "nn/block.h"
#include "nn/model.h"
#include "train/optimizer.h"
#include "train/telemetry_state.h"

struct bt_weight_measure { /* of one linear weight */
    const struct bt_param *param;
    uint8_t *packed; /* its codes at the last record (kernels/code_counts.h); NULL: it has none */
    struct bt_code_counts counts;
    uint64_t near_boundary;
    float scale, first_scale; /* now, and when measuring began */
    double grad_norm;         /* before clipping; NaN, as the next, while no update was measured */
    double update_ratio;      /* |change| / |weights before|; NaN also when the update was skipped */
};

struct bt_telemetry {
    const struct bt_params *params; /* borrowed */
    int64_t interval;
    struct bt_arena arena;
    struct bt_weight_measure *weights; /* (layers, BT_PROJECTIONS) */
    size_t count;                      /* layers * BT_PROJECTIONS */
    uint8_t *packed;                   /* of all weights that have codes, one after the other */
    size_t packed_bytes;               /* 0: no weight has any */
    struct bt_input_counts *pass;      /* (layers, BT_INPUT_COUNT) of the last micro-batch */
    struct bt_input_counts *inputs;    /* of the whole update; codes = 0 where none were made */
    float *before;                     /* a weight before its update; room for the largest */
    int64_t since;                     /* the step that flips are counted from */
    double seconds;                    /* that all of this has taken */
};

const char *bt_projection_name(size_t projection); /* "q_proj" ... "down_proj" */
const char *bt_input_name(enum bt_input input);    /* "qkv", "o", "gate_up", "down" */

/* Bytes of the kept codes, in memory and in a checkpoint; 0 when there are none. */
size_t bt_telemetry_packed_bytes(const struct bt_params *params, bool ternary);
/* Bytes that it reserves. ternary: weights that are not excluded have codes. */
size_t bt_telemetry_memory(const struct bt_params *params, bool ternary);
/* params is borrowed. BT_ENOMEM. */
enum bt_err bt_telemetry_create(const struct bt_params *params, bool ternary, int64_t interval,
                                struct bt_telemetry **ret_telemetry, struct bt_diag *diag);
void bt_telemetry_destroy(struct bt_telemetry *telemetry); /* takes NULL */

/* Before the first update after a start or a resume, the model's codes being made. Counting begins with these, unless
 * the state says that there are codes of an earlier record, which then have been loaded. */
void bt_telemetry_begin(struct bt_telemetry *telemetry, const struct bt_model *model, struct bt_telemetry_state *state,
                        int64_t step);

/* The parts of an update that is measured, in this order: */
bool bt_telemetry_due(const struct bt_telemetry *telemetry, int64_t step);
void bt_telemetry_open(struct bt_telemetry *telemetry, struct bt_model *model);
void bt_telemetry_add_inputs(struct bt_telemetry *telemetry); /* after each micro-batch */
void bt_telemetry_gradients(struct bt_telemetry *telemetry, const struct bt_optimizer *optimizer);
/* In place of bt_optimizer_step, with the same effect. Left out when the update is skipped. */
void bt_telemetry_step(struct bt_telemetry *telemetry, const struct bt_optimizer *optimizer, double lr, int64_t t,
                       float gradient_scale);
/* Codes and scales as the update left them; those to compare with the next time. */
void bt_telemetry_close(struct bt_telemetry *telemetry, struct bt_model *model, struct bt_telemetry_state *state,
                        int64_t step);

/* The kept codes and the first scales, as telemetry.safetensors in a checkpoint's folder: "codes" (U8, packed_bytes)
 * and "first_scales" (F32, layers, BT_PROJECTIONS). Nothing is written where no weight has codes. */
#define BT_TELEMETRY_FILE "telemetry.safetensors"
enum bt_err bt_telemetry_save(const struct bt_telemetry *telemetry, const char *folder, struct bt_diag *diag);
enum bt_err bt_telemetry_load(struct bt_telemetry *telemetry, const char *folder, struct bt_diag *diag);

#endif
