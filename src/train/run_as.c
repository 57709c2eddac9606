#include "train/run_as.h"

struct bt_run_as bt_run_as_marked(const struct bt_loaded_model *model)
{
    const struct bt_hf_marks *marks = &model->config->marks;
    const bool bitnet = bt_is_bitnet_model(model);
    return (struct bt_run_as){.ternary = marks->present ? marks->ternary : bitnet,
                              .int8 = marks->present ? marks->int8 : bitnet,
                              .lambda = marks->present ? marks->lambda : 1.0};
}
