/* export/report.h - what an export tells its user: facts of what was written, and what differs from training. */
#ifndef BT_EXPORT_REPORT_H
#define BT_EXPORT_REPORT_H

#include <stddef.h>
#include <stdint.h>

#define BT_EXPORT_NOTES_MAX 8

struct bt_export_report {
    uint64_t bytes;                       /* of all files written */
    size_t ternary, full;                 /* tensors written as codes, and in full precision */
    size_t verified_tensors;              /* read back and compared; 0: verification was off */
    size_t verified_positions;            /* whose logits were compared */
    double logit_difference;              /* the largest found there, absolute */
    char notes[BT_EXPORT_NOTES_MAX][320]; /* one sentence each */
    size_t note_count;
};

/* One more sentence; those beyond the last place are dropped. */
void bt_export_note(struct bt_export_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
