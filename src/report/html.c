#include "report/html.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/utf8.h"
#include "train/progress.h"

static const char *escape_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

static bool is_control(const char *text, size_t length)
{
    const unsigned char c = (unsigned char)text[0];
    if (length == 2 && c == 0xC2) /* U+0080 to U+009F */
        return (unsigned char)text[1] < 0xA0;
    return length == 1 && (c < 0x20 || c == 0x7F) && c != '\n' && c != '\t';
}

static void add_character(struct bt_text_buf *out, const char *text, size_t length, enum bt_utf8_kind kind)
{
    const char *escape = length == 1 ? escape_of(text[0]) : NULL;
    if (kind != BT_UTF8_WHOLE || is_control(text, length))
        bt_text_add(out, "\xEF\xBF\xBD");
    else if (escape)
        bt_text_add(out, "%s", escape);
    else
        bt_text_add(out, "%.*s", (int)length, text);
}

/* The bytes at the front that need nothing done to them. */
static size_t plain_span(const char *text, size_t size)
{
    size_t n = 0;
    while (n < size && ((text[n] >= ' ' && text[n] < 0x7F && !escape_of(text[n])) || text[n] == '\n'))
        n++;
    return n;
}

void bt_html_text(struct bt_text_buf *out, const char *text)
{
    size_t size = text ? strlen(text) : 0;
    while (size) {
        size_t step = plain_span(text, size < 4096 ? size : 4096);
        if (step) {
            bt_text_add(out, "%.*s", (int)step, text);
        } else {
            enum bt_utf8_kind kind;
            step = bt_utf8_step(text, size, &kind);
            add_character(out, text, step, kind);
        }
        text += step;
        size -= step;
    }
}

size_t bt_html_characters(const char *text)
{
    size_t size = strlen(text), count = 0;
    enum bt_utf8_kind kind;
    for (; size; count++) {
        const size_t step = bt_utf8_step(text, size, &kind);
        text += step;
        size -= step;
    }
    return count;
}

void bt_html_short(struct bt_text_buf *out, const char *text, size_t characters)
{
    if (!text || bt_html_characters(text) <= characters) {
        bt_html_text(out, text);
        return;
    }
    for (size_t i = 0; i + 1 < characters; i++) {
        enum bt_utf8_kind kind;
        const size_t step = bt_utf8_step(text, strlen(text), &kind);
        add_character(out, text, step, kind);
        text += step;
    }
    bt_text_add(out, "\xE2\x80\xA6");
}

void bt_figure(char *buf, size_t size, double value, int digits)
{
    static const struct {
        double from;
        const char *unit;
    } units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e5, "k"}};
    double unit = 1.0;
    const char *name = "";
    if (!isfinite(value)) {
        snprintf(buf, size, "\xE2\x80\x93");
        return;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0] && unit == 1.0; i++)
        if (fabs(value) >= units[i].from) {
            unit = units[i].unit[0] == 'k' ? 1e3 : units[i].from;
            name = units[i].unit;
        }
    const double shown = value / unit;
    if (fabs(shown) >= pow(10.0, digits)) /* whole, and not in the form 1.2e+04 */
        snprintf(buf, size, "%.0f%s", shown, name);
    else
        snprintf(buf, size, "%.*g%s", digits, shown, name);
}

void bt_html_figure(struct bt_text_buf *out, double value, int digits)
{
    char text[32];
    bt_figure(text, sizeof text, value, digits);
    bt_text_add(out, "%s", text);
}

void bt_html_fixed(struct bt_text_buf *out, double value, int decimals)
{
    if (isfinite(value))
        bt_text_add(out, "%.*f", decimals, value);
    else
        bt_html_figure(out, value, 0);
}

void bt_html_duration(struct bt_text_buf *out, double seconds)
{
    char text[32];
    if (!isfinite(seconds)) {
        bt_html_figure(out, seconds, 0);
        return;
    }
    bt_format_duration(text, sizeof text, seconds);
    bt_text_add(out, "%s", text);
}
