/* kernels/tiles.h - how a product's output is cut into tiles, each the work of one thread. Private to this folder. */
#ifndef BT_KERNELS_TILES_H
#define BT_KERNELS_TILES_H

#include <stddef.h>

struct bt_tiles {
    size_t m, n;          /* of the whole output */
    size_t height, width; /* of a tile that is not at the edge */
    size_t across, count;
};

struct bt_tile_place {
    size_t i, j, height, width;
};

/* An output without rows or columns has no tiles. k may be 0.
 * For implementations that need tiles to depend on the shape (m, n, k) alone. */
struct bt_tiles bt_tiles_fixed(size_t m, size_t n, size_t k);
/* For those whose elements have the same bits in any tile: as few tiles as keep all threads busy. */
struct bt_tiles bt_tiles_free(size_t m, size_t n, size_t k);

/* One tile of a product, single-threaded. */
typedef void bt_tile_fn(const void *product, struct bt_tile_place at);

/* Every tile once, in parallel. */
void bt_tiles_run(const struct bt_tiles *tiles, bt_tile_fn *tile, const void *product);

#endif
