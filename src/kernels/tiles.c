/* kernels/tiles.c - how a product's output is cut into tiles. */
#include "kernels/tiles.h"

#include <omp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/minmax.h"

/* Products below this many multiplications run as they are: a parallel region would cost more than it saves. */
#define ONE_TILE ((size_t)1 << 18)

/* Where tiles must depend on the shape alone: at most this long on a side, enough for a library to run at speed ... */
#define LONGEST 384
/* ... and enough of them to keep many threads busy to the end, ... */
#define MANY_TILES 32
/* ... but a side is not cut into pieces shorter than this. */
#define SHORTEST 32

/* Where tiles are free: so many a thread that none waits long for the last one. */
#define TILES_A_THREAD 4
/* Pieces are a multiple of this, but for the last: the rows and lanes of register tiles. */
#define GRAIN 48

/* The length of the pieces that a side is cut into: `parts` nearly equal ones. */
static size_t piece(size_t side, size_t parts, size_t grain)
{
    const size_t length = (side + parts - 1) / parts;
    return (length + grain - 1) / grain * grain;
}

struct rule {
    size_t longest, enough, grain;
};

static struct bt_tiles cut(size_t m, size_t n, size_t k, struct rule rule)
{
    if (m == 0 || n == 0)
        return (struct bt_tiles){0};
    size_t down = (m + rule.longest - 1) / rule.longest, across = (n + rule.longest - 1) / rule.longest;
    while (down * across < rule.enough) {
        const size_t height = piece(m, down, rule.grain), width = piece(n, across, rule.grain);
        const bool cut_rows = height >= width;
        if ((cut_rows ? height : width) < 2 * SHORTEST || height * width * k < 2 * ONE_TILE)
            break;
        if (cut_rows)
            down++;
        else
            across++;
    }
    struct bt_tiles tiles = {
        .m = m, .n = n, .height = piece(m, down, rule.grain), .width = piece(n, across, rule.grain)};
    tiles.across = (n + tiles.width - 1) / tiles.width;
    tiles.count = (m + tiles.height - 1) / tiles.height * tiles.across;
    return tiles;
}

struct bt_tiles bt_tiles_fixed(size_t m, size_t n, size_t k)
{
    return cut(m, n, k, (struct rule){LONGEST, MANY_TILES, 16});
}

struct bt_tiles bt_tiles_free(size_t m, size_t n, size_t k)
{
    return cut(m, n, k, (struct rule){SIZE_MAX / 2, TILES_A_THREAD * (size_t)omp_get_max_threads(), GRAIN});
}

static struct bt_tile_place place(const struct bt_tiles *tiles, size_t t)
{
    const size_t i = t / tiles->across * tiles->height, j = t % tiles->across * tiles->width;
    return (struct bt_tile_place){i, j, BT_MIN(tiles->height, tiles->m - i), BT_MIN(tiles->width, tiles->n - j)};
}

void bt_tiles_run(const struct bt_tiles *tiles, bt_tile_fn *tile, const void *product)
{
#pragma omp parallel for schedule(dynamic) if (tiles->count > 1)
    for (size_t t = 0; t < tiles->count; t++)
        tile(product, place(tiles, t));
}
