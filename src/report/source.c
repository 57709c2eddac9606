#include "report/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "text/manifest.h"

static double part(const json_t *value, const char *section, const char *key)
{
    const json_t *number = json_object_get(section ? json_object_get(value, section) : value, key);
    return json_is_number(number) ? json_number_value(number) : NAN;
}

struct bt_report_source bt_report_source_losses(const json_t *text, const json_t *shards)
{
    /* What the trainer predicts: every token of every document with its separators but the first BOS, which nothing
     * stands in front of. */
    const double labels = part(shards, "totals", "tokens") - 1.0;
    const double share = part(text, "validation", "labels") / labels; /* byte labels on a label of the tokenizer */
    struct bt_report_source s = {
        .labels = labels,
        .entropy = part(text, NULL, "entropy_nats_per_document") * part(text, "validation", "documents") / labels,
        .source = part(text, "validation", "source_nats_per_label") * share,
        .trigram = part(text, "validation", "trigram_nats_per_label") * share,
    };
    s.known = isfinite(s.entropy) && isfinite(s.source);
    return s;
}

static bool ends_with(const char *text, const char *end, size_t *ret_stem)
{
    const size_t length = strlen(text), tail = strlen(end);
    *ret_stem = length - tail;
    return length >= tail && !strcmp(text + length - tail, end);
}

/* The folder that the run was started in, with a slash, "" for the working directory; NULL when memory is out. */
static char *started_in(const char *run_path, const struct bt_flat_config *config)
{
    const char *output = bt_flat_config_get(config, "output_dir"), *name = bt_flat_config_get(config, "name");
    char *whole = realpath(run_path, NULL); /* the C library's, hence free */
    char *tail = bt_sprintf("/%s/%s", output ? output : "", name ? name : "");
    size_t stem;
    char *base = NULL;
    if (tail)
        base = whole && ends_with(whole, tail, &stem) ? bt_sprintf("%.*s/", (int)stem, whole) : bt_strdup("");
    bt_free(tail);
    free(whole);
    return base;
}

/* The report of the text that the shards were made of: stories.json beside stories-validation.txt. */
static enum bt_err read_report(const char *base, const json_t *shards, json_t **ret_text, struct bt_diag *diag)
{
    const json_t *inputs = json_object_get(shards, "inputs");
    const char *input = json_string_value(json_object_get(json_array_get(inputs, 0), "path"));
    size_t stem;
    if (json_array_size(inputs) != 1 || !input || !ends_with(input, "-validation.txt", &stem))
        return BT_OK;
    char *path = bt_sprintf("%s%.*s.json", *input == '/' ? "" : base, (int)stem, input);
    const enum bt_err err = path ? bt_json_read_any(path, ret_text, diag) : bt_fail_nomem(diag);
    bt_free(path);
    return err;
}

static enum bt_err find(const char *base, const char *path, struct bt_report_source *ret_source, struct bt_diag *diag)
{
    struct bt_manifest_file file = {0};
    json_t *text = NULL;
    char *whole = bt_sprintf("%s%s", *path == '/' ? "" : base, path);
    enum bt_err err = whole ? bt_manifest_open(whole, &file, NULL) : BT_ENOMEM;
    if (!err && file.value)
        err = read_report(base, file.value, &text, NULL);
    if (!err && text && part(text, "validation", "documents") == part(file.value, "totals", "documents"))
        *ret_source = bt_report_source_losses(text, file.value);
    json_decref(text);
    bt_manifest_close(&file);
    bt_free(whole);
    return err == BT_ENOMEM ? bt_fail_nomem(diag) : BT_OK;
}

enum bt_err bt_report_source_find(const char *run_path, const struct bt_flat_config *config,
                                  struct bt_report_source *ret_source, struct bt_diag *diag)
{
    const char *path = bt_flat_config_get(config, "data.validation.0.path");
    *ret_source = (struct bt_report_source){0};
    if (!path || bt_flat_config_get(config, "data.validation.1.path"))
        return BT_OK;
    char *base = started_in(run_path, config);
    const enum bt_err err = base ? find(base, path, ret_source, diag) : bt_fail_nomem(diag);
    bt_free(base);
    return err;
}
