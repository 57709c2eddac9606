/* Runs a target on every input of a folder, past crashes among them, on each cut short at some places, and on changes
 * of them that are the same in every run. fuzz_replay_TARGET FOLDER */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fuzz.h"
#include "io/file.h"

#define CHANGES 100

static const char *inputs;

static void run_cut(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < 32; i++) {
        /* a copy of its own, so that reading behind it is noticed */
        const size_t length = size * i / 32;
        unsigned char *cut = malloc(length + !length);
        assert_non_null(cut);
        memcpy(cut, data, length);
        LLVMFuzzerTestOneInput(cut, length);
        free(cut);
    }
}

static void run_changed(const unsigned char *data, size_t size, uint64_t key)
{
    unsigned char *changed = malloc(size + !size);
    assert_non_null(changed);
    for (uint64_t i = 0; size > 0 && i < CHANGES; i++) {
        memcpy(changed, data, size);
        for (uint64_t k = 0; k <= i % 3; k++)
            changed[bt_rng_below(key, 8 * i + 2 * k, size)] = (unsigned char)bt_rng_u64(key, 8 * i + 2 * k + 1);
        LLVMFuzzerTestOneInput(changed, size);
    }
    free(changed);
}

static void test_inputs(void **state)
{
    char **names;
    size_t count;
    struct bt_diag diag = {""};
    (void)state;
    TEST_OK(bt_dir_list(inputs, &names, &count, &diag), diag);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        size_t size;
        unsigned char *data = test_read_file(test_format("%s/%s", inputs, names[i]), &size);
        LLVMFuzzerTestOneInput(data, size);
        run_cut(data, size);
        run_changed(data, size, bt_rng_key(i, "fuzz"));
        free(data);
    }
    bt_names_free(names, count);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_inputs)};
    if (argc != 2)
        return 2;
    inputs = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
