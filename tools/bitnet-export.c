/* bitnet-export - a model folder to what other programs load. */
#include <stdio.h>
#include <string.h>

#include "export/gguf.h"
#include "export/hf.h"
#include "export/place.h"
#include "io/file.h"
#include "options.h"

struct arguments {
    const char *model, *to, *out;
    const char *linear_class, *quantization_mode, *dtype; /* hf */
    const char *type, *embedding_type, *head_type;        /* gguf */
    bool overwrite, verify, no_verify;
};

static enum bt_err require(const char *name, const char *value, struct bt_diag *diag)
{
    return value ? BT_OK : bt_fail(diag, BT_EUSAGE, "--%s is missing; --help says more", name);
}

static bool is(const char *value, const char *word)
{
    return value && !strcmp(value, word);
}

static enum bt_err read_hf_options(const struct arguments *a, struct bt_hf_options *options, struct bt_diag *diag)
{
    const bool online = is(a->quantization_mode, "online"), none = is(a->quantization_mode, "none");
    const bool bitlinear = is(a->linear_class, "bitlinear");
    if (bitlinear && online)
        return bt_fail(diag, BT_EUSAGE,
                       "--linear-class bitlinear always holds packed weights; --quantization-mode online wants "
                       "autobitlinear");
    if (a->linear_class && none)
        return bt_fail(diag, BT_EUSAGE, "--quantization-mode none has plain linear layers: --linear-class has no use");
    if (online && is(a->dtype, "bfloat16"))
        return bt_fail(diag, BT_EUSAGE,
                       "--quantization-mode online holds master weights, whose codes would change in bfloat16; --dtype "
                       "float32 is the only one");
    options->form = online ? BT_HF_ONLINE : none ? BT_HF_DENSE : bitlinear ? BT_HF_BITLINEAR : BT_HF_AUTOBITLINEAR;
    options->float32 = is(a->dtype, "float32");
    options->verify = !a->no_verify;
    return BT_OK;
}

/* An option of one target is no option of the other. */
static enum bt_err refuse(const char *name, const char *value, const char *target, struct bt_diag *diag)
{
    return value ? bt_fail(diag, BT_EUSAGE, "--%s belongs to --to %s", name, target) : BT_OK;
}

static enum bt_err check_arguments(const struct arguments *a, const struct bt_command_line *line, struct bt_diag *diag)
{
    enum bt_err err;
    struct bt_hf_options unused;
    if (line->operand_count)
        return bt_fail(diag, BT_EUSAGE, "there is no use for the argument \"%s\"", line->operands[0]);
    if ((err = require("model", a->model, diag)) || (err = require("to", a->to, diag)) ||
        (err = require("out", a->out, diag)))
        return err;
    if (a->verify && a->no_verify)
        return bt_fail(diag, BT_EUSAGE, "--verify and --no-verify exclude each other");
    if (!strcmp(a->to, "hf")) {
        if ((err = refuse("type", a->type, "gguf", diag)) ||
            (err = refuse("embedding-type", a->embedding_type, "gguf", diag)))
            return err;
        err = refuse("head-type", a->head_type, "gguf", diag);
        return err ? err : read_hf_options(a, &unused, diag);
    }
    if ((err = refuse("linear-class", a->linear_class, "hf", diag)) ||
        (err = refuse("quantization-mode", a->quantization_mode, "hf", diag)))
        return err;
    return refuse("dtype", a->dtype, "hf", diag);
}

static void print_report(const struct arguments *a, const struct bt_export_report *report)
{
    printf("%s: %llu bytes, %zu ternary tensors, %zu others\n", a->out, (unsigned long long)report->bytes,
           report->ternary, report->full);
    if (report->verified_tensors)
        printf("verified: %zu tensors read back the same, logits at %zu positions differ by at most %g\n",
               report->verified_tensors, report->verified_positions, report->logit_difference);
    else
        printf("not verified\n");
}

static void print_notes(const struct bt_export_report *report)
{
    for (size_t i = 0; i < report->note_count; i++)
        fprintf(stderr, "note: %s\n", report->notes[i]);
}

static enum bt_err write_hf(const struct arguments *a, const struct bt_export_model *model, const char *path,
                            struct bt_export_report *report, struct bt_diag *diag)
{
    struct bt_hf_options options;
    enum bt_err err = read_hf_options(a, &options, diag);
    if (!err)
        err = bt_dir_make(path, diag);
    return err ? err : bt_export_hf(model, &options, path, report, diag);
}

static enum bt_err write_gguf(const struct arguments *a, const struct bt_export_model *model, const char *path,
                              struct bt_export_report *report, struct bt_diag *diag)
{
    const struct bt_gguf_options options = {
        .type = a->type, .embedding_type = a->embedding_type, .head_type = a->head_type, .verify = !a->no_verify};
    return bt_export_gguf(model, &options, path, report, diag);
}

/* Writes beside, verifies there, renames: what fails its verification never gets its name. */
static enum bt_err export_model(const struct arguments *a, const struct bt_export_model *model,
                                struct bt_export_report *report, struct bt_diag *diag)
{
    struct bt_place place = {0};
    enum bt_err err = bt_place_begin(&place, a->out, a->model, a->overwrite, diag);
    if (!err)
        err = is(a->to, "hf") ? write_hf(a, model, place.beside, report, diag)
                              : write_gguf(a, model, place.beside, report, diag);
    if (!err)
        err = bt_place_finish(&place, diag);
    bt_place_end(&place);
    return err;
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    const struct arguments *a = request;
    struct bt_export_model *model = NULL;
    struct bt_export_report report = {0};
    enum bt_err err = check_arguments(a, line, diag);
    if (!err)
        err = bt_export_open(a->model, &model, diag);
    if (!err)
        err = export_model(a, model, &report, diag);
    bt_export_close(model);
    if (!err)
        print_report(a, &report);
    if (!err && !line->quiet)
        print_notes(&report);
    return err;
}

int main(int argc, char **argv)
{
    struct arguments a = {0};
    const struct bt_option options[] = {
        {"model", "DIR", BT_OPTION_TEXT, &a.model, 0, "a model folder, a stage's model/, a checkpoint, or a GGUF file"},
        {"to", "hf|gguf", BT_OPTION_CHOICE, &a.to, 0, "a Hugging Face folder, or a GGUF file"},
        {"out", "PATH", BT_OPTION_TEXT, &a.out, 0, "the folder or file to write"},
        {"linear-class", "autobitlinear|bitlinear", BT_OPTION_CHOICE, &a.linear_class, 0,
         "hf: weight_scale is the scale (autobitlinear), or its reciprocal (bitlinear)"},
        {"quantization-mode", "offline|online|none", BT_OPTION_CHOICE, &a.quantization_mode, 0,
         "hf: packed codes (offline), float master weights (online), codes times scale (none)"},
        {"dtype", "bfloat16|float32", BT_OPTION_CHOICE, &a.dtype, 0,
         "hf: of what is not packed (bfloat16; online: float32)"},
        {"type", "TYPE", BT_OPTION_TEXT, &a.type, 0,
         "gguf: tq2_0, tq1_0, q2_0, i2_s, q8_0, f16, bf16 or f32; default: the first of tq2_0, q8_0, f16 that fits"},
        {"embedding-type", "TYPE", BT_OPTION_TEXT, &a.embedding_type, 0,
         "gguf: of the embedding: f16 (default), bf16, f32 or q8_0"},
        {"head-type", "TYPE", BT_OPTION_TEXT, &a.head_type, 0,
         "gguf: of an output head of its own; default: as the embedding"},
        {"overwrite", NULL, BT_OPTION_FLAG, &a.overwrite, 0, "replace what stands at PATH"},
        {"verify", NULL, BT_OPTION_FLAG, &a.verify, 0, "read back what was written and compare (the default)"},
        {"no-verify", NULL, BT_OPTION_FLAG, &a.no_verify, 0, "do not"},
    };
    const struct bt_program program = {
        .name = "bitnet-export",
        .usage = "bitnet-export --model DIR --to hf|gguf --out PATH [OPTION]...",
        .purpose =
            "Writes a model for other programs: ternary codes, and one scale a tensor that is fixed once. What it\n"
            "wrote is read back and compared before it gets its name.",
        .options = options,
        .option_count = sizeof options / sizeof *options,
    };
    return bt_program_run(&program, argc, argv, run, &a);
}
