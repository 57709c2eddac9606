/* kernels/variant.h - what the sources share that are compiled once per instruction set (and once in double for tests).
 *
 * The build gives each instance its name in BT_VARIANT; BT_FN(glu_fwd) is then bt_glu_fwd_avx2 and so on. Private to
 * this folder. */
#ifndef BT_KERNELS_VARIANT_H
#define BT_KERNELS_VARIANT_H

#include "base/minmax.h"
#include "kernels/codes.h"
#include "kernels/kernels.h"
#include "kernels/matmul.h"

#define BT_JOIN_(a, b) a##b
#define BT_JOIN(a, b)  BT_JOIN_(a, b)
#define BT_FN(name)    BT_JOIN(bt_##name##_, BT_VARIANT)

/* A loop whose trip count the compiler knows and that must leave no loop behind: its arrays become registers. */
#ifdef __clang__
#define BT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define BT_UNROLL _Pragma("GCC unroll 16")
#endif

/* The entries of struct bt_kernels: this list makes the prototypes and fills the table. */
#define BT_KERNEL_LIST(X)                                                                                              \
    X(embedding_fwd)                                                                                                   \
    X(embedding_bwd)                                                                                                   \
    X(rmsnorm_fwd)                                                                                                     \
    X(rmsnorm_apply)                                                                                                   \
    X(rmsnorm_bwd)                                                                                                     \
    X(rope_fwd)                                                                                                        \
    X(rope_bwd)                                                                                                        \
    X(attention_fwd)                                                                                                   \
    X(attention_bwd)                                                                                                   \
    X(attention_last)                                                                                                  \
    X(glu_fwd)                                                                                                         \
    X(glu_bwd)                                                                                                         \
    X(cross_entropy)                                                                                                   \
    X(add)                                                                                                             \
    X(combine)                                                                                                         \
    X(bias_fwd)                                                                                                        \
    X(bias_bwd)                                                                                                        \
    X(adamw)                                                                                                           \
    X(sum_squares)                                                                                                     \
    X(teacher_logits)                                                                                                  \
    X(teacher_top)                                                                                                     \
    X(hidden_loss)                                                                                                     \
    X(relation)                                                                                                        \
    X(unit_fwd)                                                                                                        \
    X(unit_bwd)

#ifdef BT_VARIANT
#define BT_DECLARE(name) __typeof__(*((struct bt_kernels *)NULL)->name) BT_FN(name);
BT_KERNEL_LIST(BT_DECLARE)
#undef BT_DECLARE
#endif

/* Sets every entry to the functions of one instance. */
void bt_kernels_fill_portable(struct bt_kernels *kernels);
void bt_kernels_fill_avx2(struct bt_kernels *kernels);
void bt_kernels_fill_avx512(struct bt_kernels *kernels);
void bt_kernels_fill_double(struct bt_kernels *kernels);

bt_gemm_fn bt_gemm_portable, bt_gemm_avx2, bt_gemm_avx512;
bt_codes_tile_fn bt_codes_forward_portable, bt_codes_forward_avx2, bt_codes_forward_avx512;
bt_gradient_tile_fn bt_codes_gradient_portable, bt_codes_gradient_avx2, bt_codes_gradient_avx512;
bt_codes_tile_fn bt_codes_forward_avx2_vnni, bt_codes_forward_avx512_vnni;
bt_gradient_tile_fn bt_codes_gradient_avx2_vnni, bt_codes_gradient_avx512_vnni;
/* For tests: the form of the VNNI instances without its instructions. */
bt_codes_tile_fn bt_codes_forward_portable_emulated, bt_codes_forward_avx2_emulated, bt_codes_forward_avx512_emulated;
bt_gradient_tile_fn bt_codes_gradient_portable_emulated, bt_codes_gradient_avx2_emulated,
    bt_codes_gradient_avx512_emulated;

#endif
