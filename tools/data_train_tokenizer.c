/* bitnet-data train-tokenizer - a new tokenizer made from text files. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "data_commands.h"
#include "data_screen.h"
#include "options.h"
#include "text/tokenizer_train.h"
#include "text/utf8.h"

struct request {
    const char *out, *pattern, *bos, *eos, *key, *separator, *on_error, *progress;
    uint64_t vocab_size, min_frequency, threads;
    struct bt_option_list special;
};

/* BOS, EOS and the others, in the order of their ids. */
struct special_tokens {
    const char **at;
    size_t count;
    int32_t bos, eos;
};

static void show_reading(void *context, const struct bt_word_count_progress *p)
{
    struct bt_screen *screen = context;
    if (!bt_screen_begin(screen, p->position, p->size))
        return;
    bt_screen_say_bytes(screen, p->bytes);
    fprintf(stderr, ", %" PRIu64 " words", p->words);
    bt_screen_end(screen);
}

static void show_merging(void *context, uint64_t tokens, uint64_t wanted)
{
    struct bt_screen *screen = context;
    if (!bt_screen_begin(screen, tokens, wanted))
        return;
    fprintf(stderr, "%" PRIu64 " of %" PRIu64 " tokens", tokens, wanted);
    bt_screen_end(screen);
}

static enum bt_err check_special(const char *token, struct bt_diag *diag)
{
    if (!*token)
        return bt_fail(diag, BT_EUSAGE, "a special token is empty; expected a text such as <|eos|>");
    if (bt_utf8_valid(token, strlen(token)) < strlen(token))
        return bt_fail(diag, BT_EUSAGE, "the special token \"%s\" is not UTF-8", token);
    return BT_OK;
}

/* The id of a token, which is added unless it is there; -1 for "none". */
static int32_t enter_special(struct special_tokens *special, const char *token)
{
    if (!strcmp(token, "none"))
        return -1;
    for (size_t i = 0; i < special->count; i++)
        if (!strcmp(special->at[i], token))
            return (int32_t)i;
    special->at[special->count] = token;
    return (int32_t)special->count++;
}

static enum bt_err choose_special(const struct request *r, struct special_tokens *special, struct bt_diag *diag)
{
    special->bos = enter_special(special, r->bos);
    special->eos = enter_special(special, r->eos);
    for (size_t i = 0; i < r->special.count; i++)
        enter_special(special, r->special.values[i]);
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < special->count; i++)
        err = check_special(special->at[i], diag);
    const uint64_t least = special->count + 256;
    if (!err && (r->vocab_size < least || r->vocab_size > BT_TOKENIZER_TRAIN_MAX))
        err = bt_fail(diag, BT_EUSAGE,
                      "--vocab-size: found %" PRIu64 ", expected a number from %" PRIu64
                      " (256 bytes and %zu special tokens) to %" PRIu64,
                      r->vocab_size, least, special->count, BT_TOKENIZER_TRAIN_MAX);
    return err;
}

static enum bt_err check(const struct request *r, const struct bt_command_line *line, struct bt_diag *diag)
{
    if (!r->vocab_size)
        return bt_fail(diag, BT_EUSAGE, "--vocab-size N is missing");
    if (!r->out)
        return bt_fail(diag, BT_EUSAGE, "--out FOLDER is missing");
    const enum bt_err err = bt_data_check_inputs(line, ".txt and .jsonl", r->separator, diag);
    return err ? err : bt_check_threads(r->threads, diag);
}

static void print_report(const struct request *r, const struct special_tokens *special,
                         const struct bt_tokenizer_training_report *report)
{
    printf("documents   %" PRIu64 ", %" PRIu64 " bytes of text\n", report->text.done.documents,
           report->text.done.bytes);
    if (report->text.skipped)
        printf("skipped     %" PRIu64 " that could not be read, the first: %s\n", report->text.skipped,
               report->text.first_skipped);
    printf("words       %" PRIu64 ", %zu different ones\n", report->text.done.words, report->different_words);
    printf("tokens      %" PRIu64 ": %zu special, 256 bytes, %" PRIu64 " learned; the longest has %zu bytes\n",
           report->vocab_size, special->count, report->vocab_size - special->count - 256, report->longest);
    if (report->vocab_size < r->vocab_size)
        printf("note        fewer than %" PRIu64 ": no other pair occurs %" PRIu64 " times\n", r->vocab_size,
               r->min_frequency);
    printf("written     %s/tokenizer.json\n", r->out);
}

static enum bt_err train(const struct request *r, const struct bt_command_line *line,
                         const struct special_tokens *special, struct bt_diag *diag)
{
    struct bt_screen screen;
    struct bt_tokenizer_training_report report;
    const struct bt_tokenizer_training training = {
        .text = {.inputs = line->operands,
                 .input_count = line->operand_count,
                 .key = r->key,
                 .separator = r->separator,
                 .skip = !strcmp(r->on_error, "skip"),
                 .threads = r->threads ? (int)r->threads : bt_cpu_count(),
                 .progress = show_reading,
                 .context = &screen},
        .pattern = bt_word_pattern_find(r->pattern),
        .special = special->at,
        .special_count = special->count,
        .bos = special->bos,
        .eos = special->eos,
        .vocab_size = r->vocab_size,
        .min_frequency = r->min_frequency,
        .folder = r->out,
        .progress = show_merging,
        .context = &screen,
    };
    bt_screen_open(&screen, r->progress, line->quiet);
    const enum bt_err err = bt_tokenizer_train(&training, &report, diag);
    bt_screen_clear(&screen);
    if (!err)
        print_report(r, special, &report);
    return err;
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    const struct request *r = request;
    struct special_tokens special = {.at = bt_zalloc(r->special.count + 2, sizeof *special.at)};
    enum bt_err err = special.at ? check(r, line, diag) : bt_fail_nomem(diag);
    if (!err)
        err = choose_special(r, &special, diag);
    if (!err)
        err = train(r, line, &special, diag);
    bt_free(special.at);
    return err;
}

int bt_data_train_tokenizer(int argc, char **argv)
{
    struct request r = {.pattern = "llama3",
                        .bos = "<|bos|>",
                        .eos = "<|eos|>",
                        .min_frequency = 2,
                        .key = "text",
                        .on_error = "stop",
                        .progress = "auto",
                        .special = {.values = bt_zalloc((size_t)argc, sizeof *r.special.values)}};
    const struct bt_option options[] = {
        {"vocab-size", "N", BT_OPTION_NUMBER, &r.vocab_size, 1, "tokens in all, special ones and bytes included"},
        {"out", "FOLDER", BT_OPTION_TEXT, &r.out, 0,
         "write tokenizer.json and its companions; replaces those that are there"},
        {"pattern", BT_WORD_PATTERNS, BT_OPTION_CHOICE, &r.pattern, 0, "whose way of cutting words to take (llama3)"},
        {"min-frequency", "N", BT_OPTION_NUMBER, &r.min_frequency, 1,
         "pairs that occur less often do not become tokens (2)"},
        {"bos", "TOKEN|none", BT_OPTION_TEXT, &r.bos, 0, "the special token that begins a document (<|bos|>)"},
        {"eos", "TOKEN|none", BT_OPTION_TEXT, &r.eos, 0, "the special token that ends a document (<|eos|>)"},
        {"special", "TOKEN", BT_OPTION_LIST, &r.special, 0, "one more special token; may be repeated"},
        {"separator", "LINE", BT_OPTION_TEXT, &r.separator, 0,
         "the line that ends a document of a .txt file; without it a file is one document"},
        {"key", "NAME", BT_OPTION_TEXT, &r.key, 0, "what a document is called in a .jsonl file (text)"},
        {"on-error", "stop|skip", BT_OPTION_CHOICE, &r.on_error, 0, "what a document that cannot be read does (stop)"},
        {"threads", "N", BT_OPTION_NUMBER, &r.threads, 1, "(all processors); the tokenizer is the same for any number"},
        {"progress", "auto|bar|lines|none", BT_OPTION_CHOICE, &r.progress, 0,
         "(auto: a bar on a terminal, else lines)"},
    };
    const struct bt_program program = {
        .name = "bitnet-data train-tokenizer",
        .usage = "bitnet-data train-tokenizer --vocab-size N --out FOLDER [OPTION]... FILE...",
        .purpose =
            "Makes a byte-level BPE tokenizer: of all pairs of tokens inside of words, the one that occurs most often\n"
            "becomes a token, again and again; of equals, the one of the smaller ids. A FILE is .txt, or .jsonl with\n"
            "a JSON object a line, each also with .gz or .zst after it.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    struct bt_diag diag = {""};
    const int status = r.special.values ? bt_program_run(&program, argc, argv, run, &r)
                                        : bt_program_end(&program, bt_fail_nomem(&diag), &diag);
    bt_free(r.special.values);
    return status;
}
