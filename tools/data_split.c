/* bitnet-data split - a validation part held out of text files or of token shards. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data_commands.h"
#include "options.h"
#include "text/separators.h"
#include "text/shard_split.h"
#include "text/split.h"

#define ID_UNSET UINT64_MAX

struct request {
    const char *out, *validation, *key, *separator, *on_error;
    uint64_t seed, before, after;
};

/* How much to hold out. */
struct amount {
    double share; /* 0: count */
    uint64_t count;
};

static enum bt_err fail_validation(const char *word, struct bt_diag *diag)
{
    return bt_fail(diag, BT_EUSAGE,
                   "--validation: found \"%s\", expected a share inside (0, 1) such as 0.01, or a number of documents",
                   word);
}

/* A number with a point is a share, one without is a count. */
static enum bt_err parse_validation(const char *word, struct amount *amount, struct bt_diag *diag)
{
    char *end;
    const bool digits = *word && strspn(word, "0123456789.") == strlen(word);
    errno = 0;
    if (digits && strchr(word, '.')) {
        amount->share = strtod(word, &end);
        if (!*end && amount->share > 0.0 && amount->share < 1.0)
            return BT_OK;
    } else if (digits) {
        amount->count = strtoull(word, &end, 10);
        if (!errno && amount->count > 0)
            return BT_OK;
    }
    return fail_validation(word, diag);
}

static bool is_shard(const char *path)
{
    const size_t length = strlen(path);
    return length > 4 && !strcmp(path + length - 4, ".bin");
}

/* Shards or text, never both. */
static enum bt_err check_kinds(const struct request *r, const struct bt_command_line *line, struct bt_diag *diag)
{
    for (size_t i = 1; i < line->operand_count; i++)
        if (is_shard(line->operands[i]) != is_shard(line->operands[0]))
            return bt_fail(diag, BT_EUSAGE,
                           "%s and %s: one is a token shard and the other is text; split them one by one",
                           line->operands[0], line->operands[i]);
    const bool told = r->before != ID_UNSET || r->after != ID_UNSET;
    if (told && !is_shard(line->operands[0]))
        return bt_fail(diag, BT_EUSAGE, "--before and --after are for token shards; %s is none", line->operands[0]);
    if ((r->before != ID_UNSET && r->before > INT32_MAX) || (r->after != ID_UNSET && r->after > INT32_MAX))
        return bt_fail(diag, BT_EUSAGE, "--before and --after: expected token ids, which are below 2147483648");
    return BT_OK;
}

static enum bt_err check(const struct request *r, const struct bt_command_line *line, struct bt_diag *diag)
{
    if (!r->validation)
        return bt_fail(diag, BT_EUSAGE, "--validation SHARE|COUNT is missing");
    if (!r->out)
        return bt_fail(diag, BT_EUSAGE, "--out PREFIX is missing");
    const enum bt_err err = bt_data_check_inputs(line, ".txt, .jsonl or .bin", r->separator, diag);
    return err ? err : check_kinds(r, line, diag);
}

static enum bt_err split_text(const struct request *r, const struct bt_command_line *line, struct amount amount,
                              struct bt_diag *diag)
{
    struct bt_split_report report;
    const struct bt_split_options options = {.inputs = line->operands,
                                             .input_count = line->operand_count,
                                             .key = r->key,
                                             .separator = r->separator,
                                             .prefix = r->out,
                                             .seed = r->seed,
                                             .share = amount.share,
                                             .count = amount.count,
                                             .skip = !strcmp(r->on_error, "skip")};
    const enum bt_err err = bt_split_documents(&options, &report, diag);
    if (err)
        return err;
    const char *extension = report.format == BT_TEXT_PLAIN ? "txt" : "jsonl";
    printf("train       %" PRIu64 " documents, %s-train.%s\n", report.train, r->out, extension);
    printf("validation  %" PRIu64 " documents, %s-validation.%s\n", report.validation, r->out, extension);
    if (report.skipped)
        printf("skipped     %" PRIu64 " that could not be read, the first: %s\n", report.skipped, report.first_skipped);
    return BT_OK;
}

static void print_part(const char *name, const struct bt_shard_split_part *part, const char *prefix, bool manifest)
{
    printf("%-12s%" PRIu64 " documents, %" PRIu64 " tokens, %s-%s-000000.bin", name, part->documents, part->tokens,
           prefix, name);
    if (part->shards > 1)
        printf(" to -%06zu.bin", part->shards - 1);
    if (manifest)
        printf(", %s-%s.json", prefix, name);
    putchar('\n');
}

static enum bt_err split_shards(const struct request *r, const struct bt_command_line *line, struct amount amount,
                                struct bt_diag *diag)
{
    struct bt_shard_split_report report;
    const struct bt_shard_split_options options = {.inputs = line->operands,
                                                   .input_count = line->operand_count,
                                                   .prefix = r->out,
                                                   .seed = r->seed,
                                                   .share = amount.share,
                                                   .count = amount.count,
                                                   .before = r->before == ID_UNSET ? BT_NO_TOKEN : (int32_t)r->before,
                                                   .after = r->after == ID_UNSET ? BT_NO_TOKEN : (int32_t)r->after};
    const enum bt_err err = bt_shard_split(&options, &report, diag);
    if (err)
        return err;
    print_part("train", &report.train, r->out, report.manifests);
    print_part("validation", &report.validation, r->out, report.manifests);
    return BT_OK;
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    const struct request *r = request;
    struct amount amount = {0};
    enum bt_err err = check(r, line, diag);
    if (!err)
        err = parse_validation(r->validation, &amount, diag);
    if (err)
        return err;
    return is_shard(line->operands[0]) ? split_shards(r, line, amount, diag) : split_text(r, line, amount, diag);
}

int bt_data_split(int argc, char **argv)
{
    struct request r = {.key = "text", .on_error = "stop", .seed = 42, .before = ID_UNSET, .after = ID_UNSET};
    const struct bt_option options[] = {
        {"validation", "SHARE|COUNT", BT_OPTION_TEXT, &r.validation, 0,
         "what to hold out: 0.01 is a share of the documents, 100 is their number"},
        {"seed", "N", BT_OPTION_NUMBER, &r.seed, 0, "the same seed holds out the same documents (42)"},
        {"out", "PREFIX", BT_OPTION_TEXT, &r.out, 0,
         "write PREFIX-train and PREFIX-validation, .txt, .jsonl or shards"},
        {"separator", "LINE", BT_OPTION_TEXT, &r.separator, 0, "the line that ends a document of a .txt file"},
        {"key", "NAME", BT_OPTION_TEXT, &r.key, 0, "what a document is called in a .jsonl file (text)"},
        {"before", "ID", BT_OPTION_NUMBER, &r.before, 0,
         "the token that begins a document of a shard (the manifest's)"},
        {"after", "ID", BT_OPTION_NUMBER, &r.after, 0, "the token that ends a document of a shard (the manifest's)"},
        {"on-error", "stop|skip", BT_OPTION_CHOICE, &r.on_error, 0, "what a document that cannot be read does (stop)"},
    };
    const struct bt_program program = {
        .name = "bitnet-data split",
        .usage = "bitnet-data split --validation SHARE|COUNT --out PREFIX [OPTION]... FILE...",
        .purpose =
            "Holds out a validation part, document by document: which ones is a function of the seed and of their\n"
            "place in the inputs. The FILEs are all .txt (with --separator) or all .jsonl, also with .gz or .zst\n"
            "after it, or all .bin, token shards of one manifest. What is written is not compressed, and keeps the\n"
            "order; shards keep their manifest and their label masks.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    return bt_program_run(&program, argc, argv, run, &r);
}
