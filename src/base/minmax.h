/* base/minmax.h - the smaller and the larger of two numbers of one type, each of which may be evaluated twice. */
#ifndef BT_BASE_MINMAX_H
#define BT_BASE_MINMAX_H

#define BT_MIN(a, b) ((a) < (b) ? (a) : (b))
#define BT_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
