#include "text/trigram.h"

#include <math.h>

#include "base/mem.h"

/* Counts of what follows contexts: entry [context][symbol], with the sum and the number of nonzero entries of each row.
 */
struct table {
    uint32_t *count, *total, *types;
};

/* Ids that occur are numbered from 0 as symbols, so that the tables are as wide as the alphabet in use; all other ids
 * share the last symbol, which is never counted. */
struct bt_trigram {
    uint32_t *symbol; /* (vocab_size) */
    uint32_t symbols; /* with the last one */
    uint32_t vocab_size;
    int32_t before;
    struct table order[3]; /* by the length of the context: 1, symbols and symbols^2 rows */
};

static enum bt_err number_symbols(struct bt_trigram *t, const int32_t *tokens, size_t count, struct bt_diag *diag)
{
    if (!(t->symbol = bt_zalloc(t->vocab_size, sizeof *t->symbol)))
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < count; i++)
        if (!t->symbol[tokens[i]])
            t->symbol[tokens[i]] = ++t->symbols;
    t->symbols++;
    for (uint32_t id = 0; id < t->vocab_size; id++) /* 0 meant "does not occur" so far */
        t->symbol[id] = (t->symbol[id] ? t->symbol[id] : t->symbols) - 1;
    return BT_OK;
}

static bool make_table(struct table *table, size_t rows, size_t symbols)
{
    table->count = bt_zalloc(rows * symbols, sizeof *table->count);
    table->total = bt_zalloc(rows, sizeof *table->total);
    table->types = bt_zalloc(rows, sizeof *table->types);
    return table->count && table->total && table->types;
}

static void add(struct table *table, size_t row, size_t symbols, uint32_t symbol)
{
    uint32_t *count = &table->count[row * symbols + symbol];
    table->types[row] += *count == 0;
    table->total[row]++;
    ++*count;
}

/* The symbols of the two tokens before position i > 0. */
static void context_at(const struct bt_trigram *t, const int32_t *tokens, size_t i, uint32_t *ret_older,
                       uint32_t *ret_newer)
{
    const int32_t newer = tokens[i - 1];
    *ret_newer = t->symbol[newer];
    *ret_older = t->symbol[i < 2 || newer == t->before ? t->before : tokens[i - 2]];
}

enum bt_err bt_trigram_create(const int32_t *tokens, size_t count, uint32_t vocab_size, int32_t before,
                              struct bt_trigram **ret_trigram, struct bt_diag *diag)
{
    struct bt_trigram *t = bt_zalloc(1, sizeof *t);
    if (!t)
        return bt_fail_nomem(diag);
    t->vocab_size = vocab_size;
    t->before = before;
    enum bt_err err = number_symbols(t, tokens, count, diag);
    size_t rows = 1;
    for (size_t n = 0; !err && n < 3; n++, rows *= t->symbols)
        if (!make_table(&t->order[n], rows, t->symbols))
            err = bt_fail_nomem(diag);
    if (err) {
        bt_trigram_destroy(t);
        return err;
    }
    for (size_t i = 1; i < count; i++) {
        uint32_t older, newer;
        const uint32_t symbol = t->symbol[tokens[i]];
        context_at(t, tokens, i, &older, &newer);
        add(&t->order[0], 0, t->symbols, symbol);
        add(&t->order[1], newer, t->symbols, symbol);
        add(&t->order[2], (size_t)older * t->symbols + newer, t->symbols, symbol);
    }
    *ret_trigram = t;
    return BT_OK;
}

void bt_trigram_destroy(struct bt_trigram *trigram)
{
    if (!trigram)
        return;
    for (size_t n = 0; n < 3; n++) {
        bt_free(trigram->order[n].count);
        bt_free(trigram->order[n].total);
        bt_free(trigram->order[n].types);
    }
    bt_free(trigram->symbol);
    bt_free(trigram);
}

static double interpolate(const struct table *table, size_t row, size_t symbols, uint32_t symbol, double shorter)
{
    const double total = table->total[row], types = table->types[row];
    return total > 0.0 ? (table->count[row * symbols + symbol] + types * shorter) / (total + types) : shorter;
}

static double log_probability(const struct bt_trigram *t, uint32_t older, uint32_t newer, uint32_t symbol)
{
    double p = 1.0 / t->vocab_size;
    p = interpolate(&t->order[0], 0, t->symbols, symbol, p);
    p = interpolate(&t->order[1], newer, t->symbols, symbol, p);
    p = interpolate(&t->order[2], (size_t)older * t->symbols + newer, t->symbols, symbol, p);
    return log(p);
}

double bt_trigram_log_probability(const struct bt_trigram *trigram, int32_t older, int32_t newer, int32_t token)
{
    return log_probability(trigram, trigram->symbol[older], trigram->symbol[newer], trigram->symbol[token]);
}

double bt_trigram_loss(const struct bt_trigram *trigram, const int32_t *tokens, size_t count)
{
    double sum = 0.0;
    for (size_t i = 1; i < count; i++) {
        uint32_t older, newer;
        context_at(trigram, tokens, i, &older, &newer);
        sum -= log_probability(trigram, older, newer, trigram->symbol[tokens[i]]);
    }
    return count > 1 ? sum / (double)(count - 1) : 0.0;
}
