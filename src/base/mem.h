/* base/mem.h - every heap allocation of the project goes through here, so that tests can make any one of them fail
 * and can count what was not given back. Thread safe. */
#ifndef BT_BASE_MEM_H
#define BT_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* NULL when memory is out, when a test asks for it, or when count * size overflows. A size of 0 gives a pointer that
 * can be freed. bt_alloc leaves the memory undefined, bt_zalloc zeroes it. */
void *bt_alloc(size_t size);
void *bt_zalloc(size_t count, size_t size);
void *bt_realloc(void *p, size_t count, size_t size); /* p may be NULL; on failure p stays valid */
char *bt_strdup(const char *text);
char *bt_strndup(const char *text, size_t length);
char *bt_sprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bt_free(void *p); /* takes NULL */

/* Test hooks. The k-th allocation from now (counting from 0) fails, once; -1 switches that off. */
void bt_alloc_fail_at(long k);
/* Allocations that are still alive. */
long bt_alloc_live(void);

/* One block of zeroed, 64-byte aligned memory carved into arrays. An arena without a base only measures: takes return
 * NULL and `used` grows all the same, so one carving function sizes the block (and tells --dry-run) and fills it. */
struct bt_arena {
    unsigned char *base; /* NULL: measuring */
    size_t size;
    size_t used;
    bool overflow; /* a size did not fit into size_t; sticky */
};

/* Reserves `size` bytes; the pages are mapped lazily. False when memory is out. */
bool bt_arena_init(struct bt_arena *arena, size_t size);
void bt_arena_finish(struct bt_arena *arena);
/* count * size bytes, aligned to 64. When a real arena is full, that is a bug: it asserts. */
void *bt_arena_take(struct bt_arena *arena, size_t count, size_t size);

#endif
