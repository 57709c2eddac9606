/* base/clock.h - a clock that only runs forward. */
#ifndef BT_BASE_CLOCK_H
#define BT_BASE_CLOCK_H

double bt_clock_seconds(void); /* since some moment that stays the same while the process lives */

#endif
