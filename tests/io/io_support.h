/* tests/io/io_support.h - a fresh folder for every test, and disks that fail. */
#ifndef BT_TESTS_IO_SUPPORT_H
#define BT_TESTS_IO_SUPPORT_H

#include "support.h"

#include "io/file.h"

const char *in_dir(void **state, const char *name);
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, test_dir_setup, test_dir_teardown)

/* The file holds exactly this. */
void assert_file_holds(const char *path, const void *data, size_t size);
/* The error is err and its sentence has the part in it. */
void assert_failed(enum bt_err got, enum bt_err want, const struct bt_diag *diag, const char *part);
#define ASSERT_FAILS(want, part, call)                                                                                 \
    do {                                                                                                               \
        diag.text[0] = '\0';                                                                                           \
        assert_failed(call, want, &diag, part);                                                                        \
    } while (0)

/* Runs body with the n-th operation on the disk failing with `error`, for n = 0, 1, ... until one run passes untouched.
 * Each failing run must return BT_EIO with a sentence that has `name` and the reason; after every run `look` (may be
 * NULL) judges what is there. Returns the number of operations. */
struct disk_faults {
    enum bt_err (*body)(void *context, struct bt_diag *diag);
    void (*look)(void *context, enum bt_err err);
    void *context;
    const char *name;
};
int test_every_disk_operation_fails(const struct disk_faults *faults, int error);

#endif
