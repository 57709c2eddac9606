/* tests/support/support.h - what every test file shares. Include it first. */
#ifndef BT_TESTS_SUPPORT_H
#define BT_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

#define BT_ARRAY_LEN(a) (sizeof(a) / sizeof(a)[0])

/* Sanitizers make every loop and every start of a program several times slower: tests with hundreds of them do fewer,
 * and say so. */
#if defined __SANITIZE_ADDRESS__
#define TEST_IS_SLOW 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define TEST_IS_SLOW 1
#endif
#endif
#ifndef TEST_IS_SLOW
#define TEST_IS_SLOW 0
#endif

/* A fresh empty folder under $TMPDIR; the caller gives it to test_remove_dir. */
char *test_make_dir(void);
void test_remove_dir(char *path);
/* cmocka's setup and teardown of tests that want such a folder: it is *state and test_dir. */
extern char *test_dir;
int test_dir_setup(void **state);
int test_dir_teardown(void **state);
/* printf into a static ring of buffers: for paths in a line of a test. */
const char *test_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
void test_write_file(const char *path, const void *data, size_t size);
unsigned char *test_read_file(const char *path, size_t *size); /* malloc; fails the test when absent; NUL added */

/* Changes so many bytes of a text, to some of `spice` or, where that is NULL, to any; *random goes on. */
void test_corrupt(char *text, size_t size, int flips, const char *spice, uint32_t *random);
void test_same_bytes(const char *a, const char *b); /* of two files, or the test fails */

/* Path of something in the shared inputs, kept for the life of the program; skips the running test, saying so, where
 * they are absent. */
const char *test_shared(const char *relative);

/* Runs body(context) with the k-th allocation failing, for k = 0, 1, ... until one run passes untouched. body returns
 * its error; each failing run must return BT_ENOMEM and leave no allocation alive. */
void test_every_allocation_fails(enum bt_err (*body)(void *context), void *context);

#define TEST_OK(expression, diag)                                                                                      \
    do {                                                                                                               \
        enum bt_err test_err_ = (expression);                                                                          \
        if (test_err_ != BT_OK)                                                                                        \
            fail_msg("%s: error %d: %s", #expression, (int)test_err_, (diag).text);                                    \
    } while (0)

#endif
