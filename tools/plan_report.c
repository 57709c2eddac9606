#include "plan_report.h"

#include <inttypes.h>

#include "train/progress.h"

static void print_bytes(FILE *out, const char *label, uint64_t bytes)
{
    char text[32];
    bt_format_bytes(text, sizeof text, bytes);
    fprintf(out, "  %-22s %12s\n", label, text);
}

static void print_stage(FILE *out, const struct bt_stage_plan *s)
{
    fprintf(out, "%s\n", bt_stage_name(s->stage));
    fprintf(out, "  %-22s %12" PRIu64 "\n", "parameters", s->parameters);
    if (s->updates) {
        fprintf(out, "  %-22s %12" PRId64 "\n", "updates", s->updates);
        fprintf(out, "  %-22s %12" PRIu64 "\n", "rows of an epoch", s->rows);
        fprintf(out, "  %-22s %12" PRIu64 "\n", "tokens of an epoch", s->epoch_tokens);
    }
    if (s->validation_rows)
        fprintf(out, "  %-22s %12" PRIu64 "\n", "validation rows", s->validation_rows);
    print_bytes(out, "memory", s->memory);
    print_bytes(out, "  weights", s->weights);
    if (s->gradients) {
        print_bytes(out, "  gradients", s->gradients);
        print_bytes(out, "  optimizer state", s->optimizer);
    }
    print_bytes(out, "  codes and activations", s->activations);
    print_bytes(out, "  data and other", s->other);
    print_bytes(out, "disk", s->disk);
}

void bt_print_plan(FILE *out, const struct bt_run_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        print_stage(out, &plan->stages[i]);
    fprintf(out, "run\n");
    print_bytes(out, "peak memory", plan->memory);
    print_bytes(out, "disk", plan->disk);
}
