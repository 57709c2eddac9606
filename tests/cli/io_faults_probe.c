/* Replaces the file named on the command line by "one" and then by "two": a program to try io_faults.c on. Each
 * replacing opens, writes, syncs and renames, and syncs the folder: five operations. */
#include <signal.h>
#include <stdio.h>

#include "io/file.h"

static volatile sig_atomic_t told;

static void on_signal(int number)
{
    told = number;
}

int main(int argc, char **argv)
{
    struct bt_diag diag = {""};
    enum bt_err err;
    if (argc != 2)
        return 2;
    signal(SIGTERM, on_signal);
    if ((err = bt_file_replace(argv[1], "one", 3, &diag)) || (err = bt_file_replace(argv[1], "two", 3, &diag)))
        fprintf(stderr, "%s\n", diag.text);
    printf("signal %d\n", (int)told);
    return bt_exit_code(err);
}
