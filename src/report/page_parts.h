/* report/page_parts.h - the sections of the page, for page.c. Each appends itself to `out`, or nothing where there is
 * nothing to show; memory that is out is remembered there. */
#ifndef BT_REPORT_PAGE_PARTS_H
#define BT_REPORT_PAGE_PARTS_H

#include "config/text_buf.h"
#include "report/report.h"

void bt_page_style(struct bt_text_buf *out);
void bt_page_stage(struct bt_text_buf *out, const struct bt_report *report, enum bt_stage_id stage);
void bt_page_runs(struct bt_text_buf *out, const struct bt_report *report);
/* Are these keys columns of the table of runs, and so not told again? */
bool bt_page_keys_in_table(const struct bt_report *report, size_t key_count);
void bt_page_effects(struct bt_text_buf *out, const struct bt_report *report);
void bt_page_warnings(struct bt_text_buf *out, const struct bt_report *report);
void bt_page_telemetry_means(struct bt_text_buf *out, const struct bt_report *report);
/* Heat maps, where there are few runs. */
void bt_page_telemetry(struct bt_text_buf *out, const struct bt_report *report, size_t run);
void bt_page_samples(struct bt_text_buf *out, const struct bt_report *report, size_t run);
void bt_page_conversion(struct bt_text_buf *out, const struct bt_report *report, size_t run);
void bt_page_differences(struct bt_text_buf *out, const struct bt_report *report);
void bt_page_config(struct bt_text_buf *out, const struct bt_report *report, size_t run);

#endif
