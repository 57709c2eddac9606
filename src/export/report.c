#include "export/report.h"

#include <stdarg.h>
#include <stdio.h>

void bt_export_note(struct bt_export_report *report, const char *format, ...)
{
    va_list arguments;
    if (report->note_count == BT_EXPORT_NOTES_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(report->notes[report->note_count++], sizeof report->notes[0], format, arguments);
    va_end(arguments);
}
