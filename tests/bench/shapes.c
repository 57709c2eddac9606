#include "shapes.h"

#include <string.h>

static const struct {
    const char *name;
    struct bt_shape shape;
} shapes[] = {
    {"smollm2-135m",
     {.vocab = 49152,
      .hidden = 576,
      .ffn = 1536,
      .layers = 30,
      .heads = 9,
      .kv_heads = 3,
      .head_dim = 64,
      .eps = 1e-5f,
      .tied = true,
      .sub_norm = true,
      .rope = {.theta = 100000.0}}},
    {"tinyllama-1.1b",
     {.vocab = 32000,
      .hidden = 2048,
      .ffn = 5632,
      .layers = 22,
      .heads = 32,
      .kv_heads = 4,
      .head_dim = 64,
      .eps = 1e-5f,
      .sub_norm = true,
      .rope = {.theta = 10000.0}}},
    {"stories260k",
     {.vocab = 512,
      .hidden = 64,
      .ffn = 172,
      .layers = 5,
      .heads = 8,
      .kv_heads = 4,
      .head_dim = 8,
      .eps = 1e-5f,
      .tied = true,
      .sub_norm = true,
      .rope = {.theta = 10000.0}}},
};

struct bt_shape bench_shape(const char *name)
{
    size_t i = sizeof shapes / sizeof *shapes - 1;
    while (i > 0 && strcmp(shapes[i].name, name))
        i--;
    return shapes[i].shape;
}

size_t bench_linear_weights(const struct bt_shape *s)
{
    const size_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    return s->layers * s->hidden * (2 * q + 2 * kv + 3 * s->ffn);
}

size_t bench_head_weights(const struct bt_shape *s)
{
    return s->vocab * s->hidden;
}
