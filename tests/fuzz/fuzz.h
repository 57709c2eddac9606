/* tests/fuzz/fuzz.h - what every fuzz target is made of: bytes that somebody may have prepared go into one reader,
 * which must give a result or one sentence, and leave nothing behind, also when memory is out.
 *
 * A target is built twice: with libFuzzer, which looks for new inputs, and with fuzz_replay.c, a plain test that runs
 * the inputs in tests/fuzz/inputs/TARGET and changes of them. */
#ifndef BT_TESTS_FUZZ_H
#define BT_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

/* Each target defines it: reads `size` bytes and gives what came of it. */
enum bt_err fuzz_read(const uint8_t *data, size_t size, struct bt_diag *diag);

/* fuzz_read, and again with one allocation failing, with what must hold after every reader. Aborts when it does not. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes a file into a folder of this process's own, which is removed at exit, and gives its path, for a reader that
 * wants a name. */
const char *fuzz_file(const char *name, const void *data, size_t size);

/* Ends the program where an assertion would: also in builds without them. */
#define FUZZ_CHECK(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
