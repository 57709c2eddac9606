/* bitnet-data tokenize - files of text or of examples to token shards. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "data_commands.h"
#include "data_screen.h"
#include "options.h"
#include "text/shard_set.h"
#include "text/tokenize.h"
#include "text/utf8.h"
#include "tokenize_screen.h"
#include "train/progress.h"

struct request {
    const char *tokenizer, *out, *before, *after, *key, *separator, *form, *chat_format, *on_error, *progress;
    uint64_t shard_tokens, threads;
};

static void say_rates(const struct bt_screen *screen, const struct bt_tokenize_progress *p, int threads)
{
    bt_say_tokenized(screen, p);
    fprintf(stderr, " on %d thread%s\n", threads, threads == 1 ? "" : "s");
}

static void print_separators(const struct bt_separators *s, const struct bt_tokenizer *tokenizer)
{
    printf("separators  ");
    if (s->before != BT_NO_TOKEN)
        printf("%" PRId32 " \"%s\" before", s->before, bt_tokenizer_token(tokenizer, s->before));
    if (s->before != BT_NO_TOKEN && s->after != BT_NO_TOKEN)
        printf(", ");
    if (s->after != BT_NO_TOKEN)
        printf("%" PRId32 " \"%s\" after", s->after, bt_tokenizer_token(tokenizer, s->after));
    printf("%s each document\n", s->before == BT_NO_TOKEN && s->after == BT_NO_TOKEN ? "none around" : "");
}

/* Such shards are of use without packing alone, which a tokenizer.json without its model's folder leads to unasked. */
static void print_joined(const struct bt_tokenize_options *options, const struct bt_tokenize_report *r)
{
    const struct bt_separators *s = &options->separators;
    if (!r->chat_format && s->before == BT_NO_TOKEN && s->after == BT_NO_TOKEN && r->done.documents > 1)
        printf(
            "note        nothing is between the documents, so packing cannot tell them apart; --before ID or --after "
            "ID puts a token there\n");
}

static void print_report(const struct bt_tokenize_options *options, const struct bt_tokenize_report *r)
{
    if (r->chat_format)
        printf("chat        %s\n", r->chat_format);
    if (!r->chat_format || !strcmp(r->chat_format, "none"))
        print_separators(&options->separators, options->tokenizer);
    printf("documents   %" PRIu64 ", %" PRIu64 " bytes of text\n", r->done.documents, r->done.bytes);
    print_joined(options, r);
    if (r->empty)
        printf("left out    %" PRIu64 " empty\n", r->empty);
    if (r->skipped)
        printf("skipped     %" PRIu64 " that could not be read, the first: %s\n", r->skipped, r->first_skipped);
    printf("tokens      %" PRIu64 ", %.3f bytes a token, %u bytes each\n", r->done.tokens,
           (double)r->done.bytes / (double)r->done.tokens, r->width);
    if (r->chat_format)
        printf("labels      %" PRIu64 ", %.1f%% of the tokens\n", r->labels,
               100.0 * (double)r->labels / (double)r->done.tokens);
    printf("written     %s-000000.bin", options->prefix);
    if (r->shards > 1)
        printf(" to -%06zu.bin", r->shards - 1);
    printf("%s, %s.json\n", r->chat_format ? ", a .mask with each" : "", options->prefix);
}

/* The manifest, which is JSON, holds all of these. */
static enum bt_err check_utf8(const struct request *r, const struct bt_command_line *line, struct bt_diag *diag)
{
    const char *const texts[] = {r->tokenizer, r->key ? r->key : "", r->separator ? r->separator : "", r->out};
    const size_t count = sizeof texts / sizeof texts[0];
    for (size_t i = 0; i < count + line->operand_count; i++) {
        const char *text = i < count ? texts[i] : line->operands[i - count];
        if (bt_utf8_valid(text, strlen(text)) < strlen(text))
            return bt_fail(diag, BT_EUSAGE, "\"%s\" is not UTF-8, which names in the manifest have to be", text);
    }
    return BT_OK;
}

static enum bt_err check(const struct request *r, const struct bt_command_line *line, struct bt_diag *diag)
{
    if (!r->tokenizer)
        return bt_fail(diag, BT_EUSAGE, "--tokenizer FOLDER is missing");
    if (!r->out)
        return bt_fail(diag, BT_EUSAGE, "--out PREFIX is missing");
    enum bt_err err = bt_data_check_inputs(line, ".txt and .jsonl", r->separator, diag);
    if (err)
        return err;
    if (r->shard_tokens > BT_SHARD_TOKENS_MAX)
        return bt_fail(diag, BT_EUSAGE, "--shard-tokens: found %" PRIu64 ", expected at most %" PRIu64, r->shard_tokens,
                       BT_SHARD_TOKENS_MAX);
    if ((err = bt_check_threads(r->threads, diag)))
        return err;
    return check_utf8(r, line, diag);
}

static enum bt_err tokenize(const struct request *r, const struct bt_command_line *line,
                            const struct bt_tokenizer *tokenizer, struct bt_diag *diag)
{
    struct bt_screen screen;
    struct bt_tokenize_report report;
    struct bt_tokenize_options options = {.tokenizer = tokenizer,
                                          .tokenizer_path = r->tokenizer,
                                          .inputs = line->operands,
                                          .input_count = line->operand_count,
                                          .key = r->key ? r->key : "text",
                                          .separator = r->separator,
                                          .chat_format = r->chat_format,
                                          .prefix = r->out,
                                          .shard_tokens = r->shard_tokens,
                                          .skip = !strcmp(r->on_error, "skip"),
                                          .threads = r->threads ? (int)r->threads : bt_cpu_count(),
                                          .progress = bt_show_tokenizing,
                                          .context = &screen};
    enum bt_err err = bt_separators_choose(r->tokenizer, tokenizer, r->before, r->after, &options.separators, diag);
    if (err)
        return err;
    if (!bt_form_parse(r->form, &options.form)) /* auto: a key that is named is that of texts */
        options.form = r->key ? BT_FORM_TEXT : BT_FORM_NONE;
    bt_screen_open(&screen, r->progress, line->quiet);
    err = bt_tokenize(&options, &report, diag);
    bt_screen_clear(&screen);
    if (err)
        return err;
    if (!line->quiet)
        say_rates(&screen, &report.done, options.threads);
    print_report(&options, &report);
    return BT_OK;
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    const struct request *r = request;
    struct bt_tokenizer *tokenizer = NULL;
    enum bt_err err = check(r, line, diag);
    if (!err)
        err = bt_tokenizer_open(r->tokenizer, &tokenizer, diag);
    if (!err)
        err = tokenize(r, line, tokenizer, diag);
    bt_tokenizer_close(tokenizer);
    return err;
}

int bt_data_tokenize(int argc, char **argv)
{
    struct request r = {.form = "auto", .on_error = "stop", .progress = "auto", .shard_tokens = BT_SHARD_TOKENS_USUAL};
    const struct bt_option options[] = {
        {"tokenizer", "FOLDER", BT_OPTION_TEXT, &r.tokenizer, 0, "a model folder, or a tokenizer.json"},
        {"out", "PREFIX", BT_OPTION_TEXT, &r.out, 0,
         "write PREFIX-000000.bin and so on, and PREFIX.json; replaces an earlier set of that name"},
        {"separator", "LINE", BT_OPTION_TEXT, &r.separator, 0,
         "the line that ends a document of a .txt file; without it a file is one document"},
        {"form", "auto|text|messages|prompt|question|instruction", BT_OPTION_CHOICE, &r.form, 0,
         "what a .jsonl file holds: text, or examples whose answers are to be learned (auto: told by its keys)"},
        {"chat-format", "NAME", BT_OPTION_TEXT, &r.chat_format, 0,
         "the form of examples: chatml, llama3, ..., none; docs/data.md (that of the model's chat template)"},
        {"key", "NAME", BT_OPTION_TEXT, &r.key, 0,
         "what a text is called in a .jsonl file (text); its lines are texts then"},
        {"before", "ID|bos|none", BT_OPTION_TEXT, &r.before, 0, "put before each document (BOS if there is one)"},
        {"after", "ID|eos|none", BT_OPTION_TEXT, &r.after, 0,
         "put after each document (EOS if there is one that is not before it)"},
        {"shard-tokens", "N", BT_OPTION_NUMBER, &r.shard_tokens, 1, "tokens of a shard at most (100000000)"},
        {"on-error", "stop|skip", BT_OPTION_CHOICE, &r.on_error, 0, "what a document that cannot be read does (stop)"},
        {"threads", "N", BT_OPTION_NUMBER, &r.threads, 1, "(all processors); the shards are the same for any number"},
        {"progress", "auto|bar|lines|none", BT_OPTION_CHOICE, &r.progress, 0,
         "(auto: a bar on a terminal, else lines)"},
    };
    const struct bt_program program = {
        .name = "bitnet-data tokenize",
        .usage = "bitnet-data tokenize --tokenizer FOLDER --out PREFIX [OPTION]... FILE...",
        .purpose =
            "Turns documents into token shards (llm.c's layout) for training. A FILE is .txt, or .jsonl with a JSON\n"
            "object a line, each also with .gz or .zst after it. A document is never cut in two, unless it is\n"
            "longer than a shard. Files are renamed into place when all is done. Lines with messages, prompt and\n"
            "completion, question and answer, or instruction, input and output are examples: label masks say that\n"
            "only the answers are to be learned.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    return bt_program_run(&program, argc, argv, run, &r);
}
