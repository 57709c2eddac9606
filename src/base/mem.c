#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_ALIGN 64 /* a cache line, and the widest vector register */

/* Arenas from this size on ask for huge pages: matrix products stride through them row by row, and with small pages
 * each row costs a walk of the page table. Below it a half-used huge page would be felt. */
#define HUGE_FROM ((size_t)32 << 20)

static atomic_long fail_countdown = -1;
static atomic_long live_count;

void bt_alloc_fail_at(long k)
{
    atomic_store(&fail_countdown, k);
}

long bt_alloc_live(void)
{
    return atomic_load(&live_count);
}

/* Whether the test hook picked this allocation. Reaching -1 switches the hook off, so it fails once. */
static bool told_to_fail(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) < 0)
        return false;
    return atomic_fetch_sub(&fail_countdown, 1) == 0;
}

static void *count_live(void *p)
{
    if (p)
        atomic_fetch_add(&live_count, 1);
    return p;
}

/* malloc(0) and calloc(0) may return NULL, which our callers would take for a failure. */
static size_t at_least_one(size_t size)
{
    return size ? size : 1;
}

void *bt_alloc(size_t size)
{
    return told_to_fail() ? NULL : count_live(malloc(at_least_one(size)));
}

void *bt_zalloc(size_t count, size_t size)
{
    size_t bytes;
    if (told_to_fail() || __builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return count_live(calloc(at_least_one(bytes), 1));
}

void *bt_realloc(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (told_to_fail() || __builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *moved = realloc(p, at_least_one(bytes));
    return p ? moved : count_live(moved);
}

char *bt_strdup(const char *text)
{
    return bt_strndup(text, strlen(text));
}

char *bt_strndup(const char *text, size_t length)
{
    const size_t n = strnlen(text, length);
    char *copy = n < SIZE_MAX ? bt_alloc(n + 1) : NULL;
    if (!copy)
        return NULL;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return copy;
}

char *bt_sprintf(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    char *text = length < 0 ? NULL : bt_alloc((size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void bt_free(void *p)
{
    if (p)
        atomic_fetch_sub(&live_count, 1);
    free(p);
}

/* Rounds up to the arena's alignment; false when that does not fit. */
static bool round_up(size_t size, size_t *ret_rounded)
{
    if (size > SIZE_MAX - (ARENA_ALIGN - 1))
        return false;
    *ret_rounded = (size + (ARENA_ALIGN - 1)) & ~(size_t)(ARENA_ALIGN - 1);
    return true;
}

bool bt_arena_init(struct bt_arena *arena, size_t size)
{
    size_t rounded;
    if (told_to_fail() || !round_up(at_least_one(size), &rounded))
        return false;
    /* Anonymous pages read as zeros and cost nothing until they are touched; without NORESERVE the kernel may refuse a
     * reservation that is larger than what will ever be touched. */
    void *base = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return false;
    if (rounded >= HUGE_FROM)
        madvise(base, rounded, MADV_HUGEPAGE); /* a wish: without it everything works the same */
    *arena = (struct bt_arena){.base = count_live(base), .size = rounded};
    return true;
}

void bt_arena_finish(struct bt_arena *arena)
{
    if (arena->base) {
        munmap(arena->base, arena->size);
        atomic_fetch_sub(&live_count, 1);
    }
    *arena = (struct bt_arena){0};
}

void *bt_arena_take(struct bt_arena *arena, size_t count, size_t size)
{
    size_t bytes, end;
    if (__builtin_mul_overflow(count, size, &bytes) || !round_up(bytes, &bytes) ||
        __builtin_add_overflow(arena->used, bytes, &end)) {
        arena->overflow = true;
        assert(!arena->base);
        return NULL;
    }
    assert(!arena->base || end <= arena->size);
    void *p = arena->base ? arena->base + arena->used : NULL;
    arena->used = end;
    return p;
}
