#include "sample.h"

#include "peak.h"
#include "report.h"

enum { MOST = 64, FEW = 3 };

struct bench_sample bench_sample(void (*work)(void *context, unsigned i), void *context, double flops, double budget,
                                 int threads)
{
    double seconds[MOST], peaks[MOST], ratios[MOST], used = 0.0;
    unsigned count = 0;
    const double start = bench_seconds(threads);
    work(context, 0);
    const unsigned least = bench_seconds(threads) - start > budget ? 1 : FEW;
    double before = bench_float32_rate(threads);
    while (count < MOST && (count < least || used < budget)) {
        const double begin = bench_seconds(threads);
        work(context, count + 1);
        seconds[count] = bench_seconds(threads) - begin;
        const double after = bench_float32_rate(threads);
        peaks[count] = 0.5 * (before + after);
        ratios[count] = flops / seconds[count] / 1e9 / peaks[count];
        used += seconds[count++];
        before = after;
    }
    return (struct bench_sample){bench_median(seconds, count), bench_median(peaks, count), bench_median(ratios, count)};
}
