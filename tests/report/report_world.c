#include "report_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char stage2_config[] = "name: a\n"
                             "output_dir: runs\n"
                             "stages: [stage2]\n"
                             "stage2:\n"
                             "  weights: ternary\n"
                             "  activations: int8\n"
                             "  lambda_warmup: {enabled: true, max: 1.0}\n"
                             "  optimizer: {lr: 0.001}\n";

static void write_text(const char *folder, const char *name, const char *text)
{
    if (text)
        test_write_file(test_format("%s/%s", folder, name), text, strlen(text));
}

const char *write_run(const char *folder, const char *name, const struct run_given *given)
{
    const char *path = test_format("%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0777), 0);
    write_text(path, "config.yaml", given->config);
    write_text(path, "metrics.jsonl", given->metrics);
    if (given->conversion) {
        assert_int_equal(mkdir(test_format("%s/stage1", path), 0777), 0);
        write_text(path, "stage1/conversion.json", given->conversion);
    }
    if (given->finished) {
        assert_int_equal(mkdir(test_format("%s/stage2", path), 0777), 0);
        assert_int_equal(mkdir(test_format("%s/stage2/model", path), 0777), 0);
    }
    return path;
}

/* Nothing has flipped, and no activation was seen, before the first update. */
static void write_telemetry(FILE *out, size_t step)
{
    fprintf(out, "{\"event\":\"telemetry\",\"stage\":\"stage2\",\"step\":%zu,\"lambda\":1.0,\"projections\":{", step);
    for (size_t i = 0; i < 2; i++)
        fprintf(out, "%s\"%s\":{\"weights\":64,\"zero\":[0.3,%.3f],\"flipped\":%s}", i ? "," : "",
                i ? "down_proj" : "q_proj", 0.3 + 0.001 * (double)step, step ? "[0.01,0.02]" : "[null,null]");
    fprintf(out, "},\"activations\":{\"o\":{\"absmax\":[%.2f,7.0]}}}\n", 5.0 + (double)step);
}

char *stage2_metrics(size_t updates)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    fprintf(out,
            "{\"event\":\"start\",\"stage\":\"stage2\",\"step\":0,\"parameters\":1000,\"updates\":%zu,"
            "\"weights\":\"ternary\",\"activations\":\"int8\"}\n",
            updates);
    write_telemetry(out, 0);
    for (size_t i = 1; i <= updates; i++) {
        const double lambda = i > updates / 2 ? 1.0 : 2.0 * (double)i / (double)updates;
        fprintf(out,
                "{\"event\":\"train\",\"stage\":\"stage2\",\"step\":%zu,\"loss\":%.6f,\"grad_norm\":%.3f,\"lr\":0.001,"
                "\"lambda\":%.4f,\"tokens\":%zu,\"tokens_per_second\":1000.0,\"elapsed_s\":%zu,"
                "\"skipped_updates\":0}\n",
                i, 1.0 + 5.0 / (double)i, 0.5 + (double)(i % 7), lambda, 100 * i, i);
        if (i % 10 == 0)
            fprintf(out, "{\"event\":\"eval\",\"stage\":\"stage2\",\"step\":%zu,\"loss\":%.6f,\"lambda\":%.4f}\n", i,
                    1.25 + 4.0 / (double)i, lambda);
        if (i % 20 == 0)
            write_telemetry(out, i);
    }
    assert_int_equal(fclose(out), 0);
    return text;
}

size_t count_of(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        count++;
    return count;
}

size_t points_of(const char *d)
{
    size_t count = 0;
    for (; *d && *d != '"'; d++)
        count += *d == 'M' || *d == 'l';
    return count;
}

static const char *within(const char *from, const char *end, const char *what)
{
    const char *at = strstr(from, what);
    return at && at < end ? at + strlen(what) : NULL;
}

bool next_curve(const char **at, struct curve *curve)
{
    const char *begin = strstr(*at, "<g class=\"curve "), *end = begin ? strstr(begin, "</g>") : NULL;
    if (!begin)
        return false;
    assert_non_null(end);
    const char *promised = within(begin, end, "data-points=\""), *line = within(begin, end, "class=\"line\" d=\"");
    const char *dots = within(begin, end, "class=\"dots\" d=\"");
    assert_non_null(promised);
    if (!line) /* dots alone, each a path of its own */
        line = "";
    else if (dots)
        assert_int_equal(points_of(dots), points_of(line));
    size_t crosses = 0;
    for (const char *cross = begin; (cross = within(cross, end, "class=\"cross\""));)
        crosses++;
    curve->promised = strtoul(promised, NULL, 10);
    curve->drawn = points_of(line) + crosses;
    for (const char *dot = begin; !*line && (dot = within(dot, end, "class=\"dots\" d=\""));)
        curve->drawn += points_of(dot);
    *at = end;
    return true;
}

bool next_cells(const char **at, struct curve *cells)
{
    const char *begin = strstr(*at, "<svg class=\"cells\""), *end = begin ? strstr(begin, "</svg>") : NULL;
    if (!begin)
        return false;
    assert_non_null(end);
    const char *promised = within(begin, end, "data-points=\"");
    assert_non_null(promised);
    cells->promised = strtoul(promised, NULL, 10);
    cells->drawn = 0;
    for (const char *path = begin; (path = within(path, end, " d=\""));)
        cells->drawn += points_of(path);
    *at = end;
    return true;
}
