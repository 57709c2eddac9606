/* The table for people: bt_sweep_table_text of table.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "config/text_buf.h"
#include "sweep/table.h"
#include "train/progress.h"

enum { NUMBERS = 7 };

struct cell {
    char text[48];
};

struct grid {                    /* of text; numbers stand on the right of their column */
    struct cell *cells;          /* (rows, columns), the first row names the columns */
    size_t columns, rows, texts; /* the first `texts` columns stand on the left */
};

static struct cell *cell_at(const struct grid *grid, size_t row, size_t column)
{
    return &grid->cells[row * grid->columns + column];
}

static void put(struct cell *cell, const char *text)
{
    snprintf(cell->text, sizeof cell->text, "%s", text);
}

static void put_loss(struct cell *cell, double loss)
{
    if (isnan(loss))
        put(cell, "-");
    else
        snprintf(cell->text, sizeof cell->text, "%.4f", loss);
}

static size_t width_of(const struct grid *grid, size_t column)
{
    size_t width = 0;
    for (size_t row = 0; row < grid->rows; row++) {
        const size_t length = strlen(cell_at(grid, row, column)->text);
        width = length > width ? length : width;
    }
    return width;
}

static void add_grid(struct bt_text_buf *out, const struct grid *grid)
{
    for (size_t row = 0; row < grid->rows; row++) {
        for (size_t column = 0; column < grid->columns; column++) {
            const char *text = cell_at(grid, row, column)->text;
            const int width = (int)width_of(grid, column);
            bt_text_add(out, column ? "  " : "");
            bt_text_add(out, column < grid->texts ? "%-*s" : "%*s", width, text);
        }
        bt_text_add(out, "\n");
    }
}

static bool grid_make(struct grid *grid, size_t rows, size_t texts, size_t numbers)
{
    *grid = (struct grid){.rows = rows, .columns = texts + numbers, .texts = texts};
    grid->cells = bt_zalloc(rows * grid->columns, sizeof *grid->cells);
    return grid->cells;
}

/* ---- one line a member ---- */

static void put_labels(const struct bt_sweep *sweep, struct grid *grid)
{
    for (size_t k = 0; k < sweep->combinations.key_count; k++)
        put(cell_at(grid, 0, k), sweep->labels[k]);
}

static void put_values(const struct bt_sweep *sweep, const struct bt_sweep_run *run, struct grid *grid, size_t row)
{
    for (size_t k = 0; k < sweep->combinations.key_count; k++)
        put(cell_at(grid, row, k), run->values[k] ? run->values[k] : "-");
}

static void put_numbers(const struct bt_sweep_row *row, struct cell *cells)
{
    const struct bt_sweep_outcome *o = &row->outcome;
    put_loss(&cells[0], o->eval_loss);
    put_loss(&cells[1], o->best_eval_loss);
    put_loss(&cells[2], o->loss);
    if (o->steps >= 0)
        snprintf(cells[3].text, sizeof cells[3].text, "%lld", (long long)o->steps);
    else
        put(&cells[3], "-");
    if (isnan(o->tokens_per_second))
        put(&cells[4], "-");
    else
        bt_format_rate(cells[4].text, sizeof cells[4].text, o->tokens_per_second);
    if (isnan(o->seconds))
        put(&cells[5], "-");
    else
        bt_format_duration(cells[5].text, sizeof cells[5].text, o->seconds);
    put_loss(&cells[6], row->cost);
}

static void add_members(struct bt_text_buf *out, const struct bt_sweep_table *table)
{
    static const char *const names[NUMBERS] = {"eval_loss", "best", "loss", "steps", "tokens/s", "time", "cost"};
    const struct bt_sweep *sweep = table->sweep;
    const size_t keys = sweep->combinations.key_count, numbers = NUMBERS - !sweep->file->twins;
    struct grid grid;
    struct cell cells[NUMBERS];
    out->failed = out->failed || !grid_make(&grid, table->count + 1, keys + 1, numbers);
    if (out->failed)
        return;
    put_labels(sweep, &grid);
    put(cell_at(&grid, 0, keys), "status");
    for (size_t i = 0; i < numbers; i++)
        put(cell_at(&grid, 0, keys + 1 + i), names[i]);
    for (size_t r = 0; r < table->count; r++) {
        const struct bt_sweep_row *row = &table->rows[r];
        put_values(sweep, row->run, &grid, r + 1);
        snprintf(cell_at(&grid, r + 1, keys)->text, sizeof(struct cell), "%s%s",
                 bt_sweep_status_name(row->outcome.status), row->run->is_twin ? " (twin)" : "");
        put_numbers(row, cells);
        memcpy(cell_at(&grid, r + 1, keys + 1), cells, numbers * sizeof *cells);
    }
    add_grid(out, &grid);
    bt_free(grid.cells);
}

/* ---- one line for all seeds ---- */

static void put_spread(const struct bt_spread_line *line, struct cell *cells)
{
    snprintf(cells[0].text, sizeof cells[0].text, "%zu/%zu", line->finished, line->members);
    put_loss(&cells[1], line->mean);
    put_loss(&cells[2], line->deviation);
    put_loss(&cells[3], line->least);
    put_loss(&cells[4], line->most);
    put_loss(&cells[5], line->best_mean);
    put_loss(&cells[6], line->cost_mean);
}

static void add_spread(struct bt_text_buf *out, const struct bt_sweep_table *table)
{
    static const char *const names[NUMBERS] = {"seeds", "eval_loss", "deviation", "least", "most", "best", "cost"};
    const struct bt_sweep *sweep = table->sweep;
    const size_t keys = sweep->combinations.key_count, numbers = NUMBERS - !sweep->file->twins;
    struct grid grid;
    struct cell cells[NUMBERS];
    if (!table->spread_count)
        return;
    out->failed = out->failed || !grid_make(&grid, table->spread_count + 1, keys, numbers);
    if (out->failed)
        return;
    put_labels(sweep, &grid);
    for (size_t i = 0; i < numbers; i++)
        put(cell_at(&grid, 0, keys + i), names[i]);
    for (size_t r = 0; r < table->spread_count; r++) {
        const struct bt_spread_line *line = &table->spread[r];
        put_values(sweep, line->run, &grid, r + 1);
        for (size_t k = 0; k < keys; k++)
            if (!strcmp(sweep->combinations.keys[k], "seed"))
                put(cell_at(&grid, r + 1, k), line->run->is_twin ? "all (twin)" : "all");
        put_spread(line, cells);
        memcpy(cell_at(&grid, r + 1, keys), cells, numbers * sizeof *cells);
    }
    bt_text_add(out, "\n");
    add_grid(out, &grid);
    bt_free(grid.cells);
}

static void add_failures(struct bt_text_buf *out, const struct bt_sweep_table *table)
{
    const char *before = "\n";
    for (size_t r = 0; r < table->count; r++)
        if (table->rows[r].outcome.status == BT_SWEEP_FAILED) {
            bt_text_add(out, "%s%s: %s\n", before, table->rows[r].run->name, table->rows[r].outcome.error);
            before = "";
        }
}

char *bt_sweep_table_text(const struct bt_sweep_table *table)
{
    struct bt_text_buf out = {0};
    add_members(&out, table);
    add_spread(&out, table);
    add_failures(&out, table);
    return bt_text_take(&out);
}
