#include "tokenize_screen.h"

#include <stdio.h>

#include "train/progress.h"

void bt_say_tokenized(const struct bt_screen *screen, const struct bt_tokenize_progress *progress)
{
    char tokens[32], rate[32];
    bt_screen_say_bytes(screen, progress->bytes);
    bt_format_rate(tokens, sizeof tokens, (double)progress->tokens);
    bt_format_rate(rate, sizeof rate, (double)progress->tokens / bt_screen_seconds(screen));
    fprintf(stderr, ", %s tokens, %s tokens/s", tokens, rate);
}

void bt_show_tokenizing(void *context, const struct bt_tokenize_progress *progress)
{
    struct bt_screen *screen = context;
    if (!bt_screen_begin(screen, progress->position, progress->size))
        return;
    bt_say_tokenized(screen, progress);
    bt_screen_end(screen);
}
