#include "fuzz.h"

#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/mem.h"
#include "io/file.h"

#define FAILING 128 /* of the first so many allocations one fails */

static char folder[256];

static void remove_folder(void)
{
    bt_alloc_fail_at(-1);
    bt_dir_remove(folder, NULL);
}

const char *fuzz_file(const char *name, const void *data, size_t size)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    if (!folder[0]) {
        const char *parent = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/bitnet-fuzz-XXXXXX", parent && *parent ? parent : "/tmp");
        FUZZ_CHECK(mkdtemp(folder));
        atexit(remove_folder);
    }
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file && (size == 0 || fwrite(data, 1, size, file) == size));
    FUZZ_CHECK(fclose(file) == 0);
    return path;
}

/* A failure says something, and in one line. */
static void check_sentence(enum bt_err err, const struct bt_diag *diag)
{
    FUZZ_CHECK(!err == !diag->text[0]);
    FUZZ_CHECK(!strchr(diag->text, '\n'));
}

static enum bt_err read_once(const uint8_t *data, size_t size, long failing)
{
    struct bt_diag diag = {""};
    const long live = bt_alloc_live();
    bt_alloc_fail_at(failing);
    const enum bt_err err = fuzz_read(data, size, &diag);
    bt_alloc_fail_at(-1);
    check_sentence(err, &diag);
    FUZZ_CHECK(bt_alloc_live() == live);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const enum bt_err err = read_once(data, size, -1);
    FUZZ_CHECK(err == BT_OK || err == BT_EINPUT || err == BT_EUSAGE);
    const enum bt_err other = read_once(data, size, (long)(XXH3_64bits(data, size) % FAILING));
    FUZZ_CHECK(other == err || other == BT_ENOMEM);
    return 0;
}
