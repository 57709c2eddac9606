#include "config/nearest.h"

#include <string.h>

#include "base/minmax.h"

#define MAX_LENGTH 64

unsigned bt_edit_distance(const char *a, const char *b)
{
    unsigned rows[3][MAX_LENGTH + 1]; /* of the table of distances between beginnings of a and of b: the last three */
    const size_t na = strlen(a), nb = strlen(b);
    if (na > MAX_LENGTH || nb > MAX_LENGTH)
        return 2 * MAX_LENGTH;
    for (size_t j = 0; j <= nb; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            now[j] = BT_MIN(above[j], now[j - 1]) + 1;
            now[j] = BT_MIN(now[j], above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = BT_MIN(now[j], two_above[j - 2] + 1);
        }
    }
    return rows[na % 3][nb];
}

bool bt_is_near(const char *typed, const char *name)
{
    return bt_edit_distance(typed, name) <= 1 + strlen(name) / 4;
}
