/* tests/bench/sample.h - how fast one kernel is, in medians, beside what the machine can do at that moment. */
#ifndef BT_BENCH_SAMPLE_H
#define BT_BENCH_SAMPLE_H

struct bench_sample {
    double seconds;       /* of one call */
    double peak;          /* GFLOP/s of float32, measured before and after every call */
    double flops_of_peak; /* median of what `flops` in its own time is of the peak around it */
};

/* Calls work(context, i), i counting from 0: once to warm up, then for `budget` seconds, at least once and, where that
 * does not take long, three times. */
struct bench_sample bench_sample(void (*work)(void *context, unsigned i), void *context, double flops, double budget,
                                 int threads);

#endif
