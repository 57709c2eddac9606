/* nn/rope_table.h - cosines and sines of RoPE, with linear and llama3 scaling of the frequencies. */
#ifndef BT_NN_ROPE_TABLE_H
#define BT_NN_ROPE_TABLE_H

#include <stddef.h>

#include "nn/shape.h"

/* The frequency of pair j < head_dim / 2, in radians a position: theta^(-2j / head_dim), scaled as transformers'
 * modeling_rope_utils.py does. */
double bt_rope_frequency(const struct bt_rope *rope, size_t j, size_t head_dim);

/* cosine, sine (positions, head_dim / 2): angles in double, rounded to float32. */
void bt_rope_table(float *cosine, float *sine, size_t positions, size_t head_dim, const struct bt_rope *rope);

#endif
