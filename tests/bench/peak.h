/* tests/bench/peak.h - what the machine can do at most, measured: the lines that benchmarks are read against. Both move
 * with the machine's other work, so they are measured beside what is compared with them. */
#ifndef BT_BENCH_PEAK_H
#define BT_BENCH_PEAK_H

/* A clock for work of so many threads. With one it is that of the processor, so that other programs on the machine do
 * not count; it reads the same where there are none. */
double bench_seconds(int threads);

/* Float32 multiply-adds in registers, all threads together, in GFLOP/s (two FLOPs each); the best of several tries. */
double bench_float32_peak(int threads);
/* The same from one try of a few milliseconds: to be taken before and after a piece of work. */
double bench_float32_rate(int threads);

/* Bytes read and written by memcpy between buffers that no cache holds, all threads together, in GB/s; the best of
 * several tries. Takes a quarter of a gigabyte for a moment; 0 when there is none. */
double bench_copy_peak(int threads);

#endif
