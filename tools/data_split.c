/* bitnet-data split - a validation part held out of text files. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data_commands.h"
#include "options.h"
#include "text/split.h"

struct request {
    const char *out, *validation, *key, *separator, *on_error;
    uint64_t seed;
};

static enum bt_err fail_validation(const char *word, struct bt_diag *diag)
{
    return bt_fail(diag, BT_EUSAGE,
                   "--validation: found \"%s\", expected a share inside (0, 1) such as 0.01, or a number of documents",
                   word);
}

/* A number with a point is a share, one without is a count. */
static enum bt_err parse_validation(const char *word, struct bt_split_options *options, struct bt_diag *diag)
{
    char *end;
    const bool digits = *word && strspn(word, "0123456789.") == strlen(word);
    errno = 0;
    if (digits && strchr(word, '.')) {
        options->share = strtod(word, &end);
        if (!*end && options->share > 0.0 && options->share < 1.0)
            return BT_OK;
    } else if (digits) {
        options->count = strtoull(word, &end, 10);
        if (!errno && options->count > 0)
            return BT_OK;
    }
    return fail_validation(word, diag);
}

/* A shard begins with the magic number of llm.c, or at least ends in .bin. */
static enum bt_err refuse_shards(const struct bt_command_line *line, struct bt_diag *diag)
{
    for (size_t i = 0; i < line->operand_count; i++) {
        const size_t length = strlen(line->operands[i]);
        if (length > 4 && !strcmp(line->operands[i] + length - 4, ".bin"))
            return bt_fail(diag, BT_EUSAGE,
                           "%s: token shards cannot be split yet; split the text, then tokenize each part",
                           line->operands[i]);
    }
    return BT_OK;
}

static enum bt_err check(const struct request *r, const struct bt_command_line *line, struct bt_diag *diag)
{
    if (!r->validation)
        return bt_fail(diag, BT_EUSAGE, "--validation SHARE|COUNT is missing");
    if (!r->out)
        return bt_fail(diag, BT_EUSAGE, "--out PREFIX is missing");
    if (!line->operand_count)
        return bt_fail(diag, BT_EUSAGE, "no input is named; .txt and .jsonl files were expected");
    if (r->separator && (!*r->separator || strchr(r->separator, '\n')))
        return bt_fail(diag, BT_EUSAGE, "--separator: expected the text of one line");
    return refuse_shards(line, diag);
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    const struct request *r = request;
    struct bt_split_report report;
    struct bt_split_options options = {.inputs = line->operands,
                                       .input_count = line->operand_count,
                                       .key = r->key,
                                       .separator = r->separator,
                                       .prefix = r->out,
                                       .seed = r->seed,
                                       .skip = !strcmp(r->on_error, "skip")};
    enum bt_err err = check(r, line, diag);
    if (!err)
        err = parse_validation(r->validation, &options, diag);
    if (!err)
        err = bt_split_documents(&options, &report, diag);
    if (err)
        return err;
    const char *extension = report.format == BT_TEXT_PLAIN ? "txt" : "jsonl";
    printf("train       %" PRIu64 " documents, %s-train.%s\n", report.train, r->out, extension);
    printf("validation  %" PRIu64 " documents, %s-validation.%s\n", report.validation, r->out, extension);
    if (report.skipped)
        printf("skipped     %" PRIu64 " that could not be read, the first: %s\n", report.skipped, report.first_skipped);
    return BT_OK;
}

int bt_data_split(int argc, char **argv)
{
    struct request r = {.key = "text", .on_error = "stop", .seed = 42};
    const struct bt_option options[] = {
        {"validation", "SHARE|COUNT", BT_OPTION_TEXT, &r.validation, 0,
         "what to hold out: 0.01 is a share of the documents, 100 is their number"},
        {"seed", "N", BT_OPTION_NUMBER, &r.seed, 0, "the same seed holds out the same documents (42)"},
        {"out", "PREFIX", BT_OPTION_TEXT, &r.out, 0, "write PREFIX-train and PREFIX-validation, .txt or .jsonl"},
        {"separator", "LINE", BT_OPTION_TEXT, &r.separator, 0, "the line that ends a document of a .txt file"},
        {"key", "NAME", BT_OPTION_TEXT, &r.key, 0, "what a document is called in a .jsonl file (text)"},
        {"on-error", "stop|skip", BT_OPTION_CHOICE, &r.on_error, 0, "what a document that cannot be read does (stop)"},
    };
    const struct bt_program program = {
        .name = "bitnet-data split",
        .usage = "bitnet-data split --validation SHARE|COUNT --out PREFIX [OPTION]... FILE...",
        .purpose =
            "Holds out a validation part, document by document: which ones is a function of the seed and of their\n"
            "place in the inputs. The FILEs are all .txt (with --separator) or all .jsonl, also with .gz or .zst\n"
            "after it; what is written is not compressed, and keeps the order.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    return bt_program_run(&program, argc, argv, run, &r);
}
