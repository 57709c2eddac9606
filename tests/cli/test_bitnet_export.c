/* bitnet-export as its users meet it: from a trained run to folders and back into training. */
#include "train_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct train_world world;
static char *exporter, *eval, *generate;

#define FINISHED "runs/a/stage2/model"

/* Runs bitnet-export in the world's folder; the arguments end with NULL. Gives the exit code. */
static int run_export(const char *const *args)
{
    const char *argv[24] = {exporter};
    for (size_t i = 0; args[i]; i++) {
        assert_true(i + 2 < BT_ARRAY_LEN(argv));
        argv[i + 1] = args[i];
    }
    test_output_free(&world.output);
    test_run(&(struct test_program){.argv = argv, .directory = world.dir}, &world.output);
    return world.output.exit_code;
}
#define EXPORT(...) run_export((const char *const[]){__VA_ARGS__, NULL})

/* One line on stderr, nothing on stdout. */
static void expect_error(int exit_code, const char *sentence)
{
    const char *err = world.output.err;
    world_expect(&world, exit_code);
    if (strncmp(err, "bitnet-export: ", 15) != 0 || strchr(err, '\n') != err + strlen(err) - 1 ||
        !strstr(err, sentence))
        fail_msg("said: %sexpected: %s", err, sentence);
    assert_string_equal(world.output.out, "");
}

static void command_lines_that_make_no_sense(void **state)
{
    (void)state;
    EXPORT("--model", "m", "--to", "hf");
    expect_error(2, "--out is missing");
    EXPORT("--to", "hf", "--out", "x");
    expect_error(2, "--model is missing");
    EXPORT("--model", "m", "--out", "x");
    expect_error(2, "--to is missing");
    EXPORT("--model", "m", "--out", "x", "--to", "onnx");
    expect_error(2, "--to: found \"onnx\", expected one of hf|gguf");
    EXPORT("--model", "m", "--out", "x", "--to", "hf", "y");
    expect_error(2, "no use for the argument \"y\"");
    EXPORT("--model", "m", "--out", "x", "--to", "hf", "--dtyp", "float32");
    expect_error(2, "did you mean \"--dtype\"?");
    EXPORT("--model", "m", "--out", "x", "--to", "hf", "--type", "tq2_0");
    expect_error(2, "--type belongs to --to gguf");
    EXPORT("--model", "m", "--out", "x", "--to", "gguf", "--linear-class", "bitlinear");
    expect_error(2, "--linear-class belongs to --to hf");
    EXPORT("--model", "m", "--out", "x", "--to", "hf", "--linear-class=bitlinear", "--quantization-mode=online");
    expect_error(2, "wants autobitlinear");
    EXPORT("--model", "m", "--out", "x", "--to", "hf", "--linear-class=bitlinear", "--quantization-mode=none");
    expect_error(2, "--linear-class has no use");
    EXPORT("--model", "m", "--out", "x", "--to", "hf", "--dtype=bfloat16", "--quantization-mode=online");
    expect_error(2, "float32 is the only one");
    EXPORT("--model", "m", "--out", "x", "--to", "hf", "--verify", "--no-verify");
    expect_error(2, "exclude each other");
    EXPORT("--model", "m", "--out", "x", "--to", "hf");
    expect_error(3, "m/config.json");
    EXPORT("--help");
    world_expect(&world, 0);
    assert_non_null(strstr(world.output.out, "--quantization-mode offline|online|none"));
}

static void a_trained_model_becomes_a_packed_folder(void **state)
{
    (void)state;
    assert_int_equal(EXPORT("--model", FINISHED, "--to", "hf", "--out", "packed"), 0);
    assert_non_null(strstr(world.output.out, "packed: "));
    assert_non_null(strstr(world.output.out, "14 ternary tensors, "));
    assert_non_null(strstr(world.output.out, "logits at 48 positions differ by at most 0\n"));
    assert_string_equal(world.output.err, "");
    char *tokenizer = world_text(&world, "packed/tokenizer.json");
    assert_non_null(strstr(tokenizer, "nobody reads"));
    free(tokenizer);

    /* a checkpoint of the same weights gives the same bytes */
    assert_int_equal(EXPORT("--model=runs/a/stage2/checkpoints/step-00000008", "--to=hf", "--out=other"), 0);
    assert_string_equal(world_hash(&world, "packed/model.safetensors"), world_hash(&world, "other/model.safetensors"));
    assert_int_equal(EXPORT("--model", "packed", "--to", "hf", "--out", "other", "--overwrite", "--no-verify"), 0);
    assert_non_null(strstr(world.output.out, "not verified\n"));
    assert_string_equal(world_hash(&world, "packed/model.safetensors"), world_hash(&world, "other/model.safetensors"));

    assert_int_equal(EXPORT("--model", "packed", "--to", "hf", "--out", "dense", "--quantization-mode", "none"), 0);
    assert_non_null(strstr(world.output.err, "note: "));
    assert_int_equal(EXPORT("--model", "packed", "--to", "hf", "--out", "dense", "--quantization-mode", "none",
                            "--overwrite", "--quiet"),
                     0);
    assert_string_equal(world.output.err, "");
    EXPORT("--model", "dense", "--to", "hf", "--out", "other", "--overwrite");
    expect_error(2, "float weights and float activations");
}

static void nothing_is_overwritten_unless_asked(void **state)
{
    (void)state;
    char *before = world_listing(&world, ".", true);
    EXPORT("--model", FINISHED, "--to", "hf", "--out", "packed");
    expect_error(2, "packed: it exists already; --overwrite replaces it");
    EXPORT("--model", FINISHED, "--to", "hf", "--out", FINISHED, "--overwrite");
    expect_error(2, "lies there");
    EXPORT("--model", FINISHED, "--to", "hf", "--out", "runs", "--overwrite");
    expect_error(2, "lies there");
    EXPORT("--model", "packed", "--to", "hf", "--out", "runs", "--overwrite");
    expect_error(2, "holds the folder \"a\"");
    EXPORT("--model", "packed", "--to", "hf", "--out", "runs/a/stage2/checkpoints/step-00000008/../../../stage1",
           "--overwrite");
    expect_error(2, "it is not replaced");
    char *after = world_listing(&world, ".", true);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static double number(const json_t *record, const char *key)
{
    return json_number_value(json_object_get(record, key));
}

/* The first (last: false) or last validation loss of a run's stage 2. */
static double validation_loss(const char *run, bool last)
{
    char *text = world_text(&world, test_format("runs/%s/metrics.jsonl", run)), *next;
    double loss = NAN;
    for (char *line = text; *line; line = next) {
        next = line + strcspn(line, "\n");
        json_t *record = json_loadb(line, (size_t)(next - line), 0, NULL);
        next += *next == '\n';
        assert_non_null(record);
        const bool is_eval = !strcmp(json_string_value(json_object_get(record, "event")), "eval") &&
                             !strcmp(json_string_value(json_object_get(record, "stage")), "stage2");
        if (is_eval && (last || isnan(loss)))
            loss = number(record, "loss");
        json_decref(record);
    }
    free(text);
    return loss;
}

/* Training goes on from a packed folder: it begins at lambda 1 where the exported model stood, and gets somewhere. */
static void training_goes_on_from_a_packed_folder(void **state)
{
    (void)state;
    assert_int_equal(EXPORT("--model", FINISHED, "--to", "hf", "--out", "wide", "--dtype", "float32"), 0);
    char *before = world_listing(&world, ".", true);
    WORLD_RUN_WITH(&world, "--set=name=b", "--set=stages=[stage1, stage2]", "--set=model={path: wide}");
    world_expect(&world, 2);
    assert_non_null(strstr(world.output.err, "stage2.lambda_warmup.enabled: wide holds packed ternary weights"));
    char *after = world_listing(&world, ".", true);
    assert_string_equal(before, after);
    free(before);
    free(after);
    WORLD_RUN_WITH(&world, "--set=name=b", "--set=stages=[stage1, stage2]", "--set=model={path: wide}",
                   "--set=stage2.lambda_warmup.enabled=false", "--set=logging.eval_interval=1");
    world_expect(&world, 0);
    const double end = validation_loss("a", true), begin = validation_loss("b", false);
    print_message("run a ends at %.6f, run b begins at %.6f\n", end, begin);
    assert_true(fabs(begin - end) < 0.01); /* the scales were rounded to 8 bits */
    assert_true(isfinite(validation_loss("b", true)) && validation_loss("b", true) != begin);

    /* stage 1 passes a BitNet model through: its codes and scales are those of the packed folder */
    assert_int_equal(EXPORT("--model=runs/b/stage1/model", "--to=hf", "--out=passed", "--dtype=float32"), 0);
    assert_string_equal(world_hash(&world, "wide/model.safetensors"), world_hash(&world, "passed/model.safetensors"));
    assert_int_equal(EXPORT("--model=runs/b/stage2/model", "--to=hf", "--out=trained", "--dtype=float32"), 0);
    assert_string_not_equal(world_hash(&world, "wide/model.safetensors"),
                            world_hash(&world, "trained/model.safetensors"));
}

static void inputs_that_cannot_be_exported(void **state)
{
    (void)state;
    world_copy(&world, "packed", "damaged");
    world_flip_byte(&world, "damaged/model.safetensors", 20);
    EXPORT("--model", "damaged", "--to", "hf", "--out", "x");
    expect_error(3, "damaged/model.safetensors");
    EXPORT("--model", "tiny", "--to", "hf", "--out", "x");
    expect_error(3, "there is neither model.safetensors");
    EXPORT("--model", "runs/a/stage0/model", "--to", "hf", "--out", "x");
    expect_error(2, "--quantization-mode none");
    EXPORT("--model", "packed", "--to", "hf", "--out", "packed/model.safetensors/x");
    world_expect(&world, 5);
    assert_int_equal(
        EXPORT("--model", "runs/a/stage0/model", "--to", "hf", "--out", "new/folders/x", "--quantization-mode", "none"),
        0);
    assert_non_null(strstr(world.output.out, " 0 ternary tensors"));
}

/* A real model: converted, packed, and read again. */
static void a_real_model_is_converted_and_packed(void **state)
{
    (void)state;
    const char *model = test_shared("data/models/stories260K");
    EXPORT("--model", model, "--to", "hf", "--out", "x", "--overwrite");
    expect_error(2, "float weights and float activations");
    WORLD_RUN_WITH(&world, "--set=name=c", "--set=stages=[stage1]", test_format("--set=model={path: \"%s\"}", model),
                   "--set=stage1.subln_init=ones");
    world_expect(&world, 0);
    assert_int_equal(EXPORT("--model=runs/c/stage1/model", "--to=hf", "--out=stories"), 0);
    assert_non_null(strstr(world.output.out, "35 ternary tensors"));
    assert_int_equal(EXPORT("--model=stories", "--to=hf", "--out=again"), 0);
    assert_string_equal(world_hash(&world, "stories/model.safetensors"), world_hash(&world, "again/model.safetensors"));
    assert_string_equal(world_hash(&world, "stories/tokenizer.json"), world_hash(&world, "again/tokenizer.json"));
}

/* Written, replaced, read by the same programs, and written again from what it holds. Goes on where the last test
 * ended.
 */
static void a_gguf_file_is_a_model_too(void **state)
{
    (void)state;
    test_shared("data/models/stories260K");
    EXPORT("--model", FINISHED, "--to", "gguf", "--out", "tiny.gguf");
    expect_error(3, "tokenizer.json"); /* nobody could read it */
    assert_int_equal(EXPORT("--model=stories", "--to=gguf", "--out=stories.gguf"), 0);
    assert_non_null(strstr(world.output.out, "35 ternary tensors"));
    EXPORT("--model=stories", "--to=gguf", "--out=stories.gguf");
    expect_error(2, "stories.gguf: it exists already; --overwrite replaces it");
    EXPORT("--model=stories", "--to=gguf", "--out=stories.gguf", "--overwrite", "--type=tq2_0");
    expect_error(2, "--type tq2_0 has blocks of 256");
    assert_int_equal(
        EXPORT("--model=stories", "--to=gguf", "--out=stories.gguf", "--overwrite", "--embedding-type=f32"), 0);
    assert_non_null(strstr(world.output.out, "differ by at most 0\n"));
    assert_int_equal(EXPORT("--model=stories.gguf", "--to=gguf", "--out=again.gguf", "--embedding-type=f32"), 0);
    assert_string_equal(world_hash(&world, "stories.gguf"), world_hash(&world, "again.gguf"));
    assert_int_equal(EXPORT("--model=stories.gguf", "--to=hf", "--out=again", "--overwrite"), 0);
    assert_string_equal(world_hash(&world, "stories/model.safetensors"), world_hash(&world, "again/model.safetensors"));
    WORLD_RUN_WITH(&world, "--set=name=d", "--set=stages=[stage1]", "--set=model={path: stories.gguf}");
    world_expect(&world, 0);
    assert_int_equal(EXPORT("--model=runs/d/stage1/model", "--to=gguf", "--out=third.gguf", "--embedding-type=f32"), 0);
    assert_string_equal(world_hash(&world, "stories.gguf"), world_hash(&world, "third.gguf"));
}

/* What a program says of one of the models, on stdout. */
static char *output_of(const char *const *argv)
{
    test_output_free(&world.output);
    test_run(&(struct test_program){.argv = argv, .directory = world.dir}, &world.output);
    if (world.output.exit_code)
        fail_msg("%s: %s", argv[0], world.output.err);
    return strdup(world.output.out);
}

static double loss_of(const char *model)
{
    const char *shard = test_shared("data/shards/tinystories-stories260K-valid.bin");
    char *text = output_of((const char *const[]){eval, "--model", model, "--data", shard, "--max-seq-length", "64",
                                                 "--tokens", "640", "--json", NULL});
    json_t *value = json_loads(text, 0, NULL);
    const json_t *result = json_array_get(json_object_get(value, "results"), 0);
    const double loss = number(json_object_get(result, "text"), "loss");
    assert_string_equal(json_string_value(json_object_get(result, "weights")), "ternary");
    json_decref(value);
    free(text);
    return loss;
}

/* Every form of one model evaluates to the same number, and says the same. Goes on where the last test ended. */
static void all_forms_evaluate_and_generate_alike(void **state)
{
    (void)state;
    static const char *const forms[] = {"stories", "stories.gguf", "again.gguf", "again"};
    double first = NAN;
    char *text = NULL;
    for (size_t i = 0; i < BT_ARRAY_LEN(forms); i++) {
        const double loss = loss_of(forms[i]);
        char *said = output_of((const char *const[]){generate, "--model", forms[i], "--temperature", "0",
                                                     "--max-tokens", "30", "--quiet", "Once upon", NULL});
        first = i ? first : loss;
        text = i ? text : strdup(said);
        assert_true(loss == first && strlen(said) > 10);
        assert_string_equal(said, text);
        free(said);
    }
    free(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_lines_that_make_no_sense),
        cmocka_unit_test(a_trained_model_becomes_a_packed_folder),
        cmocka_unit_test(nothing_is_overwritten_unless_asked),
        cmocka_unit_test(training_goes_on_from_a_packed_folder),
        cmocka_unit_test(inputs_that_cannot_be_exported),
        cmocka_unit_test(a_real_model_is_converted_and_packed),
        cmocka_unit_test(a_gguf_file_is_a_model_too),
        cmocka_unit_test(all_forms_evaluate_and_generate_alike),
    };
    assert_true(argc == 5);
    world_make(&world, argc - 1, argv);
    exporter = realpath(argv[2], NULL);
    eval = realpath(argv[3], NULL);
    generate = realpath(argv[4], NULL);
    world_run(&world);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(exporter);
    free(eval);
    free(generate);
    world_finish(&world);
    return failed;
}
