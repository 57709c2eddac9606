#include "train/early_stopping.h"

#include <math.h>

void bt_early_stopping_look(const struct bt_cfg_early_stopping *config, struct bt_early_stopping_state *state,
                            int64_t step, double loss)
{
    const bool better = isfinite(loss) && (isnan(state->best) || loss < state->best - config->min_delta);
    if (better) {
        state->best = loss;
        state->best_step = step;
        state->stalled = 0;
    } else {
        state->stalled++;
    }
}

bool bt_early_stopping_stops(const struct bt_cfg_early_stopping *config, const struct bt_early_stopping_state *state)
{
    return config->enabled && state->stalled >= config->patience;
}
