#include "nn/lambda_warmup.h"

#include <math.h>
#include <stddef.h>

static struct bt_lambda_warmup global;
static bool global_is_set;

double bt_lambda_at(const struct bt_lambda_warmup *warmup, int64_t step)
{
    if (step - 1 >= warmup->warmup_steps)
        return warmup->max; /* exactly: min + (max - min) may round to its neighbour */
    double p = (double)(step - 1) / (double)warmup->warmup_steps;
    if (warmup->cosine)
        p = (1.0 - cos(M_PI * p)) / 2.0;
    return warmup->min + p * (warmup->max - warmup->min);
}

void bt_set_global_lambda_warmup(const struct bt_lambda_warmup *warmup)
{
    global_is_set = warmup != NULL;
    if (warmup)
        global = *warmup;
}

void bt_lambda_warmup_set_step(int64_t step)
{
    global.step = step;
}

double bt_get_current_lambda(void)
{
    return global_is_set ? bt_lambda_at(&global, global.step) : 1.0;
}
