/* config/nearest.h - for "did you mean". */
#ifndef BT_CONFIG_NEAREST_H
#define BT_CONFIG_NEAREST_H

#include <stdbool.h>

/* Letters to insert, delete, replace or swap with their neighbour to get from a to b (optimal string alignment). Texts
 * of more than 64 bytes are far from everything. */
unsigned bt_edit_distance(const char *a, const char *b);
/* Whether `name` is so near to what was typed that it may be meant. */
bool bt_is_near(const char *typed, const char *name);

#endif
