#include "train/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PART_COUNT 5 /* loss, rate, lambda, lr, time left */
#define PART_SIZE  40
#define BAR_MAX    30
#define BAR_MIN    10

/* snprintf that returns how many characters are in the buffer, cut or not. */
__attribute__((format(printf, 3, 4))) static size_t print(char *buf, size_t size, const char *format, ...)
{
    va_list args;
    if (size == 0)
        return 0;
    va_start(args, format);
    const int length = vsnprintf(buf, size, format, args);
    va_end(args);
    if (length < 0)
        buf[0] = '\0';
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

size_t bt_format_duration(char *buf, size_t size, double seconds)
{
    static const double longest = 1e9 * 86400; /* keeps the number of days inside an int64_t, and short */
    if (!isfinite(seconds) || seconds < 0)
        return print(buf, size, "?");
    const int64_t s = (int64_t)(fmin(seconds, longest) + 0.5);
    if (s < 60)
        return print(buf, size, "%" PRId64 " s", s);
    if (s < 3600)
        return print(buf, size, "%" PRId64 " m %02" PRId64 " s", s / 60, s % 60);
    const int64_t minutes = (s + 30) / 60;
    if (minutes < 24 * 60)
        return print(buf, size, "%" PRId64 " h %02" PRId64 " m", minutes / 60, minutes % 60);
    const int64_t hours = (s + 1800) / 3600;
    return print(buf, size, "%" PRId64 " d %02" PRId64 " h", hours / 24, hours % 24);
}

size_t bt_format_bytes(char *buf, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes / 1000;
    size_t unit = 0;
    if (bytes < 1000)
        return print(buf, size, "%" PRIu64 " B", bytes);
    for (; value >= 999.95; value /= 1000) /* what "%.1f" would print as 1000.0 */
        unit++;
    return print(buf, size, "%.1f %s", value, units[unit]);
}

size_t bt_format_rate(char *buf, size_t size, double per_second)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    size_t unit = 0;
    if (!isfinite(per_second) || per_second < 0)
        return print(buf, size, "?");
    for (; per_second >= 999.5 && unit + 1 < sizeof units / sizeof units[0]; per_second /= 1000)
        unit++;
    const int decimals = per_second < 9.995 ? 2 : per_second < 99.95 ? 1 : 0;
    if (unit == 0 && per_second >= 0.995) /* below a thousand the fractions say less */
        return print(buf, size, "%.*f", decimals ? decimals - 1 : 0, per_second);
    return print(buf, size, "%.*f%s", decimals, per_second, units[unit]);
}

struct parts {
    char text[PART_COUNT][PART_SIZE];
    size_t count;
};

/* What is known, most wanted first. */
static void make_parts(struct parts *parts, const struct bt_progress *p)
{
    char number[PART_SIZE / 2];
    parts->count = 0;
    if (isfinite(p->loss))
        print(parts->text[parts->count++], PART_SIZE, "loss %.4f", p->loss);
    if (isfinite(p->tokens_per_second)) {
        bt_format_rate(number, sizeof number, p->tokens_per_second);
        print(parts->text[parts->count++], PART_SIZE, "%s tokens/s", number);
    }
    if (isfinite(p->lambda))
        print(parts->text[parts->count++], PART_SIZE, "lambda %.3f", p->lambda);
    if (isfinite(p->lr))
        print(parts->text[parts->count++], PART_SIZE, "lr %.2e", p->lr);
    if (isfinite(p->seconds_left)) {
        bt_format_duration(number, sizeof number, p->seconds_left);
        print(parts->text[parts->count++], PART_SIZE, "%s left", number);
    }
}

/* Adds the parts that leave the text below `limit` characters. */
static size_t add_parts(char *buf, size_t size, size_t used, size_t limit, const struct bt_progress *p)
{
    struct parts parts;
    make_parts(&parts, p);
    for (size_t i = 0; i < parts.count; i++) {
        if (used + 2 + strlen(parts.text[i]) > limit)
            break;
        used += print(buf + used, size - used, "  %s", parts.text[i]);
    }
    return used;
}

size_t bt_progress_line(char *buf, size_t size, const struct bt_progress *p)
{
    if (size == 0)
        return 0;
    const size_t used = print(buf, size, "%s %" PRId64 "/%" PRId64, p->stage, p->step, p->steps);
    return add_parts(buf, size, used, SIZE_MAX, p);
}

/* Columns for the bar itself: it shrinks before a part has to go, and goes itself when even the shortest does not fit.
 */
static size_t bar_columns(size_t limit, size_t counter, const struct bt_progress *p)
{
    struct parts parts;
    size_t wanted = counter + strlen("[] ");
    make_parts(&parts, p);
    for (size_t i = 0; i < parts.count; i++)
        wanted += 2 + strlen(parts.text[i]);
    if (counter + strlen("[] ") + BAR_MIN > limit)
        return 0;
    if (wanted + BAR_MIN > limit)
        return BAR_MIN;
    return limit - wanted < BAR_MAX ? limit - wanted : BAR_MAX;
}

static size_t add_bar(char *buf, size_t size, size_t used, size_t columns, double done)
{
    char bar[BAR_MAX + 1];
    const size_t filled = (size_t)(done * (double)columns);
    memset(bar, '-', columns);
    memset(bar, '#', filled);
    bar[columns] = '\0';
    return used + print(buf + used, size - used, "[%s] ", bar);
}

size_t bt_progress_bar(char *buf, size_t size, size_t width, const struct bt_progress *p)
{
    char counter[64];
    if (size == 0)
        return 0;
    const size_t limit = width > 0 && width < size ? width - 1 : size - 1;
    const double ratio = p->steps > 0 ? (double)p->step / (double)p->steps : 0;
    const double done = fmax(0, fmin(ratio, 1));
    const size_t counter_length =
        print(counter, sizeof counter, "%3d%% %" PRId64 "/%" PRId64, (int)(100 * done), p->step, p->steps);
    size_t used = print(buf, limit + 1, "%s ", p->stage);
    const size_t columns = bar_columns(limit, used + counter_length, p);
    if (columns)
        used = add_bar(buf, limit + 1, used, columns, done);
    used += print(buf + used, limit + 1 - used, "%s", counter);
    return add_parts(buf, limit + 1, used, limit, p);
}
