#include "base/cpu.h"

#include <sched.h>
#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* The builtin asks cpuid and also whether the operating system saves the wide registers. */
enum bt_cpu_level bt_cpu_level(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return BT_CPU_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return BT_CPU_AVX2;
    return BT_CPU_AVX512;
}

/* Not every compiler's builtin knows these two. That wide registers are saved is part of the level. */
bool bt_cpu_vnni(enum bt_cpu_level level)
{
    unsigned eax, ebx, ecx, edx;
    if (level == BT_CPU_PORTABLE || level > bt_cpu_level())
        return false;
    if (level == BT_CPU_AVX512)
        return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ecx >> 11 & 1);
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || eax < 1)
        return false;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 4 & 1);
}
#else
enum bt_cpu_level bt_cpu_level(void)
{
    return BT_CPU_PORTABLE;
}

bool bt_cpu_vnni(enum bt_cpu_level level)
{
    (void)level;
    return false;
}
#endif

const char *bt_cpu_level_name(enum bt_cpu_level level)
{
    static const char *const names[] = {
        [BT_CPU_PORTABLE] = "portable",
        [BT_CPU_AVX2] = "avx2",
        [BT_CPU_AVX512] = "avx512",
    };
    return names[level];
}

int bt_cpu_count(void)
{
    cpu_set_t sets[16]; /* 16384 processors; the call fails when the kernel knows more than fit */
    if (sched_getaffinity(0, sizeof sets, sets) == 0) {
        const int count = CPU_COUNT_S(sizeof sets, sets);
        if (count > 0)
            return count;
    }
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}
