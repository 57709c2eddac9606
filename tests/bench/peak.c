#include "peak.h"

#include <omp.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"

enum { CHAINS = 12, ROUNDS = 4 * 1000 * 1000, TRIES = 8, COPY_TRIES = 4 };
#define COPY_BYTES ((size_t)128 << 20)

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

double bench_seconds(int threads)
{
    struct timespec now;
    if (threads > 1)
        return bt_clock_seconds();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static volatile float sink[256]; /* keeps the loops alive */

double bench_float32_rate(int threads)
{
    double lanes;
    float (*spin)(void) = spin_of(&lanes);
    const double start = bench_seconds(threads);
#pragma omp parallel num_threads(threads)
    {
        sink[omp_get_thread_num() % 256] = spin();
    }
    return 2.0 * lanes * CHAINS * ROUNDS * threads / (bench_seconds(threads) - start) / 1e9;
}

double bench_float32_peak(int threads)
{
    double best = 0.0;
    for (int i = 0; i < TRIES; i++) {
        const double rate = bench_float32_rate(threads);
        best = rate > best ? rate : best;
    }
    return best;
}

/* One copy, each thread its own part. */
static double copy_seconds(char *to, const char *from, int threads)
{
    const size_t part = COPY_BYTES / (size_t)threads;
    const double start = bench_seconds(threads);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < threads; i++)
        memcpy(to + (size_t)i * part, from + (size_t)i * part, part);
    return bench_seconds(threads) - start;
}

double bench_copy_peak(int threads)
{
    struct bt_arena arena = {0};
    double least = 0.0;
    if (!bt_arena_init(&arena, 2 * COPY_BYTES))
        return 0.0;
    char *from = bt_arena_take(&arena, COPY_BYTES, 1), *to = bt_arena_take(&arena, COPY_BYTES, 1);
    memset(from, 1, COPY_BYTES); /* pages that were never written are all one page of zeros */
    for (int i = 0; i < COPY_TRIES; i++) {
        const double seconds = copy_seconds(to, from, threads);
        least = i == 0 || seconds < least ? seconds : least;
    }
    bt_arena_finish(&arena);
    return 2.0 * (double)COPY_BYTES / least / 1e9;
}
