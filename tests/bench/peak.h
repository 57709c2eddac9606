/* tests/bench/peak.h - what the machine can do at most, measured: the line that benchmarks are read against. */
#ifndef BT_BENCH_PEAK_H
#define BT_BENCH_PEAK_H

/* Float32 multiply-adds in registers, all threads together, in GFLOP/s (two FLOPs each); the best of several tries. */
double bench_float32_peak(int threads);

#endif
