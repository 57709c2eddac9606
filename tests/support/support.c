#include "support.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *test_make_dir(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = malloc(4096);
    assert_non_null(path);
    snprintf(path, 4096, "%s/bitnet-train-test-XXXXXX", parent && *parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void test_remove_dir(char *path)
{
    assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(path);
}

char *test_dir;

int test_dir_setup(void **state)
{
    *state = test_dir = test_make_dir();
    return 0;
}

int test_dir_teardown(void **state)
{
    (void)state;
    test_remove_dir(test_dir);
    return 0;
}

const char *test_format(const char *format, ...)
{
    static char ring[16][4096];
    static unsigned next;
    char *text = ring[next++ % BT_ARRAY_LEN(ring)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof ring[0], format, args);
    va_end(args);
    return text;
}

void test_write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        fail_msg("%s: %s", path, strerror(errno));
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

unsigned char *test_read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s: %s", path, strerror(errno));
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long length = ftell(file);
    assert_true(length >= 0);
    rewind(file);
    unsigned char *data = malloc((size_t)length + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)length, file), (size_t)length);
    fclose(file);
    data[length] = 0;
    if (size)
        *size = (size_t)length;
    return data;
}

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

void test_corrupt(char *text, size_t size, int flips, const char *spice, uint32_t *random)
{
    for (; flips; flips--) {
        const size_t at = next_random(random) % size;
        const uint32_t value = next_random(random);
        text[at] = spice ? spice[value % strlen(spice)] : (char)(value >> 8);
    }
}

void test_same_bytes(const char *a, const char *b)
{
    size_t a_size, b_size;
    unsigned char *a_bytes = test_read_file(a, &a_size), *b_bytes = test_read_file(b, &b_size);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a_bytes, b_bytes, a_size);
    free(a_bytes);
    free(b_bytes);
}

const char *test_shared(const char *relative)
{
    static char *kept[1024];
    static size_t count;
    char *path = strdup(test_format("%s/%s", BT_SHARED_DIR, relative));
    struct stat info;
    assert_true(path && count < BT_ARRAY_LEN(kept));
    kept[count++] = path;
    if (stat(path, &info)) {
        print_message("skipped: the shared inputs are not here (%s)\n", relative);
        skip();
    }
    return path;
}

void test_every_allocation_fails(enum bt_err (*body)(void *context), void *context)
{
    const long live = bt_alloc_live();
    for (long k = 0;; k++) {
        assert_true(k < 100000);
        bt_alloc_fail_at(k);
        const enum bt_err err = body(context);
        bt_alloc_fail_at(-1);
        if (bt_alloc_live() != live)
            fail_msg("allocation %ld failing: %ld allocations leaked", k, bt_alloc_live() - live);
        if (err == BT_OK)
            return;
        if (err != BT_ENOMEM)
            fail_msg("allocation %ld failing: error %d in place of out of memory", k, (int)err);
    }
}
