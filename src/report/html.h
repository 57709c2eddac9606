/* report/html.h - text of files as text of a page: nothing in it is ever markup. */
#ifndef BT_REPORT_HTML_H
#define BT_REPORT_HTML_H

#include <stddef.h>

#include "config/text_buf.h"

/* Appends text, fit for content and for attributes in double quotes. What is no UTF-8, and control characters but
 * newline and tab, become U+FFFD. NULL: nothing. */
void bt_html_text(struct bt_text_buf *out, const char *text);
/* The same of at most `characters`, the last one an ellipsis where there were more. */
void bt_html_short(struct bt_text_buf *out, const char *text, size_t characters);

/* Characters that are shown for it. */
size_t bt_html_characters(const char *text);

/* A number for people, at most `size` bytes with the NUL: `digits` significant ones ("0.05132", "2e-04", "1.9M" from a
 * hundred thousand on, the sign U+2013 for what is not finite). */
void bt_figure(char *buf, size_t size, double value, int digits);
void bt_html_figure(struct bt_text_buf *out, double value, int digits);
/* With so many decimals; the same sign. */
void bt_html_fixed(struct bt_text_buf *out, double value, int decimals);
/* "3 m 05 s", or the same sign. */
void bt_html_duration(struct bt_text_buf *out, double seconds);

#endif
