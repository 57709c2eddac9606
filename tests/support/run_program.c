#include "run_program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CANNOT_START  127 /* as a shell has it */
#define ARGUMENTS_MAX 64

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void set_environment(const char *const *env)
{
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        if (equals)
            putenv((char *)(uintptr_t)*env);
        else
            unsetenv(*env);
    }
}

/* In the child, after fork. */
static void become(const struct test_program *program, FILE *out, FILE *err)
{
    const int nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(fileno(out), 1) < 0 || dup2(fileno(err), 2) < 0)
        _exit(CANNOT_START);
    set_environment(program->env);
    if (program->directory && chdir(program->directory))
        _exit(CANNOT_START);
    execv(program->argv[0], (char *const *)(uintptr_t)program->argv);
    fprintf(stderr, "%s: %s\n", program->argv[0], strerror(errno));
    fflush(stderr);
    _exit(CANNOT_START);
}

static char *read_all(FILE *file)
{
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long length = ftell(file);
    assert_true(length >= 0);
    rewind(file);
    char *text = malloc((size_t)length + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)length, file), (size_t)length);
    text[length] = '\0';
    fclose(file);
    return text;
}

/* Waits for the end, sending the signals that are asked for; false when it took too long and was killed. */
static bool wait_for(pid_t child, const struct test_program *program, int *status, double *ret_elapsed)
{
    const double start = now_s(), limit = program->timeout_s > 0 ? program->timeout_s : 600;
    for (;;) {
        const pid_t ended = waitpid(child, status, WNOHANG);
        assert_true(ended >= 0);
        const double elapsed = now_s() - start;
        *ret_elapsed = elapsed;
        if (ended == child)
            return true;
        if (elapsed > limit) {
            kill(child, SIGKILL);
            waitpid(child, status, 0);
            return false;
        }
        const int number = program->signal_now ? program->signal_now(program->context, elapsed) : 0;
        if (number)
            kill(child, number);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

/* LLVM's OpenMP runtime keeps a file in memory for each process, which a kill leaves behind. */
static void remove_openmp_registration(pid_t child)
{
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/__KMP_REGISTERED_LIB_%ld_%ld", (long)child, (long)getuid());
    unlink(path);
}

void test_run(const struct test_program *program, struct test_output *output)
{
    int status = 0;
    FILE *out = tmpfile(), *err = tmpfile(); /* files take any amount without anybody reading */
    assert_non_null(out);
    assert_non_null(err);
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        become(program, out, err);
    const bool in_time = wait_for(child, program, &status, &output->elapsed_s);
    remove_openmp_registration(child);
    output->out = read_all(out);
    output->err = read_all(err);
    output->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    output->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (!in_time)
        fail_msg("%s was still running after %.1f s; stderr: %s", program->argv[0], output->elapsed_s, output->err);
    if (output->exit_code == CANNOT_START)
        fail_msg("%s cannot be started: %s", program->argv[0], output->err);
}

void test_output_free(struct test_output *output)
{
    free(output->out);
    free(output->err);
    *output = (struct test_output){0};
}

void test_run_expect(int exit_code, struct test_output *output, const char *path, ...)
{
    const char *argv[ARGUMENTS_MAX] = {path};
    va_list args;
    va_start(args, path);
    for (size_t i = 1; i < ARGUMENTS_MAX && (argv[i] = va_arg(args, const char *)); i++)
        assert_true(i + 1 < ARGUMENTS_MAX);
    va_end(args);
    test_run(&(struct test_program){.argv = argv}, output);
    if (output->exit_code != exit_code)
        fail_msg("%s: exit code %d, signal %d, expected exit code %d; stderr: %s", path, output->exit_code,
                 output->signal, exit_code, output->err);
}
