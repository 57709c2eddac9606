#include "io_support.h"

#include <stdlib.h>
#include <string.h>

const char *in_dir(void **state, const char *name)
{
    return test_format("%s/%s", (const char *)*state, name);
}

void assert_file_holds(const char *path, const void *data, size_t size)
{
    size_t got_size;
    unsigned char *got = test_read_file(path, &got_size);
    assert_int_equal(got_size, size);
    assert_memory_equal(got, data, size);
    free(got);
}

void assert_failed(enum bt_err got, enum bt_err want, const struct bt_diag *diag, const char *part)
{
    if (got != want)
        fail_msg("error %d in place of %d: %s", (int)got, (int)want, diag->text);
    if (!strstr(diag->text, part))
        fail_msg("\"%s\" is not in the sentence: %s", part, diag->text);
}

static int operations_to_go, error_to_give;

static int fail_when_due(const char *op, const char *path)
{
    (void)op;
    (void)path;
    return operations_to_go-- == 0 ? error_to_give : 0;
}

int test_every_disk_operation_fails(const struct disk_faults *faults, int error)
{
    for (int n = 0;; n++) {
        struct bt_diag diag = {""};
        const long live = bt_alloc_live();
        operations_to_go = n;
        error_to_give = error;
        bt_io_hook = fail_when_due;
        const enum bt_err err = faults->body(faults->context, &diag);
        bt_io_hook = NULL;
        assert_int_equal(bt_alloc_live(), live);
        if (faults->look)
            faults->look(faults->context, err);
        if (err == BT_OK) {
            assert_true(operations_to_go >= 0); /* a failure was not swallowed */
            return n;
        }
        assert_failed(err, BT_EIO, &diag, faults->name);
        assert_failed(err, BT_EIO, &diag, strerror(error));
        assert_true(n < 10000);
    }
}
