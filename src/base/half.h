/* base/half.h - IEEE 754 half precision and bfloat16, one value at a time. Narrowing rounds to nearest, ties to even.
 */
#ifndef BT_BASE_HALF_H
#define BT_BASE_HALF_H

#include <stdint.h>

float bt_f32_from_f16(uint16_t bits);
float bt_f32_from_bf16(uint16_t bits);
uint16_t bt_f16_from_f32(float value);
uint16_t bt_bf16_from_f32(float value);

#endif
