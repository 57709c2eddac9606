#include "support.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cpu.h"

static void levels_have_names(void **state)
{
    (void)state;
    assert_string_equal(bt_cpu_level_name(BT_CPU_PORTABLE), "portable");
    assert_string_equal(bt_cpu_level_name(BT_CPU_AVX2), "avx2");
    assert_string_equal(bt_cpu_level_name(BT_CPU_AVX512), "avx512");
}

/* Whether the kernel, which leaves out what it does not support, lists a flag for the first processor. */
static bool kernel_lists(const char *flag)
{
    char line[16384];
    FILE *info = fopen("/proc/cpuinfo", "r");
    bool found = false;
    if (!info) {
        print_message("skipped: /proc/cpuinfo is not here\n");
        skip();
    }
    while (fgets(line, sizeof line, info)) {
        if (strncmp(line, "flags", 5))
            continue;
        line[strcspn(line, "\n")] = ' ';
        found = strstr(line, test_format(" %s ", flag)) != NULL;
        break;
    }
    fclose(info);
    return found;
}

static void the_level_agrees_with_the_kernel(void **state)
{
    (void)state;
    const bool avx2 = kernel_lists("avx2") && kernel_lists("fma");
    const bool avx512 = avx2 && kernel_lists("avx512f") && kernel_lists("avx512bw") && kernel_lists("avx512dq") &&
                        kernel_lists("avx512vl");
    assert_int_equal(bt_cpu_level(), avx512 ? BT_CPU_AVX512 : avx2 ? BT_CPU_AVX2 : BT_CPU_PORTABLE);
}

static void vnni_agrees_with_the_kernel(void **state)
{
    (void)state;
    assert_false(bt_cpu_vnni(BT_CPU_PORTABLE));
    assert_int_equal(bt_cpu_vnni(BT_CPU_AVX2), bt_cpu_level() >= BT_CPU_AVX2 && kernel_lists("avx_vnni"));
    assert_int_equal(bt_cpu_vnni(BT_CPU_AVX512), bt_cpu_level() >= BT_CPU_AVX512 && kernel_lists("avx512_vnni"));
}

static void the_count_follows_the_affinity(void **state)
{
    (void)state;
    assert_true(bt_cpu_count() >= 1);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(sched_getcpu(), &one);
        if (sched_setaffinity(0, sizeof one, &one))
            _exit(1); /* not allowed here: nothing to see */
        _exit(bt_cpu_count());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(the_level_agrees_with_the_kernel),
        cmocka_unit_test(vnni_agrees_with_the_kernel),
        cmocka_unit_test(the_count_follows_the_affinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
