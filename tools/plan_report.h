/* tools/plan_report.h - a run's plan as a table for people. */
#ifndef BT_TOOLS_PLAN_REPORT_H
#define BT_TOOLS_PLAN_REPORT_H

#include <stdio.h>

#include "train/plan.h"

void bt_print_plan(FILE *out, const struct bt_run_plan *plan);

#endif
