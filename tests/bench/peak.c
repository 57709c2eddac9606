#include "peak.h"

#include <omp.h>

#include "base/cpu.h"

enum { CHAINS = 12, ROUNDS = 4 * 1000 * 1000, TRIES = 5 };

typedef float lanes4 __attribute__((vector_size(16)));
typedef float lanes8 __attribute__((vector_size(32)));
typedef float lanes16 __attribute__((vector_size(64)));

/* CHAINS independent sums, enough to hide the latency of a multiply-add. Built with contraction. */
#define CHAIN_LOOP(type)                                                                                               \
    type sum[CHAINS];                                                                                                  \
    const type a = (type){0} + 0.999f, b = (type){0} + 1e-3f;                                                          \
    for (int c = 0; c < CHAINS; c++)                                                                                   \
        sum[c] = (type){0} + (float)c;                                                                                 \
    for (int r = 0; r < ROUNDS; r++)                                                                                   \
        for (int c = 0; c < CHAINS; c++)                                                                               \
            sum[c] = sum[c] * a + b;                                                                                   \
    float all = 0.0f;                                                                                                  \
    for (int c = 0; c < CHAINS; c++)                                                                                   \
        for (unsigned i = 0; i < sizeof(type) / sizeof(float); i++)                                                    \
            all += sum[c][i];                                                                                          \
    return all

static float spin_portable(void)
{
    CHAIN_LOOP(lanes4);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static float spin_avx2(void)
{
    CHAIN_LOOP(lanes8);
}

__attribute__((target("avx512f"))) static float spin_avx512(void)
{
    CHAIN_LOOP(lanes16);
}
#endif

static float (*spin_of(double *ret_lanes))(void)
{
    *ret_lanes = 4.0;
#if defined(__x86_64__)
    if (bt_cpu_level() >= BT_CPU_AVX512) {
        *ret_lanes = 16.0;
        return spin_avx512;
    }
    if (bt_cpu_level() >= BT_CPU_AVX2) {
        *ret_lanes = 8.0;
        return spin_avx2;
    }
#endif
    return spin_portable;
}

double bench_float32_peak(int threads)
{
    static volatile float sink[256]; /* keeps the loops alive */
    double lanes, best = 0.0;
    float (*spin)(void) = spin_of(&lanes);
    for (int i = 0; i < TRIES; i++) {
        const double start = omp_get_wtime();
#pragma omp parallel num_threads(threads)
        {
            sink[omp_get_thread_num() % 256] = spin();
        }
        const double seconds = omp_get_wtime() - start;
        const double rate = 2.0 * lanes * CHAINS * ROUNDS * threads / seconds / 1e9;
        best = rate > best && sink[0] != 0.0f ? rate : best;
    }
    return best;
}
